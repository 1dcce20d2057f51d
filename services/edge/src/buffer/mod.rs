//! Bodies are buffered before they are passed on (decision 6): memory first, then the spool.
//! Placeholder by the agreed signatures: memory only; its owner (`upstream`) replaces it.

use crate::body::{Body, BodyError};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use std::time::Duration;

pub struct BodyLimits {
    pub total: u64,
    pub memory: usize,
    /// Between two parts.
    pub wait: Duration,
    pub min_rate: u64,
}

pub struct Spool;

pub struct Buffered {
    bytes: Bytes,
}

#[derive(Debug)]
pub enum BufferError {
    TooLarge,
    TooSlow,
    ClientGone,
    Disk(std::io::Error),
    /// The reason, for the log.
    BadRequest(&'static str),
}

impl Spool {
    pub fn open(_config: &crate::config::Spool) -> std::io::Result<Self> {
        Ok(Self)
    }

    /// The spool's families in Prometheus text.
    pub fn render(&self, _out: &mut String) {}
}

impl Buffered {
    pub fn empty() -> Self {
        Self { bytes: Bytes::new() }
    }

    pub fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn body(&self) -> Body {
        Body::full(self.bytes.clone())
    }
}

pub async fn collect(mut body: Body, limits: &BodyLimits, _spool: &Spool) -> Result<Buffered, BufferError> {
    let mut bytes = BytesMut::new();
    loop {
        let frame = match tokio::time::timeout(limits.wait, body.frame()).await {
            Err(_) => return Err(BufferError::TooSlow),
            Ok(None) => return Ok(Buffered { bytes: bytes.freeze() }),
            Ok(Some(frame)) => frame.map_err(|error| match error {
                BodyError::TooLarge => BufferError::TooLarge,
                BodyError::TooSlow => BufferError::TooSlow,
                BodyError::Gone => BufferError::ClientGone,
                BodyError::Bad(reason) => BufferError::BadRequest(reason),
                BodyError::Io(_) => BufferError::ClientGone,
            })?,
        };
        if let Ok(data) = frame.into_data() {
            if (bytes.len() + data.len()) as u64 > limits.total {
                return Err(BufferError::TooLarge);
            }
            bytes.extend_from_slice(&data);
        }
    }
}
