//! The way to the application: pool, slots, queue, DNS, health, retry, tunnels.
//! Placeholder by the agreed signatures; its owner (`upstream`) replaces it.

use crate::body::Body;
use crate::buffer::{Buffered, Spool};
use crate::config::Config;
use crate::drain::Drain;
use http::request::Parts;
use std::sync::Arc;
use std::time::Duration;

/// What all threads share of one configuration's upstream: permits, queue, addresses, their health.
pub struct Shared;

/// One thread's half: its connections.
pub struct Upstream;

/// What the pipeline knows of a request beside its head.
pub struct Meta {
    pub request_id: http::HeaderValue,
    /// GET, HEAD or OPTIONS: may be sent a second time.
    pub idempotent: bool,
}

/// In the response's extensions, for the access log and the metrics.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timing {
    pub queue: Duration,
    /// From sending the request to the head of the answer.
    pub first_byte: Duration,
    pub retried: bool,
}

#[derive(Debug)]
pub enum UpstreamError {
    /// No connection, or no address.
    Connect(String),
    /// The connection broke before an answer.
    Reset,
    /// No first byte in time.
    Timeout,
    QueueFull,
    QueueTimeout,
    Killed(Killed),
    /// The reason, for the log.
    BadResponse(&'static str),
    ClientGone,
    Disk,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Killed {
    Timeout,
    Memory,
}

/// One address for `/readyz`.
pub struct AddressStatus {
    pub address: String,
    pub up: bool,
    pub reason: Option<String>,
}

impl Shared {
    pub fn new(_config: &Config, _spool: Arc<Spool>) -> Arc<Self> {
        Arc::new(Self)
    }

    /// Control thread: resolving and health checks until `drain` closes or this upstream is replaced by a reload
    /// (the task is aborted then).
    pub async fn manage(self: Arc<Self>, mut drain: Drain) {
        drain.reached(crate::drain::Phase::Closing).await;
    }

    pub fn status(&self) -> Vec<AddressStatus> {
        Vec::new()
    }

    /// The upstream's and the queue's families in Prometheus text, summed over threads.
    pub fn render(&self, _out: &mut String) {}
}

impl Upstream {
    pub fn new(_shared: Arc<Shared>, _drain: Drain) -> Self {
        Self
    }

    pub async fn send(
        &self,
        _parts: Parts,
        _body: Buffered,
        _meta: &Meta,
    ) -> Result<http::Response<Body>, UpstreamError> {
        Err(UpstreamError::Connect("no upstream".into()))
    }
}
