//! A small application server: each request is answered by a function of the test, on a thread of its own, so that it
//! may wait or break off as it likes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request as the upstream saw it.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }

    pub fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }
}

pub struct Upstream {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// Writes what it wants to the connection; `false`: the connection ends.
pub trait Handler: Fn(&Seen, &mut TcpStream) -> bool + Send + Sync + 'static {}
impl<T: Fn(&Seen, &mut TcpStream) -> bool + Send + Sync + 'static> Handler for T {}

impl Upstream {
    /// Answers `200` and `body` to everything.
    pub fn saying(body: &'static str) -> Self {
        Self::start(move |_, stream| reply(stream, 200, &[], body))
    }

    pub fn start(handler: impl Handler) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (log, handler) = (seen.clone(), Arc::new(handler));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (log, handler) = (log.clone(), handler.clone());
                std::thread::spawn(move || converse(stream, &log, &*handler));
            }
        });
        Self { address, seen }
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn last(&self) -> Seen {
        self.seen().pop().expect("no request reached the upstream")
    }

    /// For `--upstream`.
    pub fn flag(&self) -> [String; 2] {
        ["--upstream".into(), self.address.to_string()]
    }
}

fn converse(mut stream: TcpStream, log: &Mutex<Vec<Seen>>, handler: &impl Handler) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(seen) = read(&mut reader) {
        log.lock().unwrap().push(seen.clone());
        if !handler(&seen, &mut stream) {
            break;
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|size| *size > 0)?;
        Some(line.trim_end().to_owned())
    };
    let mut seen = Seen { line: line()?, ..Seen::default() };
    loop {
        let line = line()?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        seen.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    assert!(seen.header("transfer-encoding").is_none(), "the edge sends lengths: {seen:?}");
    let length = seen.header("content-length").map_or(0, |length| length.parse().unwrap());
    seen.body.resize(length, 0);
    reader.read_exact(&mut seen.body).ok()?;
    Some(seen)
}

/// An answer with a length.
pub fn reply(stream: &mut TcpStream, status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> bool {
    let body = body.as_ref();
    let fields: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!("HTTP/1.1 {status} Status\r\nContent-Length: {}\r\n{fields}\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat()).is_ok()
}
