//! When a process asks for its replacement by itself: it has grown past `max_rss`, or is older than `lifetime`.
//!
//! Looked at between requests, by the ticker; `max_requests` is counted where requests end.

use std::cell::Cell;
use std::time::Duration;

use crate::scoreboard::{Reason, now};
use crate::settings::Life;

/// Memory is read so often, in microseconds: a process that serves ten thousand requests a second must not pay for it.
const EVERY: u64 = 500_000;

pub struct Limits {
    /// Bytes; none once it has been passed, or makes no sense.
    rss: Cell<Option<u64>>,
    next_look: Cell<u64>,
    /// Monotonic microseconds.
    end: Option<u64>,
}

impl Limits {
    /// To be called when the application has been imported: a limit that it is over by then would replace for ever.
    pub fn new(life: &Life, preload: bool) -> Self {
        let limit = more(life.max_rss, life.max_rss_jitter);
        let born = resident("self").unwrap_or(0);
        let too_tight = limit.is_some_and(|limit| born >= limit);
        if too_tight {
            tracing::warn!(
                rss = born,
                max_rss = life.max_rss,
                "max_rss is less than what a process has at its start{}: it is not heeded; raise it",
                if preload { ", what it shares by --preload included" } else { "" }
            );
        }
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Self {
            rss: Cell::new(limit.filter(|_| !too_tight)),
            next_look: Cell::new(0),
            end: more(micros(life.lifetime), micros(life.lifetime_jitter)).map(|life| now().saturating_add(life)),
        }
    }

    /// Why the process shall be replaced, if it shall.
    pub fn passed(&self, now: u64) -> Option<Reason> {
        if self.end.is_some_and(|end| now >= end) {
            return Some(Reason::Lifetime);
        }
        let limit = self.rss.get()?;
        if now < self.next_look.get() {
            return None;
        }
        self.next_look.set(now + EVERY);
        let rss = resident("self").filter(|rss| *rss > limit)?;
        self.rss.set(None);
        tracing::info!(rss, max_rss = limit, "the process has grown past max_rss and will be replaced");
        Some(Reason::Memory)
    }
}

/// With up to `jitter` more, by chance; 0 is no limit.
fn more(limit: u64, jitter: u64) -> Option<u64> {
    (limit > 0).then(|| limit.saturating_add(fastrand::u64(0..=jitter)))
}

/// Resident memory in bytes, as `ps` and `top` show it.
pub fn resident(process: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/statm")).ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_passed_is_told_once_and_one_that_makes_no_sense_never() {
        let life = |max_rss| Life { max_rss, ..Life::default() };
        let born = resident("self").unwrap();
        assert!(born > 1 << 20);
        let limits = Limits::new(&life(1 << 20), false);
        assert_eq!(limits.passed(now()), None, "less than it was born with");
        let limits = Limits::new(&life(born * 1000), false);
        assert_eq!(limits.passed(now()), None);
        limits.rss.set(Some(1));
        assert_eq!(limits.passed(now()), None, "it was looked at a moment ago");
        assert_eq!(limits.passed(now() + EVERY), Some(Reason::Memory));
        assert_eq!(limits.passed(now() + 3 * EVERY), None);
    }

    #[test]
    fn a_life_ends_after_its_time_and_at_most_its_jitter() {
        let life =
            Life { lifetime: Duration::from_secs(10), lifetime_jitter: Duration::from_secs(5), ..Life::default() };
        let born = now();
        let limits = Limits::new(&life, false);
        assert_eq!(limits.passed(born + 9_900_000), None);
        assert_eq!(limits.passed(born + 15_100_000), Some(Reason::Lifetime));
        assert_eq!(Limits::new(&Life::default(), false).passed(u64::MAX), None);
    }
}
