//! The sidecar's own families: what the agent sees of the containers, what the probes found.

use monodon_admin::Status;
use monodon_admin::text::Family;

use super::State;
use super::health;
use super::probe::Page;
use crate::snapshot::{Container, Snapshot, now};

const STATES: [&str; 7] = ["created", "running", "paused", "restarting", "removing", "exited", "dead"];
const HEALTH: [&str; 4] = ["none", "starting", "healthy", "unhealthy"];
const STATUS: [&str; 3] = ["pass", "warn", "fail"];

/// The whole own page. `pages` are the services' pages of this scrape, `broken` those that could not be merged.
pub fn render(state: &State, pages: &[Page], broken: &[(String, String)]) -> String {
    let mut out = String::with_capacity(16 << 10);
    monodon_admin::render_own("monodon_sidecar", env!("CARGO_PKG_VERSION"), &mut out);
    let mut log = Family::counter(&mut out, "monodon_sidecar_log_messages_total", "Messages of the own log");
    for (level, count) in monodon_logging::counts() {
        log.sample(&[("level", level)], count);
    }
    probes(state, &mut out);
    scrapes(pages, broken, &mut out);
    checks(state, &mut out);
    if state.agent_expected {
        agent(state, &mut out);
    }
    if let Some(snapshot) = state.fresh() {
        containers(snapshot, &mut out);
    }
    out
}

fn probes(state: &State, out: &mut String) {
    let replicas: Vec<_> = state
        .round
        .services
        .iter()
        .flat_map(|service| {
            service.replicas.iter().map(|one| (service.target.name.as_str(), one.address.to_string(), one))
        })
        .collect();
    let name = "monodon_sidecar_probe_success";
    let mut family = Family::gauge(out, name, "Is the replica ready?");
    for (target, instance, replica) in &replicas {
        family.sample(&[("target", target), ("instance", instance)], replica.ready);
    }
    let name = "monodon_sidecar_probe_duration_seconds";
    let mut family = Family::gauge(out, name, "How long the replica took to answer the last probe");
    for (target, instance, replica) in &replicas {
        family.sample(&[("target", target), ("instance", instance)], replica.seconds);
    }
    let name = "monodon_sidecar_probe_http_status_code";
    let mut family = Family::gauge(out, name, "What the replica answered, 0 for nothing");
    for (target, instance, replica) in &replicas {
        family.sample(&[("target", target), ("instance", instance)], replica.code);
    }
    let name = "monodon_sidecar_probe_replicas";
    let mut family = Family::gauge(out, name, "Replicas of the service that its name leads to");
    for service in &state.round.services {
        family.sample(&[("target", &service.target.name)], service.replicas.len());
    }
}

fn scrapes(pages: &[Page], broken: &[(String, String)], out: &mut String) {
    let failed = |page: &Page| page.text.is_err() || broken.contains(&(page.component.clone(), page.instance.clone()));
    let mut family = Family::gauge(out, "monodon_sidecar_scrape_up", "Is the replica's metrics page in this one?");
    for page in pages {
        family.sample(&[("target", &page.component), ("instance", &page.instance)], !failed(page));
    }
    let name = "monodon_sidecar_scrape_duration_seconds";
    let mut family = Family::gauge(out, name, "How long the replica's metrics page took");
    for page in pages {
        family.sample(&[("target", &page.component), ("instance", &page.instance)], page.seconds);
    }
}

fn checks(state: &State, out: &mut String) {
    let document = health::document(state);
    let mut family = Family::gauge(out, "monodon_sidecar_health", "The whole appliance's health");
    family.states(&[], &STATUS, document.status.as_str());
    let name = "monodon_sidecar_health_check_state";
    let mut family = Family::gauge(out, name, "The worst state of each check over all replicas");
    for (check, entries) in &document.checks {
        let worst = entries.iter().map(|entry| entry.status).max().unwrap_or(Status::Pass);
        let (component, check) = check.split_once(':').unwrap_or(("", check));
        family.states(&[("component", component), ("check", check)], &STATUS, worst.as_str());
    }
    let name = "monodon_sidecar_health_check_last_success_timestamp_seconds";
    let mut family = Family::gauge(out, name, "When a replica of the service was last ready");
    for service in &state.round.services {
        if let Some(last) = service.replicas.iter().filter_map(|one| one.last_ready).reduce(f64::max) {
            family.sample(&[("component", &service.target.name), ("check", "ready")], last);
        }
    }
}

fn agent(state: &State, out: &mut String) {
    let fresh = state.fresh();
    Family::gauge(out, "monodon_sidecar_agent_up", "Does the agent publish?").sample(&[], fresh.is_some());
    let engine = fresh.map(|snapshot| &snapshot.engine);
    let up = engine.is_some_and(|engine| engine.up);
    Family::gauge(out, "monodon_sidecar_engine_up", "Does the agent watch the engine?").sample(&[], up);
    let Some(engine) = engine else { return };
    let name = "monodon_sidecar_engine_reconnects_total";
    Family::counter(out, name, "How often the agent lost the engine").sample(&[], engine.reconnects);
    let mut family = Family::counter(out, "monodon_sidecar_engine_events_total", "Events of the project's containers");
    for (action, count) in &engine.events {
        family.sample(&[("action", action)], *count);
    }
}

fn containers(snapshot: &Snapshot, out: &mut String) {
    let all = &snapshot.containers;
    let name = |rest: &str| format!("monodon_sidecar_container_{rest}");
    let of = |container: &'_ Container| [("service", container.service.clone()), ("container", container.name.clone())];
    macro_rules! family {
        ($kind:ident, $rest:literal, $help:literal, |$container:ident| $value:expr) => {{
            let name = name($rest);
            let mut family = Family::$kind(out, &name, $help);
            for $container in all {
                if let Some(value) = $value {
                    let labels = of($container);
                    family.sample(&borrowed(&labels), value);
                }
            }
        }};
    }
    let states = name("state");
    let mut family = Family::gauge(out, &states, "The container's state");
    for container in all {
        family.states(&borrowed(&of(container)), &STATES, &container.state);
    }
    let health = name("health");
    let mut family = Family::gauge(out, &health, "The container's health check, none where it has none");
    for container in all {
        family.states(&borrowed(&of(container)), &HEALTH, &container.health);
    }
    family!(counter, "restarts_total", "Restarts, by policy, by hand or anew by compose", |one| Some(one.restarts));
    family!(counter, "oom_events_total", "Times a process in the container was killed for memory", |one| Some(
        one.ooms
    ));
    let exits = name("exits_total");
    let mut family = Family::counter(out, &exits, "Ends of the container by exit code");
    for container in all {
        let [service, own] = of(container);
        for (code, count) in &container.exits {
            family.sample(&[(service.0, &service.1), (own.0, &own.1), ("exit", code)], *count);
        }
    }
    family!(gauge, "start_time_seconds", "When the container started, as a Unix time", |one| one.started_at);
    let age = now();
    family!(gauge, "stats_age_seconds", "How old the engine's last statistics of the container are", |one| one
        .usage
        .as_ref()
        .map(|usage| (age - usage.at).max(0.0)));
    let cpu = name("cpu_seconds_total");
    let mut family = Family::counter(out, &cpu, "CPU time of the container");
    for (container, usage) in all.iter().filter_map(|one| Some((one, one.usage.as_ref()?))) {
        let [service, own] = of(container);
        for (mode, seconds) in [("user", usage.cpu_user_seconds), ("system", usage.cpu_system_seconds)] {
            family.sample(&[(service.0, &service.1), (own.0, &own.1), ("mode", mode)], seconds);
        }
    }
    macro_rules! usage {
        ($kind:ident, $rest:literal, $help:literal, |$usage:ident| $value:expr) => {
            family!($kind, $rest, $help, |one| one.usage.as_ref().and_then(|$usage| $value))
        };
    }
    usage!(counter, "cpu_throttled_seconds_total", "Time the container waited for its CPU quota", |usage| Some(
        usage.cpu_throttled_seconds
    ));
    usage!(gauge, "cpu_limit_cores", "CPU quota, where there is one", |usage| usage.cpu_limit_cores);
    usage!(gauge, "memory_usage_bytes", "Memory of the container, page cache included", |usage| Some(
        usage.memory_usage
    ));
    usage!(gauge, "memory_working_set_bytes", "Memory of the container that cannot go at once", |usage| Some(
        usage.memory_working_set
    ));
    usage!(gauge, "memory_limit_bytes", "Memory limit, where there is one", |usage| usage.memory_limit);
    usage!(gauge, "pids", "Processes and threads in the container", |usage| usage.pids);
    for (rest, help, of_two) in [
        ("network_receive_bytes_total", "Bytes the container received", 0),
        ("network_transmit_bytes_total", "Bytes the container sent", 1),
    ] {
        let name = name(rest);
        let mut family = Family::counter(out, &name, help);
        for (container, usage) in all.iter().filter_map(|one| Some((one, one.usage.as_ref()?))) {
            let [service, own] = of(container);
            for (interface, (received, sent)) in &usage.networks {
                let bytes = if of_two == 0 { *received } else { *sent };
                family.sample(&[(service.0, &service.1), (own.0, &own.1), ("interface", interface)], bytes);
            }
        }
    }
    let blkio = name("blkio_bytes_total");
    let mut family = Family::counter(out, &blkio, "Bytes the container read from and wrote to disks");
    for (container, usage) in all.iter().filter_map(|one| Some((one, one.usage.as_ref()?))) {
        let [service, own] = of(container);
        for (op, bytes) in [("read", usage.blkio_read), ("write", usage.blkio_written)] {
            if let Some(bytes) = bytes {
                family.sample(&[(service.0, &service.1), (own.0, &own.1), ("op", op)], bytes);
            }
        }
    }
}

fn borrowed<'a>(labels: &'a [(&'a str, String); 2]) -> [(&'a str, &'a str); 2] {
    labels.each_ref().map(|(name, value)| (*name, value.as_str()))
}
