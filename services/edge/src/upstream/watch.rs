//! The control thread's eye on each address: asking it how it is, and taking back what was left out.

use super::address::{Address, Kind};
use super::check::{self, Health};
use super::control::TICK;
use super::{Shared, health};
use crate::config::Check;
use futures_util::future::join_all;
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

impl Shared {
    pub(super) async fn check(self: &Arc<Self>) {
        let check = self.settings.check.as_ref();
        let rules = &self.settings.health.check;
        let due: Vec<Arc<Address>> = {
            let mut inner = self.live.control.lock();
            let due = inner.known.iter_mut().filter(|known| known.due(rules.interval, check.is_none()));
            due.map(|known| {
                known.checked = Some(Instant::now());
                known.address.clone()
            })
            .collect()
        };
        if due.is_empty() {
            return;
        }
        let asked =
            join_all(due.iter().map(|address| check::ask(&address.target, check, rules, &self.transport))).await;
        // A check on another port says nothing of the application's: an address that failed is tried itself.
        let down = due.iter().zip(&asked).filter(|(address, health)| address.is_down() && **health == Health::Ready);
        let tried =
            down.map(async |(address, _)| (address, check::ask(&address.target, None, rules, &self.transport).await));
        for (address, health) in join_all(tried).await {
            match health {
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
        let mut inner = self.live.control.lock();
        let mut changed = false;
        for (address, health) in due.iter().zip(asked) {
            let Some(known) = inner.known.iter_mut().find(|known| known.address.id == address.id) else { continue };
            changed |= known.judge(health, rules);
        }
        if changed {
            self.publish(&inner);
        }
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

    /// What was left out for its failures comes back when its time is over and it can be asked; a slow start goes on.
    pub(super) async fn mend(&self) {
        let now = health::now();
        let list = self.live.queue.list.load_full();
        let mut out = Vec::new();
        for address in &list.all {
            address.health.warm(now);
            address.health.forgive(now);
            if address.health.may_return(now) {
                out.push(address);
            }
        }
        if !out.is_empty() {
            let (check, rules) = (self.settings.check.as_ref(), &self.settings.health.check);
            let asked = out
                .into_iter()
                .map(async |address| (address, check::ask(&address.target, check, rules, &self.transport).await));
            for (address, health) in join_all(asked).await {
                if health == Health::Ready {
                    tracing::info!(upstream = %address.label, "upstream address is used again");
                    address.health.let_return(health::now());
                } else {
                    address.health.stay_out(health::now());
                }
            }
        }
        list.weigh();
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
