//! Ten thousand clients that are slow in every way they can be, beside fast ones.
#![allow(clippy::unwrap_used)]

mod common;
#[allow(dead_code)]
#[path = "upstream/fake.rs"]
mod fake;

use common::{Connection, Edge, Setup, Upstream, get, ports, until, write};
use fake::pattern;
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

const CLIENTS: usize = 10_000;
/// What a file gives to those that do not read.
const FILE: usize = 1_000_000;
/// What the application gives them: more than the kernel's buffers take on both sides, so that it would wait if the edge did not.
const ANSWER: usize = 12_000_000;
/// What one may cost at the edge (a debug build's tasks are larger than a release's).
const EACH_KIB: usize = 32;

#[derive(Clone, Copy, PartialEq)]
enum Slow {
    /// A head that does not end.
    Head,
    /// A body whose length was said.
    Body,
    Chunk,
    /// Asked for everything and hardly reads: an application's answer, a file.
    Answer,
    File,
}

const KINDS: [Slow; 6] = [Slow::Head, Slow::File, Slow::Body, Slow::File, Slow::Chunk, Slow::File];
/// Every so manieth waits for the application instead: few, for each answer is written to the disk.
const ANSWERS: usize = 499;

impl Slow {
    fn opening(self) -> &'static str {
        match self {
            Self::Head => "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ",
            Self::Body => "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n",
            Self::Chunk => "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n",
            Self::Answer => "GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            Self::File => "GET /static/big.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        }
    }

    fn reads(self) -> bool {
        matches!(self, Self::Answer | Self::File)
    }
}

struct Client {
    kind: Slow,
    stream: TcpStream,
    /// Bytes sent of what never ends, or read.
    done: usize,
}

impl Client {
    fn connect(edge: &Edge, kind: Slow) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        if kind.reads() {
            // Its kernel takes little on its behalf.
            socket.set_recv_buffer_size(4096).unwrap();
            // And as little at the other end: loopback's own segments of 64 KB would make megabytes of it.
            socket.set_tcp_mss(536).unwrap();
        }
        socket.connect(&edge.http.into()).unwrap();
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(common::PATIENCE)).unwrap();
        stream.write_all(kind.opening().as_bytes()).unwrap();
        Self { kind, stream, done: 0 }
    }

    /// One byte more.
    fn step(&mut self) {
        if self.kind.reads() {
            self.stream.read_exact(&mut [0]).unwrap();
        } else {
            self.stream.write_all(b"x").unwrap();
        }
        self.done += 1;
    }

    /// No longer slow: it gets what it came for.
    fn finish(mut self, big: &[u8]) {
        let left = "x".repeat(1000 - self.done);
        let rest = match self.kind {
            Slow::Head => "\r\nConnection: close\r\n\r\n".into(),
            Slow::Body => left,
            Slow::Chunk => left + "\r\n0\r\n\r\n",
            Slow::Answer | Slow::File => {
                let big = if self.kind == Slow::File { &big[..FILE] } else { big };
                socket2::SockRef::from(&self.stream).set_recv_buffer_size(1 << 20).unwrap();
                let mut all = Vec::new();
                self.stream.read_to_end(&mut all).unwrap();
                return assert!(all.ends_with(big), "{} bytes", all.len());
            }
        };
        self.stream.write_all(rest.as_bytes()).unwrap();
        let mut head = [0; 15];
        self.stream.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"HTTP/1.1 200 OK");
    }
}

/// Two descriptors for each: one here, one at the edge, which inherits the limit; some answers are in a file of the
/// spool besides. The kernel holds 70 KB for one, and slows all down when it has not that much.
fn as_many_as_allowed() -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let hard = limit.maximum.map_or(usize::MAX, |hard| usize::try_from(hard).unwrap_or(usize::MAX));
    let pages = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_mem").unwrap_or_default();
    let pages = pages.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(usize::MAX);
    let most = (hard.saturating_sub(500) / 4 * 3).min(pages.saturating_mul(rustix::param::page_size()) / 70_000);
    if most < CLIENTS {
        eprintln!("{most} slow clients instead of {CLIENTS}: {hard} files may be open, TCP has {pages} pages");
    }
    CLIENTS.min(most)
}

fn resident_kib(edge: &Edge) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", edge.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn ten_thousand_slow_clients_leave_the_fast_ones_unharmed() {
    let count = as_many_as_allowed();
    let big = Arc::new(pattern(ANSWER));
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("big.bin"), &big[..FILE]);
    write(&dir.path().join("small.txt"), "small");
    let body = big.clone();
    // Two processes with a slot each.
    let upstream = Upstream::start(move |seen, stream| {
        let body: &[u8] = if seen.path() == "/big" { &body } else { b"fast" };
        let head = format!("HTTP/1.1 200 OK\r\nX-Monodon-Process: 0/1/2\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(&[head.as_bytes(), body].concat()).is_ok()
    });
    let settings = format!(
        "upstream = ['{}']\nstatic = ['/static/={}']\nconnections_limit = 20000\n\
         buffer_memory_total = '8MB'\nqueue_per_slot = 10000\nmin_rate = 0\nmin_send_rate = 0\n\
         head_timeout = '5m'\nbody_timeout = '5m'\nsend_timeout = '5m'\n",
        upstream.address,
        dir.path().display(),
    );
    let edge = Setup::default().plain().file(&settings).start();
    let mut kept = Connection::plain(edge.http).unwrap();
    let mut fast = || {
        assert_eq!(kept.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").text(), "fast");
        assert_eq!(kept.ask("GET /static/small.txt HTTP/1.1\r\nHost: a\r\n\r\n").text(), "small");
        assert_eq!(get(edge.http, "/", &[]).text(), "fast");
    };
    fast();
    let before = resident_kib(&edge);
    let mut slow = Vec::with_capacity(count);
    for (number, kind) in KINDS.into_iter().cycle().take(count).enumerate() {
        let kind = if number % ANSWERS == 0 { Slow::Answer } else { kind };
        slow.push(Client::connect(&edge, kind));
        if number % 200 == 0 {
            fast();
        }
    }
    // They go on slowly; the fast ones do not wait for any of them.
    for _ in 0..2 {
        for (number, client) in slow.iter_mut().enumerate() {
            client.step();
            if number % 200 == 0 {
                fast();
            }
        }
    }
    let connections =
        |state: &str| edge.metric(&format!("monodon_edge_connections{{protocol=\"http/1\",state=\"{state}\"}}"));
    let heads = slow.iter().filter(|client| client.kind == Slow::Head).count();
    until("all of them are in hand", || connections("active") >= (count - heads) as f64);
    let of_upstream = format!("{{upstream=\"default\",address=\"{}\"}}", upstream.address);
    let in_flight = format!("monodon_edge_upstream_requests_in_flight{of_upstream}");
    assert!(edge.admin("/metrics").text().contains(&in_flight));
    until("none of them holds a slot", || edge.metric(&in_flight) == 0.0);
    let (held, grown) = (edge.metric("monodon_edge_answer_memory_bytes"), resident_kib(&edge).saturating_sub(before));
    eprintln!("{count} slow clients: {grown} KiB more than none, {held} bytes of answers");
    assert!(held <= f64::from(8 << 20), "{held} bytes of answers in memory");
    assert!(grown < (8 << 10) + count * EACH_KIB, "{grown} KiB for {count} clients");
    // They were slow, not broken. (All kinds are there.)
    for (_, client) in
        slow.into_iter().enumerate().filter(|(number, _)| number % 295 == 0 || number % (5 * ANSWERS) == 0)
    {
        client.finish(&big);
    }
    fast();
}
