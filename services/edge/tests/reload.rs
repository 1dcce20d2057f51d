//! Reload while there is work: addresses come and go, connections stay.
#![allow(clippy::unwrap_used)]

mod common;

use common::upstream::reply;
use common::{Connection, Edge, Setup, Upstream, binary, client, free_port, get, until, write};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

fn reload(edge: &Edge) -> (Option<i32>, String) {
    let output = binary().arg("reload").arg("--state").arg(&edge.state).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn status(address: SocketAddr) -> Option<u16> {
    client::try_get(address, "/").ok().map(|answer| answer.status)
}

/// Without `--http`: the file says where to listen.
fn start(file: &Path, text: &str) -> Edge {
    write(file, text);
    Setup::default().no_http().plain().args(["--config", file.to_str().unwrap()]).start()
}

#[test]
fn addresses_come_and_go_and_the_others_are_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("edge.toml");
    let upstream = Upstream::saying("hello");
    let [stays, goes, comes] = [(); 3].map(|()| local(free_port()));
    let toml = |listen: &[SocketAddr]| {
        let listen: Vec<String> = listen.iter().map(|address| format!("\"{address}\"")).collect();
        format!("upstream = \"{}\"\nhttp = [{}]\n", upstream.address, listen.join(", "))
    };
    let edge = start(&file, &toml(&[stays, goes]));
    let mut kept = Connection::plain(stays).unwrap();
    let mut at_the_old = Connection::plain(goes).unwrap();
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!((kept.ask(request).status, at_the_old.ask(request).status), (200, 200));

    write(&file, toml(&[stays, comes]));
    assert_eq!(reload(&edge).0, Some(0));
    until("the new address answers", || status(comes) == Some(200));
    until("the old address is closed", || std::net::TcpStream::connect(goes).is_err());
    assert_eq!(status(stays), Some(200));
    assert_eq!(kept.ask(request).status, 200, "connections live on");
    assert_eq!(at_the_old.ask(request).status, 200, "those of the closed address, too");

    // One that cannot be had: nothing changes, and everything wrong is told.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = [taken.local_addr().unwrap(), local(free_port())];
    write(&file, toml(&taken));
    let (code, text) = reload(&edge);
    assert!(code == Some(1) && text.contains(&format!("http: cannot listen on {}", taken[0])), "{text}");
    assert_eq!((status(comes), status(stays)), (Some(200), Some(200)));
    assert!(std::net::TcpStream::connect(taken[1]).is_err(), "nothing of it is opened");
    assert_eq!(edge.metric("monodon_edge_config_reloads_total{result=\"taken\"}"), 1.0);
    assert_eq!(edge.metric("monodon_edge_config_reloads_total{result=\"refused\"}"), 1.0);
}

#[test]
fn servers_that_move_to_another_upstream_are_no_strangers() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("edge.toml");
    let worker = || Upstream::start(|_, stream| reply(stream, 200, &[("X-Monodon-Process", "0/2/2")], "hello"));
    let (one, other) = (worker(), worker());
    let listen = local(free_port());
    let toml = |first: &Upstream, second: &Upstream| {
        format!(
            "http = '{listen}'\nupstream = '{}'\n[upstreams.app]\nservers = ['{}']\n\
             [[site]]\n[[site.route]]\npath = '/app'\nupstream = 'app'\n",
            first.address, second.address
        )
    };
    let edge = start(&file, &toml(&one, &other));
    let slots = |upstream: &str, of: &Upstream| {
        let address = of.address;
        let labels = format!("{{upstream=\"{upstream}\",address=\"{address}\",state=\"idle\"}}");
        edge.metric(&format!("monodon_edge_upstream_slots{labels}"))
    };
    assert_eq!((get(listen, "/", &[]).status, get(listen, "/app", &[]).status), (200, 200));
    until("both are known", || slots("default", &one) + slots("app", &other) == 4.0);
    write(&file, toml(&other, &one));
    assert_eq!(reload(&edge).0, Some(0));
    assert_eq!((slots("default", &other), slots("app", &one)), (2.0, 2.0));
}

#[test]
fn what_is_opened_once_is_not_changed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("edge.toml");
    let listen = local(free_port());
    let toml = |more: &str| {
        format!("http = '{listen}'\n{more}[[site]]\n[[site.route]]\npath = '/'\nrespond = '{}'\n", more.len())
    };
    let edge = start(&file, &toml(""));
    for (more, key) in [("log_level = 'debug'\n", "log_level"), ("access_log = 'x.log'\n", "access_log")] {
        write(&file, toml(more));
        let (code, text) = reload(&edge);
        assert!(
            code == Some(1) && text.contains(&format!("edge.toml:2: {key}: cannot change while the edge runs")),
            "{text}"
        );
        assert_eq!(get(listen, "/", &[]).text(), "0");
    }
}

/// The folder of the spool stays; how much it may have, and how much memory, need not.
#[test]
fn the_bounds_of_bodies_change() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("edge.toml");
    let upstream = Upstream::start(|seen, stream| reply(stream, 200, &[], seen.body.len().to_string()));
    let listen = local(free_port());
    let toml = |disk: &str, memory: &str| {
        let bounds = format!("spool_limit = '{disk}'\nbuffer_memory_total = '{memory}'\nbuffer_memory = '256KB'\n");
        format!("http = '{listen}'\nupstream = '{}'\n{bounds}", upstream.address)
    };
    let edge = start(&file, &toml("1MB", "8MB"));
    let post = |size: usize| {
        let mut client = Connection::plain(listen).unwrap();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n")).unwrap();
        // Who is refused may find that nobody reads any more.
        let _ = client.send(vec![b'x'; size]);
        client.answer().unwrap().status
    };
    let limit = || edge.metric("monodon_edge_body_spool_limit_bytes");
    let spooled = || edge.metric("monodon_edge_body_spool_bytes_total");
    assert_eq!((post(2 << 20), limit()), (503, f64::from(1 << 20)));
    let before = spooled();
    assert_eq!((post(200_000), spooled()), (200, before), "in memory");

    write(&file, toml("4MB", "64KB"));
    assert_eq!(reload(&edge).0, Some(0));
    assert_eq!((post(2 << 20), limit()), (200, f64::from(4 << 20)));
    let before = spooled();
    assert_eq!(post(200_000), 200);
    assert_eq!(spooled(), before + 200_000.0, "there is no memory for it any more");
}

#[test]
fn https_is_opened_later() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("edge.toml");
    let upstream = Upstream::saying("hello");
    let (http, https) = (local(free_port()), local(free_port()));
    let edge = start(&file, &format!("upstream = \"{}\"\nhttp = \"{http}\"\n", upstream.address));
    assert_eq!(status(http), Some(200));
    write(&file, format!("upstream = \"{}\"\nhttp = \"{http}\"\nhttps = \"{https}\"\n", upstream.address));
    assert_eq!(reload(&edge).0, Some(0));
    until("plain requests are sent to https", || status(http) == Some(307));
    let mut connection = Connection::tls(https, &edge.ca(), "localhost", &["http/1.1"]).unwrap();
    assert_eq!(connection.ask("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 200);
}

#[test]
fn all_slips_are_told_at_once_and_a_lost_file_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("edge.toml");
    let http = local(free_port());
    let good = format!("http = \"{http}\"\n[[site]]\n[[site.route]]\npath = \"/\"\nrespond = \"one\"\n");
    let edge = start(&file, &good);
    write(
        &file,
        "htp = \":80\"\nbody_limit = \"lots\"\n[[site]]\n[[site.route]]\npath = \"api\"\nupstream = \"node\"\n[[site.route]]\nclose = true\n",
    );
    let (code, text) = reload(&edge);
    assert_eq!(code, Some(1));
    for part in [
        "edge.toml:1: htp: no such setting; did you mean http?",
        "edge.toml:2: body_limit: expected a size",
        "edge.toml:5: path: expected a plain path",
        "edge.toml:6: upstream: no upstream of that name",
        "edge.toml:7: site.route: needs a path",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    assert!(!text.contains("nothing to listen"), "what follows from another slip is not told: {text}");
    assert_eq!(get(http, "/", &[]).text(), "one");
    std::fs::remove_file(&file).unwrap();
    let (code, text) = reload(&edge);
    assert!(code == Some(1) && text.contains("cannot read"), "{text}");
    write(&file, good.replace("one", "two"));
    edge.signal("HUP");
    until("the good one is in force", || get(http, "/", &[]).text() == "two");
}

/// Holds answers back until it is opened.
#[derive(Default)]
struct Gate(Mutex<bool>, Condvar);

impl Gate {
    fn open(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }

    fn pass(&self) {
        drop(self.1.wait_while(self.0.lock().unwrap(), |open| !*open).unwrap());
    }
}

/// Server-sent events, a WebSocket, long polling, and one who is lost without an answer; all but the socket wait for the gate.
fn patient(gate: &Arc<Gate>) -> Upstream {
    let gate = gate.clone();
    Upstream::start(move |seen, stream| match seen.path() {
        "/events" => {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: one\n\n";
            stream.write_all(head.as_bytes()).unwrap();
            gate.pass();
            stream.write_all(b"data: two\n\n").unwrap();
            false
        }
        "/socket" => {
            let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
            stream.write_all(head.as_bytes()).unwrap();
            let mut byte = [0];
            while stream.read_exact(&mut byte).is_ok() {
                stream.write_all(&byte).unwrap();
            }
            false
        }
        "/poll" => {
            gate.pass();
            reply(stream, 200, &[], "news")
        }
        "/lost" => {
            gate.pass();
            false
        }
        _ => reply(stream, 200, &[], "hello"),
    })
}

/// What a client of `/events` has seen, when that is among it.
fn events_until(events: &mut std::net::TcpStream, seen: &mut String, wanted: &str) {
    let mut part = [0; 1024];
    while !seen.contains(wanted) {
        let size = events.read(&mut part).unwrap();
        assert!(size > 0, "{seen}");
        seen.push_str(std::str::from_utf8(&part[..size]).unwrap());
    }
}

#[test]
fn what_is_under_way_lives_on() {
    // The one upstream's address, with other waits and limits; and the list in the block of a named one.
    let named = |servers: &str, more: &str| {
        format!(
            "[upstreams.node]\nservers = [{servers}]\n{more}[[site]]\n[[site.route]]\npath = \"/\"\nupstream = \"node\"\n"
        )
    };
    for by_name in [false, true] {
        let (gate, other) = (Arc::default(), Upstream::saying("other"));
        let upstream = patient(&gate);
        let (before, after) = if by_name {
            (
                named(&format!("\"{}\"", upstream.address), ""),
                named(
                    &format!("\"{} drain\", \"{} weight=2\"", upstream.address, other.address),
                    "queue_per_slot = 7\n",
                ),
            )
        } else {
            let rest = "body_limit = \"1KB\"\nidle_timeout = \"1s\"\n";
            (format!("upstream = \"{}\"\n", upstream.address), format!("upstream = \"{}\"\n{rest}", other.address))
        };
        let edge = Setup::default().plain().file(&before).start();
        // So that the server is known, and takes more than one at a time.
        assert_eq!(get(edge.http, "/", &[]).text(), "hello");
        let mut events = std::net::TcpStream::connect(edge.http).unwrap();
        events.set_read_timeout(Some(common::PATIENCE)).unwrap();
        events.write_all(b"GET /events HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut seen = String::new();
        events_until(&mut events, &mut seen, "data: one");
        let mut socket = Connection::plain(edge.http).unwrap();
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        assert_eq!(socket.ask(format!("GET /socket HTTP/1.1\r\nHost: a\r\n{upgrade}\r\n")).status, 101);
        let http = edge.http;
        let [poll, lost] = ["/poll", "/lost"].map(|path| std::thread::spawn(move || get(http, path, &[]).text()));
        let came = |path: &str| upstream.seen().iter().any(|seen| seen.path() == path);
        until("all are there", || came("/poll") && came("/lost"));
        edge.rewrite(&after);
        assert_eq!(reload(&edge).0, Some(0));
        until("the new one answers", || get(edge.http, "/", &[]).text() == "other");
        gate.open();
        events_until(&mut events, &mut seen, "data: two");
        socket.send("x").unwrap();
        assert_eq!(socket.bytes(1).unwrap(), b"x");
        assert_eq!(poll.join().unwrap(), "news");
        assert_eq!(lost.join().unwrap(), "other", "what has to be asked again is asked where the upstream is now");
    }
}

#[test]
fn logs_are_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("access.log");
    let upstream = Upstream::saying("hello");
    let args = [&upstream.flag()[..], &["--access-log".into(), log.display().to_string()]].concat();
    let edge = Setup::default().plain().args(args).start();
    let has = |path: &Path, text: &str| std::fs::read_to_string(path).is_ok_and(|lines| lines.contains(text));
    for (place, how) in ["/socket", "/signal", "/reload"].into_iter().enumerate() {
        assert_eq!(get(edge.http, &format!("{how}-before"), &[]).status, 200);
        until("the line is written", || has(&log, &format!("{how}-before")));
        let moved = dir.path().join(format!("access.log.{place}"));
        std::fs::rename(&log, &moved).unwrap();
        match how {
            "/socket" => assert!(binary().arg("reopen").arg("--state").arg(&edge.state).status().unwrap().success()),
            "/signal" => edge.signal("USR1"),
            _ => assert_eq!(reload(&edge).0, Some(0)),
        }
        until("a new file is there", || {
            get(edge.http, &format!("{how}-after"), &[]);
            has(&log, &format!("{how}-after"))
        });
        assert!(has(&moved, &format!("{how}-before")));
    }
}
