//! The agent against an engine on a unix socket that answers what a real one was recorded to answer, and against the
//! real one where there is one.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use monodon_sidecar::agent::{Settings, run};
use monodon_sidecar::fetch;
use monodon_sidecar::snapshot::Snapshot;
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::sync::{broadcast, oneshot};

const PATIENCE: Duration = Duration::from_secs(30);

fn fixture(name: &str) -> Value {
    let path = format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    let value: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    value.get(0).cloned().unwrap_or(value)
}

/// Containers by their inspection and statistics; events as they are sent.
#[derive(Clone)]
struct Fake {
    containers: Arc<Mutex<Vec<(Value, Value)>>>,
    events: broadcast::Sender<Value>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    fn new(containers: Vec<(Value, Value)>) -> Fake {
        Fake { containers: Arc::new(Mutex::new(containers)), events: broadcast::channel(64).0, asked: Arc::default() }
    }

    fn serve(&self, socket: &Path) -> tokio::task::JoinHandle<()> {
        let _ = std::fs::remove_file(socket);
        let (listener, fake) = (UnixListener::bind(socket).unwrap(), self.clone());
        let router = Router::new().fallback(move |request: Request| async move { fake.answer(&request) });
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() })
    }

    fn answer(&self, request: &Request) -> Response {
        let uri = request.uri().to_string();
        self.asked.lock().unwrap().push(format!("{} {uri}", request.method()));
        let path = request.uri().path();
        let path = path.strip_prefix("/v1.41").unwrap_or(path);
        let containers = self.containers.lock().unwrap().clone();
        let found = |id: &str| containers.iter().find(|(one, _)| one["Id"].as_str().unwrap().starts_with(id)).cloned();
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match parts[..] {
            ["version"] => axum::Json(json!({"ApiVersion": "1.41", "Version": "20.10.24"})).into_response(),
            ["containers", "json"] => {
                let list: Vec<Value> = containers.iter().map(|(one, _)| json!({"Id": one["Id"]})).collect();
                axum::Json(list).into_response()
            }
            ["containers", id, what] => match (found(id), what) {
                (Some((inspect, _)), "json") => axum::Json(inspect).into_response(),
                (Some((_, stats)), "stats") => axum::Json(stats).into_response(),
                _ => (http::StatusCode::NOT_FOUND, axum::Json(json!({"message": "no such container"}))).into_response(),
            },
            ["events"] => {
                let events = tokio_stream(self.events.subscribe());
                Response::new(Body::from_stream(events))
            }
            _ => http::StatusCode::NOT_FOUND.into_response(),
        }
    }
}

fn tokio_stream(events: broadcast::Receiver<Value>) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> {
    futures_util::stream::unfold(events, |mut events| async move {
        let event = events.recv().await.ok()?;
        Some((Ok(Bytes::from(format!("{event}\n"))), events))
    })
    .boxed()
}

async fn snapshot(socket: &Path, wanted: impl Fn(&Snapshot) -> bool) -> Snapshot {
    let wait = async {
        loop {
            if let Ok(answer) = fetch::unix(socket, "/snapshot", PATIENCE).await {
                let snapshot: Snapshot = serde_json::from_slice(&answer.body).unwrap();
                if wanted(&snapshot) {
                    return snapshot;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the snapshot that was waited for")
}

struct Agent {
    folder: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Agent {
    fn start(project: Option<&str>) -> Agent {
        let folder = tempfile::tempdir().unwrap();
        let engine = folder.path().join("engine.sock");
        Agent::start_with(folder, engine, project)
    }

    fn start_with(folder: tempfile::TempDir, engine: PathBuf, project: Option<&str>) -> Agent {
        let settings = Settings {
            socket: folder.path().join("agent.sock"),
            engine,
            project: project.map(str::to_owned),
            interval: Duration::from_millis(100),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(run(settings, async move {
            let _ = stopped.await;
        }));
        Agent { folder, stop: Some(stop), task }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("agent.sock")
    }

    fn engine(&self) -> PathBuf {
        self.folder.path().join("engine.sock")
    }

    async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        tokio::time::timeout(PATIENCE, &mut self.task).await.unwrap().unwrap().unwrap();
        assert!(!self.socket().exists());
    }
}

fn event(action: &str, inspect: &Value, attributes: &Value, nanos: i64) -> Value {
    let mut all = json!({"name": inspect["Name"].as_str().unwrap().trim_start_matches('/'),
        "com.docker.compose.service": inspect["Config"]["Labels"]["com.docker.compose.service"]});
    for (key, value) in attributes.as_object().unwrap() {
        all[key] = value.clone();
    }
    json!({"Type": "container", "Action": action, "Actor": {"ID": inspect["Id"], "Attributes": all}, "time": nanos / 1_000_000_000, "timeNano": nanos})
}

#[tokio::test]
async fn snapshots_of_both_cgroup_versions() {
    for stats in ["v1/stats-web.json", "v2/stats-web.json"] {
        let fake = Fake::new(vec![(fixture("v2/inspect-web.json"), fixture(stats))]);
        let agent = Agent::start(Some("v2"));
        let _engine = fake.serve(&agent.engine());
        let seen = snapshot(&agent.socket(), |one| one.containers.iter().any(|one| one.usage.is_some())).await;
        assert_eq!((seen.project.as_deref(), seen.engine.api.as_deref()), (Some("v2"), Some("1.41")));
        let web = &seen.containers[0];
        assert_eq!((web.service.as_str(), web.state.as_str(), web.health.as_str()), ("web", "running", "healthy"));
        let usage = web.usage.as_ref().unwrap();
        assert!(usage.memory_working_set > 0 && usage.memory_working_set < usage.memory_usage);
        assert_eq!(usage.cpu_limit_cores, Some(0.5));
        // Only its own project is asked for, and nothing but asked.
        let asked = fake.asked.lock().unwrap().clone();
        assert!(asked.iter().all(|line| line.starts_with("GET ")), "{asked:?}");
        let lists = asked.iter().filter(|line| line.contains("/containers/json") || line.contains("/events"));
        assert!(
            lists.clone().count() >= 2
                && lists.into_iter().all(|line| line.contains("com.docker.compose.project%3Dv2")),
            "{asked:?}"
        );
        agent.stop().await;
    }
}

#[tokio::test]
async fn events_are_heard_at_once_and_gaps_are_reconciled() {
    let web = fixture("v2/inspect-web.json");
    let fake = Fake::new(vec![(web.clone(), fixture("v2/stats-web.json"))]);
    let agent = Agent::start(Some("v2"));
    let engine = fake.serve(&agent.engine());
    snapshot(&agent.socket(), |one| one.engine.up).await;
    fake.events.send(event("oom", &web, &json!({}), 1_795_223_500_000_000_000)).unwrap();
    fake.events.send(event("die", &web, &json!({"exitCode": "137"}), 1_795_223_501_000_000_000)).unwrap();
    fake.events.send(event("exec_start: /bin/true", &web, &json!({}), 1_795_223_502_000_000_000)).unwrap();
    let seen = snapshot(&agent.socket(), |one| one.events.len() == 2).await;
    assert_eq!((seen.containers[0].ooms, seen.containers[0].exits.get("137")), (1, Some(&1)));

    // The engine goes; the agent says so and stays.
    engine.abort();
    let _ = engine.await;
    std::fs::remove_file(agent.engine()).unwrap();
    // Connections that are open end with the runtime's tasks; closing the channel ends the stream.
    let containers = fake.containers.clone();
    drop(fake);
    let gone = snapshot(&agent.socket(), |one| !one.engine.up && one.engine.problem.is_some()).await;
    assert_eq!(gone.containers.len(), 1, "the last that is known is still told");

    // While nobody listened, it was restarted.
    let mut again = web.clone();
    again["State"]["StartedAt"] = "2026-11-21T09:00:00Z".into();
    again["RestartCount"] = json!(1);
    let fake = Fake { containers, events: broadcast::channel(64).0, asked: Arc::default() };
    fake.containers.lock().unwrap()[0].0 = again;
    let _engine = fake.serve(&agent.engine());
    let back = snapshot(&agent.socket(), |one| one.engine.up).await;
    assert_eq!((back.containers[0].restarts, back.engine.reconnects), (1, 1));
    assert_eq!(back.containers[0].ooms, 1, "counters outlive the connection");
    agent.stop().await;
}

#[tokio::test]
async fn a_missing_engine_is_told_not_suffered() {
    let agent = Agent::start(None);
    let seen = snapshot(&agent.socket(), |one| one.engine.problem.is_some()).await;
    assert!(seen.engine.problem.unwrap().contains("is not there"));
    let ready = fetch::unix(&agent.socket(), "/readyz", PATIENCE).await.unwrap();
    let document: Value = serde_json::from_slice(&ready.body).unwrap();
    assert_eq!((ready.status, &document["status"]), (200, &"warn".into()));
    agent.stop().await;
}

#[tokio::test]
async fn an_engine_that_never_answers_is_given_up() {
    let agent = Agent::start(Some("v2"));
    let _silent = UnixListener::bind(agent.engine()).unwrap();
    let seen =
        snapshot(&agent.socket(), |one| one.engine.problem.as_ref().is_some_and(|why| why.contains("no answer"))).await;
    assert!(!seen.engine.up);
    agent.stop().await;
}

#[tokio::test]
async fn the_socket_is_for_others_and_replaced_when_stale() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let stale = std::os::unix::net::UnixListener::bind(folder.path().join("agent.sock")).unwrap();
    drop(stale);
    let engine = folder.path().join("engine.sock");
    let agent = Agent::start_with(folder, engine, Some("v2"));
    snapshot(&agent.socket(), |_| true).await;
    let mode = std::fs::metadata(agent.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o666);
    agent.stop().await;
}

/// Two labelled containers of whatever image is there.
#[tokio::test]
async fn the_real_engine() {
    let docker = |args: &[&str]| {
        let output = std::process::Command::new("docker").args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(socket) = Some(PathBuf::from("/var/run/docker.sock")).filter(|path| path.exists()) else {
        return eprintln!("skipped: no engine at /var/run/docker.sock");
    };
    if docker(&["image", "inspect", "debian:trixie-slim"]).is_none() {
        return eprintln!("skipped: the engine does not answer, or has no image debian:trixie-slim");
    }
    let project = format!("monodon-agent-test-{}", std::process::id());
    let agent = Agent::start_with(tempfile::tempdir().unwrap(), socket, Some(&project));
    snapshot(&agent.socket(), |one| one.engine.up).await;
    let label = format!("com.docker.compose.project={project}");
    let common = [
        "run",
        "-d",
        "--memory",
        "64m",
        "--label",
        &label,
        "--label",
        "com.docker.compose.service=probe",
        "--label",
        "com.docker.compose.container-number=1",
    ];
    let id = docker(&[&common[..], &["debian:trixie-slim", "sleep", "300"]].concat()).unwrap();
    let name = docker(&["inspect", "-f", "{{.Name}}", &id]).unwrap();
    let seen = snapshot(&agent.socket(), |one| one.containers.iter().any(|one| one.usage.is_some())).await;
    let usage = seen.containers[0].usage.clone().unwrap();
    docker(&["kill", &id]).unwrap();
    let ended = snapshot(&agent.socket(), |one| one.containers.iter().any(|one| one.state == "exited")).await;
    docker(&["rm", "-f", &id]);
    assert_eq!(seen.containers[0].name, name.trim_start_matches('/'));
    assert_eq!((usage.memory_limit, usage.pids), (Some(64 << 20), Some(1)));
    assert_eq!((ended.containers[0].exit_code, ended.containers[0].exits.get("137")), (137, Some(&1)));
    snapshot(&agent.socket(), |one| one.containers.is_empty()).await;
    agent.stop().await;
}
