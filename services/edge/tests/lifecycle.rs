//! Reload and stop under way: what runs is finished, what is wrong changes nothing.
#![allow(clippy::unwrap_used)]

mod common;

use common::upstream::reply;
use common::{Connection, Edge, Setup, Upstream, binary, get, until, write};
use rustix::process::{Resource, getrlimit, setrlimit};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

fn reload(edge: &Edge) -> (Option<i32>, String) {
    let output = binary().arg("reload").arg("--state").arg(&edge.state).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// However it dies, what it held in memory, keys among it, is written to no file and sent to no program: of a limit of 0 the kernel takes
/// no notice where cores are piped.
#[test]
fn no_core_is_left() {
    let mut limit = getrlimit(Resource::Core);
    limit.current = limit.maximum;
    setrlimit(Resource::Core, limit).unwrap();
    let mut edge = Setup::default().start();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", edge.pid())).unwrap();
    let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().next(), Some("1"), "{core}");
    edge.signal("ABRT");
    let status = edge.wait();
    assert_eq!((status.signal(), status.core_dumped()), (Some(6), false));
}

#[test]
fn a_good_one_is_taken_and_a_bad_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("edge.toml");
    let (one, two) = (Upstream::saying("one"), Upstream::saying("two"));
    let toml = |upstream: &Upstream| format!("upstream = \"{}\"\n", upstream.address);
    write(&file, toml(&one));
    let edge = Setup::default().plain().args(["--config", file.to_str().unwrap()]).start();
    assert_eq!(get(edge.http, "/", &[]).text(), "one");
    let mut kept = Connection::plain(edge.http).unwrap();
    assert_eq!(kept.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").text(), "one");

    write(&file, toml(&two));
    assert_eq!(reload(&edge), (Some(0), String::new()));
    until("the new upstream answers", || get(edge.http, "/", &[]).text() == "two");
    assert_eq!(kept.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").text(), "two", "connections live on");

    write(&file, "upstream = \"nonsense\"\n");
    let (code, text) = reload(&edge);
    assert!(code == Some(1) && text.contains("edge.toml:1: upstream"), "{text}");
    assert_eq!(edge.metric("monodon_edge_config_last_reload_successful"), 0.0);
    assert_eq!(get(edge.http, "/", &[]).text(), "two");
    assert!(edge.admin("/readyz").text().contains("reload was refused"));

    let acme = "domains = [\"shop.example\"]\nacme_email = \"a@shop.example\"\nacme_ca = \"/nothing/here.pem\"\n";
    write(&file, toml(&one) + acme);
    let (code, text) = reload(&edge);
    assert!(code == Some(1) && text.contains("/nothing/here.pem"), "{text}");
    assert_eq!(get(edge.http, "/", &[]).text(), "two", "nothing of it is taken");

    write(&file, format!("{}admin = \"127.0.0.1:1\"\nthreads = 7\n", toml(&one)));
    edge.signal("HUP");
    // The flags win over the file: only what is in force counts as changed.
    until("the upstream is the first again", || get(edge.http, "/", &[]).text() == "one");
    edge.counts("monodon_edge_config_last_reload_successful", 1.0);
    let socket = edge.state.join("control.sock");
    assert_eq!(std::fs::metadata(socket).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn stop_finishes_what_runs() {
    let (release, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let upstream = Upstream::start(move |seen, stream| {
        if seen.path() == "/slow" {
            let _ = wait.lock().unwrap().recv();
        }
        reply(stream, 200, &[], "done")
    });
    let mut edge = Edge::plain(upstream.flag());
    let mut slow = Connection::plain(edge.http).unwrap();
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    until("the slow request is at the application", || !upstream.seen().is_empty());
    let mut idle = Connection::plain(edge.http).unwrap();
    assert_eq!(idle.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
    edge.signal("TERM");
    until("readiness fails", || edge.admin("/readyz").status == 503);
    assert_eq!(edge.admin("/healthz").status, 200);
    until("no new connection is taken", || std::net::TcpStream::connect(edge.http).is_err());
    assert!(idle.is_closed(), "an idle connection is closed");
    release.send(()).unwrap();
    let answer = slow.answer().unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "done"));
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(edge.wait().code(), Some(0));
    let line = edge.access_line(|line| line["path"] == "/slow");
    assert_eq!(line["status"], 200, "the log is complete");
}

#[test]
fn while_the_delay_lasts_work_is_taken() {
    let upstream = Upstream::saying("hello");
    let mut edge = Edge::plain([&upstream.flag()[..], &["--shutdown-delay".into(), "60s".into()]].concat());
    edge.signal("TERM");
    until("readiness fails", || edge.admin("/readyz").status == 503);
    let mut connection = Connection::plain(edge.http).unwrap();
    let answer = connection.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    // Asked twice, it does not wait.
    edge.signal("TERM");
    assert_eq!(edge.wait().code(), Some(0));
}

/// An upstream with an event stream that never ends and a WebSocket that says nothing.
fn endless() -> Upstream {
    use std::io::{Read, Write};
    Upstream::start(|seen, stream| {
        let head = match seen.path() {
            "/events" => "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: one\n\n",
            _ => "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        };
        stream.write_all(head.as_bytes()).unwrap();
        // Until the edge lets go.
        while stream.read(&mut [0; 64]).is_ok_and(|size| size > 0) {}
        false
    })
}

#[test]
fn streams_without_end_are_ended_in_order_and_not_at_once() {
    let upstream = endless();
    let args = ["--close-spread", "2s", "--graceful-timeout", "60s"].map(str::to_owned);
    let mut edge = Edge::plain([&upstream.flag()[..], &args].concat());
    let mut events: Vec<Connection> = Vec::new();
    for _ in 0..8 {
        let mut connection = Connection::plain(edge.http).unwrap();
        connection.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert!(connection.head().unwrap().starts_with("HTTP/1.1 200 "));
        events.push(connection);
    }
    let mut socket = Connection::plain(edge.http).unwrap();
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    assert_eq!(socket.ask(format!("GET /socket HTTP/1.1\r\nHost: a\r\n{upgrade}\r\n")).status, 101);
    edge.signal("TERM");
    let begun = std::time::Instant::now();
    let readers = events.into_iter().map(|mut events| {
        std::thread::spawn(move || (String::from_utf8(events.read_to_end()).unwrap(), begun.elapsed()))
    });
    let ended: Vec<_> = readers.collect::<Vec<_>>().into_iter().map(|reader| reader.join().unwrap()).collect();
    for (text, _) in &ended {
        assert!(text.contains("data: one") && text.ends_with("0\r\n\r\n"), "an end in order: {text:?}");
    }
    let mut moments: Vec<_> = ended.iter().map(|(_, moment)| moment.as_millis() / 20).collect();
    moments.sort_unstable();
    moments.dedup();
    assert!(moments.len() > 1, "not all in one instant: {ended:?}");
    assert!(socket.read_to_end().is_empty(), "the WebSocket is closed, too");
    assert_eq!(edge.wait().code(), Some(0));
    let logged = edge.access_line(|line| line["path"] == "/events");
    assert_eq!((&logged["status"], &logged["complete"]), (&200.into(), &serde_json::Value::Null));
    assert!(!edge.lines().iter().any(|line| line.contains("the grace period is over")), "nothing was cut off");
}
