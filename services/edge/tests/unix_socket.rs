//! An application behind a unix socket.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Setup, get, until};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;

/// Answers `words` to every request, on any number of connections, until it is told to end by a request for `/end`.
fn serve(path: &Path, words: &'static str) -> std::thread::JoinHandle<()> {
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut stream = stream;
            let mut line = String::new();
            let mut target = String::new();
            while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
                if target.is_empty() {
                    target = line.split(' ').nth(1).unwrap_or_default().to_owned();
                }
                if line == "\r\n" {
                    let close = if target == "/end" { "Connection: close\r\n" } else { "" };
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{close}\r\n{words}", words.len());
                    if stream.write_all(head.as_bytes()).is_err() || target == "/end" {
                        break;
                    }
                    target.clear();
                }
                line.clear();
            }
            if target == "/end" {
                return;
            }
        }
    })
}

#[test]
fn it_is_asked_and_asked_again_when_it_is_another() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.sock");
    let edge = Setup::default().plain().args(["--upstream", &format!("unix:{}", path.display())]).start();
    // Not there yet: the edge serves what it can.
    assert_eq!(get(edge.http, "/", &[]).status, 502);
    let first = serve(&path, "first");
    until("it is found", || get(edge.http, "/", &[]).text() == "first");
    assert_eq!(get(edge.http, "/end", &[]).text(), "first");
    first.join().unwrap();
    // Another process, another socket of that name.
    let _second = serve(&path, "second");
    until("the other is found", || get(edge.http, "/", &[]).text() == "second");
}
