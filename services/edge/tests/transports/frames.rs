//! An upstream that speaks HTTP/2 by hand: which of its answers are whole.

use crate::common::frames::{
    DATA, END_HEADERS, END_STREAM, Frames, GET, HEADERS, NO_ERROR, RST_STREAM, SETTINGS, WHOLE, block, frame,
};
use crate::common::{Connection, Edge, Setup, get};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

type Part = (u8, u8, Vec<u8>);

/// Answers each request's head with these frames: `now` in one piece, `then` when it is told to.
fn upstream(now: Vec<Part>, then: Vec<Part>) -> (SocketAddr, Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (told, wait) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let _ = converse(stream, &now, &then, &wait);
        }
    });
    (address, told)
}

fn converse(mut stream: TcpStream, now: &[Part], then: &[Part], wait: &Receiver<()>) -> std::io::Result<()> {
    stream.write_all(&frame(SETTINGS, 0, 0, &[]))?;
    stream.read_exact(&mut [0; 24])?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        stream.read_exact(&mut vec![0; length])?;
        if head[3] != HEADERS {
            continue;
        }
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let bytes = |parts: &[Part]| -> Vec<u8> {
            parts.iter().flat_map(|(kind, flags, load)| frame(*kind, *flags, id, load)).collect()
        };
        stream.write_all(&bytes(now))?;
        if !then.is_empty() && wait.recv().is_ok() {
            stream.write_all(&bytes(then))?;
        }
    }
}

fn head(fields: &[(&str, &str)]) -> Part {
    (HEADERS, END_HEADERS, block(fields))
}

/// A reset that says that nothing is wrong.
fn reset() -> Part {
    (RST_STREAM, 0, NO_ERROR.to_be_bytes().to_vec())
}

fn edge(address: SocketAddr) -> Edge {
    crate::edge(&format!("servers = ['{address}']\nprotocol = 'h2'\n"))
}

/// Before one that says a part of its answers at once, and is reset when it is told to.
fn partly(settings: &str) -> (Edge, Sender<()>) {
    let (address, told) = upstream(vec![head(&[(":status", "200")]), (DATA, 0, b"part".to_vec())], vec![reset()]);
    let text = format!("upstream = ['{address}']\nupstream_protocol = 'h2'\n{settings}\n");
    (Setup::default().plain().file(&text).start(), told)
}

/// A client that has got so far.
fn begin(edge: &Edge) -> Connection {
    let mut client = Connection::plain(edge.http).unwrap();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(client.head().unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(client.chunk().unwrap(), b"part");
    client
}

/// RFC 9113, section 8.1: what was reset before its end is not whole, whatever the reset says.
#[test]
fn an_answer_that_is_reset_without_an_error_is_not_whole() {
    let (address, _told) =
        upstream(vec![head(&[(":status", "200")]), (DATA, 0, b"part".to_vec()), reset()], Vec::new());
    let whole = edge(address);
    assert_eq!(get(whole.http, "/", &[]).status, 502, "nothing was sent");
    assert_eq!(whole.access_line(|line| line["status"] == 502)["reason"], "upstream_reset");
    // Once something was, it is seen to be cut off.
    for buffering in [true, false] {
        let (edge, told) = partly(&format!("buffering = {buffering}"));
        let mut client = begin(&edge);
        told.send(()).unwrap();
        assert_eq!(client.read_to_end(), b"", "no last chunk");
    }
}

/// The same behind a whole answer only says that the rest of the request is not wanted.
#[test]
fn a_whole_answer_that_is_reset_without_an_error_is_whole() {
    let big = vec![head(&[(":status", "413"), ("content-length", "3")]), (DATA, END_STREAM, b"big".to_vec()), reset()];
    let refusing = edge(upstream(big, Vec::new()).0);
    let answer = crate::post(&refusing, "/", &"x".repeat(1 << 20));
    assert_eq!((answer.status, answer.text().as_str()), (413, "big"));
    let trailers = vec![
        head(&[(":status", "200")]),
        (DATA, 0, b"ok".to_vec()),
        (HEADERS, WHOLE, block(&[("grpc-status", "0")])),
        reset(),
    ];
    let calling = edge(upstream(trailers, Vec::new()).0);
    let answer = get(calling.http, "/", &[]);
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
}

/// Of one that is passed on, nothing more comes.
#[test]
fn a_silent_answer_is_cut_off_in_time() {
    let (edge, _told) = partly("buffering = false\nread_timeout = '1s'");
    assert_eq!(begin(&edge).read_to_end(), b"", "no last chunk");
}

/// What has no content goes out without: a client of either protocol would take it for something else.
#[test]
fn an_answer_that_has_no_content_goes_without() {
    for (status, length) in [("204", None), ("205", None), ("304", Some("5"))] {
        let fields = [(":status", status), ("content-length", "5")];
        let (address, _told) = upstream(vec![head(&fields), (DATA, END_STREAM, b"hello".to_vec())], Vec::new());
        let code: u16 = status.parse().unwrap();
        for buffering in [true, false] {
            let text = format!("upstream = ['{address}']\nupstream_protocol = 'h2'\nbuffering = {buffering}\n");
            let edge = Setup::default().file(&text).start();
            let mut client = Frames::open(&edge, &edge.ca());
            for stream in [1, 3] {
                client.write(HEADERS, WHOLE, stream, &block(&GET));
                let answer = client.until(|frame| frame.stream == stream).unwrap();
                assert_eq!((answer.kind, answer.flags & END_STREAM), (HEADERS, END_STREAM), "{status}");
                // The second time it may be said by its place in a table.
                assert!(stream > 1 || answer.status() == code, "{status}");
                let told = answer.payload.windows(14).any(|part| part == b"content-length");
                assert!(length.is_some() || !told, "{status}");
            }
            let mut client = Connection::tls(edge.https, &edge.ca(), "localhost", &["http/1.1"]).unwrap();
            for _ in 0..2 {
                client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
                let head = client.head().unwrap();
                assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
                let length = if code == 205 { Some("0") } else { length };
                let said = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                assert_eq!(said, length, "{status}");
            }
        }
    }
}
