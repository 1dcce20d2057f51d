use std::sync::Arc;

use super::history::{History, quantile};
use super::merge::{Merged, samples};
use super::probe::Page;
use crate::config::{SCHEMA, Target};

fn page(component: &str, instance: &str, text: &str) -> Page {
    Page { component: component.into(), instance: instance.into(), seconds: 0.001, text: Ok(Arc::from(text)) }
}

#[test]
fn pages_become_one_with_each_family_once() {
    let mut merged = Merged::default();
    let one = "# HELP a_total A\n# TYPE a_total counter\na_total{x=\"1\"} 3\na_total{x=\"2\"} 4 1700000000000\n\
               # HELP h_seconds H\n# TYPE h_seconds histogram\nh_seconds_bucket{le=\"1\"} 1\nh_seconds_bucket{le=\"+Inf\"} 2\n\
               h_seconds_sum 3\nh_seconds_count 2\n";
    let two = "# HELP a_total A\n# TYPE a_total counter\na_total{x=\"1\"} 5\n# HELP b B\n# TYPE b gauge\nb NaN\n";
    merged.add(one, &[("component", "edge"), ("instance", "10.0.0.1:9101")], |_| true).unwrap();
    merged.add(two, &[("component", "worker"), ("instance", "10.0.0.2:9102")], |_| true).unwrap();
    let text = merged.render();
    assert_eq!(text.matches("# TYPE a_total counter").count(), 1);
    assert!(text.contains("a_total{component=\"edge\",instance=\"10.0.0.1:9101\",x=\"2\"} 4\n"), "{text}");
    assert!(text.contains("h_seconds_bucket{component=\"edge\",instance=\"10.0.0.1:9101\",le=\"+Inf\"} 2\n"), "{text}");
    assert!(text.contains("b{component=\"worker\",instance=\"10.0.0.2:9102\"} NaN\n"), "{text}");
    let (h, b) = (text.find("# TYPE h_seconds").unwrap(), text.find("# TYPE b ").unwrap());
    assert!(text[h..].contains("h_seconds_count") && b < h, "families stay together, in order");
}

#[test]
fn labels_that_are_taken_are_exported() {
    let mut merged = Merged::default();
    merged.add("up{instance=\"x\",path=\"a\\\"b\\\\c\\n\"} 1\n", &[("instance", "y")], |_| true).unwrap();
    assert_eq!(merged.render(), "up{instance=\"y\",exported_instance=\"x\",path=\"a\\\"b\\\\c\\n\"} 1\n");
}

#[test]
fn a_broken_page_is_left_out_whole() {
    for broken in [
        "a 1\nb{ 2\n",
        "a 1\na 1\n",
        "a one\n",
        "a{x=1} 1\n",
        "a{x=\"1} 1\n",
        "# TYPE a wonder\na 1\n",
        "<html>busy</html>\n",
        "a 1\n# TYPE a counter\n",
        "a{x=\"\\q\"} 1",
    ] {
        let mut merged = Merged::default();
        merged.add("good 1\n", &[("instance", "1")], |_| true).unwrap();
        assert!(merged.add(broken, &[("instance", "2")], |_| true).is_err(), "{broken}");
        assert_eq!(merged.render(), "good{instance=\"1\"} 1\n", "{broken}");
    }
}

#[test]
fn families_that_are_declared_differently_stay_the_first_ones() {
    let mut merged = Merged::default();
    merged.add("# TYPE a counter\na 1\n", &[("instance", "1")], |_| true).unwrap();
    merged.add("# TYPE a gauge\na 1\n", &[("instance", "2")], |_| true).unwrap();
    assert_eq!(merged.render(), "# TYPE a counter\na{instance=\"1\"} 1\n");
}

#[test]
fn rates_survive_a_restart_and_latency_is_of_the_interval() {
    let text = |ok: u64, bad: u64, fast: u64, slow: u64| {
        format!(
            "monodon_edge_http_requests_total{{code=\"200\"}} {ok}\nmonodon_edge_http_requests_total{{code=\"502\"}} {bad}\n\
             monodon_edge_http_request_duration_seconds_bucket{{le=\"0.1\"}} {fast}\n\
             monodon_edge_http_request_duration_seconds_bucket{{le=\"0.2\"}} {slow}\n\
             monodon_edge_http_request_duration_seconds_bucket{{le=\"+Inf\"}} {slow}\n"
        )
    };
    let mut history = History::default();
    history.add(100.0, &[page("edge", "1", &text(1000, 10, 500, 1010))]);
    assert!(history.points.is_empty(), "one reading has no rate");
    history.add(110.0, &[page("edge", "1", &text(1090, 20, 600, 1110))]);
    let point = *history.points.back().unwrap();
    assert_eq!((point.rate, point.errors), (10.0, Some(0.1)));
    assert!(point.p50.unwrap() <= 0.1 && point.p95.unwrap() <= 0.1);
    history.add(120.0, &[page("edge", "1", &text(50, 0, 25, 50))]);
    assert_eq!(history.points.back().unwrap().rate, 5.0, "a counter that fell began anew");
    // A replica that comes with a history of its own is no burst.
    let pages = [page("edge", "1", &text(50, 0, 25, 50)), page("edge", "2", &text(90_000, 0, 1, 90_000))];
    history.add(130.0, &pages);
    assert_eq!((history.points.back().unwrap().rate, history.points.back().unwrap().errors), (0.0, None));
}

#[test]
fn gauges_are_added_over_replicas() {
    let mut history = History::default();
    let worker = "monodon_worker_processes{state=\"idle\"} 3\nmonodon_worker_processes{state=\"busy\"} 1\nmonodon_worker_slots 4\n";
    let edge = "monodon_edge_certificate_not_after_timestamp_seconds{site=\"a\",issuer=\"acme\"} 500\n\
                monodon_edge_upstream_slots{upstream=\"x\",state=\"busy\"} 2\n";
    let later = edge.replace("500", "400");
    history.add(
        1.0,
        &[page("worker", "1", worker), page("worker", "2", worker), page("edge", "1", edge), page("edge", "2", &later)],
    );
    let gauges = &history.gauges;
    assert_eq!((gauges.processes["idle"], gauges.slots, gauges.slots_busy), (6.0, Some(8.0), Some(4.0)));
    assert_eq!(gauges.certificates[&("a".into(), "acme".into())], 400.0);
}

#[test]
fn quantiles() {
    let buckets = [(0.1, 50.0), (0.2, 100.0), (f64::INFINITY, 100.0)];
    assert!((quantile(&buckets, 0.75).unwrap() - 0.15).abs() < 1e-9);
    assert_eq!(quantile(&[(0.1, 0.0), (f64::INFINITY, 0.0)], 0.5), None);
    assert_eq!(quantile(&[(0.1, 0.0), (f64::INFINITY, 9.0)], 0.5), Some(0.1));
    assert_eq!(quantile(&[], 0.5), None);
}

#[test]
fn targets() {
    let target = Target::read("edge=http://edge:9101/readyz").unwrap();
    assert_eq!(
        (target.name.as_str(), target.host.as_str(), target.port, target.path.as_str()),
        ("edge", "edge", 9101, "/readyz")
    );
    let target = Target::read("w=http://[::1]:9102").unwrap();
    assert_eq!((target.host.as_str(), target.path.as_str()), ("::1", "/readyz"));
    for wrong in ["edge", "=http://x/", "edge=https://x/", "edge=x:9101", "a b=http://x/"] {
        assert!(Target::read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn samples_of_a_page_that_is_half_broken_are_read_anyway() {
    let names: Vec<&str> = samples("# HELP a x\na 1\n<html>\nb{x=\"1\"} 2\n").map(|sample| sample.name).collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn the_settings_and_their_page() {
    assert_eq!(SCHEMA.faults(), Vec::<String>::new());
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/sidecar.md");
    SCHEMA.check_reference(page.as_ref()).unwrap();
}
