//! Adding up over shards, bounds on series.

use super::*;
use std::sync::Arc;
use std::time::Duration;

fn text(shards: &[Arc<Shard>], sites: &[String]) -> String {
    let mut out = String::new();
    let process = Process { sites, reload_successful: true, reload_timestamp: 1_700_000_000, ..Process::default() };
    render(shards, &process, &mut out);
    out
}

#[test]
fn shards_add_up() {
    let shards = [Arc::new(Shard::default()), Arc::new(Shard::default())];
    for shard in &shards {
        shard.request(1, &Method::GET, 200, 2);
        shard.error(0, Reason::NoSite);
        shard.site(1).unwrap().seconds[1].observe(Duration::from_micros(700));
    }
    let text = text(&shards, &["shop.example".to_owned()]);
    for line in [
        r#"monodon_edge_http_requests_total{site="shop.example",method="GET",code="200",protocol="h2"} 2"#,
        r#"monodon_edge_http_request_errors_total{site="_other",reason="no_site"} 2"#,
        r#"monodon_edge_http_request_duration_seconds_bucket{site="shop.example",code_class="2xx",le="0.0005"} 0"#,
        r#"monodon_edge_http_request_duration_seconds_bucket{site="shop.example",code_class="2xx",le="0.001"} 2"#,
        r#"monodon_edge_http_request_duration_seconds_count{site="shop.example",code_class="2xx"} 2"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[test]
fn methods_and_statuses_of_clients_cannot_make_series() {
    let shard = Arc::new(Shard::default());
    for index in 0..2000 {
        shard.request(0, &Method::from_bytes(format!("M{index}").as_bytes()).unwrap(), 405, 1);
    }
    assert_eq!(shard.requests.entries().count(), 1);
    let table = Table::<8>::default();
    (0..20).for_each(|key| table.add(key, 1));
    assert_eq!(table.entries().count(), 8);
    assert_eq!(table.dropped.get(), 12);
}

/// A name may be anything.
#[test]
fn names_are_escaped_and_routes_bounded() {
    use crate::config::{Route, Site};
    let routes = |range: std::ops::Range<usize>| {
        let route = |index: usize| Route { name: format!("a\"{index}\\"), ..Route::default() };
        [Site { name: Some("s\"\n".into()), routes: range.map(route).collect(), ..Site::default() }]
    };
    let first = crate::router::Router::new(&routes(0..2), None);
    let router = crate::router::Router::new(&routes(1..200), Some(&first));
    let entry = router.site("any").unwrap();
    assert_eq!(router.index(entry, 0), 2, "an index keeps its meaning");
    assert_eq!((router.index(entry, 62), router.index(entry, 63)), (64, 0), "the rest is together");
    let shard = Arc::new(Shard::default());
    for place in 0..199 {
        shard.route(router.index(entry, place), 200, Duration::from_micros(700));
    }
    let mut out = String::new();
    let process = Process { sites: &router.names, routes: &router.route_names, ..Process::default() };
    render(&[shard], &process, &mut out);
    let lines = out.lines().filter(|line| line.starts_with("monodon_edge_route_requests_total{"));
    assert_eq!(lines.count(), 64);
    for line in [
        r#"monodon_edge_route_requests_total{site="s\"\n",route="a\"1\\",code_class="2xx"} 1"#,
        r#"monodon_edge_route_requests_total{site="_other",route="_other",code_class="2xx"} 136"#,
        r#"monodon_edge_route_duration_seconds_count{site="_other",route="_other"} 136"#,
    ] {
        assert!(out.lines().any(|found| found == line), "{line} is not in\n{out}");
    }
}
