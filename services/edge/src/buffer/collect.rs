//! Taking in a request's body, within its bounds of size and time.

use super::replay::Buffered;
use super::spool::{Spool, SpoolFile};
use crate::body::{Body, BodyError};
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The rate is looked at after this.
const RATE_AFTER: Duration = Duration::from_secs(10);
/// Parts are written to the spool when they come to this much.
const WRITE: usize = 64 << 10;

#[derive(Clone, Debug)]
pub struct BodyLimits {
    pub total: u64,
    pub memory: usize,
    /// Between two parts.
    pub wait: Duration,
    pub min_rate: u64,
}

#[derive(Debug)]
pub enum BufferError {
    TooLarge,
    TooSlow,
    ClientGone,
    Disk(io::Error),
    /// The reason, for the log.
    BadRequest(&'static str),
}

impl From<BodyError> for BufferError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::TooLarge,
            BodyError::TooSlow => Self::TooSlow,
            BodyError::Gone | BodyError::Io(_) => Self::ClientGone,
            BodyError::Bad(reason) => Self::BadRequest(reason),
        }
    }
}

/// The whole body. A length over the limit is refused before a byte is asked for, so that no `100 Continue` goes out.
pub async fn collect(mut body: Body, limits: &BodyLimits, spool: &Arc<Spool>) -> Result<Buffered, BufferError> {
    if body.is_end_stream() {
        return Ok(Buffered::empty());
    }
    if body.size_hint().lower() > limits.total {
        return Err(BufferError::TooLarge);
    }
    if let Some(bytes) = body.take_full() {
        return Ok(Buffered::memory(bytes));
    }
    let mut parts = Parts { body, limits, began: Instant::now(), total: 0 };
    let Some(first) = parts.next().await? else {
        return Ok(Buffered::empty());
    };
    // Most bodies come in one part: it is kept as it is.
    let Some(second) = parts.next().await? else {
        if first.len() > limits.memory {
            return spill(parts, BytesMut::from(first), spool).await;
        }
        return Ok(Buffered::memory(first));
    };
    let mut memory = BytesMut::with_capacity((first.len() + second.len()).max(parts.expected()));
    memory.extend_from_slice(&first);
    memory.extend_from_slice(&second);
    drop((first, second));
    while memory.len() <= limits.memory {
        match parts.next().await? {
            Some(part) => memory.extend_from_slice(&part),
            None => return Ok(Buffered::memory(memory.freeze())),
        }
    }
    spill(parts, memory, spool).await
}

async fn spill(mut parts: Parts<'_>, mut memory: BytesMut, spool: &Arc<Spool>) -> Result<Buffered, BufferError> {
    let file = SpoolFile::create(spool).await.map_err(BufferError::Disk)?;
    let mut length = 0;
    loop {
        let part = parts.next().await?;
        let last = part.is_none();
        if let Some(part) = part {
            memory.extend_from_slice(&part);
        }
        if memory.len() >= WRITE || last {
            let data = memory.split().freeze();
            let size = data.len() as u64;
            file.write(data, length).await.map_err(BufferError::Disk)?;
            length += size;
        }
        if last {
            return Ok(Buffered::file(file, length));
        }
    }
}

struct Parts<'a> {
    body: Body,
    limits: &'a BodyLimits,
    began: Instant,
    total: u64,
}

impl Parts<'_> {
    /// What is still to come, as far as it may be kept in memory.
    fn expected(&self) -> usize {
        let size = self.total + self.body.size_hint().lower();
        usize::try_from(size).unwrap_or(usize::MAX).min(self.limits.memory + WRITE)
    }

    async fn next(&mut self) -> Result<Option<Bytes>, BufferError> {
        loop {
            // A body whose end is known costs no timer for finding that out.
            if self.body.is_end_stream() {
                return Ok(None);
            }
            let frame = match tokio::time::timeout(self.limits.wait, self.body.frame()).await {
                Err(_) => return Err(BufferError::TooSlow),
                Ok(None) => return Ok(None),
                Ok(Some(frame)) => frame?,
            };
            let Ok(data) = frame.into_data() else { continue };
            self.total += data.len() as u64;
            if self.total > self.limits.total {
                return Err(BufferError::TooLarge);
            }
            self.check_rate()?;
            if !data.is_empty() {
                return Ok(Some(data));
            }
        }
    }

    fn check_rate(&self) -> Result<(), BufferError> {
        let elapsed = self.began.elapsed();
        if elapsed <= RATE_AFTER || self.body.is_end_stream() {
            return Ok(());
        }
        let due = u128::from(self.limits.min_rate) * elapsed.as_millis() / 1000;
        if u128::from(self.total) < due { Err(BufferError::TooSlow) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_trickles_is_too_slow_after_ten_seconds() {
        let limits = BodyLimits { total: 1 << 20, memory: 1024, wait: Duration::from_secs(30), min_rate: 240 };
        let after = |seconds, total| {
            let body = Body::stream(http_body_util::StreamBody::new(futures_util::stream::pending()));
            let began = Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
            Parts { body, limits: &limits, began, total }.check_rate().is_ok()
        };
        assert!(after(9, 1));
        assert!(!after(20, 1));
        assert!(!after(20, 4000));
        assert!(after(20, 6000));
    }
}
