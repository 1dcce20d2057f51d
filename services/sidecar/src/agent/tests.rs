use bollard::models::{ContainerInspectResponse, ContainerStatsResponse, EventMessage};
use serde::de::DeserializeOwned;

use super::own::ids;
use super::usage::{Limits, usage};
use super::watch::Watch;
use crate::snapshot::{Container, Usage};

fn fixture<T: DeserializeOwned>(name: &str) -> T {
    let path = format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    // `docker inspect` prints a list, the engine's API one object.
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    serde_json::from_value(value.get(0).cloned().unwrap_or(value)).unwrap()
}

fn events() -> Vec<EventMessage> {
    let path = format!("{}/tests/fixtures/v2/events.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn statistics_of_cgroup_version_1() {
    let limits = Limits { memory: Some(64 << 20), cores: Some(0.5) };
    let usage = usage(&fixture::<ContainerStatsResponse>("v1/stats-web.json"), limits, None).unwrap();
    assert_eq!(usage.memory_usage, 2_662_400);
    assert_eq!(usage.memory_working_set, 2_662_400 - 1_875_968);
    assert_eq!((usage.memory_limit, usage.cpu_limit_cores), (Some(64 << 20), Some(0.5)));
    assert_eq!((usage.pids, usage.blkio_read), (Some(1), Some(0)));
    assert!((usage.cpu_seconds - 0.026049174).abs() < 1e-9);
    assert!(usage.networks.contains_key("eth0"));
}

#[test]
fn statistics_of_cgroup_version_2() {
    let stats: ContainerStatsResponse = fixture("v2/stats-web.json");
    let first = usage(&stats, Limits::default(), None).unwrap();
    assert_eq!(first.memory_working_set, 11_456_512 - 815_104);
    assert_eq!(first.memory_limit, None, "what the engine reports without a limit is the machine's memory");
    assert_eq!((first.blkio_read, first.blkio_written), (Some(802_816), Some(0)));
    assert_eq!(first.networks.get("eth0"), Some(&(1182, 0)));
    assert!((first.cpu_throttled_seconds - 6.033733).abs() < 1e-6);
    assert_eq!(first.cpu_cores, None);
    let earlier = Usage { at: first.at - 2.0, cpu_seconds: first.cpu_seconds - 1.0, ..Usage::default() };
    assert!((usage(&stats, Limits::default(), Some(&earlier)).unwrap().cpu_cores.unwrap() - 0.5).abs() < 1e-6);
    let another_life = Usage { at: first.at - 2.0, cpu_seconds: first.cpu_seconds + 1.0, ..Usage::default() };
    assert_eq!(usage(&stats, Limits::default(), Some(&another_life)).unwrap().cpu_cores, None);
}

#[test]
fn a_stopped_container_has_no_statistics() {
    assert_eq!(usage(&fixture("v2/stats-stopped.json"), Limits::default(), None), None);
}

#[test]
fn no_environment_variable_is_published() {
    let mut watch = Watch::default();
    let mut web: ContainerInspectResponse = fixture("v2/inspect-web.json");
    web.config.as_mut().unwrap().env = Some(vec!["SECRET_KEY=do-not-tell".into()]);
    watch.reconcile(&[web]);
    let text = serde_json::to_string(&watch.snapshot()).unwrap();
    assert!(text.contains("\"web\"") && !text.contains("do-not-tell") && !text.contains("Env"), "{text}");
}

fn only(watch: &Watch) -> Container {
    let snapshot = watch.snapshot();
    assert_eq!(snapshot.containers.len(), 1);
    snapshot.containers[0].clone()
}

#[test]
fn restarts_of_every_kind_are_counted_once() {
    let mut watch = Watch::default();
    let mut web: ContainerInspectResponse = fixture("v2/inspect-web.json");
    web.restart_count = Some(2);
    watch.reconcile(&[web.clone()]);
    assert_eq!(only(&watch).restarts, 2, "what the engine has counted before we came");
    watch.reconcile(&[web.clone()]);
    assert_eq!(only(&watch).restarts, 2);
    // By policy: the count goes up, and the start with it.
    let start = |web: &mut ContainerInspectResponse, at: &str| web.state.as_mut().unwrap().started_at = Some(at.into());
    web.restart_count = Some(3);
    start(&mut web, "2026-11-21T02:00:00Z");
    watch.inspected(&web);
    assert_eq!(only(&watch).restarts, 3);
    // Looked at in between: the engine counts before it starts.
    web.restart_count = Some(4);
    watch.inspected(&web);
    start(&mut web, "2026-11-21T02:05:00Z");
    watch.inspected(&web);
    assert_eq!(only(&watch).restarts, 4);
    // By hand: only the start moves.
    start(&mut web, "2026-11-21T02:10:00Z");
    watch.inspected(&web);
    watch.inspected(&web);
    assert_eq!(only(&watch).restarts, 5);
    // Recreated by compose under the same name.
    web.id = Some("f".repeat(64));
    web.restart_count = Some(0);
    watch.reconcile(&[web.clone()]);
    assert_eq!(only(&watch).restarts, 6);
    watch.reconcile(&[]);
    assert!(watch.snapshot().containers.is_empty());
    watch.reconcile(&[web]);
    assert_eq!(only(&watch).restarts, 6, "a gap is no restart");
}

#[test]
fn a_container_that_starts_for_the_first_time_is_not_restarted() {
    let mut watch = Watch::default();
    let mut web: ContainerInspectResponse = fixture("v2/inspect-web.json");
    let started = web.state.as_ref().unwrap().started_at.clone();
    web.state.as_mut().unwrap().started_at = Some("0001-01-01T00:00:00Z".into());
    watch.reconcile(&[web.clone()]);
    web.state.as_mut().unwrap().started_at = started;
    watch.reconcile(&[web]);
    assert_eq!(only(&watch).restarts, 0);
}

#[test]
fn recorded_events_are_counted() {
    let mut watch = Watch::default();
    let hog: ContainerInspectResponse = fixture("v2/inspect-hog.json");
    let mut asked_again = 0;
    for event in &events() {
        asked_again += usize::from(watch.event(event).is_some());
    }
    assert!(asked_again > 0);
    watch.inspected(&hog);
    let hog = only(&watch);
    assert_eq!((hog.service.as_str(), hog.state.as_str(), hog.exit_code), ("hog", "exited", 137));
    let oom_lines = events().iter().filter(|one| one.action.as_deref() == Some("oom")).count();
    let counted = watch.snapshot().engine.events["oom"];
    assert_eq!(counted as usize, oom_lines);
    assert_eq!(hog.ooms, 3, "one a life");
    assert_eq!(hog.exits.get("137"), Some(&3), "the inspection's last end is the last event's");
    let events = watch.snapshot().events;
    assert!(events.iter().any(|one| one.action == "health_status" && one.detail.as_deref() == Some("healthy")));
    assert!(events.iter().any(|one| one.action == "die" && one.detail.as_deref() == Some("exit code 137")));
    assert!(events.iter().all(|one| one.action != "create"));
}

#[test]
fn an_end_that_no_event_told_of_is_counted_from_the_inspection() {
    let mut watch = Watch::default();
    let mut hog: ContainerInspectResponse = fixture("v2/inspect-hog.json");
    watch.inspected(&hog);
    assert!(only(&watch).exits.is_empty(), "ends before we came are not ours");
    hog.state.as_mut().unwrap().finished_at = Some("2026-11-21T03:00:00.5Z".into());
    watch.inspected(&hog);
    assert_eq!(only(&watch).exits.get("137"), Some(&1));
    // The event that comes late tells of the same end.
    let mut late = events().into_iter().rfind(|one| one.action.as_deref() == Some("die")).unwrap();
    late.actor.as_mut().unwrap().attributes.as_mut().unwrap().insert("name".into(), "v2-hog-1".into());
    late.time_nano = Some((super::moment("2026-11-21T03:00:00.6Z").unwrap() * 1e9) as i64);
    watch.event(&late);
    assert_eq!(only(&watch).exits.get("137"), Some(&1));
}

#[test]
fn oom_killed_is_never_read_as_a_fact_about_the_container() {
    // Engine 26 says OOMKilled of a container that runs on, for a child that was killed.
    let mut watch = Watch::default();
    watch.inspected(&fixture("v2/inspect-child.json"));
    let child = only(&watch);
    assert_eq!((child.state.as_str(), child.ooms, child.complaint()), ("running", 0, None));
}

#[test]
fn the_own_container_is_found() {
    let id = "2e799da5260f8644a728cf38461899e1d7976583a7a9ac16d6182042634b089b";
    let mounts =
        format!("612 600 254:1 /var/lib/docker/containers/{id}/resolv.conf /etc/resolv.conf rw - ext4 /dev/vda1 rw\n");
    assert_eq!(ids(&mounts, "0::/\n", "2e799da5260f\n"), [id]);
    assert_eq!(ids("", &format!("4:memory:/docker/{id}\n"), "agent"), [id, "agent"]);
    assert_eq!(ids("", "0::/\n", "2e799da5260f"), ["2e799da5260f"]);
}
