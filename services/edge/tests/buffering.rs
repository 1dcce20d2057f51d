//! What stands between slow clients and the application, and what goes through as it comes.
#![allow(clippy::unwrap_used)]

mod common;
#[allow(dead_code)]
#[path = "upstream/fake.rs"]
mod fake;

use common::frames::{self, Frames};
use common::{Connection, Edge, Setup, Upstream, get, ports, until};
use fake::{Fake, pattern};
use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

fn ask(edge: &Edge, path: &str) -> Connection {
    let mut connection = Connection::plain(edge.http).unwrap();
    connection.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).unwrap();
    connection
}

#[test]
fn hundreds_of_slow_readers_leave_fast_ones_unharmed_and_memory_bounded() {
    const READERS: usize = 300;
    let size = 2_000_000;
    let body = Arc::new(pattern(size));
    let big = body.clone();
    let upstream = Upstream::start(move |seen, stream| {
        let body: &[u8] = if seen.path() == "/big" { &big } else { b"ok" };
        let head = format!("HTTP/1.1 200 OK\r\nX-Monodon-Process: 0/2/2\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).is_ok() && stream.write_all(body).is_ok()
    });
    let address = upstream.address.to_string();
    let queue = ["--queue-per-slot", "1000", "--queue-timeout", "5m"];
    let memory = ["--upstream", &address, "--buffer-memory-total", "2MB"];
    let edge = Edge::plain(memory.into_iter().chain(queue));
    let mut slow: Vec<_> = (0..READERS).map(|_| ask(&edge, "/big")).collect();
    // Half a gigabyte: a busy machine may take its time, as long as it goes on.
    for some in (READERS / 10..=READERS).step_by(READERS / 10) {
        until("all are answered by the application", || upstream.seen().len() >= some);
    }
    for _ in 0..20 {
        let answer = get(edge.http, "/fast", &[]);
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    }
    // None of them holds a slot; what they have not taken lies with the kernel or on the disk.
    let in_flight = format!("monodon_edge_upstream_requests_in_flight{{upstream=\"default\",address=\"{address}\"}}");
    until("the application is free", || edge.metric(&in_flight) == 0.0);
    assert!(edge.metric("monodon_edge_answer_memory_bytes") <= f64::from(2 << 20));
    for reader in slow.iter_mut().step_by(30) {
        assert!(reader.head().unwrap().contains("content-length: 2000000"));
        assert!(reader.bytes(size).unwrap() == *body);
    }
    drop(slow);
    until("nothing is left of them", || {
        edge.metric("monodon_edge_answer_memory_bytes") == 0.0 && edge.metric("monodon_edge_body_spool_files") == 0.0
    });
}

/// Bytes that come one by one are no more in memory than they are counted there.
#[test]
fn small_parts_that_wait_for_their_client_take_no_more_than_they_count() {
    const READERS: usize = 4;
    const PARTS: usize = 5000;
    // More than the kernels' buffers take on both sides.
    const BEFORE: usize = 12_000_000;
    let (go, gone) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (told, done) = (go.clone(), gone.clone());
    let upstream = Upstream::start(move |_, stream| {
        let chunk = |data: &[u8]| [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat();
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        stream.write_all(&chunk(&pattern(BEFORE))).unwrap();
        until("the parts may come", || told.load(Ordering::SeqCst));
        for _ in 0..PARTS {
            stream.write_all(&chunk(b"a little")).unwrap();
            // Each by itself: the edge is to read it before there is another.
            std::thread::sleep(Duration::from_micros(200));
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
        done.fetch_add(1, Ordering::SeqCst);
        true
    });
    let edge = Edge::plain(upstream.flag().into_iter().chain(["--buffer-memory".into(), "64MB".into()]));
    let counted = || edge.metric("monodon_edge_answer_memory_bytes");
    let in_flight =
        format!("monodon_edge_upstream_requests_in_flight{{upstream=\"default\",address=\"{}\"}}", upstream.address);
    let mut slow: Vec<_> = (0..READERS).map(|_| ask(&edge, "/")).collect();
    until("the kernels take no more", || counted() > (READERS << 20) as f64);
    let (counted_before, before) = (counted(), resident(&edge));
    go.store(true, Ordering::SeqCst);
    until("all is said", || gone.load(Ordering::SeqCst) == READERS);
    until("all is read", || edge.metric(&in_flight) == 0.0);
    let (more, now) = ((counted() - counted_before) as u64, resident(&edge));
    assert!(now < before + more / 1024 + (32 << 10), "{now} kB, {before} before, for {more} bytes more");
    for reader in &mut slow {
        let body = reader.answer().unwrap().body;
        assert!(body[..BEFORE] == pattern(BEFORE) && body[BEFORE..] == b"a little".repeat(PARTS));
    }
}

/// kB
fn resident(edge: &Edge) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", edge.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn an_answer_that_breaks_off_before_it_is_whole_is_asked_for_again() {
    let failed = AtomicBool::new(false);
    let upstream = Upstream::start(move |_, stream| {
        let body = pattern(500_000);
        let head = format!("HTTP/1.1 200 OK\r\nX-Monodon-Process: 0/1/1\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).unwrap();
        if !failed.swap(true, Ordering::SeqCst) {
            stream.write_all(&body[..300_000]).unwrap();
            return false;
        }
        stream.write_all(&body).is_ok()
    });
    let edge = Edge::plain(upstream.flag());
    let answer = get(edge.http, "/", &[]);
    assert_eq!((answer.status, answer.body), (200, pattern(500_000)));
    assert_eq!(upstream.seen().len(), 2);
    assert_eq!(edge.metric("monodon_edge_upstream_retries_total{upstream=\"default\",reason=\"reset\"}"), 1.0);
}

/// An application that answers in parts, each when it is told to.
fn parts(head: &'static str) -> (Upstream, mpsc::Sender<&'static str>) {
    let (tell, told) = mpsc::channel::<&'static str>();
    let told = Arc::new(Mutex::new(told));
    let upstream = Upstream::start(move |seen, stream| {
        if seen.path() != "/events" {
            return common::upstream::reply(stream, 200, &[], "old");
        }
        stream.write_all(head.as_bytes()).unwrap();
        while let Ok(part) = told.lock().unwrap().recv() {
            if part.is_empty() {
                break;
            }
            stream.write_all(part.as_bytes()).unwrap();
        }
        false
    });
    (upstream, tell)
}

#[test]
fn event_streams_and_long_polls_need_no_setting_and_live_through_a_reload() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-Accel-Buffering: no\r\nContent-Type: text/plain\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n",
    ] {
        let (upstream, tell) = parts(head);
        let text = format!("upstream = ['{}']\n", upstream.address);
        let edge = Setup::default().plain().file(&text).start();
        let mut client = ask(&edge, "/events");
        tell.send("data: 1\n\n").unwrap();
        let sent = client.head().unwrap();
        assert!(sent.starts_with("HTTP/1.1 200") && !sent.contains("x-accel"), "{sent}");
        assert_eq!(client.chunk().unwrap(), b"data: 1\n\n");
        // Another upstream from now on; who streams goes on.
        let other = Upstream::saying("other");
        edge.rewrite(&format!("upstream = ['{}']\n", other.address));
        edge.signal("HUP");
        until("the reload holds", || get(edge.http, "/", &[]).text() == "other");
        for part in ["data: 2\n\n", "data: 3\n\n"] {
            tell.send(part).unwrap();
            assert_eq!(client.chunk().unwrap(), part.as_bytes(), "{head}");
        }
        tell.send("").unwrap();
        assert_eq!(client.chunk().unwrap(), b"");
    }
    // A long poll: no head for a while, and a reload meanwhile.
    let fake = Fake::slotted(2, 1);
    let edge = Setup::default().plain().file(&format!("upstream = ['{}']\n", fake.address)).start();
    // Until the first answer there is one request at a time.
    assert_eq!(get(edge.http, "/hello", &[]).text(), "ok\n");
    let mut poll = ask(&edge, "/gate");
    until("it waits", || fake.seen("/gate").len() == 1);
    let other = Upstream::saying("other");
    edge.rewrite(&format!("upstream = ['{}']\n", other.address));
    edge.signal("HUP");
    until("the reload holds", || get(edge.http, "/", &[]).text() == "other");
    fake.state.gate.add_permits(1);
    assert_eq!(poll.answer().unwrap().text(), "ok\n");
}

/// An answer that says nothing of itself is passed on as it comes where the route says so.
#[test]
fn answers_are_not_buffered_where_the_route_says_so() {
    let (upstream, tell) = parts("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\n");
    let text = format!(
        "upstream = ['{}']\n[[site]]\n[[site.route]]\npath = '/events'\nupstream = 'default'\nbuffering = false\n",
        upstream.address
    );
    let edge = Setup::default().plain().file(&text).start();
    let mut client = ask(&edge, "/events");
    for part in ["hello", "world"] {
        tell.send(part).unwrap();
        if part == "hello" {
            assert!(client.head().unwrap().contains("content-length: 10\r\n"));
        }
        assert_eq!(client.bytes(5).unwrap(), part.as_bytes());
    }
    tell.send("").unwrap();
}

#[test]
fn uploads_are_taken_in_whole_unless_the_route_says_otherwise() {
    let (tell, told) = mpsc::channel::<Vec<u8>>();
    let tell = Mutex::new(tell);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let tell = tell.lock().unwrap().clone();
            std::thread::spawn(move || {
                let mut all = Vec::new();
                let mut part = [0; 4096];
                while let Ok(read) = std::io::Read::read(&mut stream, &mut part) {
                    if read == 0 {
                        return;
                    }
                    all.extend_from_slice(&part[..read]);
                    let _ = tell.send(part[..read].to_vec());
                    if all.ends_with(b"\r\n0\r\n\r\n") || all.ends_with(b"helloworld") {
                        all.clear();
                        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
                    }
                }
            });
        }
    });
    let edge = Setup::default()
        .plain()
        .file(&format!(
            "upstream = ['{address}']\n[[site]]\n[[site.route]]\npath = '/live/'\nupstream = 'default'\nrequest_buffering = false\n\
             body_limit = '1MB'\n"
        ))
        .start();
    let seen = |wanted: &[u8]| {
        let mut all = Vec::new();
        while !all.windows(wanted.len()).any(|part| part == wanted) {
            all.extend_from_slice(&told.recv_timeout(common::PATIENCE).unwrap());
        }
        String::from_utf8(all).unwrap()
    };
    // The application has the first part before the client has sent the second.
    let mut client = Connection::plain(edge.http).unwrap();
    client.send("POST /live/a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello").unwrap();
    assert!(seen(b"hello").contains("content-length: 10"));
    client.send("world").unwrap();
    assert_eq!(client.answer().unwrap().text(), "ok");
    seen(b"world");
    client.send("POST /live/b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").unwrap();
    assert!(seen(b"5\r\nhello\r\n").contains("transfer-encoding: chunked"));
    client.send("0\r\n\r\n").unwrap();
    assert_eq!(client.answer().unwrap().text(), "ok");
    seen(b"0\r\n\r\n");
    // A client that leaves, or breaks off, has not sent the end, and the application is not told so.
    for (path, leave) in [("/live/leaves", drop as fn(Connection)), ("/live/breaks-off", Connection::reset)] {
        let mut client = Connection::plain(edge.http).unwrap();
        client
            .send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"))
            .unwrap();
        assert!(!seen(b"5\r\nhello\r\n").contains("0\r\n\r\n"));
        leave(client);
        let line = edge.access_line(|line| line["path"] == path);
        assert_eq!(line["reason"], "client_closed", "{path}");
    }
    // Elsewhere it has all or nothing.
    let mut client = Connection::plain(edge.http).unwrap();
    client.send("POST /whole HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").unwrap();
    client.send("5\r\nworld\r\n0\r\n\r\n").unwrap();
    assert!(seen(b"helloworld").contains("content-length: 10"));
    assert_eq!(client.answer().unwrap().text(), "ok");
}

/// An application that answers the first bytes it reads with the head of an event stream, and each part with `says`; it tells what it
/// has read, and `None` when nobody is there any more.
fn events(says: &'static str) -> (SocketAddr, mpsc::Receiver<Option<String>>) {
    let (tell, told) = mpsc::channel::<Option<String>>();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut part = [0; 4096];
            let mut answered = false;
            while let Ok(read @ 1..) = std::io::Read::read(&mut stream, &mut part) {
                if !std::mem::replace(&mut answered, true) {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").unwrap();
                }
                stream.write_all(says.as_bytes()).unwrap();
                tell.send(Some(String::from_utf8_lossy(&part[..read]).into_owned())).unwrap();
            }
            // The edge's own look at whether somebody is there has said nothing.
            if answered {
                tell.send(None).unwrap();
            }
        }
    });
    (address, told)
}

/// An event stream that begins before its request has ended: both ways go as they come, and it ends with its client.
#[test]
fn a_stream_is_passed_on_both_ways() {
    let (address, told) = events("data: more\n\n");
    let edge = Setup::default().plain().file(&format!("upstream = ['{address}']\nrequest_buffering = false\n")).start();
    let mut client = Connection::plain(edge.http).unwrap();
    client.send("POST /events HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    told.recv_timeout(common::PATIENCE).unwrap().unwrap();
    assert!(client.head().unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(client.chunk().unwrap(), b"data: more\n\n");
    for part in ["5\r\nhello\r\n", "0\r\n\r\n"] {
        client.send(part).unwrap();
        assert_eq!(told.recv_timeout(common::PATIENCE).unwrap().unwrap(), part);
        assert_eq!(client.chunk().unwrap(), b"data: more\n\n");
    }
    drop(client);
    assert_eq!(told.recv_timeout(common::PATIENCE).unwrap(), None, "the application hears that nobody reads any more");
}

/// Nothing wakes anybody when the client leaves but its leaving: after its upload, and in the middle of it.
#[test]
fn a_silent_stream_hears_that_its_client_has_left() {
    let (address, told) = events("");
    let hear = |wanted: &str| {
        let mut all = String::new();
        while !all.contains(wanted) {
            all += &told.recv_timeout(common::PATIENCE).unwrap().unwrap();
        }
    };
    let left = |how: &str| loop {
        if told.recv_timeout(common::PATIENCE).expect(how).is_none() {
            break;
        }
    };
    let settings = format!("upstream = ['{address}']\nrequest_buffering = false\n");
    let edge = Setup::default().plain().file(&settings).start();
    for last in ["0\r\n\r\n", "5\r\nhello\r\n"] {
        let mut client = Connection::plain(edge.http).unwrap();
        client.send("POST /events HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        hear("POST");
        assert!(client.head().unwrap().starts_with("HTTP/1.1 200"));
        client.send(last).unwrap();
        hear(last);
        drop(client);
        left(last);
    }
    let edge = Setup::default().file(&settings).start();
    let mut client = Frames::open(&edge, &edge.ca());
    for (stream, flags, last) in [(1, frames::END_STREAM, "0\r\n\r\n"), (3, 0, "5\r\nhello\r\n")] {
        client.write(frames::HEADERS, frames::END_HEADERS, stream, &frames::block(&frames::POST));
        hear("POST");
        let head = client.until(|frame| frame.stream == stream && frame.kind == frames::HEADERS).unwrap();
        assert_eq!(head.status(), 200);
        client.write(frames::DATA, flags, stream, b"hello");
        hear(last);
        client.write(frames::RST_STREAM, 0, stream, &frames::CANCEL.to_be_bytes());
        left(last);
    }
}
