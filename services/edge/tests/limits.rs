//! Limits by client and key: requests in a time and at a time, connections and handshakes.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Answer, Connection, Edge, Setup, Upstream, get, until};
use std::sync::{Arc, Condvar, Mutex};

fn edge(upstream: &Upstream, text: &str) -> Edge {
    Setup::default().plain().file(&format!("upstream = ['{}']\n{text}", upstream.address)).start()
}

fn statuses(answers: impl IntoIterator<Item = Answer>) -> Vec<u16> {
    answers.into_iter().map(|answer| answer.status).collect()
}

/// An upstream that answers when it is told.
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn upstream() -> (Self, Upstream) {
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let shared = gate.clone();
        let upstream = Upstream::start(move |seen, stream| {
            if seen.path().starts_with("/slow") {
                let open = shared.0.lock().unwrap();
                drop(shared.1.wait_while(open, |open| !*open).unwrap());
            }
            common::upstream::reply(stream, 200, &[], "hello")
        });
        (Self(gate), upstream)
    }

    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

#[test]
fn a_rate_with_a_burst() {
    let upstream = Upstream::saying("hello");
    let edge = edge(
        &upstream,
        "[limits.api]\nrate = '1/h'\nburst = 2\n[[site]]\n\
         [[site.route]]\npath = '/api/'\nupstream = 'default'\nlimit = 'api'\n",
    );
    let answers: Vec<Answer> = (0..5).map(|_| get(edge.http, "/api/x", &["Accept: application/json"])).collect();
    assert_eq!(statuses(answers.clone()), [200, 200, 200, 429, 429]);
    assert_eq!(answers[0].header("ratelimit"), None, "only where it is asked for");
    let refused = &answers[3];
    let retry: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((3590..=3600).contains(&retry), "{retry}");
    assert_eq!(refused.header("ratelimit-policy"), Some("\"api\";q=3;w=10800"));
    assert!(refused.header("ratelimit").unwrap().starts_with("\"api\";r=0;t=10"), "{refused:?}");
    assert!(refused.text().contains("\"status\":429") && refused.text().contains("Too many requests"));
    assert_eq!(get(edge.http, "/else", &[]).status, 200, "another route");
    assert_eq!(upstream.seen().len(), 4);
    let line = edge.access_line(|line| line["status"] == 429);
    assert_eq!((line["reason"].as_str(), line["route"].as_str()), (Some("rate_limited"), Some("/api/")));
    assert_eq!(edge.metric("monodon_edge_limit_refused_total{limit=\"api\",dry_run=\"false\"}"), 2.0);
    assert_eq!(edge.metric("monodon_edge_limit_keys{limit=\"api\"}"), 1.0);
    assert_eq!(edge.metric("monodon_edge_http_request_errors_total{site=\"_default\",reason=\"rate_limited\"}"), 2.0);
}

#[test]
fn answers_tell_how_much_is_left() {
    let upstream = Upstream::saying("hello");
    let edge = edge(
        &upstream,
        "limit = ['a', 'b']\nlimit_headers = true\n[limits.a]\nrate = '1/h'\nburst = 9\n[limits.b]\nrate = '10/m'\nburst = 3\n",
    );
    let answer = get(edge.http, "/", &[]);
    assert_eq!(answer.header("ratelimit-policy"), Some("\"b\";q=4;w=24"), "the one with least left");
    assert_eq!(answer.header("ratelimit"), Some("\"b\";r=3;t=6"));
    assert_eq!(answer.header("retry-after"), None);
}

#[test]
fn keys() {
    let upstream = Upstream::saying("hello");
    let edge = edge(
        &upstream,
        "[limits.header]\nrate = '1/h'\nkey = 'header:X-Api-Key'\n\
         [limits.cookie]\nrate = '1/h'\nkey = 'cookie:sid'\n\
         [limits.host]\nrate = '1/h'\nkey = ['$host$uri', 'client']\n[[site]]\n\
         [[site.route]]\npath = '/header'\nupstream = 'default'\nlimit = 'header'\n\
         [[site.route]]\npath = '/cookie'\nupstream = 'default'\nlimit = 'cookie'\n\
         [[site.route]]\npath = '/host'\nupstream = 'default'\nlimit = 'host'\n",
    );
    for (path, field, status) in [
        ("/header", "X-Api-Key: a", 200),
        ("/header", "X-Api-Key: a", 429),
        ("/header", "X-Api-Key: b", 200),
        // Nothing to count by.
        ("/header", "X: y", 200),
        ("/header", "X: y", 200),
        ("/cookie", "Cookie: a=b; sid=1", 200),
        ("/cookie", "Cookie: sid=1; a=c", 429),
        ("/cookie", "Cookie: sid=2", 200),
        ("/cookie", "Cookie: xsid=1", 200),
        ("/host", "Host: a", 200),
        ("/host", "Host: A:80", 429),
        ("/host/x", "Host: a", 200),
        // The path that everything is decided by.
        ("/host/%78", "Host: a", 429),
        ("/host", "Host: b", 200),
    ] {
        assert_eq!(get(edge.http, path, &[field]).status, status, "{path} {field}");
    }
}

/// The client is who a trusted proxy says it is; IPv6 clients are counted by network.
#[test]
fn clients_behind_a_proxy() {
    let upstream = Upstream::saying("hello");
    let edge = edge(
        &upstream,
        "trusted_proxies = ['127.0.0.1']\nlimit_exempt = ['192.0.2.0/24']\nlimit = 'a'\n[limits.a]\nrate = '1/h'\n",
    );
    for (client, status) in [
        ("198.51.100.1", 200),
        ("198.51.100.1", 429),
        ("6.6.6.6, 198.51.100.1", 429),
        ("198.51.100.2", 200),
        ("::ffff:198.51.100.2", 429),
        ("2001:db8:0:1::1", 200),
        ("2001:db8:0:1:ffff::2", 429),
        ("2001:db8:0:2::1", 200),
        ("192.0.2.9", 200),
        ("192.0.2.9", 200),
    ] {
        assert_eq!(get(edge.http, "/", &[&format!("X-Forwarded-For: {client}")]).status, status, "{client}");
    }
}

#[test]
fn an_ipv6_client_is_as_large_as_is_said() {
    let upstream = Upstream::saying("hello");
    let [first, near, far, farther] = ["2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:2::1", "2001:db8:1::1"];
    for (prefix, passes) in
        [("48", [first, farther].as_slice()), ("64", &[first, far, farther]), ("128", &[first, near, far, farther])]
    {
        let edge = edge(
            &upstream,
            &format!(
                "trusted_proxies = ['127.0.0.1']\nlimit_ipv6_prefix = {prefix}\nlimit = 'a'\n[limits.a]\nrate = '1/h'\n"
            ),
        );
        for client in [first, near, far, farther, "192.0.2.1", "192.0.2.2"] {
            let status = if passes.contains(&client) || client.contains('.') { 200 } else { 429 };
            assert_eq!(
                get(edge.http, "/", &[&format!("X-Forwarded-For: {client}")]).status,
                status,
                "/{prefix}: {client}"
            );
        }
    }
}

#[test]
fn a_dry_run_only_counts() {
    let upstream = Upstream::saying("hello");
    let edge = edge(&upstream, "limit = 'a'\n[limits.a]\nrate = '1/h'\ndry_run = true\n");
    assert_eq!(statuses((0..3).map(|_| get(edge.http, "/", &[]))), [200, 200, 200]);
    assert_eq!(edge.metric("monodon_edge_limit_refused_total{limit=\"a\",dry_run=\"true\"}"), 2.0);
}

#[test]
fn counts_outlive_a_reload_and_are_all_threads() {
    let upstream = Upstream::saying("hello");
    let text = |rate: &str| {
        format!("upstream = ['{}']\nlimit = 'a'\n[limits.a]\nrate = '{rate}'\nburst = 9\n", upstream.address)
    };
    let edge = Setup::default().plain().args(["--threads", "2"]).file(&text("1/h")).start();
    let passed = |edge: &Edge| (0..20).filter(|_| get(edge.http, "/", &[]).status == 200).count();
    assert_eq!(passed(&edge), 10);
    edge.rewrite(&(text("1/h") + "[[site]]\n[[site.route]]\nexact = '/new'\nstatus = 204\nlimit = []\n"));
    edge.signal("HUP");
    until("the reload", || get(edge.http, "/new", &[]).status == 204);
    assert_eq!(passed(&edge), 0, "what has been counted stays");
    edge.rewrite(&text("2/h"));
    edge.signal("HUP");
    until("the new limit", || get(edge.http, "/", &[]).status == 200);
}

#[test]
fn requests_at_a_time() {
    let (gate, upstream) = Gate::upstream();
    let edge = edge(
        &upstream,
        "[limits.slow]\nrequests = 2\n[[site]]\nrequests_per_client = 3\n\
         [[site.route]]\npath = '/slow'\nupstream = 'default'\nlimit = 'slow'\n\
         [[site.route]]\npath = '/'\nupstream = 'default'\n\
         [[site.route]]\npath = '/free'\nupstream = 'default'\nrequests_per_client = 0\n",
    );
    let ask = |path: &str| {
        let mut connection = Connection::plain(edge.http).unwrap();
        connection.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap();
        connection
    };
    let mut held = vec![ask("/slow"), ask("/slow")];
    until("two are at the upstream", || upstream.seen().len() == 2);
    let mut third = ask("/slow");
    let refused = third.answer().unwrap();
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
    assert_eq!(edge.access_line(|line| line["status"] == 429)["reason"], "too_many_at_a_time");
    assert_eq!(get(edge.http, "/", &[]).status, 200, "the third of this client");
    assert_eq!(get(edge.http, "/free", &[]).status, 200);
    // One that is refused by the route's limit is not counted among the client's.
    assert_eq!(get(edge.http, "/slow", &[]).status, 429);
    assert_eq!(get(edge.http, "/", &[]).status, 200);
    gate.open();
    for connection in &mut held {
        assert_eq!(connection.answer().unwrap().status, 200);
    }
    until("their places are free", || get(edge.http, "/slow", &[]).status == 200);
    assert_eq!(edge.metric("monodon_edge_limit_refused_total{limit=\"slow\",dry_run=\"false\"}"), 2.0);
}

/// `try_files` sends a request on to another route: no limit counts it twice, and all give back what they counted.
#[test]
fn a_request_that_is_sent_on_within_the_site_counts_once() {
    let upstream = Upstream::saying("hello");
    let folder = tempfile::tempdir().unwrap();
    let edge = edge(
        &upstream,
        &format!(
            "limit = ['rate', 'many']\nlimit_headers = true\n[limits.rate]\nrate = '1/h'\nburst = 9\n[limits.many]\nrequests = 1\n\
             [[site]]\nrequests_per_client = 1\n\
             [[site.route]]\npath = '/files/'\nfiles = '{}'\ntry_files = ['$uri', '/app']\n\
             [[site.route]]\npath = '/app'\nupstream = 'default'\n",
            folder.path().display()
        ),
    );
    for left in (0..10).rev() {
        let mut answer = get(edge.http, "/files/none", &[]);
        // The answer before may have been read before it has ended here.
        until("its place is free", || {
            let busy = answer.status == 429 && answer.header("retry-after") == Some("1");
            if busy {
                answer = get(edge.http, "/files/none", &[]);
            }
            !busy
        });
        assert_eq!(answer.status, 200, "{left}");
        assert!(answer.header("ratelimit").unwrap().contains(&format!(";r={left};")), "{answer:?}");
    }
    assert_eq!(get(edge.http, "/files/none", &[]).status, 429);
}

/// However many limits there are.
#[test]
fn the_seventieth_limit_counts_it_once_too() {
    use std::fmt::Write;
    let upstream = Upstream::saying("hello");
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..70).map(|place| format!("z{place}")).collect();
    let mut text = format!("limit = {names:?}\n");
    for name in &names {
        writeln!(text, "[limits.{name}]\nrate = '1/h'\nkeys = 64").unwrap();
    }
    let routes = format!(
        "[[site]]\n[[site.route]]\npath = '/files/'\nfiles = '{}'\ntry_files = ['$uri', '/app']\n\
         [[site.route]]\npath = '/app'\nupstream = 'default'\n",
        folder.path().display()
    );
    let edge = edge(&upstream, &(text + &routes));
    let statuses = [(); 2].map(|()| get(edge.http, "/files/none", &[]).status);
    assert_eq!(statuses, [200, 429]);
}

/// Held until the answer has ended: a client that does not read is still counted, one that leaves is not.
#[test]
fn a_request_counts_until_its_answer_has_ended() {
    let upstream = Upstream::start(|seen, stream| {
        let size = if seen.path() == "/big" { 64 << 20 } else { 5 };
        common::upstream::reply(stream, 200, &[], vec![b'x'; size])
    });
    let edge = edge(&upstream, "requests_per_client = 1\n");
    let mut reader = Connection::plain(edge.http).unwrap();
    reader.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(reader.head().unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(get(edge.http, "/", &[]).status, 429);
    drop(reader);
    until("it is not counted any more", || get(edge.http, "/", &[]).status == 200);
}

/// Its answer is over at once; what was asked for is not.
#[test]
fn a_websocket_counts_until_it_is_closed() {
    use std::io::{Read, Write};
    let upstream = Upstream::start(|seen, stream| {
        if seen.path() != "/socket" {
            return common::upstream::reply(stream, 200, &[], "hello");
        }
        let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        while stream.read(&mut [0; 64]).is_ok_and(|size| size > 0) {}
        false
    });
    let edge = edge(
        &upstream,
        "[limits.sockets]\nrequests = 1\n[[site]]\nrequests_per_client = 2\n\
         [[site.route]]\npath = '/socket'\nupstream = 'default'\nlimit = 'sockets'\n",
    );
    let ask = || {
        let mut socket = Connection::plain(edge.http).unwrap();
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let status = socket.ask(format!("GET /socket HTTP/1.1\r\nHost: a\r\n{upgrade}\r\n")).status;
        (status, socket)
    };
    let (status, first) = ask();
    assert_eq!(status, 101);
    edge.access_line(|line| line["status"] == 101);
    assert_eq!(ask().0, 429);
    until("the second of this client", || get(edge.http, "/", &[]).status == 200);
    drop(first);
    until("it is not counted any more", || ask().0 == 101);
}

#[test]
fn connections_of_one_client() {
    let upstream = Upstream::saying("hello");
    let edge = edge(&upstream, "connections_per_client = 2\n");
    let ask = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut held: Vec<Connection> = (0..2).map(|_| Connection::plain(edge.http).unwrap()).collect();
    for connection in &mut held {
        assert_eq!(connection.ask(ask).status, 200);
    }
    let refused = Connection::plain(edge.http).unwrap().ask(ask);
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
    assert_eq!(edge.metric("monodon_edge_connections_rejected_total{reason=\"client_limit\"}"), 1.0);
    assert_eq!(held.pop().unwrap().ask(ask).status, 200);
    until("there is room again", || {
        let mut connection = Connection::plain(edge.http).unwrap();
        connection.send(ask).is_ok() && connection.answer().is_ok_and(|answer| answer.status == 200)
    });
}

#[test]
fn handshakes_of_one_client() {
    let upstream = Upstream::saying("hello");
    let edge = Setup::default()
        .args(upstream.flag())
        .args(["--handshakes-per-client", "2", "--connections-per-client", "3"])
        .start();
    let ca = edge.ca();
    let silent: Vec<Connection> = (0..2).map(|_| Connection::plain(edge.https).unwrap()).collect();
    until("both shake hands", || Connection::tls(edge.https, &ca, "localhost", &["http/1.1"]).is_err());
    assert!(edge.metric("monodon_edge_connections_rejected_total{reason=\"client_handshakes\"}") >= 1.0);
    drop(silent);
    let mut held = Vec::new();
    until("three connections", || {
        held.extend(Connection::tls(edge.https, &ca, "localhost", &["http/1.1"]).ok());
        held.len() == 3
    });
    assert!(Connection::tls(edge.https, &ca, "localhost", &["http/1.1"]).is_err(), "the fourth is closed");
    assert_eq!(held[0].ask("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 200);
}

#[test]
fn handshakes_in_a_time() {
    let upstream = Upstream::saying("hello");
    let edge = Setup::default().args(upstream.flag()).args(["--handshake-rate", "1/h"]).start();
    let ca = edge.ca();
    let count = (0..30).filter(|_| Connection::tls(edge.https, &ca, "localhost", &["http/1.1"]).is_ok()).count();
    assert_eq!(count, 21);
}
