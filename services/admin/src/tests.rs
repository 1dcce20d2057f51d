use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;

use crate::cgroup::{Cgroup, read_at, render_of};
use crate::text::Family;
use crate::{Check, Readiness, Source, Status, healthcheck, render_own, serve_on};

/// `promtool check metrics`, where it is installed.
fn promtool(page: &str) {
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("skipped: promtool is not installed (Debian's package prometheus or promtool)");
        return;
    };
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{page}");
}

#[test]
fn text_is_escaped_and_clean() {
    let mut page = String::new();
    let name = "monodon_test_requests_total";
    let mut family = Family::counter(&mut page, name, "All of them,\nwith a \\ backslash");
    family.sample(&[("site", "a\"b\\c\nd")], 3u64).sample(&[("site", "other")], 4.5);
    Family::gauge(&mut page, "monodon_test_state", "Which").states(&[("of", "x")], &["up", "down"], "up");
    let bounds = [0.005, 0.5, 10.0];
    Family::histogram(&mut page, "monodon_test_wait_seconds", "Wait").buckets(
        &[("a", "b")],
        &bounds,
        &[1, 2, 0, 4],
        9.5,
    );
    let _ = Family::gauge(&mut page, "monodon_test_nothing", "Without samples");
    Family::gauge(&mut page, "monodon_test_ratio", "Odd ones")
        .sample(&[("n", "1")], f64::INFINITY)
        .sample(&[], f64::NAN);
    assert!(page.contains("# HELP monodon_test_requests_total All of them,\\nwith a \\\\ backslash\n"), "{page}");
    assert!(page.contains("monodon_test_requests_total{site=\"a\\\"b\\\\c\\nd\"} 3\n"), "{page}");
    assert!(page.contains("monodon_test_wait_seconds_bucket{a=\"b\",le=\"0.5\"} 3\n"), "{page}");
    assert!(page.contains("monodon_test_wait_seconds_bucket{a=\"b\",le=\"+Inf\"} 7\n"), "{page}");
    assert!(page.contains("monodon_test_wait_seconds_count{a=\"b\"} 7\n") && page.contains("{n=\"1\"} inf"), "{page}");
    assert!(!page.contains("nothing"), "{page}");
    promtool(&page);
}

#[test]
fn own_process_and_cgroup_are_clean() {
    let mut page = String::new();
    render_own("monodon_test", "0.1.0", &mut page);
    for name in
        ["process_cpu_seconds_total", "process_open_fds", "process_start_time_seconds", "monodon_test_build_info"]
    {
        assert!(page.contains(name), "{name} in {page}");
    }
    promtool(&page);
}

fn write(root: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

#[test]
fn cgroup_version_2() {
    let root = tempfile::tempdir().unwrap();
    write(
        root.path(),
        &[
            ("cgroup.controllers", "cpu io memory pids\n"),
            ("memory.current", "1000\n"),
            ("memory.max", "5000\n"),
            ("memory.peak", "3000\n"),
            ("memory.stat", "anon 500\nfile 400\ninactive_file 300\n"),
            ("memory.events", "low 0\nhigh 0\nmax 4\noom 2\noom_kill 2\noom_group_kill 0\n"),
            ("cpu.stat", "usage_usec 2500000\nuser_usec 1\nnr_throttled 7\nthrottled_usec 1500000\n"),
            ("cpu.max", "150000 100000\n"),
            ("pids.current", "5\n"),
            ("pids.max", "max\n"),
            ("memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=2000000\nfull avg10=0 total=1000000\n"),
            ("cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=500000\n"),
        ],
    );
    let read = read_at(root.path(), "0::/\n");
    assert_eq!(
        read,
        Cgroup {
            memory_usage: Some(1000),
            memory_working_set: Some(700),
            memory_limit: Some(5000),
            memory_peak: Some(3000),
            oom_kills: Some(2),
            cpu_seconds: Some(2.5),
            cpu_throttled_seconds: Some(1.5),
            cpu_throttled_periods: Some(7),
            cpu_limit: Some(1.5),
            pids: Some(5),
            pids_limit: None,
            pressure: vec![("cpu", "some", 0.5), ("memory", "some", 2.0), ("memory", "full", 1.0)],
        }
    );
    let mut page = String::new();
    render_of(&read, "monodon_test", &mut page);
    promtool(&page);
    write(root.path(), &[("memory.max", "max\n"), ("cpu.max", "max 100000\n")]);
    let unlimited = read_at(root.path(), "0::/docker/not-mounted-here\n");
    assert_eq!((unlimited.memory_limit, unlimited.cpu_limit, unlimited.memory_usage), (None, None, Some(1000)));
}

#[test]
fn cgroup_version_1() {
    let root = tempfile::tempdir().unwrap();
    write(
        root.path(),
        &[
            ("memory/memory.usage_in_bytes", "1000\n"),
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory/memory.max_usage_in_bytes", "2000\n"),
            ("memory/memory.stat", "inactive_file 1\ntotal_inactive_file 300\n"),
            ("memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"),
            ("memory/docker/abc/memory.usage_in_bytes", "50\n"),
            ("cpu,cpuacct/cpu.stat", "nr_periods 9\nnr_throttled 7\nthrottled_time 1500000000\n"),
            ("cpu,cpuacct/cpuacct.usage", "2500000000\n"),
            ("cpu,cpuacct/cpu.cfs_quota_us", "50000\n"),
            ("cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
            ("pids/pids.current", "5\n"),
            ("pids/pids.max", "100\n"),
        ],
    );
    let read = read_at(root.path(), "4:memory:/docker/xyz\n3:cpu,cpuacct:/docker/xyz\n");
    assert_eq!((read.memory_usage, read.memory_working_set, read.memory_limit), (Some(1000), Some(700), None));
    assert_eq!((read.oom_kills, read.cpu_limit, read.cpu_seconds), (Some(3), Some(0.5), Some(2.5)));
    assert_eq!((read.cpu_throttled_seconds, read.pids, read.pids_limit), (Some(1.5), Some(5), Some(100)));
    let below = read_at(root.path(), "4:memory:/docker/abc\n");
    assert_eq!(below.memory_usage, Some(50));
}

struct Fake(Vec<Check>);

impl Source for Fake {
    fn ready(&self) -> Readiness {
        Readiness { checks: self.0.clone() }
    }

    fn metrics(&self) -> String {
        let mut page = String::new();
        render_own("monodon_test", "0.1.0", &mut page);
        page
    }

    fn routes(&self) -> axum::Router {
        axum::Router::new().route("/extra", axum::routing::get(|| async { "more" }))
    }

    fn service(&self) -> &'static str {
        "test"
    }
}

async fn get(address: SocketAddr, path: &'static str) -> (u16, String) {
    let answer = tokio::task::spawn_blocking(move || {
        let stream = std::net::TcpStream::connect(address).unwrap();
        crate::ask(stream, path, |_| Ok(())).unwrap()
    });
    let answer = answer.await.unwrap();
    (answer.status, String::from_utf8(answer.body).unwrap())
}

async fn check(address: SocketAddr) -> ExitCode {
    tokio::task::spawn_blocking(move || healthcheck(address)).await.unwrap()
}

#[tokio::test]
async fn the_pages() {
    for (checks, status, word, code) in [
        (vec![Check::pass("a:b")], 200, "pass", ExitCode::SUCCESS),
        (
            vec![Check::pass("a:b"), Check::warn("a:c", "soon").of("x").observed(6.5, "d")],
            200,
            "warn",
            ExitCode::SUCCESS,
        ),
        (vec![Check::warn("a:c", "soon"), Check::fail("a:d", "no listener")], 503, "fail", ExitCode::FAILURE),
    ] {
        let listener = crate::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(serve_on(listener, Fake(checks), async move {
            let _ = stopped.await;
        }));
        let (ready, body) = get(address, "/readyz").await;
        let document: crate::health::Document = serde_json::from_str(&body).unwrap();
        assert_eq!((ready, document.status.as_str()), (status, word));
        assert_eq!(document.service_id.as_deref(), Some("test"));
        assert_eq!(get(address, "/healthz").await, (200, r#"{"status":"pass","checks":{}}"#.into()));
        assert_eq!(get(address, "/extra").await, (200, "more".into()));
        assert!(get(address, "/metrics").await.1.contains("process_open_fds"));
        assert_eq!(get(address, "/nothing").await.0, 404);
        assert_eq!(check(address).await, code);
        assert_eq!(check(SocketAddr::new([0, 0, 0, 0].into(), address.port())).await, code);
        // A connection that never ends must not keep the service from ending.
        let _idle = std::net::TcpStream::connect(address).unwrap();
        stop.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(20), server).await.unwrap().unwrap().unwrap();
        assert_eq!(check(address).await, ExitCode::FAILURE);
    }
}

#[tokio::test]
async fn silence_is_no_health() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    assert_eq!(check(address).await, ExitCode::FAILURE);
}

#[test]
fn the_document() {
    let checks = vec![
        Check::pass("edge:ready").observed(3, "ms"),
        Check::warn("edge:certificate", "renewal failed").of("shop.example"),
        Check::pass("edge:certificate").of("b.example"),
    ];
    let readiness = Readiness { checks };
    assert_eq!(readiness.status(), Status::Warn);
    let document = readiness.document("edge", "0.1.0");
    let json = serde_json::to_value(&document).unwrap();
    assert_eq!(json["status"], "warn");
    assert_eq!(json["releaseId"], "0.1.0");
    assert_eq!(json["notes"][0], "1 of 3 checks is not passing");
    assert_eq!(json["checks"]["edge:certificate"][0]["componentId"], "shop.example");
    assert_eq!(json["checks"]["edge:certificate"][0]["output"], "renewal failed");
    assert_eq!(json["checks"]["edge:ready"][0]["observedUnit"], "ms");
    assert_eq!(document.complaints(), ["warn: edge:certificate (shop.example): renewal failed"]);
    assert_eq!(Readiness::default().status(), Status::Pass);
}

#[test]
fn dates() {
    let at = |seconds| crate::health::seconds(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    assert_eq!(at(0), "1970-01-01T00:00:00Z");
    assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
    assert_eq!(at(1_795_220_281), "2026-11-21T00:18:01Z");
}
