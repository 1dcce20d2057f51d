//! What a container's engine runs to learn whether the service is ready: asks `/readyz`, says what is wrong, ends. It
//! blocks and needs no runtime, so that it costs as little as a check every few seconds should.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::health::Document;

const PATIENCE: Duration = Duration::from_secs(2);
/// More than any honest document has.
const LARGEST: u64 = 16 << 20;

/// What the service answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Asks the service that listens on `address` (`0.0.0.0` is asked on loopback) and prints what does not pass.
/// Exit code 0: ready, perhaps with warnings; 1: not.
pub fn healthcheck(address: SocketAddr) -> ExitCode {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let address = SocketAddr::new(ip, address.port());
    let answer = TcpStream::connect_timeout(&address, PATIENCE).and_then(|stream| {
        stream.set_write_timeout(Some(PATIENCE))?;
        let deadline = Instant::now() + PATIENCE;
        ask(stream, "/readyz", |stream| {
            let left = deadline.saturating_duration_since(Instant::now());
            stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
        })
    });
    conclude(&address.to_string(), answer)
}

/// One GET on a stream that is connected; `before_read` keeps the time.
pub fn ask<S: Read + Write>(
    stream: S,
    path: &str,
    before_read: impl FnMut(&S) -> io::Result<()>,
) -> io::Result<Answer> {
    request(stream, "GET", path, "", before_read)
}

/// The same with another method and a text.
pub fn request<S: Read + Write>(
    mut stream: S,
    method: &str,
    path: &str,
    body: &str,
    mut before_read: impl FnMut(&S) -> io::Result<()>,
) -> io::Result<Answer> {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n{length}\r\n{body}")?;
    stream.flush()?;
    let mut answer = Vec::new();
    let mut part = [0; 8192];
    loop {
        before_read(&stream)?;
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(size) => answer.extend_from_slice(part.get(..size).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if answer.len() as u64 > LARGEST {
            return Err(io::Error::other("the answer is too long"));
        }
    }
    let malformed = || io::Error::other("the answer is not HTTP");
    let head_end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(malformed)?;
    let head = std::str::from_utf8(answer.get(..head_end).unwrap_or_default()).map_err(|_| malformed())?;
    let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok()).ok_or_else(malformed)?;
    Ok(Answer { status, body: answer.split_off(head_end + 4) })
}

/// Prints what a person wants to read in `docker inspect`, and gives the exit code.
pub fn conclude(place: &str, answer: io::Result<Answer>) -> ExitCode {
    let (ready, lines) = match answer {
        Ok(Answer { status, body }) => {
            let complaints = serde_json::from_slice::<Document>(&body).map(|document| document.complaints());
            let mut lines = complaints.unwrap_or_default();
            if status != 200 && lines.is_empty() {
                lines.push(format!("{place} answers /readyz with {status}"));
            }
            (status == 200, lines)
        }
        Err(error) => {
            let timeout = matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock);
            let why = if timeout { format!("no answer within {PATIENCE:?}") } else { error.to_string() };
            (false, vec![format!("cannot ask {place}: {why}")])
        }
    };
    let mut out = io::stdout().lock();
    for line in &lines {
        let _ = writeln!(out, "{line}");
    }
    if ready {
        let _ = writeln!(out, "ready");
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
