//! The sidecar watches the others, in two roles that never share what they hold: the *agent* has the engine's socket and
//! no network, and publishes typed snapshots on a unix socket; the networked *sidecar* (`run`) reads them, probes the
//! services, and serves health, metrics and the status page.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod agent;
pub mod cli;
pub mod config;
pub mod fetch;
pub mod page;
pub mod run;
pub mod snapshot;
