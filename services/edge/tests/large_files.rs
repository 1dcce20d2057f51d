//! Files that are not kept in memory: by the kernel over plain connections, in chunks over TLS and HTTP/2.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Connection, Edge, Setup, get, write};
use std::io::Write;

/// Several windows of what is sent in one go, no two chunks alike.
fn large() -> Vec<u8> {
    (0..5_300_001u32).map(|index| (index / 5 % 249) as u8).collect()
}

fn site() -> (tempfile::TempDir, Edge, Vec<u8>) {
    let (dir, large) = (tempfile::tempdir().unwrap(), large());
    write(&dir.path().join("large.bin"), &large);
    let text = format!("static = ['/static/={}']\nmax_ranges = 20\nsend_timeout = '1s'\n", dir.path().display());
    let edge = Setup::default().plain().file(&text).start();
    (dir, edge, large)
}

#[test]
fn whole_in_parts_and_again() {
    let (_dir, edge, large) = site();
    assert_eq!(get(edge.http, "/static/large.bin", &[]).body, large);
    let middle = get(edge.http, "/static/large.bin", &["Range: bytes=1000001-4999999"]);
    assert_eq!((middle.status, &middle.body[..]), (206, &large[1_000_001..5_000_000]));
    // Large and small parts, in turn by the kernel and by us.
    let several = get(edge.http, "/static/large.bin", &["Range: bytes=0-99999,200000-200009,300000-2999999,-70000"]);
    let boundary = several.header("content-type").unwrap().split_once("boundary=").unwrap().1;
    let mut expected = Vec::new();
    for (start, end) in [(0, 99_999), (200_000, 200_009), (300_000, 2_999_999), (5_230_001, 5_300_000)] {
        expected.extend(format!("\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\n").into_bytes());
        expected.extend(format!("Content-Range: bytes {start}-{end}/5300001\r\n\r\n").into_bytes());
        expected.extend(&large[start..=end]);
    }
    expected.extend(format!("\r\n--{boundary}--\r\n").into_bytes());
    assert_eq!(several.header("content-length"), Some(expected.len().to_string().as_str()));
    assert!(several.body == expected);
    // The connection goes on.
    let mut connection = Connection::plain(edge.http).unwrap();
    for _ in 0..3 {
        let answer = connection.ask("GET /static/large.bin HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(answer.body == large);
        let head = connection.ask("HEAD /static/large.bin HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!((head.status, head.header("content-length")), (200, Some("5300001")));
    }
    let line = edge.access_line(|line| line["status"] == 200 && line["bytes_out"] == 5_300_001);
    assert_eq!(line["complete"], serde_json::Value::Null);
}

#[test]
fn over_tls() {
    let (dir, large) = (tempfile::tempdir().unwrap(), large());
    write(&dir.path().join("large.bin"), &large);
    let edge = Edge::start(["--static", &format!("/static/={}", dir.path().display())]);
    let ca = edge.ca();
    let mut connection = Connection::tls(edge.https, &ca, "localhost", &["http/1.1"]).unwrap();
    for _ in 0..2 {
        let answer = connection.ask("GET /static/large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert!(answer.status == 200 && answer.body == large);
    }
    let part =
        connection.ask("GET /static/large.bin HTTP/1.1\r\nHost: localhost\r\nRange: bytes=65000-3000000\r\n\r\n");
    assert_eq!((part.status, &part.body[..]), (206, &large[65_000..=3_000_000]));
}

#[test]
fn a_file_that_shrinks_breaks_the_answer() {
    let (dir, edge, large) = site();
    let mut connection = Connection::plain(edge.http).unwrap();
    connection.send("GET /static/large.bin HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let head = connection.head().unwrap();
    assert!(head.contains("content-length: 5300001"), "{head}");
    std::fs::File::options().write(true).open(dir.path().join("large.bin")).unwrap().set_len(1000).unwrap();
    // What was on its way already comes (the kernel empties the pages that the file has lost); the rest never does.
    let rest = connection.read_to_end();
    assert!(rest.len() < large.len(), "{}", rest.len());
    assert!(rest.iter().zip(&large).all(|(byte, was)| byte == was || *byte == 0));
    let again = get(edge.http, "/static/large.bin", &["Range: bytes=0-9"]);
    assert!(matches!(again.status, 200 | 206));
}

#[test]
fn a_reader_that_stops_is_let_go() {
    let (_dir, edge, _) = site();
    let mut connection = Connection::plain(edge.http).unwrap();
    connection.send("GET /static/large.bin HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let line = edge.access_line(|line| line["complete"] == false);
    let sent = line["bytes_out"].as_u64().unwrap();
    assert!(sent > 0 && sent < 5_300_001, "{sent}");
}

#[test]
fn a_file_that_grows_is_another_version() {
    let (dir, edge, large) = site();
    assert_eq!(get(edge.http, "/static/large.bin", &[]).body.len(), large.len());
    let mut file = std::fs::File::options().append(true).open(dir.path().join("large.bin")).unwrap();
    file.write_all(b"more").unwrap();
    common::until("the new version is served", || get(edge.http, "/static/large.bin", &[]).body.ends_with(b"more"));
}
