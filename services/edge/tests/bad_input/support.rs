//! An edge of one's own for each test, an upstream that remembers, and a client that sends any bytes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Far longer than anything here takes; only a hang gets there.
const PATIENCE: Duration = Duration::from_secs(20);

/// A port that nobody else gets: the socket is bound and never listens, and the edge binds beside it.
fn reserve() -> (socket2::Socket, u16) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    (socket, port)
}

pub struct Edge {
    child: Child,
    address: SocketAddr,
    pub upstream: Upstream,
    _ports: [socket2::Socket; 2],
    _dir: tempfile::TempDir,
}

impl Edge {
    pub fn start(flags: &[&str]) -> Self {
        let upstream = Upstream::start();
        let (held, port) = reserve();
        let (held_admin, admin) = reserve();
        let dir = tempfile::tempdir().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_monodon-edge"))
            .arg("run")
            .args(["--http", &format!("127.0.0.1:{port}"), "--admin", &format!("127.0.0.1:{admin}")])
            .args(["--upstream", &upstream.address.to_string(), "--threads", "1", "--access-log", "off"])
            .arg("--state")
            .arg(dir.path())
            .args(flags)
            .env_remove("MONODON_EDGE_CONFIG")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let edge = Self { child, address, upstream, _ports: [held, held_admin], _dir: dir };
        let begin = Instant::now();
        while edge.send(GOOD).status != 200 {
            assert!(begin.elapsed() < PATIENCE, "the edge does not serve");
            std::thread::sleep(Duration::from_millis(20));
        }
        edge.upstream.forget();
        edge
    }

    pub fn connect(&self) -> Client {
        let stream = loop {
            match TcpStream::connect(self.address) {
                Ok(stream) => break stream,
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client(stream)
    }

    /// Sends these bytes on a connection of their own and reads to its end.
    pub fn send(&self, bytes: &[u8]) -> Answer {
        let mut client = self.connect();
        client.write(bytes);
        client.read_all()
    }

    /// Sends them, with a request behind that must not be taken for one; expects the status, the end of the connection, and that the
    /// upstream never hears of it.
    #[track_caller]
    pub fn refuses(&self, bytes: &[u8], status: u16) {
        let shown = String::from_utf8_lossy(bytes).into_owned();
        let answer = self.send(&[bytes, b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
        assert_eq!(answer.status, status, "{shown:?} got {:?}", answer.text);
        assert!(answer.closed && !answer.reset, "{shown:?} did not close in order: {answer:?}");
        assert!(!answer.text.contains("\nHTTP/1.1 "), "{shown:?} got a second answer: {:?}", answer.text);
        assert!(answer.text.contains("connection: close\r\n"), "{shown:?} got {:?}", answer.text);
    }

    /// Only this has been forwarded since the start: the requests' targets, in order.
    #[track_caller]
    pub fn forwarded(&self, targets: &[&str]) {
        assert_eq!(self.send(GOOD).status, 200, "the edge still serves");
        let mut expected = targets.to_vec();
        expected.push("/good");
        assert_eq!(self.upstream.targets(), expected);
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub const GOOD: &[u8] = b"GET /good HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

pub struct Client(pub TcpStream);

impl Client {
    /// The peer may have closed already; what it said then is what counts.
    pub fn write(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
    }

    pub fn half_close(&self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }

    pub fn read_all(&mut self) -> Answer {
        let mut bytes = Vec::new();
        let error = self.0.read_to_end(&mut bytes).err().map(|error| error.kind());
        let reset = error == Some(std::io::ErrorKind::ConnectionReset);
        Answer { reset, ..Answer::of(&bytes, error.is_none() || reset) }
    }

    /// Reads until the text holds `end`.
    #[track_caller]
    pub fn until(&mut self, end: &str) -> Answer {
        let mut bytes = Vec::new();
        let mut some = [0; 4096];
        loop {
            match self.0.read(&mut some) {
                Ok(0) => return Answer::of(&bytes, true),
                Ok(read) => bytes.extend_from_slice(&some[..read]),
                Err(error) => panic!("{error} before {end:?}, after {:?}", String::from_utf8_lossy(&bytes)),
            }
            if String::from_utf8_lossy(&bytes).contains(end) {
                return Answer::of(&bytes, false);
            }
        }
    }
}

#[derive(Debug)]
pub struct Answer {
    /// 0 where there is none.
    pub status: u16,
    pub text: String,
    pub closed: bool,
    /// Closed by a reset: whatever was on its way may be lost.
    pub reset: bool,
}

impl Answer {
    fn of(bytes: &[u8], closed: bool) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(0);
        Self { status, text, closed, reset: false }
    }

    pub fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }
}

/// An HTTP/1.1 server that records every request, and answers by the path.
pub struct Upstream {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub head: String,
    pub body: Vec<u8>,
}

impl Upstream {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let shared = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let requests = shared.clone();
                std::thread::spawn(move || answer_all(stream, &requests));
            }
        });
        Self { address, requests }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    fn targets(&self) -> Vec<String> {
        self.requests().iter().map(|request| request.head.split(' ').nth(1).unwrap_or("?").to_owned()).collect()
    }

    fn forget(&self) {
        self.requests.lock().unwrap().clear();
    }
}

fn answer_all(mut stream: TcpStream, requests: &Mutex<Vec<Request>>) {
    let mut buf = Vec::new();
    loop {
        let Some(end) = find_end(&mut stream, &mut buf) else { return };
        let head = String::from_utf8_lossy(&buf[..end]).into_owned();
        let lower = head.to_ascii_lowercase();
        assert!(!lower.contains("transfer-encoding"), "bodies are sent on with their length: {head}");
        let length = lower
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.lines().next()?.trim().parse().ok())
            .unwrap_or(0);
        while buf.len() < end + length {
            if !more(&mut stream, &mut buf) {
                return;
            }
        }
        let body = buf[end..end + length].to_vec();
        buf.drain(..end + length);
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let is_head = head.starts_with("HEAD");
        requests.lock().unwrap().push(Request { head, body });
        let answer = match path.as_str() {
            "/chunked" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_owned(),
            "/broken" => "HTTP/1.1 200 OK\r\nX-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
                .to_owned(),
            "/nothing" => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
            "/same" => "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n".to_owned(),
            "/big" => format!("HTTP/1.1 200 OK\r\nContent-Length: 33554432\r\n\r\n{}", "x".repeat(33_554_432)),
            _ if is_head => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n".to_owned(),
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned(),
        };
        if stream.write_all(answer.as_bytes()).is_err() || path == "/broken" {
            return;
        }
    }
}

fn find_end(stream: &mut TcpStream, buf: &mut Vec<u8>) -> Option<usize> {
    loop {
        if let Some(at) = buf.windows(4).position(|four| four == b"\r\n\r\n") {
            return Some(at + 4);
        }
        if !more(stream, buf) {
            return None;
        }
    }
}

fn more(stream: &mut TcpStream, buf: &mut Vec<u8>) -> bool {
    let mut some = [0; 16 * 1024];
    match stream.read(&mut some) {
        Ok(0) | Err(_) => false,
        Ok(read) => {
            buf.extend_from_slice(&some[..read]);
            true
        }
    }
}
