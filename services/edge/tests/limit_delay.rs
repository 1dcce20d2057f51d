//! `delay` of `[limits]`: requests that come before their turn wait for it, as with nginx's `limit_req`.
#![allow(clippy::unwrap_used)]

mod common;

use common::frames::{self, Frames};
use common::{Connection, Edge, Setup, Upstream, get, until};

const ASK: &str = "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n";

/// An hour from one request to the next: who waits here is still waiting when the test looks.
fn edge(upstream: &Upstream, more: &str) -> Edge {
    Setup::default()
        .plain()
        .file(&format!(
            "upstream = ['{}']\nlimit = 'slow'\n{more}\n[limits.slow]\nrate = '1/h'\nburst = 3\ndelay = 1\n",
            upstream.address
        ))
        .start()
}

fn asking(edge: &Edge) -> Connection {
    let mut connection = Connection::plain(edge.http).unwrap();
    connection.send(ASK).unwrap();
    connection
}

fn waiting(edge: &Edge) -> f64 {
    edge.metric("monodon_edge_limit_waiting{limit=\"slow\"}")
}

#[test]
fn those_beyond_the_delay_wait_and_those_beyond_the_burst_are_refused() {
    let upstream = Upstream::saying("hello");
    let edge = edge(&upstream, "");
    assert_eq!(asking(&edge).answer().unwrap().status, 200, "the rate's own");
    assert_eq!(asking(&edge).answer().unwrap().status, 200, "of the burst, at once");
    let first = asking(&edge);
    until("one waits", || waiting(&edge) == 1.0);
    let second = asking(&edge);
    until("two wait", || waiting(&edge) == 2.0);
    let refused = asking(&edge).answer().unwrap();
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after").unwrap().parse::<u32>().unwrap() > 3000);
    assert_eq!(edge.metric("monodon_edge_limit_delayed_total{limit=\"slow\"}"), 2.0);
    assert_eq!(edge.metric("monodon_edge_limit_refused_total{limit=\"slow\",dry_run=\"false\"}"), 1.0);
    assert_eq!(upstream.seen().len(), 2, "who waits takes no slot");
    // Whoever leaves is waited for no longer, and logged as one who left.
    drop(first);
    until("one has left", || waiting(&edge) == 1.0);
    assert_eq!(edge.access_line(|line| line["status"] == 499)["reason"], "client_closed");
    drop(second);
    until("both have left", || waiting(&edge) == 0.0);
}

#[test]
fn whoever_has_waited_is_answered() {
    let upstream = Upstream::saying("hello");
    let edge = Setup::default()
        .plain()
        .file(&format!(
            "upstream = ['{}']\nlimit = 'slow'\n[limits.slow]\nrate = '1/2s'\nburst = 3\ndelay = 0\n",
            upstream.address
        ))
        .start();
    let mut asked = [asking(&edge), asking(&edge)];
    until("one waits", || waiting(&edge) == 1.0);
    assert_eq!(asked.each_mut().map(|connection| connection.answer().unwrap().status), [200, 200]);
    assert_eq!(waiting(&edge), 0.0);
}

/// They hold what they are counted by: their connection, and their place among the client's requests.
#[test]
fn those_that_wait_count_as_requests_of_their_client() {
    let upstream = Upstream::saying("hello");
    let edge = edge(&upstream, "requests_per_client = 2");
    let ask = || {
        let mut answer = get(edge.http, "/", &[]);
        until("the one before is not counted any more", || {
            let busy = answer.status == 429 && answer.header("retry-after") == Some("1");
            if busy {
                answer = get(edge.http, "/", &[]);
            }
            !busy
        });
        answer.status
    };
    assert_eq!([ask(), ask()], [200, 200]);
    let held = [asking(&edge), asking(&edge)];
    until("two wait", || waiting(&edge) == 2.0);
    let refused = get(edge.http, "/", &[]);
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")), "too many at a time");
    drop(held);
    until("they count no longer", || get(edge.http, "/", &[]).header("retry-after") != Some("1"));
}

/// Nobody is kept waiting for an answer that would come too late.
#[test]
fn a_turn_after_the_requests_time_is_none() {
    let upstream = Upstream::saying("hello");
    let edge = edge(&upstream, "request_timeout = '10m'");
    assert_eq!([200, 200], [(); 2].map(|()| get(edge.http, "/", &[]).status));
    let refused = get(edge.http, "/", &[]);
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after").unwrap().parse::<u32>().unwrap() > 3000);
    assert_eq!(waiting(&edge), 0.0);
}

#[test]
fn a_dry_run_delays_nobody() {
    let upstream = Upstream::saying("hello");
    let edge = Setup::default()
        .plain()
        .file(&format!(
            "upstream = ['{}']\nlimit = 'slow'\naccess_log_format = '$status $limit_req_status'\n\
             [limits.slow]\nrate = '1/h'\nburst = 1\ndelay = 0\ndry_run = true\n",
            upstream.address
        ))
        .start();
    for status in ["200 PASSED", "200 DELAYED_DRY_RUN", "200 REJECTED_DRY_RUN"] {
        assert_eq!(get(edge.http, "/", &[]).status, 200);
        until(status, || edge.lines().iter().any(|line| line == status));
    }
}

/// A stream that its client resets leaves its place as a closed connection does.
#[test]
fn a_stream_that_is_reset_waits_no_longer() {
    let upstream = Upstream::saying("hello");
    let edge = Setup::default()
        .file(&format!(
            "upstream = ['{}']\nlimit = 'slow'\n[limits.slow]\nrate = '1/h'\nburst = 3\ndelay = 0\n",
            upstream.address
        ))
        .start();
    let mut client = Frames::open(&edge, &edge.ca());
    let head = frames::block(&frames::GET);
    assert_eq!(client.ask(1, &head), 200);
    for stream in [3, 5] {
        client.write(frames::HEADERS, frames::WHOLE, stream, &head);
    }
    until("two wait", || waiting(&edge) == 2.0);
    client.write(frames::RST_STREAM, 0, 3, &frames::CANCEL.to_be_bytes());
    until("one has left", || waiting(&edge) == 1.0);
    drop(client);
    until("both have left", || waiting(&edge) == 0.0);
}
