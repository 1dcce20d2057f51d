//! The health of the whole appliance, from what the probes and the agent say.

use std::collections::BTreeMap;

use monodon_admin::Status;
use monodon_admin::health::{Document, Entry, seconds};

use super::State;

/// One document, an entry per replica, per check of each replica, per container. It fails only when a service has no
/// replica that is ready: what a missing agent or a container says is a warning.
pub fn document(state: &State) -> Document {
    let time = Some(seconds(std::time::SystemTime::now()));
    let entry = |id: Option<String>, status: Status, output: Option<String>| Entry {
        component_id: id,
        status,
        output,
        time: time.clone(),
        ..Entry::default()
    };
    let mut checks: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    let mut status = Status::Pass;
    for service in &state.round.services {
        status = status.max(service.status());
        let name = &service.target.name;
        let ready = checks.entry(format!("{name}:ready")).or_default();
        if service.replicas.is_empty() {
            let why = service.problem.clone().unwrap_or_else(|| "no replica".into());
            ready.push(entry(None, Status::Fail, Some(why)));
        }
        for replica in &service.replicas {
            let mut own = entry(Some(replica.address.to_string()), replica.status(), replica.problem.clone());
            own.observed_value = serde_json::Number::from_f64((replica.seconds * 1e4).round() / 10.0).map(Into::into);
            own.observed_unit = Some("ms".into());
            ready.push(own);
        }
        let several = service.replicas.len() > 1;
        for replica in &service.replicas {
            let Some(document) = &replica.document else { continue };
            for (check, entries) in &document.checks {
                // `edge:certificate` stays what the edge calls it; a bare name gets its service.
                let key = if check.contains(':') { check.clone() } else { format!("{name}:{check}") };
                for own in entries {
                    let mut own = own.clone();
                    if several {
                        let of = own.component_id.map(|id| format!("{id} @ ")).unwrap_or_default();
                        own.component_id = Some(format!("{of}{}", replica.address));
                    }
                    checks.entry(key.clone()).or_default().push(own);
                }
            }
        }
    }
    if state.round.services.is_empty() {
        let asked = entry(None, Status::Warn, Some("no service has been probed yet".into()));
        checks.insert("sidecar:probes".into(), vec![asked]);
        status = status.max(Status::Warn);
    }
    if let Some(agent) = agent_check(state) {
        status = status.max(agent.status);
        checks.insert("agent:snapshot".into(), vec![Entry { time: time.clone(), ..agent }]);
    }
    if let Some(snapshot) = state.fresh() {
        for container in &snapshot.containers {
            let complaint = container.complaint();
            let own = if complaint.is_some() { Status::Warn } else { Status::Pass };
            status = status.max(own);
            let mut own = entry(Some(container.name.clone()), own, complaint);
            own.observed_value = Some(container.state.clone().into());
            checks.entry(format!("{}:container", container.service)).or_default().push(own);
        }
    }
    let all = || checks.values().flatten();
    let bad = all().filter(|entry| entry.status != Status::Pass).count();
    let notes = if bad == 0 { Vec::new() } else { vec![format!("{bad} of {} checks not passing", all().count())] };
    Document {
        status,
        release_id: Some(env!("CARGO_PKG_VERSION").to_owned()),
        service_id: Some("monodon".to_owned()),
        notes,
        checks,
    }
}

/// `None` where no agent is expected.
pub fn agent_check(state: &State) -> Option<Entry> {
    if !state.agent_expected {
        return None;
    }
    let (status, output) = match state.fresh() {
        Some(snapshot) if snapshot.engine.up => (Status::Pass, None),
        Some(snapshot) => (
            Status::Warn,
            Some(match &snapshot.engine.problem {
                Some(problem) => format!("the agent cannot watch the engine: {problem}"),
                None => "the agent is not connected to the engine".into(),
            }),
        ),
        None => (
            Status::Warn,
            Some(match &state.agent_problem {
                Some(problem) => format!("the agent cannot be read ({problem}): nothing is known of the containers"),
                None => "the agent has not been read yet".into(),
            }),
        ),
    };
    Some(Entry { status, output, ..Entry::default() })
}
