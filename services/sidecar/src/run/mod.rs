//! The networked role: probes the services, reads the agent, serves what it knows.

pub mod health;
pub mod history;
pub mod merge;
pub mod metrics;
pub mod probe;
pub mod resolve;
pub mod serve;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::config::Config;
use crate::fetch;
use crate::snapshot::{Snapshot, now};
use history::History;
use probe::{Prober, Round};
use resolve::Resolver;

/// A snapshot that is older says nothing of now.
const STALE: f64 = 15.0;
const READ_EVERY: Duration = Duration::from_secs(2);
const READ_PATIENCE: Duration = Duration::from_secs(1);
const SCRAPE_EVERY: Duration = Duration::from_secs(5);

/// All that is known, for the pages.
#[derive(Debug, Default, Clone)]
pub struct State {
    pub round: Arc<Round>,
    pub agent_expected: bool,
    /// The last snapshot, and when it came.
    pub snapshot: Option<(f64, Arc<Snapshot>)>,
    pub agent_problem: Option<String>,
    pub history: History,
    pub draining: bool,
}

impl State {
    /// The snapshot, if it is of now.
    pub fn fresh(&self) -> Option<&Snapshot> {
        let (came, snapshot) = self.snapshot.as_ref()?;
        (now() - came < STALE).then_some(snapshot.as_ref())
    }
}

#[derive(Clone, Default)]
pub struct Shared(Arc<Mutex<State>>);

impl Shared {
    pub fn with<T>(&self, use_it: impl FnOnce(&mut State) -> T) -> T {
        use_it(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn now(&self) -> State {
        self.with(|state| state.clone())
    }
}

/// Runs until `shutdown`, then answers 503 on /readyz for the shutdown delay.
pub async fn run(
    config: &Config,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let shared = Shared::default();
    shared.with(|state| state.agent_expected = config.agent_socket.is_some());
    tracing::info!(address = %listener.local_addr()?, targets = config.targets.len(), "the sidecar serves");
    let (delay, leaving) = (config.shutdown_delay, shared.clone());
    let ended = async move {
        shutdown.await;
        tracing::info!("the sidecar ends");
        leaving.with(|state| state.draining = true);
        sleep(delay).await;
    };
    let server = serve::serve(listener, shared.clone(), config.probe_timeout, ended);
    tokio::select! {
        result = server => result,
        () = probes(config, &shared) => Ok(()),
        () = agent(config.agent_socket.as_deref(), &shared) => Ok(()),
        () = figures(config, &shared) => Ok(()),
    }
}

async fn probes(config: &Config, shared: &Shared) {
    let prober =
        Prober { targets: config.targets.clone(), patience: config.probe_timeout, resolver: Resolver::system() };
    let mut ticks = interval(config.probe_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let before = shared.with(|state| state.round.clone());
        let round = prober.round(&before).await;
        for service in &round.services {
            let old = before.services.iter().find(|old| old.target == service.target).map(|old| old.status());
            let status = service.status();
            if old.is_some_and(|old| old != status) || (old.is_none() && status != monodon_admin::Status::Pass) {
                let why =
                    service.problem.clone().or_else(|| service.replicas.iter().find_map(|one| one.problem.clone()));
                let (name, why) = (&service.target.name, why.unwrap_or_default());
                tracing::info!(name, status = status.as_str(), why, "a service's health changed");
            }
        }
        shared.with(|state| state.round = Arc::new(round));
    }
}

async fn agent(socket: Option<&Path>, shared: &Shared) {
    let Some(socket) = socket else { return std::future::pending().await };
    let mut ticks = interval(READ_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let read = fetch::unix(socket, "/snapshot", READ_PATIENCE).await;
        let read = read.and_then(|answer| match answer.status {
            200 => serde_json::from_slice::<Snapshot>(&answer.body).map_err(|error| format!("not a snapshot: {error}")),
            status => Err(format!("it answers {status}")),
        });
        match read {
            Ok(snapshot) => shared.with(|state| {
                state.agent_problem = None;
                state.snapshot = Some((now(), Arc::new(snapshot)));
            }),
            Err(problem) => {
                let problem = format!("{}: {problem}", socket.display());
                if shared.with(|state| state.agent_problem.replace(problem.clone())).as_ref() != Some(&problem) {
                    tracing::warn!(problem, "the agent cannot be read; trying again");
                }
            }
        }
    }
}

/// Request rate, latency and the like for the status page, from the services' own metrics.
async fn figures(config: &Config, shared: &Shared) {
    let mut ticks = interval(SCRAPE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let round = shared.with(|state| state.round.clone());
        let pages = probe::scrape(&round, config.probe_timeout).await;
        let at = now();
        shared.with(|state| state.history.add(at, &pages));
    }
}
