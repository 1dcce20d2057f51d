//! When a name may be tried again. A CA counts failures over all our restarts, so this is stored for each name.

use super::failure::{Failure, Fault};
use serde::{Deserialize, Serialize};

/// What a CA allows: so many failed validations of one name in an hour (Let's Encrypt's limit).
pub const FAILURES_AN_HOUR: usize = 5;

/// Our hour is longer than the CA's: a validation may be counted a little later than we hear of it.
const WINDOW: u64 = 3600 + 300;

/// Minutes after the first, second, ... failure in a row.
const DELAYS: [u64; 10] = [1, 2, 5, 10, 20, 40, 60, 120, 240, 360];

/// Where the CA did not answer at all, it is tried at least this often: nothing is wrong with the name.
const LONGEST_UNREACHABLE: u64 = 30 * 60;

/// After "too many requests" nobody is helped by asking earlier.
const SHORTEST_LIMITED: u64 = 3600;

/// Up to so much of a delay is added by lot, so that many edges do not come back at once.
const JITTER: f64 = 0.25;

/// The longest that a stored time may lie ahead: a clock that was wrong once must not stop renewals for years.
const LONGEST: u64 = 8 * 3600;

/// One name's attempts. Times are Unix seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attempts {
    /// The last ones that did not succeed; one that a crash cut off counts, for the CA may have seen it fail.
    pub unsuccessful: Vec<u64>,
    pub consecutive_failures: u32,
    pub next: u64,
    pub last_error: Option<String>,
    pub last_success: Option<u64>,
}

impl Attempts {
    /// When the next attempt may begin.
    pub fn allowed_at(&self, now: u64) -> u64 {
        let oldest = self.unsuccessful.len().checked_sub(FAILURES_AN_HOUR).and_then(|at| self.unsuccessful.get(at));
        let window = oldest.map_or(0, |&at| at.min(now) + WINDOW);
        self.next.min(now + LONGEST).max(window)
    }

    /// An attempt begins. To be stored before the CA hears of it.
    pub fn begin(&mut self, now: u64) {
        self.unsuccessful.push(now);
        let excess = self.unsuccessful.len().saturating_sub(FAILURES_AN_HOUR);
        self.unsuccessful.drain(..excess);
        // A process that dies now goes on with the order at its next start.
        self.next = now;
    }

    /// It failed; `lot` is a random number from 0 to 1.
    pub fn failed(&mut self, now: u64, failure: &Failure, lot: f64) {
        if let Some(last) = self.unsuccessful.last_mut() {
            *last = now;
        }
        let turn = usize::try_from(self.consecutive_failures).unwrap_or(usize::MAX).min(DELAYS.len() - 1);
        self.consecutive_failures = self.consecutive_failures.saturating_add(1);
        let delay = DELAYS.get(turn).copied().unwrap_or(LONGEST) * 60;
        let delay = match failure.fault {
            Fault::Unreachable => delay.min(LONGEST_UNREACHABLE),
            Fault::Limited => delay.max(SHORTEST_LIMITED),
            Fault::Refused | Fault::Local => delay,
        };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let jitter = (delay as f64 * JITTER * lot.clamp(0.0, 1.0)) as u64;
        self.next = now + delay + jitter;
        self.last_error = Some(failure.text.clone());
    }

    pub fn succeeded(&mut self, now: u64) {
        self.unsuccessful.pop();
        self.consecutive_failures = 0;
        self.next = 0;
        self.last_error = None;
        self.last_success = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_800_000_000;
    const YEAR: u64 = 365 * 24 * 3600;

    fn failure(lot: u64) -> Failure {
        let fault = [Fault::Refused, Fault::Unreachable, Fault::Limited, Fault::Local][(lot % 4) as usize];
        Failure { fault, text: "no".into() }
    }

    /// Everything may happen: attempts that take long, restarts in the middle of one, any kind of failure.
    #[test]
    fn a_year_of_failures_never_passes_five_in_an_hour() {
        for seed in 0..20 {
            let mut lots = fastrand::Rng::with_seed(seed);
            let (mut attempts, mut now, mut failures) = (Attempts::default(), START, Vec::new());
            let crashes = if seed % 2 == 0 { 0.0 } else { lots.f64() };
            while now < START + YEAR / 4 {
                now = attempts.allowed_at(now).max(now);
                attempts.begin(now);
                if lots.f64() < crashes {
                    failures.push(now);
                    now += lots.u64(0..3);
                    let stored = serde_json::to_vec(&attempts).unwrap();
                    attempts = serde_json::from_slice(&stored).unwrap();
                    continue;
                }
                now += lots.u64(0..300);
                failures.push(now);
                attempts.failed(now, &failure(lots.u64(..)), lots.f64());
            }
            assert!(failures.len() > 100);
            for window in failures.windows(FAILURES_AN_HOUR + 1) {
                let spread = window[FAILURES_AN_HOUR] - window[0];
                assert!(spread > 3600, "seed {seed}: six failures within {spread} s");
            }
        }
    }

    #[test]
    fn a_restart_loop_cannot_pass_the_limit() {
        let (mut attempts, mut now, mut begun) = (Attempts::default(), START, Vec::new());
        for _ in 0..10_000 {
            if attempts.allowed_at(now) <= now {
                attempts.begin(now);
                begun.push(now);
            }
            now += 2;
        }
        assert_eq!(begun.iter().filter(|&&at| at < START + 3600).count(), FAILURES_AN_HOUR);
        for window in begun.windows(FAILURES_AN_HOUR + 1) {
            assert!(window[FAILURES_AN_HOUR] - window[0] > 3600);
        }
    }

    #[test]
    fn an_attempt_that_was_cut_off_may_go_on_at_once() {
        let mut attempts = Attempts::default();
        attempts.begin(START);
        assert_eq!(attempts.allowed_at(START + 1).max(START + 1), START + 1);
    }

    #[test]
    fn success_clears_what_was_before() {
        let mut attempts = Attempts::default();
        attempts.begin(START);
        attempts.failed(START + 5, &failure(0), 0.5);
        assert!(attempts.allowed_at(START + 6) > START + 60);
        let again = attempts.next;
        attempts.begin(again);
        attempts.succeeded(again + 9);
        assert_eq!(attempts.consecutive_failures, 0);
        assert!(attempts.last_error.is_none());
        assert!(attempts.allowed_at(again + 10) <= again + 10);
    }

    #[test]
    fn a_clock_that_was_ahead_stops_nothing_for_years() {
        let mut attempts = Attempts::default();
        for _ in 0..5 {
            attempts.begin(START + 10 * YEAR);
            attempts.failed(START + 10 * YEAR, &failure(0), 0.0);
        }
        assert!(attempts.allowed_at(START) <= START + LONGEST);
    }

    #[test]
    fn delays_grow_and_a_silent_ca_is_asked_more_often() {
        let far = |fault| {
            let mut attempts = Attempts::default();
            let mut now = START;
            for _ in 0..20 {
                attempts.begin(now);
                attempts.failed(now, &Failure { fault, text: String::new() }, 0.0);
                now += 24 * 3600;
            }
            attempts.next - (now - 24 * 3600)
        };
        assert_eq!(far(Fault::Refused), 6 * 3600);
        assert_eq!(far(Fault::Unreachable), LONGEST_UNREACHABLE);
        let mut attempts = Attempts::default();
        attempts.begin(START);
        attempts.failed(START, &Failure { fault: Fault::Limited, text: String::new() }, 0.0);
        assert_eq!(attempts.next, START + SHORTEST_LIMITED);
    }
}
