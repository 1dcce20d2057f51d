//! Which routes are slow: how long their requests hold a slot, on a decaying average, against the fastest quarter of all
//! the upstream's requests.

use super::bulkhead::Lane;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// After this long a request counts half.
const HALF: Duration = Duration::from_secs(30);
/// Fewer say nothing.
const ENOUGH: f64 = 3.0;
/// Slow is whose requests take so many times as long as the fastest quarter's, and at least so many seconds; it remains
/// so until it is well below.
const TIMES: f64 = 5.0;
const AT_LEAST: f64 = 0.02;
const REMAINS: f64 = 0.6;

#[derive(Default)]
pub struct Learned {
    slow: AtomicBool,
    /// Since the control thread last looked.
    count: AtomicU64,
    micros: AtomicU64,
    sums: Mutex<Sums>,
}

/// Decayed.
#[derive(Clone, Copy, Default)]
struct Sums {
    count: f64,
    seconds: f64,
}

impl Sums {
    fn mean(self) -> f64 {
        if self.count > 0.0 { self.seconds / self.count } else { 0.0 }
    }
}

impl Learned {
    pub fn is_slow(&self) -> bool {
        self.slow.load(Ordering::Relaxed)
    }

    /// A request has held its slot for that long.
    pub fn add(&self, time: Duration) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The average as of the last look.
    pub fn mean(&self) -> Duration {
        let mean = self.sums.lock().unwrap_or_else(PoisonError::into_inner).mean();
        Duration::try_from_secs_f64(mean).unwrap_or_default()
    }

    #[allow(clippy::cast_precision_loss)]
    fn fold(&self, keep: f64) -> Sums {
        let (count, micros) = (self.count.swap(0, Ordering::Relaxed), self.micros.swap(0, Ordering::Relaxed));
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.count = sums.count * keep + count as f64;
        sums.seconds = sums.seconds * keep + micros as f64 / 1e6;
        *sums
    }
}

/// Control thread, that long after the last time: who of an upstream's routes is slow now.
pub fn learn(lanes: &[Arc<Lane>], since: Duration) {
    let keep = 0.5f64.powf(since.as_secs_f64() / HALF.as_secs_f64());
    let sums: Vec<(&Arc<Lane>, Sums)> = lanes.iter().map(|lane| (lane, lane.learned.fold(keep))).collect();
    let mut means: Vec<(f64, f64)> = sums.iter().map(|(_, sums)| (sums.mean(), sums.count)).collect();
    means.retain(|(_, count)| *count > 0.0);
    means.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let quarter = means.iter().map(|(_, count)| count).sum::<f64>() / 4.0;
    let mut seen = 0.0;
    let fast = means.iter().find(|(_, count)| {
        seen += count;
        seen >= quarter
    });
    let Some((fast, _)) = fast else { return };
    for (lane, sums) in sums {
        let was = lane.learned.is_slow();
        let limit = (fast * TIMES).max(AT_LEAST) * if was { REMAINS } else { 1.0 };
        let slow = if sums.count < ENOUGH { was && sums.count > 0.1 } else { sums.mean() >= limit };
        if slow != was {
            lane.learned.slow.store(slow, Ordering::Relaxed);
            if lane.max == crate::config::MaxSlots::Auto {
                let (site, route) = (&lane.site, lane.route.as_deref().unwrap_or("-"));
                let seconds = sums.mean();
                tracing::info!(site, route, seconds, slow, "a route's speed was learned");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::queue::Queue;
    use super::*;
    use crate::config::MaxSlots;

    fn lanes(count: usize) -> Vec<Arc<Lane>> {
        let queue = Arc::new(Queue::new(100));
        let lane = |at| Lane::new("site".into(), Some(format!("/{at}")), MaxSlots::Auto, None, queue.clone());
        (0..count).map(|at| Arc::new(lane(at))).collect()
    }

    fn add(lane: &Arc<Lane>, times: usize, millis: u64) {
        (0..times).for_each(|_| lane.learned.add(Duration::from_millis(millis)));
    }

    fn slow(lanes: &[Arc<Lane>]) -> Vec<bool> {
        lanes.iter().map(|lane| lane.learned.is_slow()).collect()
    }

    #[test]
    fn who_takes_many_times_as_long_as_the_fastest_quarter_is_slow() {
        let lanes = lanes(3);
        add(&lanes[0], 60, 2);
        add(&lanes[1], 30, 8);
        add(&lanes[2], 10, 100);
        learn(&lanes, Duration::from_millis(250));
        assert_eq!(slow(&lanes), [false, false, true]);
    }

    #[test]
    fn slow_pages_may_be_the_most() {
        let lanes = lanes(2);
        add(&lanes[0], 30, 2);
        add(&lanes[1], 70, 100);
        learn(&lanes, Duration::from_millis(250));
        assert_eq!(slow(&lanes), [false, true]);
    }

    #[test]
    fn a_rare_probe_that_is_very_fast_makes_nobody_slow() {
        let lanes = lanes(2);
        add(&lanes[0], 3, 0);
        add(&lanes[1], 97, 60);
        learn(&lanes, Duration::from_millis(250));
        assert_eq!(slow(&lanes), [false, false]);
    }

    #[test]
    fn nobody_is_slow_by_a_few_milliseconds_or_by_one_request() {
        let lanes = lanes(3);
        add(&lanes[0], 90, 1);
        add(&lanes[1], 10, 15);
        add(&lanes[2], 1, 5000);
        learn(&lanes, Duration::from_millis(250));
        assert_eq!(slow(&lanes), [false, false, false]);
    }

    #[test]
    fn what_was_slow_is_forgotten_in_time() {
        let lanes = lanes(2);
        add(&lanes[0], 90, 2);
        add(&lanes[1], 10, 100);
        learn(&lanes, Duration::from_millis(250));
        assert_eq!(slow(&lanes), [false, true]);
        for _ in 0..12 {
            add(&lanes[0], 90, 2);
            add(&lanes[1], 10, 2);
            learn(&lanes, HALF);
        }
        assert_eq!(slow(&lanes), [false, false]);
    }
}
