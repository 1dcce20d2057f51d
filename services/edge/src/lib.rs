//! The edge: takes the internet and hands clean requests to an application.
//!
//! A request meets the modules in this order: [`listener`] → [`tls`] → [`protocol`] → [`service`] (request id, host,
//! path, [`redirect`], [`router`], [`static_files`], [`buffer`], [`upstream`], [`headers`], [`error_pages`], [`access_log`]).
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod access;
pub mod access_log;
pub mod acme;
pub mod admin;
pub mod api;
pub mod body;
mod boxed;
pub mod buffer;
pub mod cli;
pub mod compress;
pub mod config;
pub mod connection;
pub mod control;
pub mod drain;
pub mod error_pages;
mod escape;
pub mod gateway;
pub mod headers;
pub mod host;
pub mod limits;
pub mod listener;
pub mod metrics;
pub mod path;
pub mod protocol;
pub mod redirect;
pub mod router;
pub mod runtime;
pub mod service;
pub mod snapshot;
pub mod static_files;
pub mod streams;
mod template;
mod throttle;
pub(crate) mod timer;
pub mod tls;
pub mod upgrade;
pub mod upstream;
pub mod watched;
