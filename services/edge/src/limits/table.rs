//! When each key may come again: GCRA in a table that all threads share without a lock.
//!
//! A key is a randomised hash of 64 bits, so that clients cannot choose their places. Its set has room for eight; a ninth takes the place
//! of the one that has been silent longest. An entry is the *theoretical arrival time* of its key: how far its requests have run ahead of
//! the rate. Where two threads race for a place, a request too many may pass: never one too few.

use crate::config::limits::Rate;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const WAYS: usize = 8;

#[repr(align(64))]
#[derive(Default)]
struct Set {
    /// 0: free.
    keys: [AtomicU64; WAYS],
    /// Nanoseconds since the table's beginning.
    times: [AtomicU64; WAYS],
}

pub struct Table {
    sets: Box<[Set]>,
    begun: Instant,
    /// Keys forgotten before their time.
    pub evicted: AtomicU64,
}

/// How a key stands after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub allowed: bool,
    /// Until this one has its turn: what runs ahead of the rate by more than may do so at once.
    pub wait: Duration,
    /// Further requests that would pass now.
    pub remaining: u32,
    /// Until it stands as if it had never come.
    pub reset: Duration,
    /// Until the next one passes.
    pub retry: Duration,
}

impl Table {
    pub fn new(keys: usize) -> Self {
        let sets = keys.div_ceil(WAYS).next_power_of_two();
        Self { sets: (0..sets).map(|_| Set::default()).collect(), begun: Instant::now(), evicted: AtomicU64::new(0) }
    }

    /// Counts one request of `key`.
    pub fn ask(&self, key: u64, rate: Rate, now: Instant) -> Standing {
        let now = nanos(now.saturating_duration_since(self.begun));
        let interval = nanos(rate.interval).max(1);
        let ahead = interval.saturating_mul(u64::from(rate.burst));
        let at_once = interval.saturating_mul(u64::from(rate.at_once));
        let key = key.max(1);
        let Some(time) = self.place(key, now) else {
            // No sets: cannot be.
            let none = Duration::ZERO;
            return Standing { allowed: true, wait: none, remaining: 0, reset: none, retry: none };
        };
        let mut known = time.load(Relaxed);
        loop {
            let from = known.max(now);
            let lead = from - now;
            if lead > ahead {
                let (reset, retry) = (Duration::from_nanos(lead), Duration::from_nanos(lead - ahead));
                return Standing { allowed: false, wait: Duration::ZERO, remaining: 0, reset, retry };
            }
            match time.compare_exchange_weak(known, from.saturating_add(interval), Relaxed, Relaxed) {
                Ok(_) => {
                    let wait = Duration::from_nanos(lead.saturating_sub(at_once));
                    let lead = lead.saturating_add(interval);
                    let left = ahead.saturating_add(interval).saturating_sub(lead) / interval;
                    return Standing {
                        allowed: true,
                        wait,
                        remaining: u32::try_from(left).unwrap_or(u32::MAX),
                        reset: Duration::from_nanos(lead),
                        retry: Duration::from_nanos(lead.saturating_sub(ahead)),
                    };
                }
                Err(other) => known = other,
            }
        }
    }

    fn set(&self, key: u64) -> Option<&Set> {
        self.sets.get(key as usize & (self.sets.len() - 1))
    }

    /// The key's own time, or that of a place it takes: a free one, one whose time is past, or the one that is nearest to it.
    fn place(&self, key: u64, now: u64) -> Option<&AtomicU64> {
        let set = self.set(key)?;
        loop {
            let mut oldest: Option<(u64, &AtomicU64, &AtomicU64, u64)> = None;
            for (name, time) in set.keys.iter().zip(&set.times) {
                let known = name.load(Relaxed);
                if known == key {
                    return Some(time);
                }
                let age = if known == 0 { 0 } else { time.load(Relaxed) };
                if oldest.as_ref().is_none_or(|(least, ..)| age < *least) {
                    oldest = Some((age, name, time, known));
                }
            }
            let (age, name, time, known) = oldest?;
            // First the time: whoever finds the new key must not find the old one's debts.
            let _ = time.compare_exchange(age, 0, Relaxed, Relaxed);
            if name.compare_exchange(known, key, Relaxed, Relaxed).is_ok() {
                if known != 0 && age > now {
                    self.evicted.fetch_add(1, Relaxed);
                }
                return Some(time);
            }
        }
    }

    /// Keys that are not as if they had never come.
    pub fn live(&self) -> u64 {
        let now = nanos(self.begun.elapsed());
        let times = self.sets.iter().flat_map(|set| &set.times);
        times.filter(|time| time.load(Relaxed) > now).count() as u64
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{BuildHasher, RandomState};

    const TEN: Rate = Rate::nodelay(Duration::from_millis(100), 4);

    #[test]
    fn a_burst_then_the_rate() {
        let table = Table::new(100);
        let now = Instant::now();
        for left in [4, 3, 2, 1, 0] {
            let standing = table.ask(7, TEN, now);
            assert!(standing.allowed);
            assert_eq!(standing.remaining, left);
        }
        let refused = table.ask(7, TEN, now);
        assert!(!refused.allowed);
        assert!(refused.retry <= Duration::from_millis(100) && refused.retry > Duration::from_millis(90));
        assert!(refused.reset > Duration::from_millis(490));
        assert!(table.ask(8, TEN, now).allowed, "another key");
        let later = now + refused.retry;
        assert!(table.ask(7, TEN, later).allowed, "exactly when it was told");
        assert!(!table.ask(7, TEN, later).allowed);
        // In the long run, the rate: each hundred milliseconds one.
        let passed = (1..1000).filter(|i| table.ask(7, TEN, later + Duration::from_millis(10) * *i).allowed).count();
        assert!((99..=100).contains(&passed), "{passed}");
    }

    /// nginx's `burst=4 delay=2`, and `burst=4` alone.
    #[test]
    fn those_beyond_what_may_come_at_once_wait_their_turn() {
        let ms = Duration::from_millis;
        for (at_once, waits) in [(2, [0, 0, 0, 100, 200]), (0, [0, 100, 200, 300, 400]), (9, [0; 5])] {
            let table = Table::new(100);
            let (rate, now) = (Rate { at_once, ..TEN }, Instant::now());
            for wait in waits {
                let standing = table.ask(7, rate, now);
                assert_eq!((standing.allowed, standing.wait), (true, ms(wait)), "{at_once}");
            }
            assert!(!table.ask(7, rate, now).allowed, "beyond the burst nothing waits");
        }
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_silent() {
        let table = Table::new(64);
        let hasher = RandomState::new();
        let slow = Rate::nodelay(Duration::from_secs(60), 0);
        let now = Instant::now();
        for key in 0..10_000u32 {
            assert!(table.ask(hasher.hash_one(key), slow, now).allowed);
        }
        assert!(table.evicted.load(Relaxed) > 9_000);
        assert!(table.live() <= 64);
        // Time passed: nothing is lost any more.
        let evicted = table.evicted.load(Relaxed);
        table.ask(hasher.hash_one("x"), slow, now + Duration::from_secs(61));
        assert_eq!(table.evicted.load(Relaxed), evicted);
    }

    #[test]
    fn threads_do_not_pass_more_than_the_rate() {
        let table = Table::new(1000);
        let now = Instant::now();
        let rate = Rate::nodelay(Duration::from_secs(1), 999);
        let passed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..1000).filter(|_| table.ask(42, rate, now).allowed).count()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        // Taking the place itself may be raced for once.
        assert!((1000..=1004).contains(&passed), "{passed}");
    }
}
