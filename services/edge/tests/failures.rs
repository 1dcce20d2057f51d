//! Servers that fail, by the words of `edge.toml`: what is a failure, when it leaves a server out and for how long, and how often a
//! request is sent again.
#![allow(clippy::unwrap_used)]

mod common;

use common::upstream::reply;
use common::{Edge, Setup, Upstream, get, until};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// An edge whose one upstream is `node`.
fn edge(servers: &[String], settings: &str) -> Edge {
    Setup::default()
        .plain()
        .file(&format!(
            "[upstreams.node]\nservers = {servers:?}\nbalance = 'round_robin'\n{settings}\n\
             [[site]]\n[[site.route]]\npath = '/'\nupstream = 'node'\n"
        ))
        .start()
}

fn series(edge: &Edge, family: &str, upstream: &Upstream, more: &str) -> f64 {
    edge.metric(&format!("monodon_edge_upstream_{family}{{upstream=\"node\",address=\"{}\"{more}}}", upstream.address))
}

fn is(edge: &Edge, upstream: &Upstream, state: &str) -> bool {
    series(edge, "state", upstream, &format!(",state=\"{state}\"")) == 1.0
}

/// 503 while it is ill.
fn moody() -> (Upstream, Arc<AtomicBool>) {
    let ill = Arc::new(AtomicBool::new(true));
    let is_ill = ill.clone();
    let upstream = Upstream::start(move |_, stream| {
        let (status, body) = if is_ill.load(Ordering::SeqCst) { (503, "ill") } else { (200, "cured") };
        reply(stream, status, &[], body)
    });
    (upstream, ill)
}

/// Of thirty requests in turn over three servers, so many reach the one that always says 503.
#[test]
fn after_so_many_failures_a_server_is_left_out() {
    for (word, settings, reached) in [
        ("", "", 10),
        ("", "fail_on = ['http_503', 'http_500']", 5),
        ("", "fail_on = ['http_500', 'http_502', 'http_504', 'http_429', 'error']", 10),
        ("", "fail_on = ['http_503']\nmax_fails = 2", 2),
        ("", "fail_on = ['http_503']\nmax_fails = 0", 10),
        (" max_fails=3", "fail_on = ['http_503']\nmax_fails = 1", 3),
        (" max_fails=0", "fail_on = ['http_503']", 10),
        // One of three is more than a fifth of all.
        ("", "fail_on = ['http_503']\nmax_fails = 1\npanic_threshold = 20", 10),
        ("", "fail_on = ['http_503']\nmax_fails = 1\npanic_threshold = 34", 1),
    ] {
        let (ill, others) = (moody().0, [Upstream::saying("well"), Upstream::saying("well")]);
        let [one, other] = others.each_ref().map(|upstream| upstream.address.to_string());
        let servers = [format!("{}{word}", ill.address), one, other];
        let edge = edge(&servers, &format!("fail_timeout = '5m'\n{settings}"));
        for _ in 0..30 {
            get(edge.http, "/", &[]);
        }
        assert_eq!(ill.seen().len(), reached, "{word} {settings}");
        assert_eq!(is(&edge, &ill, "ejected"), reached < 10 || settings.contains("= 20"), "{word} {settings}");
    }
}

/// Where all fail none is left out; unless that is allowed, and then they are the only ones there are.
#[test]
fn where_all_fail_the_threshold_says_what_is_told() {
    for (threshold, panics) in [(50, 1.0), (100, 0.0)] {
        let upstreams = [moody().0, moody().0];
        let servers = upstreams.each_ref().map(|upstream| upstream.address.to_string());
        let settings =
            format!("fail_timeout = '5m'\nfail_on = ['http_503']\nmax_fails = 1\npanic_threshold = {threshold}");
        let edge = edge(&servers, &settings);
        for _ in 0..10 {
            assert_eq!(get(edge.http, "/", &[]).text(), "ill");
        }
        assert_eq!(upstreams.each_ref().map(|upstream| upstream.seen().len()), [5, 5]);
        assert_eq!(edge.metric("monodon_edge_upstream_panic{upstream=\"node\"}"), panics);
    }
}

/// Each time for twice as long. By the default of ten seconds the third time would be long past the test's patience, and one that is left
/// out for minutes does not come back meanwhile.
#[test]
fn who_is_left_out_comes_back_after_his_fail_timeout() {
    let ((short, is_ill), (long, _)) = (moody(), moody());
    let well = [(); 3].map(|()| Upstream::saying("well"));
    let [a, b, c] = well.each_ref().map(|upstream| upstream.address.to_string());
    let servers = [short.address.to_string(), format!("{} fail_timeout=5m", long.address), a, b, c];
    let edge = edge(&servers, "fail_timeout = '300ms'\nfail_on = ['http_503']\nmax_fails = 1");
    for _ in 0..3 {
        let times = series(&edge, "ejections", &short, "");
        is_ill.store(true, Ordering::SeqCst);
        until("it is left out", || {
            get(edge.http, "/", &[]);
            series(&edge, "ejections", &short, "") > times
        });
        is_ill.store(false, Ordering::SeqCst);
        until("it is back", || get(edge.http, "/", &[]).text() == "cured");
    }
    assert!(is(&edge, &long, "ejected"));
    assert_eq!(long.seen().len(), 1);
}

/// What each kind of failure is called, and that no other word means it.
#[test]
fn a_failure_is_what_fail_on_says() {
    let words = ["error", "timeout", "invalid_header", "http_503"];
    let ill = || {
        Upstream::start(|seen, stream| match seen.path().rsplit('/').next().unwrap() {
            "error" => false,
            "timeout" => {
                // Nothing comes until the edge lets go.
                std::io::copy(stream, &mut std::io::sink()).is_err()
            }
            "invalid_header" => stream.write_all(b"HTTP/1.1 200 OK\r\nno field\r\n\r\n").is_err(),
            "http_503" => reply(stream, 503, &[], ""),
            _ => reply(stream, 200, &[], "known"),
        })
    };
    let cases: Vec<_> = words.iter().flat_map(|word| words.iter().map(move |kind| (word, kind, ill()))).collect();
    let well = Upstream::saying("well");
    let mut text =
        "retries = 0\nfirst_byte_timeout = '2s'\nmax_fails = 1\nfail_timeout = '5m'\nbalance = 'round_robin'\n"
            .to_owned();
    for (number, (word, _, ill)) in cases.iter().enumerate() {
        let servers = [ill.address.to_string(), well.address.to_string()];
        text += &format!("[upstreams.u{number}]\nservers = {servers:?}\nfail_on = ['{word}']\n");
    }
    text += "[[site]]\n";
    for number in 0..cases.len() {
        text += &format!("[[site.route]]\npath = '/{number}/'\nupstream = 'u{number}'\n");
    }
    let edge = Setup::default().plain().file(&text).start();
    std::thread::scope(|scope| {
        for (number, (word, kind, ill)) in cases.iter().enumerate() {
            let http = edge.http;
            scope.spawn(move || {
                // Both are known, and each gets two of four, unless it is left out after the first.
                for last in ["known", "known", **kind, kind, kind, kind] {
                    get(http, &format!("/{number}/{last}"), &[]);
                }
                let reached = ill.seen().iter().filter(|seen| seen.path().ends_with(**kind)).count();
                assert_eq!(reached, if word == kind { 1 } else { 2 }, "fail_on {word}: {kind}");
            });
        }
    });
}

/// How often a server that breaks off saw each of forty requests, in all.
fn sent(settings: &str) -> usize {
    let upstream = Upstream::start(|seen, stream| seen.path() == "/" && reply(stream, 200, &[], "known"));
    let edge = edge(&[upstream.address.to_string()], settings);
    assert_eq!(get(edge.http, "/", &[]).text(), "known");
    for _ in 0..40 {
        assert_eq!(get(edge.http, "/die", &[]).status, 502);
    }
    upstream.seen().len() - 1
}

#[test]
fn retries_have_a_number_and_a_budget() {
    assert_eq!(sent("retries = 0"), 40);
    assert_eq!(sent("retry_budget = 0"), 40);
    assert_eq!(sent("retry_budget = 100"), 80);
    // Ten may come at once; then one in ten requests, which is the default, or one in two.
    let (tenth, half) = (sent(""), sent("retry_budget = 50"));
    assert!((50..=54).contains(&tenth), "{tenth}");
    assert!((60..=71).contains(&half), "{half}");
    // With three for each request the same budget is spent: one for each, and the ten.
    let thrice = sent("retries = 3\nretry_budget = 100");
    assert!((89..=91).contains(&thrice), "{thrice}");
}
