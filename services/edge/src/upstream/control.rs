//! The control thread's half: resolving names, asking addresses how they are, publishing the list.
//!
//! An address that is not ready or gone from the DNS gets no new request, and its idle connections are closed by the
//! pools. An address whose connections fail is left alone for a while, longer each time, then asked again.

use super::address::{Address, Kind, Target};
use super::check::{self, Health};
use super::dns::Resolve;
use super::queue::List;
use super::{AddressStatus, NEXT_ID, Shared};
use crate::config::UpstreamAddress;
use futures_util::future::join_all;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_millis(250);
/// Names are resolved and addresses asked this often.
const EVERY: Duration = Duration::from_secs(1);
/// Without `upstream_check` only a connection can be tried: seldom, for it costs the application an accept.
const EVERY_BARE: Duration = Duration::from_secs(10);
const BACK_OFF_MOST: Duration = Duration::from_secs(5);
/// An upstream whose first answer takes longer is no longer asked one request at a time.
const CAREFUL: Duration = Duration::from_secs(5);

pub struct State {
    resolver: Arc<dyn Resolve>,
    inner: Mutex<Inner>,
    pub resolved: AtomicU64,
    pub unresolved: AtomicU64,
}

#[derive(Default)]
struct Inner {
    known: Vec<Known>,
    /// The last good answer for each name.
    answers: HashMap<String, Vec<IpAddr>>,
    problem: Option<String>,
}

struct Known {
    address: Arc<Address>,
    reason: Option<String>,
    silent: u32,
    checked: Option<Instant>,
    careful: Option<(Instant, u64)>,
}

impl State {
    pub fn new(resolver: Arc<dyn Resolve>) -> Self {
        Self { resolver, inner: Mutex::default(), resolved: AtomicU64::new(0), unresolved: AtomicU64::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn ready(&self) -> bool {
        self.reason.is_none()
    }

    fn due(&self, bare: bool) -> bool {
        let Some(checked) = self.checked else { return true };
        let wait = if self.address.is_down() {
            let doubled = TICK.saturating_mul(1 << self.address.failures().min(5));
            doubled.min(BACK_OFF_MOST)
        } else if bare && self.ready() {
            EVERY_BARE
        } else {
            EVERY
        };
        checked.elapsed() >= wait
    }
}

impl Shared {
    /// Literal addresses and sockets are there before anything has been asked.
    pub(super) fn publish_literals(self: &Arc<Self>) {
        self.set_targets(&self.targets(&HashMap::new()));
    }

    pub(super) async fn keep_watch(self: &Arc<Self>) {
        let mut resolved: Option<Instant> = None;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if resolved.is_none_or(|at| at.elapsed() >= EVERY) {
                resolved = Some(Instant::now());
                self.resolve().await;
            }
            self.check().await;
            self.be_careful();
        }
    }

    async fn resolve(self: &Arc<Self>) {
        let names: Vec<&str> = self
            .settings
            .addresses
            .iter()
            .filter_map(|address| match address {
                UpstreamAddress::Tcp { host, .. } if literal(host).is_none() => Some(host.as_str()),
                _ => None,
            })
            .collect();
        if names.is_empty() {
            return;
        }
        let answers = join_all(names.iter().map(|name| self.control.resolver.resolve(name))).await;
        let answers = {
            let mut inner = self.control.lock();
            let mut problem = None;
            for (name, answer) in names.into_iter().zip(answers) {
                match answer {
                    Ok(found) if !found.is_empty() => {
                        self.control.resolved.fetch_add(1, Ordering::Relaxed);
                        inner.answers.insert(name.to_owned(), found);
                    }
                    // The last good answer stays: a name server that is away must not take the site with it.
                    other => {
                        self.control.unresolved.fetch_add(1, Ordering::Relaxed);
                        let why = other.err().map_or_else(|| "no address".into(), |error| error.to_string());
                        problem = Some(format!("{name}: {why}"));
                    }
                }
            }
            if problem.is_some() != inner.problem.is_some() {
                match &problem {
                    Some(problem) => tracing::warn!("upstream name cannot be resolved: {problem}"),
                    None => tracing::info!("upstream names are resolved again"),
                }
            }
            inner.problem = problem;
            inner.answers.clone()
        };
        self.set_targets(&self.targets(&answers));
    }

    fn targets(&self, answers: &HashMap<String, Vec<IpAddr>>) -> Vec<Target> {
        let mut targets = Vec::new();
        let mut add = |target: Target| {
            if !targets.contains(&target) {
                targets.push(target);
            }
        };
        for address in &self.settings.addresses {
            match address {
                UpstreamAddress::Unix(path) => add(Target::Unix(path.clone())),
                UpstreamAddress::Tcp { host, port } => match literal(host) {
                    Some(ip) => add(Target::Tcp(SocketAddr::new(ip, *port))),
                    None => {
                        for ip in answers.get(host).into_iter().flatten() {
                            add(Target::Tcp(SocketAddr::new(*ip, *port)));
                        }
                    }
                },
            }
        }
        targets
    }

    fn set_targets(self: &Arc<Self>, targets: &[Target]) {
        let mut inner = self.control.lock();
        let before = inner.known.len();
        inner.known.retain(|known| {
            let stays = targets.contains(&known.address.target);
            if !stays {
                tracing::info!(upstream = %known.address.label, "upstream address is gone");
            }
            stays
        });
        let mut changed = inner.known.len() != before;
        for target in targets {
            if inner.known.iter().any(|known| known.address.target == *target) {
                continue;
            }
            changed = true;
            let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
            let address = Address::new(id, target.clone(), self.settings.max_connections, self.queue.clone());
            tracing::debug!(upstream = %address.label, "upstream address is new");
            // Taken for ready until asked: the first check follows at once.
            inner.known.push(Known {
                address: Arc::new(address),
                reason: None,
                silent: 0,
                checked: None,
                careful: None,
            });
        }
        if changed {
            self.publish(&inner);
        }
    }

    fn publish(&self, inner: &Inner) {
        let all = inner.known.iter().map(|known| known.address.clone()).collect();
        let ready = inner.known.iter().filter(|known| known.ready()).map(|known| known.address.clone()).collect();
        self.queue.list.store(Arc::new(List { all, ready }));
        // A new address brings free permits.
        self.queue.pass();
    }

    async fn check(self: &Arc<Self>) {
        let check = self.settings.check.as_ref();
        let due: Vec<Arc<Address>> = {
            let mut inner = self.control.lock();
            let due = inner.known.iter_mut().filter(|known| known.due(check.is_none()));
            due.map(|known| {
                known.checked = Some(Instant::now());
                known.address.clone()
            })
            .collect()
        };
        if due.is_empty() {
            return;
        }
        let asked = join_all(due.iter().map(|address| check::ask(&address.target, check))).await;
        // A check on another port says nothing of the application's: an address that failed is tried itself.
        let down = due.iter().zip(&asked).filter(|(address, health)| address.is_down() && **health == Health::Ready);
        for (address, health) in
            join_all(down.map(async |(address, _)| (address, check::ask(&address.target, None).await))).await
        {
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
        let mut inner = self.control.lock();
        let mut changed = false;
        for (address, health) in due.iter().zip(asked) {
            let Some(known) = inner.known.iter_mut().find(|known| known.address.id == address.id) else { continue };
            changed |= known.judge(health);
        }
        if changed {
            self.publish(&inner);
        }
    }

    /// See [`CAREFUL`].
    fn be_careful(&self) {
        for known in &mut self.control.lock().known {
            let address = &known.address;
            if address.kind() != Kind::Unknown || address.busy() == 0 {
                known.careful = None;
                continue;
            }
            let heads = address.heads.load(Ordering::Relaxed);
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

    pub fn status(&self) -> Vec<AddressStatus> {
        let inner = self.control.lock();
        let mut all: Vec<_> = inner
            .known
            .iter()
            .map(|known| {
                let down = known.address.is_down().then(|| "connections fail".to_owned());
                let reason = known.reason.clone().or(down);
                AddressStatus { address: known.address.label.clone(), up: reason.is_none(), reason }
            })
            .collect();
        if let Some(problem) = &inner.problem {
            let (name, why) = problem.split_once(": ").unwrap_or((problem, "cannot be resolved"));
            all.push(AddressStatus { address: name.to_owned(), up: false, reason: Some(format!("DNS: {why}")) });
        }
        all
    }
}

impl Known {
    /// True when that changes the list.
    fn judge(&mut self, health: Health) -> bool {
        let before = self.ready();
        self.reason = match health {
            Health::Ready => {
                self.silent = 0;
                None
            }
            Health::NotReady(reason) => Some(reason),
            Health::Silent => {
                self.silent += 1;
                if self.silent < 2 {
                    return false;
                }
                Some("the check gets no answer".into())
            }
        };
        if before != self.ready() {
            match &self.reason {
                Some(reason) => tracing::warn!(upstream = %self.address.label, "upstream is not ready: {reason}"),
                None => tracing::info!(upstream = %self.address.label, "upstream is ready"),
            }
        }
        before != self.ready()
    }
}

fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}
