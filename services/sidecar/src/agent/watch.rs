//! What the agent knows, and how it learns: from inspections, which say what is, and from events, which say what
//! happened. Counters are kept by container name, so that they outlive the container that compose recreates.

use std::collections::{BTreeMap, VecDeque};

use bollard::models::{ContainerInspectResponse, ContainerStatsResponse, EventMessage};

use super::moment;
use super::usage::{Limits, usage};
use crate::snapshot::{Container, Engine, Event, Snapshot, Usage, now};

/// Events that are shown.
const EVENTS: usize = 50;
/// Container names whose counters are kept, those that are gone included.
const NAMES: usize = 256;
/// Exit codes that are counted apart.
const CODES: usize = 12;
/// Actions that the agent listens to.
pub const ACTIONS: [&str; 8] = ["start", "die", "oom", "health_status", "kill", "pause", "unpause", "destroy"];

#[derive(Debug, Default)]
pub struct Watch {
    pub project: Option<String>,
    pub engine: Engine,
    /// Present ones, by full id.
    present: BTreeMap<String, Present>,
    counters: BTreeMap<String, Counters>,
    events: VecDeque<Event>,
}

#[derive(Debug, Default)]
struct Present {
    shown: Container,
    limits: Limits,
    usage: Option<Usage>,
}

/// What is counted of one container name.
#[derive(Debug, Default, Clone)]
struct Counters {
    restarts: u64,
    ooms: u64,
    exits: BTreeMap<String, u64>,
    id: String,
    restart_count: u64,
    started_at: Option<f64>,
    /// Restarts that the engine has counted and whose start has not shown yet: it counts before it starts.
    owed: u64,
    /// The last end that was counted, and whether an event told of it.
    ended_at: Option<(f64, bool)>,
    seen: f64,
}

impl Watch {
    /// All containers of the project as they are now; whoever is not among them is gone.
    pub fn reconcile(&mut self, inspected: &[ContainerInspectResponse]) {
        let ids: Vec<&str> = inspected.iter().filter_map(|container| container.id.as_deref()).collect();
        self.present.retain(|id, _| ids.contains(&id.as_str()));
        for container in inspected {
            self.inspected(container);
        }
    }

    /// One container as it is now.
    pub fn inspected(&mut self, inspect: &ContainerInspectResponse) {
        let Some(id) = inspect.id.clone() else { return };
        let labels = inspect.config.as_ref().and_then(|config| config.labels.as_ref());
        let label = |name: &str| labels.and_then(|labels| labels.get(name)).cloned();
        let name = inspect.name.as_deref().unwrap_or_default().trim_start_matches('/').to_owned();
        let state = inspect.state.clone().unwrap_or_default();
        let health = state.health.as_ref();
        let last_check = health.and_then(|health| health.log.as_ref()?.last());
        let failing = last_check.filter(|check| check.exit_code.unwrap_or(0) != 0);
        let shown = Container {
            id: id.chars().take(12).collect(),
            service: label("com.docker.compose.service").unwrap_or_else(|| name.clone()),
            image: inspect.config.as_ref().and_then(|config| config.image.clone()).unwrap_or_default(),
            state: state
                .status
                .map(|status| status.to_string())
                .filter(|text| !text.is_empty())
                .unwrap_or("created".into()),
            health: match health.and_then(|health| health.status).map(|status| status.to_string()) {
                Some(status) if !status.is_empty() => status,
                _ => "none".into(),
            },
            health_output: failing.and_then(|check| check.output.as_deref()).and_then(brief),
            exit_code: state.exit_code.unwrap_or(0),
            started_at: state.started_at.as_deref().and_then(moment),
            finished_at: state.finished_at.as_deref().and_then(moment),
            one_off: label("com.docker.compose.oneoff").is_some_and(|value| value.eq_ignore_ascii_case("true")),
            name: name.clone(),
            ..Container::default()
        };
        let limits = limits(inspect);
        self.count(&name, &id, inspect.restart_count.unwrap_or(0).max(0) as u64, &shown);
        let present = self.present.entry(id).or_default();
        present.shown = shown;
        present.limits = limits;
    }

    /// Restarts and ends that can be told from what an inspection says now and said before.
    fn count(&mut self, name: &str, id: &str, restart_count: u64, shown: &Container) {
        self.make_room();
        let ended = shown.finished_at.filter(|_| shown.state != "created");
        let Some(counters) = self.counters.get_mut(name) else {
            // Seen for the first time: what the engine counted so far is where the counter starts.
            let counters = Counters {
                restarts: restart_count,
                id: id.to_owned(),
                restart_count,
                started_at: shown.started_at,
                ended_at: ended.map(|at| (at, false)),
                seen: now(),
                ..Counters::default()
            };
            self.counters.insert(name.to_owned(), counters);
            return;
        };
        counters.seen = now();
        let started = counters.started_at.is_some() && shown.started_at > counters.started_at;
        if counters.id != id {
            // Compose made it anew.
            counters.restarts += 1 + restart_count;
            counters.owed = 0;
        } else if restart_count > counters.restart_count {
            counters.restarts += restart_count - counters.restart_count;
            counters.owed = u64::from(!started);
        } else if started && counters.owed > 0 {
            counters.owed = 0;
        } else if started {
            // `docker restart` and `start` are not in the engine's count.
            counters.restarts += 1;
        }
        let new_end =
            ended.filter(|at| counters.id != id || counters.ended_at.is_none_or(|(last, _)| *at > last + 2.0));
        if let Some(at) = new_end {
            counters.exit(shown.exit_code, at, false);
        }
        counters.id = id.to_owned();
        counters.restart_count = restart_count;
        counters.started_at = shown.started_at;
    }

    /// Drops the counters of whoever was gone longest, when there are too many names.
    fn make_room(&mut self) {
        while self.counters.len() > NAMES {
            let oldest = self.counters.iter().min_by(|a, b| a.1.seen.total_cmp(&b.1.seen));
            let Some(name) = oldest.map(|(name, _)| name.clone()) else { return };
            self.counters.remove(&name);
        }
    }

    /// One event. Gives the id of the container that should be looked at again.
    pub fn event(&mut self, message: &EventMessage) -> Option<String> {
        let full = message.action.as_deref()?;
        // `health_status: unhealthy`
        let (action, rest) = full.split_once(": ").map_or((full, None), |(action, rest)| (action, Some(rest)));
        if !ACTIONS.contains(&action) {
            return None;
        }
        let actor = message.actor.as_ref()?;
        let attribute = |name: &str| actor.attributes.as_ref().and_then(|all| all.get(name)).map(String::as_str);
        let name = attribute("name").unwrap_or_default().to_owned();
        let at = message.time_nano.map_or_else(now, |nanos| nanos as f64 / 1e9);
        let code = attribute("exitCode").and_then(|code| code.parse::<i64>().ok());
        *self.engine.events.entry(action.to_owned()).or_default() += 1;
        self.make_room();
        let counters = self.counters.entry(name.clone()).or_default();
        counters.seen = now();
        match action {
            "oom" => counters.ooms += 1,
            "die" => counters.exit(code.unwrap_or(-1), at, true),
            _ => {}
        }
        if counters.id.is_empty() {
            counters.id = actor.id.clone().unwrap_or_default();
        }
        let detail = match action {
            "die" => code.map(|code| format!("exit code {code}")),
            "kill" => attribute("signal").map(|signal| format!("signal {signal}")),
            _ => rest.map(str::to_owned),
        };
        let service = attribute("com.docker.compose.service").unwrap_or(&name).to_owned();
        self.events.push_back(Event { at, service, container: name, action: action.to_owned(), detail });
        while self.events.len() > EVENTS {
            self.events.pop_front();
        }
        let id = actor.id.clone()?;
        if action == "destroy" {
            self.present.remove(&id);
            return None;
        }
        Some(id)
    }

    /// Ids of the containers to ask for statistics.
    pub fn running(&self) -> Vec<String> {
        let running = self.present.iter().filter(|(_, present)| present.shown.state == "running");
        running.map(|(id, _)| id.clone()).collect()
    }

    pub fn statistics(&mut self, id: &str, stats: &ContainerStatsResponse) {
        if let Some(present) = self.present.get_mut(id) {
            present.usage = usage(stats, present.limits, present.usage.as_ref());
        }
    }

    pub fn snapshot(&self) -> Snapshot {
        let mut containers: Vec<Container> = Vec::new();
        for present in self.present.values() {
            let mut shown = present.shown.clone();
            if let Some(counters) = self.counters.get(&shown.name) {
                shown.restarts = counters.restarts;
                shown.ooms = counters.ooms;
                shown.exits.clone_from(&counters.exits);
            }
            // The last reading of one that has stopped says nothing of now.
            shown.usage = present.usage.clone().filter(|_| shown.state == "running" || shown.state == "paused");
            containers.push(shown);
        }
        containers.sort_by(|a, b| (&a.service, &a.name).cmp(&(&b.service, &b.name)));
        Snapshot {
            at: now(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            project: self.project.clone(),
            engine: self.engine.clone(),
            containers,
            events: self.events.iter().cloned().collect(),
        }
    }
}

impl Counters {
    /// Counts an end once, whether an event, an inspection or both tell of it.
    fn exit(&mut self, code: i64, at: f64, event: bool) {
        let same = self.ended_at.is_some_and(|(last, by_event)| !by_event && event && (at - last).abs() < 2.0);
        self.ended_at = Some((at, event));
        if same {
            return;
        }
        let code = code.to_string();
        let key = if self.exits.len() < CODES || self.exits.contains_key(&code) { code } else { "other".into() };
        *self.exits.entry(key).or_default() += 1;
    }
}

fn limits(inspect: &ContainerInspectResponse) -> Limits {
    let Some(host) = &inspect.host_config else { return Limits::default() };
    let positive = |value: Option<i64>| value.filter(|value| *value > 0);
    let quota = positive(host.cpu_quota).map(|quota| {
        let period = positive(host.cpu_period).unwrap_or(100_000);
        quota as f64 / period as f64
    });
    Limits {
        memory: positive(host.memory).map(|bytes| bytes as u64),
        cores: positive(host.nano_cpus).map(|nanos| nanos as f64 / 1e9).or(quota),
    }
}

/// The first line, not too long.
fn brief(text: &str) -> Option<String> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    Some(line.chars().take(200).collect())
}
