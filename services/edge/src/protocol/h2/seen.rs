//! What is known of a connection by what has passed on it.

use super::unheard::Unheard;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// After so long all is forgotten.
const PERIOD: Duration = Duration::from_secs(10);
/// A request that was given up before it was answered weighs so much, ...
pub const CANCELLED: u64 = 5;
/// ... and one that got its answer makes up for so much.
pub const ANSWERED: u64 = 5;

/// What is known of a connection's frames.
#[derive(Default)]
pub struct Seen {
    /// Frames that did nothing, and requests that were given up.
    glitches: Cell<u64>,
    answered: Cell<u64>,
    all: Cell<u64>,
    period: Cell<Option<Instant>>,
    /// Not how an HTTP/2 connection begins.
    pub malformed: Cell<bool>,
    /// Changes with each read.
    pub reads: Cell<u64>,
    /// The client is in the middle of a head.
    pub in_head: Cell<bool>,
    /// Since when.
    pub head: Cell<Option<Instant>>,
    /// Requests that h2 answers by itself.
    pub unheard: Unheard,
    /// All that has come was read.
    pub drained: Cell<bool>,
    /// Since when nothing can be written.
    pub blocked: Cell<Option<Instant>>,
}

impl Seen {
    pub fn glitch(&self, weight: u64) {
        let now = Instant::now();
        if self.period.get().is_none_or(|begun| now.duration_since(begun) > PERIOD) {
            self.period.set(Some(now));
            self.glitches.set(0);
            self.answered.set(0);
        }
        self.glitches.set(self.glitches.get() + weight);
        self.all.set(self.all.get() + weight);
    }

    pub fn head_ended(&self) {
        self.in_head.set(false);
        self.head.set(None);
    }

    /// What a read has left: a head that came as a whole needs no look at the clock.
    pub fn head_is(&self, begun: bool) {
        let since = self.head.get().filter(|_| begun);
        self.head.set(since.or_else(|| begun.then(Instant::now)));
    }

    pub fn answered(&self) {
        self.answered.set(self.answered.get() + 1);
    }

    /// Since it was asked last.
    pub fn take_all(&self) -> u64 {
        self.all.take()
    }

    /// More than `allowed` within ten seconds, beside what its answered requests make up for. 0: any number.
    pub fn too_many(&self, allowed: u64) -> bool {
        allowed > 0 && self.glitches.get() > allowed.saturating_add(self.answered.get() * ANSWERED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answered_requests_make_up_for_some() {
        let seen = Seen::default();
        seen.glitch(101);
        assert!(seen.too_many(100));
        assert!(!seen.too_many(0), "off");
        seen.answered();
        assert!(!seen.too_many(100));
        seen.glitch(5);
        assert!(seen.too_many(100));
    }
}
