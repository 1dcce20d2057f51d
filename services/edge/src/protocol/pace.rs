//! How slow a client may read an answer: no progress for a time, or too little over a longer one.

use crate::body::Body;
use crate::service::Thread;
use crate::timer::Timer;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// Blocked for this long in all, a reader must have shown that it keeps up with the least rate.
const GRACE: Duration = Duration::from_secs(10);

/// How slow a reader may be, over one answer.
pub struct Pace {
    /// Without any progress.
    stall: Duration,
    /// Bytes a second, once [`GRACE`] is over.
    rate: u64,
    blocked: Duration,
    since: Option<Instant>,
    bytes: u64,
}

impl Pace {
    pub fn new(stall: Duration, rate: u64) -> Self {
        Self { stall, rate, blocked: Duration::ZERO, since: None, bytes: 0 }
    }

    /// As the answer's route has it.
    pub fn of(body: &Body, thread: &Thread) -> Self {
        match body.sending() {
            Some(sending) => Self::new(sending.stall, sending.min_rate),
            None => {
                let view = thread.view();
                let config = &view.snapshot.config;
                Self::new(config.timeouts.send, config.limits.min_rate)
            }
        }
    }

    /// So many bytes were taken.
    pub fn wrote(&mut self, bytes: usize) -> io::Result<()> {
        self.bytes += bytes as u64;
        if let Some(since) = self.since.take() {
            self.blocked += since.elapsed();
            if self.blocked > GRACE && self.bytes < self.rate.saturating_mul(self.blocked.as_secs()) {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }

    /// The transport takes nothing now.
    pub fn wait(&mut self, timer: &mut Timer, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.since.is_none() {
            self.since = Some(Instant::now());
            timer.set(self.stall);
        }
        timer.poll(cx).map(|()| io::ErrorKind::TimedOut.into())
    }
}
