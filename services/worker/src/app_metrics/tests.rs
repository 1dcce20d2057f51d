use std::fs;

use super::file::Value;
use super::kind::Mode;
use super::*;

const COUNTER: &str = r#"["hits", "hits_total", {"page": "a"}, "Hits"]"#;

fn metrics() -> (tempfile::TempDir, AppMetrics) {
    let base = tempfile::tempdir().unwrap();
    let mut place = Place::of_the_user(base.path().join("files")).unwrap();
    place.tag.clear();
    (base, AppMetrics::at(place))
}

fn put(metrics: &AppMetrics, kind: Kind, process: &str, values: &[(&str, f64)]) {
    let values = values.iter().map(|&(key, value)| Value { key, value, timestamp: 0.0 });
    fs::write(metrics.folder().join(kind.file(process)), file::write(values)).unwrap();
}

fn page(metrics: &AppMetrics) -> String {
    let mut page = "# TYPE process_open_fds gauge\nprocess_open_fds 7\n".to_owned();
    metrics.render(&mut page);
    page
}

fn has(page: &str, line: &str) -> bool {
    page.lines().any(|found| found == line)
}

#[test]
fn counters_outlive_their_process_and_the_next_one_goes_on_with_them() {
    let (_base, metrics) = metrics();
    put(&metrics, Kind::Counter, "w0", &[(COUNTER, 2.0)]);
    put(&metrics, Kind::Counter, "w1", &[(COUNTER, 3.0)]);
    let line = r#"hits_total{page="a"} 5.0"#;
    assert!(has(&page(&metrics), line));
    metrics.left("w0");
    let page = page(&metrics);
    assert!(has(&page, line), "{page}");
    assert!(has(&page, "# TYPE hits_total counter"));
    assert!(metrics.folder().join("counter_w0.db").exists());
}

#[test]
fn a_dead_processs_gauges_go_or_count_on_as_their_mode_says() {
    let (_base, metrics) = metrics();
    for (mode, live) in Kind::each().filter_map(|kind| match kind {
        Kind::Gauge { mode, live } => Some((mode, live)),
        _ => None,
    }) {
        let kind = Kind::Gauge { mode, live };
        let file = kind.file("w0");
        let name = file.trim_start_matches("gauge_").trim_end_matches("_w0.db");
        let key = format!(r#"["{name}", "{name}", {{}}, "A gauge"]"#);
        let value = |value| Value { key: &key, value, timestamp: value };
        for (process, number) in [("w0", 1.0), ("w1", 3.0)] {
            fs::write(metrics.folder().join(kind.file(process)), file::write(std::iter::once(value(number)))).unwrap();
        }
    }
    let expect = |lines: &[&str]| {
        let page = page(&metrics);
        let found: Vec<&str> = page.lines().filter(|line| !line.contains("monodon_") && !line.contains('#')).collect();
        assert_eq!(found, [&["process_open_fds 7"], lines].concat());
    };
    expect(&[
        r#"all{pid="w0"} 1.0"#,
        r#"all{pid="w1"} 3.0"#,
        r#"liveall{pid="w0"} 1.0"#,
        r#"liveall{pid="w1"} 3.0"#,
        "livemax 3.0",
        "livemin 1.0",
        "livemostrecent 3.0",
        "livesum 4.0",
        "max 3.0",
        "min 1.0",
        "mostrecent 3.0",
        "sum 4.0",
    ]);
    metrics.left("w0");
    let afterwards = [
        r#"all{pid="w1"} 3.0"#,
        r#"liveall{pid="w1"} 3.0"#,
        "livemax 3.0",
        "livemin 3.0",
        "livemostrecent 3.0",
        "livesum 3.0",
        "max 3.0",
        "min 1.0",
        "mostrecent 3.0",
        "sum 4.0",
    ];
    expect(&afterwards);
    // Nobody new has come: there is nothing more to archive.
    metrics.left("w0");
    expect(&afterwards);
    metrics.left("w1");
    expect(&["max 3.0", "min 1.0", "mostrecent 3.0", "sum 4.0"]);
}

#[test]
fn a_broken_file_is_counted_and_the_rest_is_shown() {
    let (_base, metrics) = metrics();
    put(&metrics, Kind::Counter, "w0", &[(COUNTER, 2.0)]);
    fs::write(metrics.folder().join("counter_w1.db"), b"\xff\xff\xff\x7f and more").unwrap();
    fs::write(metrics.folder().join("gauge_all_w1.db"), b"\x30").unwrap();
    for times in [2, 4] {
        let page = page(&metrics);
        assert!(has(&page, r#"hits_total{page="a"} 2.0"#));
        assert!(has(&page, &format!("monodon_worker_app_metrics_file_errors_total {times}")), "{page}");
    }
    // The next process must be able to open its files.
    metrics.left("w1");
    assert!(!metrics.folder().join("counter_w1.db").exists());
    assert!(has(&page(&metrics), "monodon_worker_app_metrics_file_errors_total 6"));
}

#[test]
fn files_of_a_pid_are_archived_when_it_is_gone() {
    let base = tempfile::tempdir().unwrap();
    let (_own, mut metrics) = metrics();
    metrics.place = Place::of_our_own().unwrap();
    let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let pid = child.id().to_string();
    let live = Kind::Gauge { mode: Mode::Sum, live: true };
    put(&metrics, Kind::Counter, &pid, &[(COUNTER, 2.0)]);
    put(&metrics, live, &pid, &[(r#"["busy", "busy", {}, ""]"#, 1.0)]);
    metrics.sweep();
    assert!(metrics.folder().join(Kind::Counter.file(&pid)).exists());
    child.kill().unwrap();
    child.wait().unwrap();
    metrics.sweep();
    let page = page(&metrics);
    assert!(has(&page, r#"hits_total{page="a"} 2.0"#), "{page}");
    assert!(!page.contains("busy"));
    let names = files_in(metrics.folder());
    assert_eq!(names, ["counter_archive.db"]);
    metrics.end();
    assert!(!metrics.folder().exists());
    drop(base);
}
