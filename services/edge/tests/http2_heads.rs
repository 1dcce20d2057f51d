//! Heads of HTTP/2 that are too long, too large or too slow get what they get over HTTP/1.1: an answer of ours with an id, a line in the
//! log with the same id and the reason, a count by reason.
#![allow(clippy::unwrap_used)]

mod common;

use bytes::Bytes;
use common::frames::*;
use common::{Connection, Edge, Setup, Upstream, until};
use h2::client::SendRequest;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};

struct House {
    edge: Edge,
    ca: PathBuf,
    upstream: Upstream,
}

impl House {
    fn new(args: &[&str]) -> Self {
        let upstream = Upstream::saying("hello");
        let edge = Setup::default().args(upstream.flag()).args(args).start();
        let ca = edge.ca();
        Self { edge, ca, upstream }
    }

    /// What HTTP/1.1 says to the same.
    fn http1(&self, asked: &str) -> u16 {
        let mut client = Connection::tls(self.edge.https, &self.ca, "localhost", &["http/1.1"]).unwrap();
        client.send(asked).unwrap();
        client.answer().unwrap().status
    }

    /// Page, line and count.
    async fn refused(&self, response: http::Response<h2::RecvStream>, status: u16, reason: &str) -> serde_json::Value {
        let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        assert_eq!(response.status(), status);
        let mut page = Vec::new();
        let mut body = response.into_body();
        while let Some(part) = body.data().await {
            page.extend_from_slice(&part.unwrap());
        }
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains(&id), "no page of ours: {page:?}");
        let line = self.edge.access_line(|line| line["request_id"] == id.as_str());
        assert_eq!((&line["status"], &line["reason"]), (&status.into(), &reason.into()), "{line}");
        assert_eq!(line["protocol"], "h2", "{line}");
        line
    }

    /// A connection that answers nothing it is asked.
    fn open(&self) -> Frames {
        let mut client = Frames::open(&self.edge, &self.ca);
        client.silent = true;
        client
    }

    fn late(&self) -> usize {
        let late = |line: &String| line.contains("\"timeout_header\"") && line.contains("\"status\":408");
        self.edge.lines().into_iter().filter(late).count()
    }

    /// A request is counted when its answer has ended, and by then the client has it.
    fn counts(&self, reason: &str, value: f64) {
        let label = format!("reason=\"{reason}\"}} {value}");
        until(&label, || {
            let page = self.edge.admin("/metrics").text();
            page.lines()
                .any(|line| line.starts_with("monodon_edge_http_request_errors_total{") && line.ends_with(&label))
        });
    }
}

async fn connect(edge: &Edge, ca: &Path) -> SendRequest<Bytes> {
    let connector = tokio_rustls::TlsConnector::from(common::client::client_config(ca, &["h2"]));
    let stream = tokio::net::TcpStream::connect(edge.https).await.unwrap();
    let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    client
}

/// On a connection that goes on.
async fn ask(client: &mut SendRequest<Bytes>, path: &str, fields: &[(&str, &str)]) -> http::Response<h2::RecvStream> {
    let mut request = http::Request::get(format!("https://localhost{path}"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let mut ready = client.clone().ready().await.unwrap();
    let (response, _) = ready.send_request(request.body(()).unwrap(), true).unwrap();
    response.await.unwrap()
}

#[tokio::test]
async fn a_line_over_its_limit() {
    let house = House::new(&[]);
    let mut client = connect(&house.edge, &house.ca).await;
    // `GET `, ` HTTP/1.1`: 13 bytes beside the path.
    let path = |length: usize| format!("/{}", "x".repeat(length - 14));
    for (length, status) in [(8 << 10, 200), ((8 << 10) + 1, 414)] {
        let asked = format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", path(length));
        assert_eq!(house.http1(&asked), status);
        assert_eq!(ask(&mut client, &path(length), &[]).await.status(), status, "{length}");
    }
    let large = format!("/?{}", "x".repeat(20_000));
    let response = ask(&mut client, &large, &[]).await;
    let line = house.refused(response, 414, "line_too_long").await;
    // Queries are not logged; of a path, the beginning is.
    assert_eq!((&line["method"], &line["path"]), (&"GET".into(), &"/".into()), "{line}");
    let begins = |line: &serde_json::Value| line["path"].as_str().is_some_and(|path| path.len() == 1 << 10);
    house.edge.access_line(|line| line["protocol"] == "h2" && begins(line));
    house.counts("too_large", 3.0);
    assert_eq!(ask(&mut client, "/", &[]).await.status(), 200);
    assert_eq!(house.upstream.seen().len(), 3);
}

#[tokio::test]
async fn a_head_over_its_limit() {
    let house = House::new(&[]);
    let mut client = connect(&house.edge, &house.ca).await;
    let head = |value: &str| format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {value}\r\n\r\n");
    let most = (32 << 10) - head("").len();
    for (length, status) in [(most, 200), (most + 1, 431)] {
        let value = "y".repeat(length);
        assert_eq!(house.http1(&head(&value)), status);
        assert_eq!(ask(&mut client, "/", &[("x", &value)]).await.status(), status, "{length}");
    }
    let large = "y".repeat(16_000);
    let response = ask(&mut client, "/large?a", &[("x", &large), ("y", &large), ("z", &large)]).await;
    let line = house.refused(response, 431, "head_too_long").await;
    assert_eq!((&line["method"], &line["path"]), (&"GET".into(), &"/large".into()), "{line}");
    // Written as one field they are within the limit.
    let crumbs: Vec<_> = (0..600).map(|number| format!("name{number}=value")).collect();
    let crumbs: Vec<_> = crumbs.iter().map(|crumb| ("cookie", crumb.as_str())).collect();
    assert_eq!(ask(&mut client, "/", &crumbs).await.status(), 200);
    house.counts("too_large", 3.0);
    assert_eq!(house.upstream.seen().len(), 3);
}

/// What is larger than the h2 crate may take in gets its bare 431, but is told and counted like any.
#[test]
fn a_head_far_over_its_limit() {
    let house = House::new(&[]);
    let mut client = house.open();
    // A field that goes into the table, as index 62, named again and again.
    let field = block(&[("x", "y".repeat(3000))]);
    let head = [&block(&GET)[..], &[0x40], &field[1..], &[0xbe; 30]].concat();
    assert_eq!(client.ask(1, &head), 431);
    let line = house.edge.access_line(|line| line["status"] == 431);
    assert_eq!((&line["reason"], &line["protocol"]), (&"head_too_long".into(), &"h2".into()), "{line}");
    assert_eq!(client.ask(3, &block(&GET)), 200);
    client.write(HEADERS, WHOLE, 5, &head);
    house.counts("too_large", 2.0);
    assert_eq!(house.upstream.seen().len(), 1);
}

/// Head and idle connection have other times; what the client does not answer is not waited for.
const SLOW: [&str; 6] = ["--head-timeout", "1s", "--idle-timeout", "300s", "--send-timeout", "300s"];

/// GOAWAY, and the end.
#[track_caller]
fn sent_away(mut client: Frames) {
    assert!(client.until(|frame| frame.kind == GOAWAY).is_some(), "closed without a word");
    assert!(client.until(|frame| frame.kind != GOAWAY && frame.kind != PING).is_none(), "it goes on");
}

fn half(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM, stream, &block(&GET)[..20])
}

fn other_half(stream: u32) -> Vec<u8> {
    frame(CONTINUATION, END_HEADERS, stream, &block(&GET)[20..])
}

#[test]
fn heads_that_do_not_end() {
    let house = House::new(&SLOW);
    let mut kept = house.open();
    let mut served = house.open();
    assert_eq!((kept.ask(1, &block(&GET)), served.ask(1, &block(&GET))), (200, 200));
    // Nothing at all gets no line, as over HTTP/1.1.
    sent_away(house.open());
    assert_eq!(house.late(), 0);
    let whole = half(1);
    for (number, part) in [&whole[..4], &whole[..15], &whole[..]].into_iter().enumerate() {
        let mut client = house.open();
        client.send(part).unwrap();
        sent_away(client);
        until("its line", || house.late() == number + 1);
    }
    // Of a connection that has been at rest for longer.
    served.send(&[half(3), frame(CONTINUATION, 0, 3, b"")].concat()).unwrap();
    sent_away(served);
    house.counts("timeout_header", 4.0);
    let line = house.edge.access_line(|line| line["reason"] == "timeout_header");
    assert_eq!((&line["status"], &line["protocol"]), (&408.into(), &"h2".into()), "{line}");
    assert_eq!(kept.ask(3, &block(&GET)), 200, "one that rests between requests is let be");
}

/// Its own answers end in order; what is asked beside them is not taken any more.
#[test]
fn a_head_that_does_not_end_beside_answers() {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let shared = gate.clone();
    let upstream = Upstream::start(move |_, stream| {
        let open = shared.0.lock().unwrap();
        drop(shared.1.wait_while(open, |open| !*open).unwrap());
        common::upstream::reply(stream, 200, &[], vec![7; 40_000])
    });
    let edge = Setup::default().args(upstream.flag()).args(SLOW).start();
    let ca = edge.ca();
    let house = House { edge, ca, upstream };
    let (mut never, mut after) = (house.open(), house.open());
    for client in [&mut never, &mut after] {
        client.send(&[frame(HEADERS, WHOLE, 1, &block(&GET)), half(3)].concat()).unwrap();
    }
    until("both are late", || house.late() == 2);
    after.send(&[other_half(3), frame(HEADERS, WHOLE, 5, &block(&GET))].concat()).unwrap();
    for stream in [3, 5] {
        let refused = after.until(|frame| frame.kind == RST_STREAM).unwrap();
        assert_eq!((refused.stream, refused.code()), (stream, REFUSED_STREAM));
    }
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    for mut client in [never, after] {
        let mut taken = 0;
        while let Some(frame) = client.read() {
            taken += if frame.kind == DATA { frame.payload.len() } else { 0 };
        }
        assert_eq!(taken, 40_000, "the answer that was under way");
    }
    assert_eq!((house.upstream.seen().len(), house.late()), (2, 2));
}

/// Each has its own time, however long all of them take.
#[test]
fn slow_heads_that_end_in_time() {
    let house = House::new(&["--head-timeout", "4s"]);
    let mut client = house.open();
    for stream in (1..20).step_by(2) {
        client.send(&half(stream)).unwrap();
        // Being slow is the input here.
        std::thread::sleep(std::time::Duration::from_millis(500));
        client.send(&other_half(stream)).unwrap();
        let head = client.until(|frame| frame.kind == HEADERS);
        assert_eq!(head.expect("it was sent away").status(), 200, "{stream}");
    }
    assert_eq!(house.late(), 0);
}
