//! The control thread's half: resolving names and publishing the list.
//!
//! An address that is not ready or gone from the DNS gets no new request, and its idle connections are closed by the
//! pools. An address whose connections fail is left alone for a while, longer each time, then asked again.

use super::address::{Address, Role, Target};
use super::health::{self, Rules};
use super::list::List;
use super::live::Memory;
use super::watch::Known;
use super::{NEXT_ID, Shared, learn, sticky};
use crate::config::{Server, UpstreamAddress};
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(super) const TICK: Duration = Duration::from_millis(250);
/// So many that have left are remembered: a name server may leave one out for a moment.
const GONE: usize = 32;
/// Names are resolved this often.
const EVERY: Duration = Duration::from_secs(1);

#[derive(Default)]
pub struct State {
    inner: Mutex<Inner>,
    pub resolved: AtomicU64,
    pub unresolved: AtomicU64,
}

#[derive(Default)]
pub(super) struct Inner {
    pub known: Vec<Known>,
    /// Who has left, the latest last.
    gone: Vec<Arc<Address>>,
    /// The last good answer for each name.
    pub answers: HashMap<String, Vec<IpAddr>>,
    pub problem: Option<String>,
}

impl State {
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// At the start, literal addresses and sockets are there before anything has been asked. After a reload, the names' addresses
    /// hold as they were `before`, here or in another upstream, until the name server, who may be away, has answered; and what
    /// addresses have told of themselves.
    pub(super) fn take_over(self: &Arc<Self>, before: &Memory) {
        let mut answers = HashMap::new();
        for name in self.names() {
            let known = self.live.control.lock().answers.get(name).cloned();
            if let Some(known) = known.or_else(|| before.answer(name)) {
                answers.insert(name.to_owned(), known);
            }
        }
        let first = {
            let mut inner = self.live.control.lock();
            inner.answers.clone_from(&answers);
            inner.problem = None;
            // What is to be asked, and how, may be otherwise.
            inner.known.iter_mut().for_each(|known| known.checked = None);
            inner.known.is_empty()
        };
        self.set_targets(&self.targets(&answers), first);
        let inner = self.live.control.lock();
        for known in &inner.known {
            if let Some(same) = before.address(&known.address.target) {
                known.address.remember(same);
            }
        }
        self.publish(&inner);
    }

    /// A name server that is silent must not keep us from seeing how the addresses are.
    pub(super) async fn keep_watch(self: &Arc<Self>) {
        tokio::join!(self.keep_resolving(), self.keep_checking());
    }

    async fn keep_resolving(self: &Arc<Self>) {
        if self.names().is_empty() {
            return;
        }
        let mut first = true;
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.resolve(first).await;
            first = false;
        }
    }

    async fn keep_checking(self: &Arc<Self>) {
        let mut looked = Instant::now();
        // Each by itself: one that is silent must not keep us from seeing how the others are.
        let (mut visits, mut visited) = (FuturesUnordered::new(), Vec::new());
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(id) = visits.next() => visited.retain(|one| *one != id),
                _ = ticks.tick() => {
                    for visit in self.due(&visited) {
                        visited.push(visit.id());
                        visits.push(self.visit(visit));
                    }
                    self.be_careful();
                    self.mend();
                    self.look_at_lanes(looked.elapsed());
                    looked = Instant::now();
                }
            }
        }
    }

    /// Which routes are slow; and whether there are more slots than before, and so more places in the bulkheads.
    fn look_at_lanes(&self, since: Duration) {
        let lanes = self.lanes();
        if lanes.is_empty() {
            return;
        }
        learn::learn(&lanes, since);
        for bulkhead in lanes.iter().filter_map(|lane| lane.bulkhead()) {
            bulkhead.pass();
        }
    }

    /// What has to be looked up, each once.
    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.settings.servers.iter().filter_map(name).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether one of them has never been answered, of a server that would take requests.
    fn awaits_names(&self, inner: &Inner) -> bool {
        let mut servers = self.settings.servers.iter().filter(|server| !server.down);
        servers.any(|server| name(server).is_some_and(|name| !inner.answers.contains_key(name)))
    }

    async fn resolve(self: &Arc<Self>, first: bool) {
        let names = self.names();
        let answers = join_all(names.iter().map(|name| self.resolver.resolve(name))).await;
        let answers = {
            let mut inner = self.live.control.lock();
            let mut problem = None;
            for (name, answer) in names.into_iter().zip(answers) {
                match answer {
                    Ok(found) if !found.is_empty() => {
                        self.live.control.resolved.fetch_add(1, Ordering::Relaxed);
                        inner.answers.insert(name.to_owned(), found);
                    }
                    // The last good answer stays: a name server that is away must not take the site with it.
                    other => {
                        self.live.control.unresolved.fetch_add(1, Ordering::Relaxed);
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
        self.set_targets(&self.targets(&answers), first);
    }

    /// Where an address stands in two servers, the first's words hold.
    fn targets(&self, answers: &HashMap<String, Vec<IpAddr>>) -> Vec<(Target, &Server)> {
        let mut targets: Vec<(Target, &Server)> = Vec::new();
        let mut add = |target: Target, server| {
            if !targets.iter().any(|(known, _)| *known == target) {
                targets.push((target, server));
            }
        };
        for server in &self.settings.servers {
            match &server.address {
                UpstreamAddress::Unix(path) => add(Target::Unix(path.clone()), server),
                UpstreamAddress::Tcp { host, port } => match literal(host) {
                    Some(ip) => add(Target::Tcp(SocketAddr::new(ip, *port)), server),
                    None => {
                        for ip in answers.get(host).into_iter().flatten() {
                            add(Target::Tcp(SocketAddr::new(*ip, *port)), server);
                        }
                    }
                },
            }
        }
        targets.retain(|(_, server)| !server.down);
        targets
    }

    fn set_targets(self: &Arc<Self>, targets: &[(Target, &Server)], first: bool) {
        let mut inner = self.live.control.lock();
        let leaves = |known: &mut Known| !targets.iter().any(|(target, _)| known.address.target == *target);
        let left: Vec<_> = inner.known.extract_if(.., leaves).map(|known| known.address).collect();
        for address in &left {
            tracing::info!(upstream = %address.label, "upstream address is gone");
        }
        let awaits = self.awaits_names(&inner);
        let mut changed = !left.is_empty() || self.live.queue.list.load().awaits_names != awaits;
        inner.gone.extend(left);
        let forgotten = inner.gone.len().saturating_sub(GONE);
        inner.gone.drain(..forgotten);
        let mut emptied = Vec::new();
        for (target, server) in targets {
            let role = self.role(target, server);
            let empties = |address: &Address| address.role.drain || self.live.drained.has(&address.label);
            if let Some(known) = inner.known.iter_mut().find(|known| known.address.target == *target) {
                if known.address.role != role {
                    changed = true;
                    let address = known.address.in_role(role);
                    if empties(&address) {
                        emptied.push(address.health.clone());
                    } else {
                        address.health.drain(false);
                    }
                    known.address = Arc::new(address);
                }
                continue;
            }
            changed = true;
            let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
            let mut address = Address::new(id, target.clone(), role, self.live.queue.clone());
            if let Some(at) = inner.gone.iter().position(|gone| gone.target == *target) {
                address = address.returned(&inner.gone.remove(at));
            }
            tracing::debug!(upstream = %address.label, "upstream address is new");
            address.health.drain(empties(&address));
            // All at once at the start, they have no need of being spared.
            if !first {
                address.health.come_back(health::now());
            }
            inner.known.push(Known::new(Arc::new(address), self.settings.asks_first()));
        }
        if changed {
            self.publish(&inner);
        }
        // Not before those are known who take their requests.
        if !emptied.is_empty() {
            emptied.iter().for_each(|health| health.drain(true));
            self.live.queue.list.load().weigh();
            self.live.queue.pass();
        }
    }

    fn role(&self, target: &Target, server: &Server) -> Role {
        let health = &self.settings.health;
        Role {
            weight: server.weight,
            backup: server.backup,
            drain: server.drain,
            max_connections: self.settings.max_connections,
            max_conns: server.max_conns,
            rules: Rules {
                max_fails: server.max_fails.unwrap_or(health.max_fails),
                fail_timeout: server.fail_timeout.unwrap_or(health.fail_timeout),
                slow_start: server.slow_start.unwrap_or(health.slow_start),
            },
            fail_on: self.settings.fail_on.clone(),
            balance: self.settings.balancing.balance,
            token: self.settings.sticky_key.as_ref().map(|key| sticky::token(key, &target.to_string())),
        }
    }

    pub(super) fn publish(&self, inner: &Inner) {
        let all = inner.known.iter().map(|known| known.address.clone()).collect();
        let ready = inner.known.iter().filter(|known| known.ready()).map(|known| known.address.clone()).collect();
        let mut list = List::new(all, ready, self.settings.health.panic_threshold);
        list.awaits_names = self.awaits_names(inner);
        self.live.queue.list.store(Arc::new(list));
        // A new address brings free permits; and where the last has left, nobody is to wait.
        self.live.queue.pass();
    }
}

/// Where it is not an address already.
fn name(server: &Server) -> Option<&str> {
    match &server.address {
        UpstreamAddress::Tcp { host, .. } if literal(host).is_none() => Some(host),
        _ => None,
    }
}

fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}
