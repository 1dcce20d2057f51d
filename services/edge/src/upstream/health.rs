//! What requests have told of an address: whether connections can be made, failures in a row, being left out for them,
//! and the way back.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Connections fail. The control thread finds out when they do not.
pub const DOWN: u8 = 1;
/// Left out for a while, for failures.
pub const EJECTED: u8 = 2;
/// Only clients that belong there, by the operator's word.
pub const DRAINING: u8 = 4;

/// The longest an address is left out.
const LONGEST: Duration = Duration::from_secs(300);
/// The whole weight, in the units of the slow start.
pub const FULL: u32 = 1024;
/// What a slow start begins with.
const LEAST: u32 = FULL / 16;

/// When failures leave an address out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    pub max_fails: u32,
    pub fail_timeout: Duration,
    pub slow_start: Duration,
}

pub struct Health {
    rules: Rules,
    flags: AtomicU8,
    /// Connections that failed since the last that worked: how long to wait before the next try.
    refused: AtomicU32,
    /// In a row.
    fails: AtomicU32,
    failed_at: AtomicU64,
    ejections: AtomicU32,
    until: AtomicU64,
    /// Of [`FULL`].
    ramp: AtomicU32,
    /// When the way back began; 0: not on it.
    back_at: AtomicU64,
}

/// Milliseconds since the process began to ask.
pub fn now() -> u64 {
    static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(BEGUN.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Health {
    pub fn new(rules: Rules, draining: bool) -> Self {
        Self {
            rules,
            flags: AtomicU8::new(if draining { DRAINING } else { 0 }),
            refused: AtomicU32::new(0),
            fails: AtomicU32::new(0),
            failed_at: AtomicU64::new(0),
            ejections: AtomicU32::new(0),
            until: AtomicU64::new(0),
            ramp: AtomicU32::new(FULL),
            back_at: AtomicU64::new(0),
        }
    }

    /// SeqCst: see [`Health::drain`].
    pub fn flags(&self) -> u8 {
        self.flags.load(Ordering::SeqCst)
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags() & flag != 0
    }

    /// By the operator's word. SeqCst: either who begins to wait sees it, or the queue is seen to have somebody who waits.
    pub fn drain(&self, drained: bool) {
        if drained {
            self.flags.fetch_or(DRAINING, Ordering::SeqCst);
        } else {
            self.flags.fetch_and(!DRAINING, Ordering::SeqCst);
        }
    }

    /// A connection failed. True when this is news.
    pub fn refuse(&self) -> bool {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.flags.fetch_or(DOWN, Ordering::Relaxed) & DOWN == 0
    }

    /// A connection works. True when this is news.
    pub fn works(&self) -> bool {
        if !self.has(DOWN) {
            return false;
        }
        self.refused.store(0, Ordering::Relaxed);
        let news = self.flags.fetch_and(!DOWN, Ordering::Relaxed) & DOWN != 0;
        if news {
            self.come_back(now());
        }
        news
    }

    pub fn refused(&self) -> u32 {
        self.refused.load(Ordering::Relaxed)
    }

    /// An answer: no failure in a row any more.
    pub fn fine(&self) {
        if self.fails.load(Ordering::Relaxed) != 0 {
            self.fails.store(0, Ordering::Relaxed);
        }
    }

    /// A failure at that moment. True when it leaves the address out.
    pub fn fail(&self, now: u64) -> bool {
        let Rules { max_fails, fail_timeout, .. } = self.rules;
        if max_fails == 0 || self.has(EJECTED) {
            return false;
        }
        let before = self.failed_at.swap(now, Ordering::Relaxed);
        let fails = if now.saturating_sub(before) > millis(fail_timeout) {
            self.fails.store(1, Ordering::Relaxed);
            1
        } else {
            self.fails.fetch_add(1, Ordering::Relaxed) + 1
        };
        if fails < max_fails {
            return false;
        }
        let times = self.ejections.load(Ordering::Relaxed).min(16);
        let time = fail_timeout.saturating_mul(1 << times).min(LONGEST.max(fail_timeout));
        self.until.store(now + millis(time), Ordering::Relaxed);
        if self.flags.fetch_or(EJECTED, Ordering::Relaxed) & EJECTED != 0 {
            return false;
        }
        self.ejections.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Control thread: whether its time out is over.
    pub fn may_return(&self, now: u64) -> bool {
        self.has(EJECTED) && now >= self.until.load(Ordering::Relaxed)
    }

    /// Control thread: still not well; it stays out a little longer.
    pub fn stay_out(&self, now: u64) {
        self.until.store(now + millis(self.rules.fail_timeout), Ordering::Relaxed);
    }

    /// Control thread. One more failure leaves it out again.
    pub fn let_return(&self, now: u64) {
        self.fails.store(self.rules.max_fails.saturating_sub(1), Ordering::Relaxed);
        self.failed_at.store(now, Ordering::Relaxed);
        self.until.store(now, Ordering::Relaxed);
        self.flags.fetch_and(!EJECTED, Ordering::Relaxed);
        self.come_back(now);
    }

    /// Control thread: who has behaved for as long as he was last left out has one time less on his list.
    pub fn forgive(&self, now: u64) {
        let times = self.ejections.load(Ordering::Relaxed);
        if times == 0 || self.has(EJECTED) {
            return;
        }
        let until = self.until.load(Ordering::Relaxed);
        let last = millis(self.rules.fail_timeout.saturating_mul(1 << (times - 1).min(16)).min(LONGEST));
        if now.saturating_sub(until) > last {
            self.ejections.store(times - 1, Ordering::Relaxed);
            self.until.store(now, Ordering::Relaxed);
        }
    }

    pub fn ejections(&self) -> u32 {
        self.ejections.load(Ordering::Relaxed)
    }

    pub fn fails(&self) -> u32 {
        self.fails.load(Ordering::Relaxed)
    }

    /// It gets requests again: with a slow start, few at first.
    pub fn come_back(&self, now: u64) {
        if !self.rules.slow_start.is_zero() {
            self.back_at.store(now, Ordering::Relaxed);
            self.ramp.store(LEAST, Ordering::Relaxed);
        }
    }

    /// Control thread: the slow start goes on.
    pub fn warm(&self, now: u64) {
        let begun = self.back_at.load(Ordering::Relaxed);
        if begun == 0 {
            return;
        }
        let whole = millis(self.rules.slow_start).max(1);
        let gone = now.saturating_sub(begun).min(whole);
        let ramp = u32::try_from(gone * u64::from(FULL) / whole).unwrap_or(FULL).max(LEAST);
        self.ramp.store(ramp, Ordering::Relaxed);
        if gone == whole {
            self.back_at.store(0, Ordering::Relaxed);
        }
    }

    /// Of [`FULL`].
    pub fn ramp(&self) -> u32 {
        self.ramp.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(max_fails: u32, slow_start: u64) -> Health {
        let rules =
            Rules { max_fails, fail_timeout: Duration::from_secs(10), slow_start: Duration::from_secs(slow_start) };
        Health::new(rules, false)
    }

    #[test]
    fn failures_in_a_row_leave_it_out() {
        let health = health(3, 0);
        assert!(!health.fail(1000) && !health.fail(1001));
        health.fine();
        assert!(!health.fail(1002) && !health.fail(1003));
        assert!(health.fail(1004));
        assert!(health.has(EJECTED));
        // More of them are no news.
        assert!(!health.fail(1005));
    }

    #[test]
    fn failures_far_apart_are_no_row() {
        let health = health(2, 0);
        for at in 0..20 {
            assert!(!health.fail(1 + at * 10_001), "{at}");
        }
    }

    #[test]
    fn none_is_left_out_where_none_is_counted() {
        let health = health(0, 0);
        for at in 0..100 {
            assert!(!health.fail(at));
        }
    }

    #[test]
    fn each_time_is_twice_as_long_and_good_conduct_shortens_it() {
        let health = health(2, 0);
        let mut now = 1;
        for seconds in [10, 20, 40, 80, 160, 300, 300] {
            health.fail(now);
            health.fail(now);
            assert!(health.has(EJECTED));
            assert!(!health.may_return(now + seconds * 1000 - 1), "{seconds}");
            now += seconds * 1000;
            assert!(health.may_return(now), "{seconds}");
            health.let_return(now);
        }
        // One more is enough now.
        assert!(health.fail(now + 1));
        health.let_return(now + 2);
        health.fine();
        let times = health.ejections();
        for _ in 0..times {
            now += 301_000;
            health.forgive(now);
        }
        assert_eq!(health.ejections(), 0);
    }

    #[test]
    fn a_slow_start_grows() {
        let health = health(1, 10);
        assert_eq!(health.ramp(), FULL);
        health.come_back(1000);
        assert_eq!(health.ramp(), LEAST);
        health.warm(6000);
        assert_eq!(health.ramp(), FULL / 2);
        health.warm(12_000);
        assert_eq!(health.ramp(), FULL);
    }

    #[test]
    fn a_refused_connection_is_news_once() {
        let health = health(1, 0);
        assert!(health.refuse());
        assert!(!health.refuse());
        assert_eq!(health.refused(), 2);
        assert!(health.works());
        assert!(!health.works());
        assert_eq!(health.refused(), 0);
    }
}
