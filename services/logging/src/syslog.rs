//! Syslog (RFC 3164, as Python's `SysLogHandler` and so gunicorn speak it): each message begins with its priority in
//! angle brackets and ends with NUL; datagrams over UDP or a unix socket, or a stream.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// The facilities by gunicorn's names, each with its number.
pub const FACILITIES: &[(&str, u8)] = &[
    ("auth", 4),
    ("authpriv", 10),
    ("cron", 9),
    ("daemon", 3),
    ("ftp", 11),
    ("kern", 0),
    ("lpr", 6),
    ("mail", 2),
    ("news", 7),
    ("security", 4),
    ("syslog", 5),
    ("user", 1),
    ("uucp", 8),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

/// RFC 5424 6.2.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Error = 3,
    Warning = 4,
    Info = 6,
    Debug = 7,
}

/// `udp://HOST:PORT`, `tcp://HOST:PORT`, `unix://PATH`, `unix://PATH#dgram`, `unix://PATH#stream`; the port is 514 unless given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Udp(String, u16),
    Tcp(String, u16),
    /// A datagram's socket, a stream's, or whichever is there.
    Unix(PathBuf, Option<bool>),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected unix://PATH, udp://HOST:PORT or tcp://HOST:PORT, got {text:?}");
        if let Some(path) = text.strip_prefix("unix://") {
            let (path, kind) = path.split_once('#').unwrap_or((path, ""));
            let datagrams = match kind {
                "" => None,
                "dgram" => Some(true),
                "stream" => Some(false),
                _ => return Err(format!("{text:?}: after # stands dgram or stream")),
            };
            return if path.is_empty() { Err(wrong()) } else { Ok(Address::Unix(path.into(), datagrams)) };
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':').unwrap_or(port)),
            None => rest.split_once(':').unwrap_or((rest, "")),
        };
        let port = if port.is_empty() { 514 } else { port.parse().map_err(|_| wrong())? };
        let host = if host.is_empty() { "localhost" } else { host }.to_ascii_lowercase();
        match scheme {
            "udp" => Ok(Address::Udp(host, port)),
            "tcp" => Ok(Address::Tcp(host, port)),
            _ => Err(wrong()),
        }
    }
}

/// The beginning of a message: `<14>gunicorn.shop.access: [123] `.
pub fn opening(facility: u8, severity: Severity, name: &str) -> String {
    let mut opening = String::new();
    let _ = write!(opening, "<{}>{name}: [{}] ", u32::from(facility) * 8 + severity as u32, std::process::id());
    opening
}

/// After a failure nothing is tried for so long: what comes meanwhile is lost, and counted.
const PAUSE: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(2);

enum Connection {
    Udp(UdpSocket),
    Datagram(UnixDatagram),
    Stream(Box<dyn Write + Send>),
}

/// Connects when there is something to send; lives on the writer's thread, which may wait.
pub(crate) struct Sender {
    address: Address,
    connection: Option<Connection>,
    failed: Option<Instant>,
}

impl Sender {
    pub(crate) fn new(address: Address) -> Self {
        Self { address, connection: None, failed: None }
    }

    /// One message; false if it is lost.
    pub(crate) fn send(&mut self, line: &[u8]) -> bool {
        let mut message = line.trim_ascii_end().to_vec();
        message.push(0);
        // A connection may have ended since the last message: then a new one is tried at once.
        let fresh = self.connection.is_none();
        self.try_send(&message) || (!fresh && self.try_send(&message))
    }

    fn try_send(&mut self, message: &[u8]) -> bool {
        if self.connection.is_none() {
            if self.failed.is_some_and(|failed| failed.elapsed() < PAUSE) {
                return false;
            }
            self.connection = connect(&self.address).ok();
        }
        let sent = match &mut self.connection {
            Some(Connection::Udp(socket)) => socket.send(message).map(drop),
            Some(Connection::Datagram(socket)) => socket.send(message).map(drop),
            Some(Connection::Stream(stream)) => stream.write_all(message),
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        if sent.is_err() {
            self.connection = None;
            self.failed = Some(Instant::now());
        } else {
            self.failed = None;
        }
        sent.is_ok()
    }
}

fn connect(address: &Address) -> io::Result<Connection> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    match address {
        Address::Unix(path, kind) => {
            if *kind != Some(false) {
                match UnixDatagram::unbound().and_then(|socket| socket.connect(path).map(|()| socket)) {
                    Ok(socket) => {
                        socket.set_write_timeout(Some(PATIENCE))?;
                        return Ok(Connection::Datagram(socket));
                    }
                    Err(error) if *kind == Some(true) => return Err(error),
                    Err(_another) => {}
                }
            }
            let stream = UnixStream::connect(path)?;
            stream.set_write_timeout(Some(PATIENCE))?;
            return Ok(Connection::Stream(Box::new(stream)));
        }
        Address::Udp(host, port) => {
            for to in resolve(host, *port)? {
                let from = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                match UdpSocket::bind(from).and_then(|socket| socket.connect(to).map(|()| socket)) {
                    Ok(socket) => return Ok(Connection::Udp(socket)),
                    Err(error) => last = error,
                }
            }
        }
        Address::Tcp(host, port) => {
            for to in resolve(host, *port)? {
                match TcpStream::connect_timeout(&to, PATIENCE) {
                    Ok(stream) => {
                        stream.set_write_timeout(Some(PATIENCE))?;
                        return Ok(Connection::Stream(Box::new(stream)));
                    }
                    Err(error) => last = error,
                }
            }
        }
    }
    Err(last)
}

/// IPv4 first: a collector that listens on one family alone listens on that one.
fn resolve(host: &str, port: u16) -> io::Result<Vec<std::net::SocketAddr>> {
    let mut found: Vec<_> = (host, port).to_socket_addrs()?.collect();
    found.sort_by_key(std::net::SocketAddr::is_ipv6);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_gunicorn_writes_them() {
        for (text, expected) in [
            ("udp://localhost:514", Address::Udp("localhost".into(), 514)),
            ("udp://LOGS", Address::Udp("logs".into(), 514)),
            ("tcp://[2001:db8::1]:6514", Address::Tcp("2001:db8::1".into(), 6514)),
            ("unix:///dev/log", Address::Unix("/dev/log".into(), None)),
            ("unix:///dev/log#dgram", Address::Unix("/dev/log".into(), Some(true))),
            ("unix:///dev/log#stream", Address::Unix("/dev/log".into(), Some(false))),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in ["", "localhost:514", "udp://a:b", "unix://", "unix:///x#y", "http://a"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn each_line_is_a_message_and_a_collector_may_come_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let lines = crate::Lines::syslog(Address::Unix(path.clone(), None)).unwrap();
        let opening = opening(1, Severity::Info, "gunicorn.shop.access");
        lines.write(format!("{opening}lost\n"));
        assert!(lines.flush(Duration::from_secs(20)));
        assert_eq!(lines.lost(), 1);
        let collector = UnixDatagram::bind(&path).unwrap();
        collector.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // Nothing is tried for a while after a failure.
        let mut bytes = [0; 200];
        let length = loop {
            lines.write(format!("{opening}one\n{opening}two\n"));
            assert!(lines.flush(Duration::from_secs(20)));
            collector.set_nonblocking(true).unwrap();
            if let Ok(length) = collector.recv(&mut bytes) {
                break length;
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let expected = format!("<14>gunicorn.shop.access: [{}] one\0", std::process::id());
        assert_eq!(String::from_utf8_lossy(bytes.get(..length).unwrap()), expected);
    }
}
