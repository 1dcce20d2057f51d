//! The upstream against servers that speak raw HTTP/1 and count what is done to them.
#![allow(clippy::unwrap_used)]

mod balance;
mod bodies;
mod bulkheads;
mod fake;
mod health;
mod kit;
#[path = "../common/ports.rs"]
mod ports;
mod refusals;
mod reloads;
mod retries;
mod slots;
mod tunnels;
