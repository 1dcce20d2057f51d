//! Taking in a request's body, within its bounds of size and time.

use super::held;
use super::replay::Buffered;
use super::spool::{Share, Spool, SpoolFile};
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

impl BodyLimits {
    pub(super) fn is_too_slow(&self, total: u64, elapsed: Duration) -> bool {
        elapsed > RATE_AFTER && u128::from(total) < u128::from(self.min_rate) * elapsed.as_millis() / 1000
    }
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
    let mut parts =
        Parts { body, limits, began: Instant::now(), total: 0, share: Share::of_request(spool), crowded: false };
    let Some(first) = parts.next().await? else {
        return Ok(Buffered::empty());
    };
    if parts.crowded {
        return spill(parts, BytesMut::from(first), spool).await;
    }
    // Most bodies come in one part: it is kept as it is.
    let Some(second) = parts.next().await? else {
        if first.len() > limits.memory {
            return spill(parts, BytesMut::from(first), spool).await;
        }
        return Ok(parts.kept(first));
    };
    let mut memory = BytesMut::with_capacity((first.len() + second.len()).max(parts.expected()));
    memory.extend_from_slice(&first);
    memory.extend_from_slice(&second);
    drop((first, second));
    while memory.len() <= limits.memory && !parts.crowded {
        match parts.next().await? {
            Some(part) => memory.extend_from_slice(&part),
            None => return Ok(parts.kept(memory.freeze())),
        }
    }
    spill(parts, memory, spool).await
}

async fn spill(mut parts: Parts<'_>, mut memory: BytesMut, spool: &Arc<Spool>) -> Result<Buffered, BufferError> {
    let file = SpoolFile::create(spool).await.map_err(BufferError::Disk)?;
    let (mut length, mut last) = (0, false);
    loop {
        // Where memory is short nothing waits in it for more.
        if !memory.is_empty() && (memory.len() >= WRITE || last || parts.crowded) {
            // `split` leaves the block to be filled again, which would keep what we are to give back.
            let data = if parts.crowded { std::mem::take(&mut memory) } else { memory.split() }.freeze();
            let size = data.len() as u64;
            file.write(data, length).await.map_err(BufferError::Disk)?;
            length += size;
            parts.share.give_back();
        }
        if last {
            return Ok(Buffered::file(file, length));
        }
        match parts.next().await? {
            Some(part) => memory.extend_from_slice(&part),
            None => last = true,
        }
    }
}

struct Parts<'a> {
    body: Body,
    limits: &'a BodyLimits,
    began: Instant,
    total: u64,
    share: Share,
    /// All bodies together have the memory that there is for them.
    crowded: bool,
}

impl Parts<'_> {
    /// The body, in memory, with its share of it.
    fn kept(self, bytes: Bytes) -> Buffered {
        Buffered::memory(self.share.keep(bytes))
    }

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
            // What is whole at once is gone soon, and costs nobody's cache line.
            let waits = !self.body.is_end_stream() || !self.share.is_empty();
            if waits && !self.crowded && !self.share.take(data.len() as u64) {
                self.crowded = true;
            }
            if !data.is_empty() {
                return Ok(Some(held::alone(data)));
            }
        }
    }

    fn check_rate(&self) -> Result<(), BufferError> {
        let slow = self.limits.is_too_slow(self.total, self.began.elapsed());
        if slow && !self.body.is_end_stream() { Err(BufferError::TooSlow) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{StreamExt, stream};
    use std::task::{Context, Poll};

    /// Nine parts of ten bytes.
    fn upload() -> Body {
        let part = |_| Ok(http_body::Frame::data(Bytes::from_static(b"0123456789")));
        Body::stream(http_body_util::StreamBody::new(stream::iter(0..9).map(part)))
    }

    #[tokio::test]
    async fn all_bodies_together_have_one_bound_in_memory() {
        let dir = tempfile::tempdir().unwrap();
        let config = crate::config::Spool { dir: dir.path().to_owned(), limit: 1 << 20, memory: 100 };
        let spool = Arc::new(Spool::open(&config).unwrap());
        let limits = BodyLimits { total: 1 << 20, memory: 1024, wait: Duration::from_secs(30), min_rate: 240 };
        let collect = async || collect(upload(), &limits, &spool).await.unwrap();
        let first = collect().await;
        assert!(!first.in_file());
        let second = collect().await;
        assert!(second.in_file());
        for buffered in [&first, &second] {
            let whole = buffered.replay().collect().await.unwrap().to_bytes();
            assert_eq!(whole, "0123456789".repeat(9));
        }
        let again = first.clone();
        drop(first);
        assert!(collect().await.in_file(), "the memory is held as long as the body");
        drop(again);
        assert!(!collect().await.in_file());
        // One that leaves midway gives back what it had.
        let stuck = Body::stream(http_body_util::StreamBody::new(
            stream::iter([Ok(http_body::Frame::data(Bytes::from(vec![0; 90])))]).chain(stream::pending()),
        ));
        drop(tokio::time::timeout(Duration::from_millis(1), super::collect(stuck, &limits, &spool)).await);
        assert!(!collect().await.in_file());
    }

    /// Neither of a body that is whole at once nor of one that is waited for.
    #[tokio::test]
    async fn a_small_part_keeps_nothing_of_the_block_it_came_in() {
        let config = crate::config::Spool { dir: "/proc/nothing/here".into(), ..Default::default() };
        let spool = Arc::new(Spool::open(&config).unwrap());
        let limits = BodyLimits { total: 1 << 20, memory: 1024, wait: Duration::from_secs(30), min_rate: 240 };
        for more in [false, true] {
            let block = Arc::new(vec![7; 32 << 10]);
            let part = Bytes::from_owner(Block(block.clone())).slice(..8);
            let parts = stream::iter([Ok(http_body::Frame::data(part))]);
            let rest = stream::poll_fn(move |_| if more { Poll::Pending } else { Poll::Ready(None) });
            let body = Body::stream(http_body_util::StreamBody::new(parts.chain(rest)));
            let mut collecting = Box::pin(super::collect(body, &limits, &spool));
            let cx = &mut Context::from_waker(std::task::Waker::noop());
            let collected = collecting.as_mut().poll(cx);
            assert_eq!((collected.is_pending(), Arc::strong_count(&block)), (more, 1));
        }
    }

    struct Block(Arc<Vec<u8>>);

    impl AsRef<[u8]> for Block {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    #[test]
    fn a_body_that_trickles_is_too_slow_after_ten_seconds() {
        let limits = BodyLimits { total: 1 << 20, memory: 1024, wait: Duration::from_secs(30), min_rate: 240 };
        let after = |seconds, total| {
            let body = Body::stream(http_body_util::StreamBody::new(futures_util::stream::pending()));
            let began = Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
            let spool =
                Spool::open(&crate::config::Spool { dir: "/proc/nothing/here".into(), limit: 0, memory: 0 }).unwrap();
            let share = Share::of_request(&Arc::new(spool));
            Parts { body, limits: &limits, began, total, share, crowded: false }.check_rate().is_ok()
        };
        assert!(after(9, 1));
        assert!(!after(20, 1));
        assert!(!after(20, 4000));
        assert!(after(20, 6000));
    }
}
