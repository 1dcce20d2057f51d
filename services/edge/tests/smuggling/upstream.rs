//! An application's server that says exactly what a test wants, and writes down exactly what it was sent, connection by connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

pub struct Hostile {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// What is done with a connection after its request has been answered.
#[derive(Clone, Copy, PartialEq)]
pub enum Then {
    /// A body that is still to come is read, and is nobody's request.
    Keep,
    Close,
    /// It stays open, and nothing more is read of it.
    Hold,
}

impl Hostile {
    /// `answer` gets a request's head; what it gives is written as it is.
    pub fn start(answer: impl Fn(&str) -> (Vec<u8>, Then) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let (log, answer) = (seen.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (log, answer) = (log.clone(), answer.clone());
                std::thread::spawn(move || converse(stream, &log, &*answer));
            }
        });
        Self { address, seen }
    }

    /// All bytes of each connection that brought any.
    pub fn connections(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    /// The requests' targets, connection by connection.
    pub fn targets(&self) -> Vec<Vec<String>> {
        let target =
            |line: &str| line.strip_suffix(" HTTP/1.1").and_then(|line| Some(line.split_once(' ')?.1.to_owned()));
        self.connections().iter().map(|text| text.lines().filter_map(target).collect()).collect()
    }
}

fn converse(mut stream: TcpStream, log: &Mutex<Vec<Vec<u8>>>, answer: &impl Fn(&str) -> (Vec<u8>, Then)) {
    let mut place = None;
    let mut buf = Vec::new();
    let mut skip = 0;
    let mut some = [0; 16384];
    loop {
        let skipped = buf.len().min(skip);
        buf.drain(..skipped);
        skip -= skipped;
        if let Some(end) = buf.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buf[..end + 4]).into_owned();
            // Without waiting for a body, which may still come.
            let length = head
                .to_ascii_lowercase()
                .split("content-length: ")
                .nth(1)
                .map_or(0, |rest| rest.lines().next().unwrap().trim().parse::<usize>().unwrap());
            let early = head.contains("/early");
            if early || buf.len() >= end + 4 + length {
                let here = buf.len().min(end + 4 + length);
                skip = end + 4 + length - here;
                buf.drain(..here);
                let (bytes, then) = answer(&head);
                match stream.write_all(&bytes) {
                    Ok(()) if then == Then::Keep => continue,
                    Ok(()) if then == Then::Hold => std::mem::forget(stream),
                    _ => {}
                }
                return;
            }
        }
        match stream.read(&mut some) {
            Ok(0) | Err(_) => return,
            Ok(read) => {
                buf.extend_from_slice(&some[..read]);
                let mut log = log.lock().unwrap();
                let place = *place.get_or_insert_with(|| {
                    log.push(Vec::new());
                    log.len() - 1
                });
                log[place].extend_from_slice(&some[..read]);
            }
        }
    }
}
