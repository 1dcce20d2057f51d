//! The control thread's eye on each address: asking it how it is, and taking back what was left out.

use super::address::{Address, Kind};
use super::check::{self, Health};
use super::control::TICK;
use super::{Shared, health};
use crate::config::Check;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Without `check` only a connection can be tried: so many times as seldom, for it costs the application an accept.
const BARE: u32 = 10;
const BACK_OFF_MOST: Duration = Duration::from_secs(5);
/// An upstream whose first answer takes longer is no longer asked one request at a time.
const CAREFUL: Duration = Duration::from_secs(5);

pub struct Known {
    pub address: Arc<Address>,
    /// Why it is not ready.
    pub reason: Option<String>,
    /// In a row.
    good: u32,
    bad: u32,
    pub checked: Option<Instant>,
    careful: Option<(Instant, u64)>,
}

impl Known {
    /// Taken for ready until asked (the first check follows at once), unless it is to be asked first.
    pub fn new(address: Arc<Address>, ask_first: bool) -> Self {
        let reason = ask_first.then(|| "it has not been checked yet".to_owned());
        Self { address, reason, good: 0, bad: 0, checked: None, careful: None }
    }

    pub fn ready(&self) -> bool {
        self.reason.is_none()
    }

    fn due(&self, every: Duration, bare: bool) -> bool {
        let Some(checked) = self.checked else { return true };
        let wait = if self.address.is_down() {
            let doubled = TICK.saturating_mul(1 << self.address.health.refused().min(5));
            doubled.min(BACK_OFF_MOST)
        } else if bare && self.ready() {
            every * BARE
        } else {
            every
        };
        // The ticks are not exact to the millisecond.
        checked.elapsed() + TICK / 5 >= wait
    }

    /// True when that changes the list.
    fn judge(&mut self, health: Health, rules: &Check) -> bool {
        let before = self.ready();
        let (bad, reason) = match health {
            Health::Ready => (None, None),
            Health::NotReady(reason) => (Some(rules.fall), Some(reason)),
            // Once is not enough to judge.
            Health::Silent => (Some(rules.fall.max(2)), Some("the check gets no answer".to_owned())),
        };
        match bad {
            None => {
                self.bad = 0;
                self.good = self.good.saturating_add(1);
                if self.good >= rules.rise {
                    self.reason = None;
                }
            }
            Some(fall) => {
                self.good = 0;
                self.bad = self.bad.saturating_add(1);
                if self.bad >= fall || !before {
                    self.reason = reason;
                }
            }
        }
        if before != self.ready() {
            match &self.reason {
                Some(reason) => tracing::warn!(upstream = %self.address.label, "upstream is not ready: {reason}"),
                None => {
                    self.address.health.come_back(health::now());
                    tracing::info!(upstream = %self.address.label, "upstream is ready");
                }
            }
        }
        before != self.ready()
    }
}

/// One address that is to be asked how it is.
pub struct Visit {
    address: Arc<Address>,
    /// Its check is due.
    checks: bool,
    /// It was left out for its failures, and the time is over.
    returns: bool,
}

impl Visit {
    pub fn id(&self) -> u64 {
        self.address.id
    }
}

impl Shared {
    /// Whom to visit now, but for those that somebody is with.
    pub(super) fn due(&self, visited: &[u64]) -> Vec<Visit> {
        let (interval, bare) = (self.settings.health.check.interval, self.settings.check.is_none());
        let now = health::now();
        let mut inner = self.live.control.lock();
        let known = inner.known.iter_mut().filter(|known| !visited.contains(&known.address.id));
        let visits = known.map(|known| {
            let checks = known.due(interval, bare);
            if checks {
                known.checked = Some(Instant::now());
            }
            let returns = known.address.health.may_return(now);
            Visit { address: known.address.clone(), checks, returns }
        });
        visits.filter(|visit| visit.checks || visit.returns).collect()
    }

    /// Asks one address how it is, and goes by what it says; its id.
    pub(super) async fn visit(&self, Visit { address, checks, returns }: Visit) -> u64 {
        let (check, rules) = (self.settings.check.as_ref(), &self.settings.health.check);
        let health = check::ask(&address.target, check, rules, &self.transport).await;
        // A check on another port says nothing of the application's: an address that failed is tried itself.
        if checks && address.is_down() && health == Health::Ready {
            match check::ask(&address.target, None, rules, &self.transport).await {
                Health::Ready => {
                    if address.works() {
                        tracing::info!(upstream = %address.label, "upstream answers again");
                    }
                }
                _ => {
                    address.failed();
                }
            }
        }
        if returns {
            if health == Health::Ready {
                tracing::info!(upstream = %address.label, "upstream address is used again");
                address.health.let_return(health::now());
            } else {
                address.health.stay_out(health::now());
            }
            self.weigh();
        }
        if checks {
            let mut inner = self.live.control.lock();
            let known = inner.known.iter_mut().find(|known| known.address.id == address.id);
            if known.is_some_and(|known| known.judge(health, rules)) {
                self.publish(&inner);
            }
        }
        address.id
    }

    /// See [`CAREFUL`].
    pub(super) fn be_careful(&self) {
        for known in &mut self.live.control.lock().known {
            let address = &known.address;
            if address.kind() != Kind::Unknown || address.busy() == 0 {
                known.careful = None;
                continue;
            }
            let heads = address.heads();
            match known.careful {
                Some((since, then)) if then == heads => {
                    if since.elapsed() >= CAREFUL {
                        address.open_up();
                    }
                }
                _ => known.careful = Some((Instant::now(), heads)),
            }
        }
    }

    /// A slow start goes on, and who behaves is forgiven.
    pub(super) fn mend(&self) {
        let now = health::now();
        for address in &self.live.queue.list.load().all {
            address.health.warm(now);
            address.health.forgive(now);
        }
        self.weigh();
    }

    fn weigh(&self) {
        self.live.queue.list.load().weigh();
        self.live.queue.pass();
    }
}

#[cfg(test)]
mod tests {
    use super::super::address::tests::address;
    use super::*;

    #[test]
    fn thresholds_of_checks() {
        let rules = Check { rise: 2, fall: 3, ..Check::default() };
        let bad = || Health::NotReady("no".into());
        let mut known = Known::new(address(), false);
        assert!(!known.judge(bad(), &rules) && !known.judge(bad(), &rules));
        assert!(!known.judge(Health::Ready, &rules));
        assert!(!known.judge(bad(), &rules) && !known.judge(bad(), &rules));
        assert!(known.judge(bad(), &rules));
        assert!(!known.ready());
        assert!(!known.judge(Health::Ready, &rules));
        assert!(!known.judge(Health::Silent, &rules));
        assert!(!known.judge(Health::Ready, &rules));
        assert!(known.judge(Health::Ready, &rules));
        assert!(known.ready());
    }

    #[test]
    fn silence_must_come_twice() {
        let rules = Check::default();
        let mut known = Known::new(address(), false);
        assert!(!known.judge(Health::Silent, &rules));
        assert!(known.judge(Health::Silent, &rules));
    }

    #[test]
    fn what_is_to_be_asked_first_is_not_ready_before() {
        let mut known = Known::new(address(), true);
        assert!(!known.ready());
        assert!(!known.judge(Health::NotReady("no".into()), &Check::default()));
        assert!(known.judge(Health::Ready, &Check::default()));
    }
}
