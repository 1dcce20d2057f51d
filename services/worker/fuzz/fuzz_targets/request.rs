//! Any bytes as a connection of a whole worker process: accepted, read, given to a WSGI application, answered. No panic
//! anywhere, the application sees only what PEP 3333 allows, every byte of the answer is HTTP, and the connection ends.
#![no_main]

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::IntoRawFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use monodon_worker::config::Config;
use monodon_worker::process::{Handover, Hooks, Setup, run};
use monodon_worker::scoreboard::Scoreboard;
use pyo3::prelude::*;
use pyo3::types::PyModule;

const APPLICATION: &std::ffi::CStr = cr#"
import os, traceback

def check(environ):
    for key, value in environ.items():
        assert type(key) is str and key.isascii(), key
        if "." not in key:
            assert type(value) is str, key
            value.encode("latin-1")
            assert not set(value) & set("\r\n\0") or key == "PATH_INFO", (key, value)
        if key.startswith("HTTP_"):
            assert "-" not in key and key.upper() == key and key not in ("HTTP_CONTENT_LENGTH", "HTTP_CONTENT_TYPE"), key
            assert key != "HTTP_PROXY", "httpoxy"
    assert environ["SERVER_PROTOCOL"] in ("HTTP/1.0", "HTTP/1.1")
    assert environ["wsgi.url_scheme"] in ("http", "https")
    assert environ["REQUEST_METHOD"]
    assert environ["PATH_INFO"].startswith("/") or environ["PATH_INFO"] in ("", "*"), environ["PATH_INFO"]
    assert environ["SCRIPT_NAME"] == "" and "SERVER_NAME" in environ and "SERVER_PORT" in environ
    body = environ["wsgi.input"].read()
    assert int(environ.get("CONTENT_LENGTH") or 0) == len(body)
    assert environ["wsgi.input"].read() == b"" == environ["wsgi.input"].readline()
    return body

def application(environ, start_response):
    try:
        body = check(environ)
    except BaseException:
        traceback.print_exc()
        os.abort()
    path = environ["PATH_INFO"]
    if path.startswith("/n"):
        start_response("204 No Content", [("X-Bare", "1")])
        return []
    fields = [("X-Bare", "1")] if environ["REQUEST_METHOD"] == "HEAD" else []
    if path.startswith("/c"):
        # Of a length that nobody can tell beforehand.
        start_response("200 OK", fields)
        return iter([b"ok\n", body])
    if path.startswith("/w"):
        start_response("200 OK", fields)(b"ok\n")
        return [body]
    start_response("200 OK", [*fields, ("Content-Length", str(len(body) + 3))])
    return [b"ok\n", body]
"#;

fn config() -> Config {
    let mut config = serde_json::to_value(Config::default()).expect("JSON");
    config["timeout"] = serde_json::json!({"secs": 0, "nanos": 0});
    config["body_limit"] = 2000.into();
    config["limit_request_fields"] = 12.into();
    config["proxy_protocol"]["mode"] = "Auto".into();
    serde_json::from_value(config).expect("the same again")
}

static SOCKET: LazyLock<PathBuf> = LazyLock::new(|| {
    let path = std::env::temp_dir().join(format!("monodon-fuzz-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).expect("a socket");
    listener.set_nonblocking(true).expect("a socket");
    let (rx, tx) = UnixDatagram::pair().expect("a pair");
    rx.set_nonblocking(true).expect("a pair");
    let (alive, hold) = std::io::pipe().expect("a pipe");
    std::mem::forget(hold);
    std::thread::spawn(move || {
        Python::initialize();
        Python::attach(|py| {
            let module = PyModule::from_code(py, APPLICATION, c"application.py", c"application").expect("Python");
            let scoreboard = Scoreboard::create(2).expect("memory");
            scoreboard.own(0).expect("an entry").begin(std::process::id(), 1, 1);
            let setup = Setup {
                config: Arc::new(config()),
                listeners: vec![listener.into_raw_fd()],
                handover: Handover { rx: rx.into_raw_fd(), tx: tx.into_raw_fd() },
                scoreboard,
                entry: 0,
                alive: alive.into_raw_fd(),
            };
            let application = module.getattr("application").expect("it is there").unbind();
            panic!("the process has ended: {:?}", run(py, application, Hooks::default(), setup));
        });
    });
    path
});

/// Takes the answers off one by one; the rest is none.
fn check(mut bytes: &[u8]) {
    let mut last = false;
    while !bytes.is_empty() {
        assert!(!last, "more after the last answer: {:?}", bytes.escape_ascii().to_string());
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head");
        let (head, rest) = bytes.split_at(end + 4);
        let head = std::str::from_utf8(head).expect("ASCII").to_lowercase();
        let status: u16 = head.strip_prefix("http/1.1 ").and_then(|head| head.get(..3)?.parse().ok()).expect("a status line");
        let field = |name: &str| {
            let mut found = head.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            let first = found.next();
            assert!(found.next().is_none(), "{name} twice");
            first
        };
        let length = field("content-length").map(|length| length.parse::<usize>().expect("a length"));
        let chunked = field("transfer-encoding").inspect(|coding| assert_eq!(*coding, "chunked"));
        assert!(chunked.is_none() || length.is_none());
        last = field("connection") == Some("close");
        bytes = match status {
            100 => rest,
            200 | 204 if field("x-bare").is_some() => rest,
            200 => {
                let after = match length {
                    _ if chunked.is_some() => dechunked(rest),
                    Some(length) => &rest[length..],
                    None => b"",
                };
                assert!(last || length.is_some() || chunked.is_some());
                after
            }
            400..600 => {
                assert!(last, "{status} and the connection goes on");
                &rest[length.expect("a length")..]
            }
            _ => panic!("status {status}"),
        };
    }
}

fn dechunked(mut bytes: &[u8]) -> &[u8] {
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n").expect("a chunk's line");
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).expect("ASCII"), 16).expect("a size");
        assert_eq!(&bytes[end + 2 + size..][..2], b"\r\n");
        bytes = &bytes[end + 4 + size..];
        if size == 0 {
            return bytes;
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&first, bytes)) = data.split_first() else { return };
    let mut stream = UnixStream::connect(&*SOCKET).expect("the process accepts");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    let (one, two) = bytes.split_at(usize::from(first) % (bytes.len() + 1));
    // It may have been refused and closed meanwhile.
    let _ = stream.write_all(one).and_then(|()| stream.write_all(two));
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => check(&answer),
        // Closed with bytes of ours unread.
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("no end: {error}, after {:?}", answer.escape_ascii().to_string()),
    }
});
