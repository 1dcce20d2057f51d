//! The networked role against services that are up, say 503, are silent, are gone; with and without an agent.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use monodon_admin::{Check, Readiness, Source};
use monodon_sidecar::config::{Config, SCHEMA};
use monodon_sidecar::fetch::{self, Answer};
use monodon_sidecar::run::run;
use monodon_sidecar::snapshot::{Container, Engine, Snapshot, Usage, now};
use serde_json::Value;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::oneshot;

const PATIENCE: Duration = Duration::from_secs(30);

/// A service's admin port, as every service has it.
#[derive(Clone)]
struct Fake {
    name: &'static str,
    failing: Arc<AtomicBool>,
    broken: bool,
}

impl Source for Fake {
    fn ready(&self) -> Readiness {
        let check = if self.failing.load(Ordering::Relaxed) {
            Check::fail(format!("{}:draining", self.name), "asked to stop")
        } else {
            Check::pass(format!("{}:listener", self.name)).observed(2, "listeners")
        };
        Readiness { checks: vec![check] }
    }

    fn metrics(&self) -> String {
        let mut page = String::new();
        monodon_admin::render_own(&format!("monodon_{}", self.name), "0.1.0", &mut page);
        if self.broken { page + "half a line {\n" } else { page }
    }
}

async fn service(name: &'static str, broken: bool) -> (SocketAddr, Arc<AtomicBool>, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let failing = Arc::new(AtomicBool::new(false));
    let fake = Fake { name, failing: failing.clone(), broken };
    let task = tokio::spawn(async move {
        monodon_admin::serve_on(listener, fake, std::future::pending()).await.unwrap();
    });
    (address, failing, task)
}

struct Sidecar {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Sidecar {
    async fn start(targets: &[(&str, SocketAddr)], agent: Option<PathBuf>) -> Sidecar {
        let values = SCHEMA.load(&[], std::iter::empty(), None).unwrap();
        let mut config = Config::new(&values).unwrap();
        let read = |(name, address): &(&str, SocketAddr)| {
            monodon_sidecar::config::Target::read(&format!("{name}=http://{address}/readyz")).unwrap()
        };
        config.targets = targets.iter().map(read).collect();
        config.probe_interval = Duration::from_millis(50);
        config.probe_timeout = Duration::from_millis(500);
        config.agent_socket = agent;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            run(&config, listener, async move {
                let _ = stopped.await;
            })
            .await
        });
        Sidecar { address, stop: Some(stop), task }
    }

    async fn get(&self, path: &str) -> Answer {
        fetch::tcp(self.address, "localhost", path, None, PATIENCE).await.unwrap()
    }

    async fn text(&self, path: &str) -> String {
        String::from_utf8(self.get(path).await.body.to_vec()).unwrap()
    }

    /// /healthz, once it is as wanted.
    async fn health(&self, wanted: impl Fn(u16, &Value) -> bool) -> Value {
        let mut last = Value::Null;
        let wait = async {
            loop {
                let answer = self.get("/healthz").await;
                last = serde_json::from_slice(&answer.body).unwrap();
                if wanted(answer.status, &last) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let came = tokio::time::timeout(PATIENCE, wait).await;
        assert!(came.is_ok(), "the last document: {last}");
        last
    }

    async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        tokio::time::timeout(PATIENCE, &mut self.task).await.unwrap().unwrap().unwrap();
    }
}

fn promtool(page: &str) {
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        return eprintln!("skipped: promtool is not installed (Debian's package prometheus or promtool)");
    };
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{page}");
}

/// An agent's socket that tells one snapshot.
fn agent(folder: &tempfile::TempDir) -> (PathBuf, tokio::task::JoinHandle<()>) {
    let path = folder.path().join("agent.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let usage = Usage { at: now(), memory_usage: 100, memory_working_set: 70, cpu_seconds: 1.0, ..Usage::default() };
    let mut usage = Usage { memory_limit: Some(1 << 20), pids: Some(3), blkio_read: Some(5), ..usage };
    usage.networks.insert("eth0".into(), (10, 20));
    let web = Container {
        service: "worker".into(),
        name: "shop-worker-1".into(),
        state: "running".into(),
        health: "healthy".into(),
        restarts: 2,
        ooms: 1,
        started_at: Some(now() - 60.0),
        exits: [("137".to_owned(), 1)].into(),
        usage: Some(usage),
        ..Container::default()
    };
    let failed =
        Container { service: "release".into(), name: "shop-release-1".into(), state: "exited".into(), ..web.clone() };
    let failed = Container { exit_code: 1, usage: None, health: "none".into(), ..failed };
    let engine = Engine { up: true, events: [("oom".to_owned(), 1)].into(), ..Engine::default() };
    let snapshot = Snapshot {
        at: now(),
        project: Some("shop".into()),
        engine,
        containers: vec![web, failed],
        ..Snapshot::default()
    };
    let router =
        axum::Router::new().route("/snapshot", axum::routing::get(move || async move { axum::Json(snapshot) }));
    (path, tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }))
}

#[tokio::test]
async fn health_follows_the_services() {
    let (edge, _, _edge) = service("edge", false).await;
    let (worker, failing, worker_task) = service("worker", false).await;
    let sidecar = Sidecar::start(&[("edge", edge), ("worker", worker)], None).await;
    let good = sidecar.health(|code, document| code == 200 && document["status"] == "pass").await;
    assert_eq!(good["checks"]["edge:listener"][0]["observedValue"], 2);
    assert_eq!(good["checks"]["worker:ready"][0]["componentId"], worker.to_string());

    failing.store(true, Ordering::Relaxed);
    let draining = sidecar.health(|code, _| code == 503).await;
    assert_eq!(draining["status"], "fail");
    assert_eq!(draining["checks"]["worker:ready"][0]["status"], "fail");
    assert_eq!(draining["checks"]["worker:draining"][0]["output"], "asked to stop");
    assert_eq!(draining["checks"]["edge:ready"][0]["status"], "pass");
    assert_eq!(sidecar.get("/readyz").await.status, 200, "the sidecar itself is ready to tell");

    failing.store(false, Ordering::Relaxed);
    sidecar.health(|code, _| code == 200).await;
    worker_task.abort();
    let gone = sidecar.health(|code, _| code == 503).await;
    let why = gone["checks"]["worker:ready"][0]["output"].as_str().unwrap();
    assert!(why.contains("refused") || why.contains("broke") || why.contains("closed"), "{why}");
    sidecar.stop().await;
}

#[tokio::test]
async fn one_silent_service_keeps_nobody_waiting() {
    let (edge, _, _edge) = service("edge", false).await;
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let sidecar = Sidecar::start(&[("edge", edge), ("worker", silent.local_addr().unwrap())], None).await;
    sidecar
        .health(|code, document| {
            let checks = &document["checks"];
            let told = checks["worker:ready"][0]["output"].as_str().unwrap_or_default();
            code == 503 && checks["edge:ready"][0]["status"] == "pass" && told.contains("no answer within")
        })
        .await;
    let metrics = sidecar.text("/metrics").await;
    assert!(
        metrics.contains(&format!("monodon_sidecar_probe_success{{target=\"edge\",instance=\"{edge}\"}} 1")),
        "{metrics}"
    );
    assert!(metrics.contains("monodon_sidecar_scrape_up{target=\"worker\""), "{metrics}");
    promtool(&metrics);
    sidecar.stop().await;
}

#[tokio::test]
async fn a_name_without_an_address_is_a_service_that_is_down() {
    let (edge, _, _edge) = service("edge", false).await;
    let sidecar = Sidecar::start(&[("edge", edge)], None).await;
    sidecar.health(|code, _| code == 200).await;
    sidecar.stop().await;
    let target = monodon_sidecar::config::Target::read("worker=http://nobody.invalid:9102/readyz").unwrap();
    let resolver = monodon_sidecar::run::resolve::Resolver::system();
    assert!(resolver.resolve(&target.host, Duration::from_secs(3)).await.is_err());
}

#[tokio::test]
async fn a_missing_agent_is_a_warning_and_its_coming_is_seen() {
    let (edge, _, _edge) = service("edge", false).await;
    let folder = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(&[("edge", edge)], Some(folder.path().join("agent.sock"))).await;
    let document = sidecar.health(|code, document| code == 200 && document["checks"]["edge:ready"].is_array()).await;
    assert_eq!(document["status"], "warn");
    assert_eq!(document["checks"]["agent:snapshot"][0]["status"], "warn");
    let ready: Value = serde_json::from_slice(&sidecar.get("/readyz").await.body).unwrap();
    assert_eq!(ready["status"], "warn");
    assert!(sidecar.text("/metrics").await.contains("monodon_sidecar_agent_up 0"));
    assert!(sidecar.text("/").await.contains("the agent is missing"));

    let (_, _task) = agent(&folder);
    let document = sidecar.health(|_, document| document["checks"]["agent:snapshot"][0]["status"] == "pass").await;
    assert_eq!(document["status"], "warn", "a release that failed");
    assert_eq!(document["checks"]["release:container"][0]["output"], "ended with exit code 1");
    assert_eq!(document["checks"]["worker:container"][0]["status"], "pass");
    sidecar.stop().await;
}

#[tokio::test]
async fn the_metrics_of_all_on_one_page() {
    let (edge, _, _edge) = service("edge", false).await;
    let (worker, _, _worker) = service("worker", true).await;
    let folder = tempfile::tempdir().unwrap();
    let (socket, _agent) = agent(&folder);
    let sidecar = Sidecar::start(&[("edge", edge), ("worker", worker)], Some(socket)).await;
    sidecar.health(|code, document| code == 200 && document["checks"]["worker:container"].is_array()).await;
    let page = sidecar.text("/metrics").await;
    promtool(&page);
    for line in [
        &format!("process_open_fds{{component=\"edge\",instance=\"{edge}\"}} "),
        "process_open_fds{component=\"sidecar\",instance=\"self\"} ",
        "monodon_sidecar_container_state{service=\"worker\",container=\"shop-worker-1\",state=\"running\"} 1\n",
        "monodon_sidecar_container_health{service=\"worker\",container=\"shop-worker-1\",state=\"healthy\"} 1\n",
        "monodon_sidecar_container_restarts_total{service=\"worker\",container=\"shop-worker-1\"} 2\n",
        "monodon_sidecar_container_oom_events_total{service=\"worker\",container=\"shop-worker-1\"} 1\n",
        "monodon_sidecar_container_exits_total{service=\"worker\",container=\"shop-worker-1\",exit=\"137\"} 1\n",
        "monodon_sidecar_container_memory_working_set_bytes{service=\"worker\",container=\"shop-worker-1\"} 70\n",
        "monodon_sidecar_container_network_transmit_bytes_total{service=\"worker\",container=\"shop-worker-1\",interface=\"eth0\"} 20\n",
        "monodon_sidecar_engine_up 1\n",
        &format!("monodon_sidecar_scrape_up{{target=\"edge\",instance=\"{edge}\"}} 1\n"),
        &format!("monodon_sidecar_scrape_up{{target=\"worker\",instance=\"{worker}\"}} 0\n"),
    ] {
        assert!(page.contains(line), "{line} in\n{page}");
    }
    assert!(!page.contains("component=\"worker\",instance"), "the broken page is left out: {page}");
    assert_eq!(page.matches("# TYPE process_open_fds ").count(), 1);
    sidecar.stop().await;
}

#[tokio::test]
async fn the_page_and_its_data() {
    let (edge, _, _edge) = service("edge", false).await;
    let sidecar = Sidecar::start(&[("edge", edge)], None).await;
    sidecar.health(|_, document| document["status"] == "pass").await;
    let page = sidecar.text("/").await;
    assert!(page.contains("Everything works") && page.contains(&edge.to_string()), "{page}");
    let data: Value = serde_json::from_str(&sidecar.text("/status.json").await).unwrap();
    assert_eq!(data["status"], "pass");
    assert!(data["sections"]["services"].as_str().unwrap().contains("listener"));
    assert_eq!(sidecar.get("/livez").await.status, 200);
    assert_eq!(sidecar.get("/nothing").await.status, 404);
    let address = sidecar.address;
    let code = tokio::task::spawn_blocking(move || monodon_admin::healthcheck(address)).await.unwrap();
    assert_eq!(code, std::process::ExitCode::SUCCESS);
    sidecar.stop().await;
}

fn binary(args: &[&str], env: &[(&str, &str)]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_monodon-sidecar"))
        .args(args)
        .env_clear()
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_command_line() {
    let (code, help, _) = binary(&["--help"], &[]);
    assert!(code == 0 && help.contains("--probe-interval") && help.contains("MONODON_SIDECAR_TARGETS"), "{help}");
    assert!(binary(&["--version"], &[]).1.starts_with("monodon-sidecar 0."));
    let (code, _, wrong) =
        binary(&["run"], &[("MONODON_SIDECAR_TARGET", "x"), ("MONODON_SIDECAR_PROBE_TIMEOUT", "soon")]);
    assert_eq!(code, 2);
    assert!(
        wrong.contains("did you mean MONODON_SIDECAR_TARGETS?") && wrong.contains("expected a duration"),
        "{wrong}"
    );
    assert_eq!(binary(&["walk"], &[]).0, 2);
    assert_eq!(binary(&["check", "--targets", "edge=ftp://x"], &[]).0, 2);
    let (code, shown, _) = binary(&["check", "--probe-interval=5s"], &[]);
    assert!(code == 0 && shown.contains("probe_interval = 5s"), "{shown}");
    let (code, told, _) = binary(&["healthcheck", "agent", "--agent-socket", "/nowhere/agent.sock"], &[]);
    assert!(code == 1 && told.contains("/nowhere/agent.sock"), "{told}");
    let (code, _, told) = binary(&["agent", "--agent-socket", "/nowhere/agent.sock"], &[]);
    assert!(code == 1 && told.contains("cannot listen on /nowhere/agent.sock"), "{told}");
}

#[test]
fn both_roles_stop_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent.sock");
    for role in ["agent", "run"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_monodon-sidecar"))
            .args([role, "--admin", "127.0.0.1:0", "--engine", "/nowhere/docker.sock", "--agent-socket"])
            .arg(&socket)
            .env_clear()
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Its first line says that it serves.
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!((&first["level"], &first["service"]), (&"info".into(), &"sidecar".into()));
        if role == "agent" {
            let path = socket.to_str().unwrap();
            let (code, told, _) = binary(&["healthcheck", "agent", "--agent-socket", path], &[]);
            assert!(code == 0 && told.contains("warn: agent:engine"), "{told}");
        }
        Command::new("kill").arg(child.id().to_string()).status().unwrap();
        let rest: Vec<String> = lines.map_while(Result::ok).collect();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{rest:?}");
        assert!(rest.iter().any(|line| line.contains("ends")), "{rest:?}");
    }
}
