//! Answers of an application's server that are malformed, ambiguous, too long, or more than was asked for.

use crate::common::{Connection, Edge, Setup, client};
use crate::upstream::{Hostile, Then};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

/// An edge before a server that gives `/bad` the answer in hand, and `/good` a good one.
struct House {
    edge: Edge,
    upstream: Hostile,
    bad: Arc<Mutex<(Vec<u8>, Then)>>,
    asked: usize,
    faults: Vec<String>,
}

impl House {
    fn new() -> Self {
        let bad = Arc::new(Mutex::new((Vec::new(), Then::Keep)));
        let shared = bad.clone();
        let upstream = Hostile::start(move |head| {
            if head.contains("/bad") {
                return shared.lock().unwrap().clone();
            }
            (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood".to_vec(), Then::Keep)
        });
        let flags = ["--upstream".to_owned(), upstream.address.to_string(), "--first-byte-timeout".into(), "2s".into()];
        let edge = Setup::default().plain().args(flags).start();
        Self { edge, upstream, bad, asked: 0, faults: Vec::new() }
    }

    /// Asks for `/bad` with this answer in store, then for `/good` a few times. Gives what the client got; the connection that said
    /// it must not have been used again.
    fn hear(&mut self, method: &str, answer: &[u8], then: Then) -> (u16, Vec<u8>) {
        *self.bad.lock().unwrap() = (answer.to_vec(), then);
        self.asked += 1;
        let path = format!("/bad/{}", self.asked);
        let heard = client::request(self.edge.http, method, &path, &[]);
        let shown = || String::from_utf8_lossy(&answer[..answer.len().min(120)]).into_owned();
        for _ in 0..2 {
            let good = client::request(self.edge.http, "GET", "/good", &[]);
            if (good.status, &good.body[..]) != (200, b"good") {
                self.faults.push(format!("{:?}: the next got {} {:?}", shown(), good.status, good.text()));
            }
        }
        for targets in self.upstream.targets() {
            if targets.contains(&path) && targets.last() != Some(&path) {
                self.faults.push(format!("{:?}: its connection was used again: {targets:?}", shown()));
            }
        }
        (heard.status, heard.body)
    }

    fn refused(&mut self, answer: impl AsRef<[u8]>) {
        let answer = answer.as_ref();
        let (status, _) = self.hear("GET", answer, Then::Keep);
        if status != 502 {
            let shown = String::from_utf8_lossy(&answer[..answer.len().min(120)]).into_owned();
            self.faults.push(format!("{shown:?}: the client got {status}"));
        }
    }

    fn done(self) {
        assert!(self.faults.is_empty(), "{}", self.faults.join("\n"));
    }
}

#[test]
fn two_ways_to_tell_the_length() {
    let mut house = House::new();
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 99999999999999999999",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    ] {
        house.refused(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n5\r\nhello\r\n0\r\n\r\n"));
    }
    house.done();
}

#[test]
fn heads_that_are_none() {
    let mut house = House::new();
    for head in [
        "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\nX: y\r\n\r\n",
        "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "ICY 200 OK\r\nContent-Length: 0\r\n\r\n",
        "<html>no head at all</html>\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: a\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: a\rSet-Cookie: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: a\0b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n: no name\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX(: y\r\n\r\n",
    ] {
        house.refused(head);
    }
    house.refused(format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: {}\r\n\r\n", "y".repeat(2 << 20)));
    house.refused(format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{}\r\n", "X: y\r\n".repeat(50_000)));
    house.done();
}

#[test]
fn informational_answers() {
    let mut house = House::new();
    let good = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood";
    for first in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"] {
        let (status, body) = house.hear("GET", [first, good].concat().as_bytes(), Then::Keep);
        assert_eq!((status, &body[..]), (200, &b"good"[..]), "{first}");
        assert!(
            house.faults.pop().unwrap().contains("used again"),
            "what this test looks for is seen when it is there"
        );
    }
    // One that never comes to the point.
    let (status, _) = house.hear("GET", "HTTP/1.1 100 Continue\r\n\r\n".repeat(100_000).as_bytes(), Then::Keep);
    assert!(matches!(status, 502 | 504), "{status}");
    house.refused("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    house.refused("HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood");
    house.done();
}

/// Bytes after an answer's end are nobody's: the answer stands, the connection goes.
#[test]
fn more_than_an_answer() {
    let mut house = House::new();
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    for (method, answer, body) in [
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok"),
        ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "ok"),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", ""),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", ""),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n", ""),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""),
    ] {
        for more in [evil, "x", "evil and more"] {
            let (status, heard) = house.hear(method, [answer, more].concat().as_bytes(), Then::Keep);
            let shown = format!("{method} {answer:?} and {more:?}: {status} {:?}", String::from_utf8_lossy(&heard));
            if !((status < 400 && heard == body.as_bytes()) || status == 502) {
                house.faults.push(shown);
            }
        }
    }
    house.done();
}

/// Less than was said never looks whole.
#[test]
fn less_than_an_answer() {
    let house = House::new();
    let long = "x".repeat(300_000);
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX\r\n0\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nhello".to_owned(),
        format!("HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n{long}"),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{long}\r\nzz\r\n", long.len()),
    ] {
        *house.bad.lock().unwrap() = (answer.clone().into_bytes(), Then::Close);
        let mut connection = Connection::plain(house.edge.http).unwrap();
        connection.send("GET /bad HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let shown = &answer[..answer.len().min(90)];
        match connection.answer() {
            Ok(heard) => assert!(heard.status >= 500, "{shown:?}: {} {}", heard.status, heard.body.len()),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{shown:?}"),
        }
        assert_eq!(client::request(house.edge.http, "GET", "/good", &[]).text(), "good", "{shown:?}");
    }
    house.done();
}

/// Fields of the upstream's connection, and what would split an answer, do not go on.
#[test]
fn what_is_not_passed_on() {
    let mut house = House::new();
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: X-Secret, keep-alive\r\nX-Secret: 1\r\nKeep-Alive: timeout=5\r\n\
                  Proxy-Connection: x\r\nUpgrade: h2c\r\nTrailer: X\r\nTE: x\r\nX-Stays: 1\r\n\r\ngood";
    *house.bad.lock().unwrap() = (answer.into(), Then::Keep);
    let heard = client::request(house.edge.http, "GET", "/bad", &[]);
    assert_eq!((heard.status, heard.text().as_str()), (200, "good"));
    assert_eq!(heard.header("x-stays"), Some("1"));
    for name in ["x-secret", "keep-alive", "proxy-connection", "upgrade", "trailer", "te"] {
        assert_eq!(heard.header(name), None, "{name}");
    }
    // Trailers of an answer neither.
    let answer =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\nX-Evil: 1\r\nContent-Length: 9\r\n\r\n";
    let (status, body) = house.hear("GET", answer.as_bytes(), Then::Close);
    assert!((status == 200 && body == b"good") || status == 502, "{status}");
    house.done();
}

/// A second answer to one request belongs to nobody, though it comes when the connection is idle again.
#[test]
fn a_second_answer_that_comes_later() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (heard, was_heard) = channel();
    let (written, was_written) = channel();
    let was_heard = Arc::new(Mutex::new(was_heard));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let (was_heard, written) = (was_heard.clone(), written.clone());
            std::thread::spawn(move || -> std::io::Result<()> {
                stream.set_nodelay(true)?;
                let mut head = Vec::new();
                loop {
                    let mut byte = [0];
                    stream.read_exact(&mut byte)?;
                    head.push(byte[0]);
                    if !head.ends_with(b"\r\n\r\n") {
                        continue;
                    }
                    let twice = head.starts_with(b"GET /twice ");
                    head.clear();
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")?;
                    if twice {
                        was_heard.lock().unwrap().recv().unwrap();
                        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nanother")?;
                        written.send(()).unwrap();
                    }
                }
            });
        }
    });
    let edge = Setup::default().plain().args(["--upstream".to_owned(), address.to_string()]).start();
    for _ in 0..20 {
        assert_eq!(client::request(edge.http, "GET", "/twice", &[]).text(), "good");
        heard.send(()).unwrap();
        was_written.recv().unwrap();
        assert_eq!(client::request(edge.http, "GET", "/another-client-s", &[]).text(), "good");
    }
}
