//! StatsD, and Datadog's form of it with tags, under gunicorn's names. Several metrics share a datagram, a line each;
//! sending never waits, and what nobody takes is lost.

use std::io::Write as _;
use std::net::{ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// What fits into a datagram on any network.
const MOST: usize = 1400;
/// A unix socket that nobody listens on is tried again after so long.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Host {
    Udp(String, u16),
    Unix(PathBuf),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    pub host: Host,
    /// With its last dot, or empty.
    pub prefix: String,
    /// As written: `tag1:value1,tag2:value2`.
    pub tags: String,
    pub backlog: bool,
}

impl std::str::FromStr for Host {
    type Err = String;

    /// `unix://PATH`, `HOST:PORT`, `HOST`, `[ADDRESS]:PORT`; the port is 8125 unless given.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected unix://PATH or HOST:PORT, got {text:?}");
        if let Some(path) = text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:")) {
            return if path.is_empty() { Err(wrong()) } else { Ok(Host::Unix(path.into())) };
        }
        let text_of_port = |port: &str| port.parse::<u16>().map_err(|_| wrong());
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, 8125),
            Some((host, port)) => (host, text_of_port(port.strip_prefix(':').ok_or_else(wrong)?)?),
            None => match text.rsplit_once(':') {
                Some((host, port)) => (host, text_of_port(port)?),
                None => (text, 8125),
            },
        };
        if host.is_empty() || host.contains('/') { Err(wrong()) } else { Ok(Host::Udp(host.to_owned(), port)) }
    }
}

enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

/// Gathers metrics and sends them.
pub struct Statsd {
    settings: Settings,
    /// `|#tag1:value1`, or empty.
    tags: String,
    socket: Option<Socket>,
    tried: Option<Instant>,
    packet: Vec<u8>,
    before: usize,
}

impl Statsd {
    pub fn new(settings: Settings) -> Self {
        let tags = if settings.tags.is_empty() { String::new() } else { format!("|#{}", settings.tags) };
        let mut statsd = Self { settings, tags, socket: None, tried: None, packet: Vec::new(), before: 0 };
        statsd.connect();
        statsd
    }

    /// A request, as gunicorn tells it.
    pub fn request(&mut self, status: u16, micros: u64) {
        let (millis, rest) = (micros / 1000, micros % 1000);
        // As Python writes a float.
        let mut fraction = format!("{rest:03}");
        while fraction.len() > 1 && fraction.ends_with('0') {
            fraction.pop();
        }
        self.line("gunicorn.request.duration", format_args!("{millis}.{fraction}|ms"));
        self.count("gunicorn.requests", 1);
        self.line("gunicorn.request.status.", format_args!("{status}:1|c|@1.0"));
    }

    pub fn count(&mut self, name: &str, more: u64) {
        self.line(name, format_args!("{more}|c|@1.0"));
    }

    pub fn gauge(&mut self, name: &str, value: u64) {
        self.line(name, format_args!("{value}|g"));
    }

    pub fn histogram(&mut self, name: &str, value: u64) {
        self.line(name, format_args!("{value}|h"));
    }

    /// A name that ends in a dot goes on with the value.
    fn line(&mut self, name: &str, value: std::fmt::Arguments<'_>) {
        self.before = self.packet.len();
        if !self.packet.is_empty() {
            self.packet.push(b'\n');
        }
        let colon = if name.ends_with('.') { "" } else { ":" };
        // Writing to memory cannot fail.
        let _ = write!(self.packet, "{}{name}{colon}{value}{}", self.settings.prefix, self.tags);
        if self.packet.len() > MOST && self.before > 0 {
            let last = self.packet.split_off(self.before);
            self.flush();
            self.packet.extend_from_slice(last.get(1..).unwrap_or_default());
        }
    }

    /// Sends what is gathered.
    pub fn flush(&mut self) {
        if self.packet.is_empty() {
            return;
        }
        if self.socket.is_none() && matches!(self.settings.host, Host::Unix(_)) {
            self.connect();
        }
        let sent = match &self.socket {
            Some(Socket::Udp(socket)) => socket.send(&self.packet),
            Some(Socket::Unix(socket)) => socket.send(&self.packet),
            None => Ok(0),
        };
        // A unix socket whose listener has been replaced is of no use any more; UDP only tells of the packet before.
        if let (Err(error), Some(Socket::Unix(_))) = (&sent, &self.socket)
            && error.kind() != std::io::ErrorKind::WouldBlock
        {
            self.socket = None;
        }
        self.packet.clear();
    }

    fn connect(&mut self) {
        if self.tried.is_some_and(|tried| tried.elapsed() < PAUSE) {
            return;
        }
        self.tried = Some(Instant::now());
        let connected = match &self.settings.host {
            Host::Udp(host, port) => udp(host, *port).map(Socket::Udp),
            Host::Unix(path) => UnixDatagram::unbound().and_then(|socket| {
                socket.connect(path)?;
                socket.set_nonblocking(true)?;
                Ok(Socket::Unix(socket))
            }),
        };
        match connected {
            Ok(socket) => self.socket = Some(socket),
            Err(error) => tracing::debug!("nobody takes statsd's metrics at {:?}: {error}", self.settings.host),
        }
    }
}

fn udp(host: &str, port: u16) -> std::io::Result<UdpSocket> {
    let mut last = std::io::Error::from(std::io::ErrorKind::NotFound);
    let mut found: Vec<_> = (host, port).to_socket_addrs()?.collect();
    // A collector that listens on one family alone listens on that one.
    found.sort_by_key(std::net::SocketAddr::is_ipv6);
    for to in found {
        let from = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let connected = UdpSocket::bind(from).and_then(|socket| {
            socket.connect(to)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        });
        match connected {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_as_gunicorn_reads_them() {
        for (text, expected) in [
            ("localhost:9125", Host::Udp("localhost".into(), 9125)),
            ("stats", Host::Udp("stats".into(), 8125)),
            ("[::1]:1", Host::Udp("::1".into(), 1)),
            ("unix:///run/statsd.sock", Host::Unix("/run/statsd.sock".into())),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in ["", ":1", "a:b", "unix://", "udp://a:1"] {
            assert!(text.parse::<Host>().is_err(), "{text}");
        }
    }

    #[test]
    fn lines_share_a_datagram_up_to_its_size() {
        let collector = UdpSocket::bind("127.0.0.1:0").unwrap();
        collector.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let host = Host::Udp("127.0.0.1".into(), collector.local_addr().unwrap().port());
        let settings = Settings { host, prefix: "shop.".into(), tags: "a:b,c".into(), backlog: false };
        let mut statsd = Statsd::new(settings);
        for _ in 0..20 {
            statsd.request(404, 12_340);
        }
        statsd.flush();
        let mut lines = Vec::new();
        let mut packet = [0; 65536];
        while lines.len() < 60 {
            let length = collector.recv(&mut packet).unwrap();
            assert!(length <= MOST, "{length}");
            lines.extend(String::from_utf8_lossy(&packet[..length]).lines().map(str::to_owned));
        }
        assert_eq!(
            lines[..3],
            [
                "shop.gunicorn.request.duration:12.34|ms|#a:b,c",
                "shop.gunicorn.requests:1|c|@1.0|#a:b,c",
                "shop.gunicorn.request.status.404:1|c|@1.0|#a:b,c"
            ]
        );
    }
}
