//! An application server in miniature that speaks raw HTTP/1: processes with slots, each connection accepted by one of
//! them, and paths that misbehave as asked. It counts what the edge must not do to it.

use crate::ports::free_port;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

pub struct Fake {
    pub address: SocketAddr,
    pub state: Arc<State>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

pub struct State {
    processes: Vec<Process>,
    slots: usize,
    announces: bool,
    pub most: AtomicUsize,
    now: AtomicUsize,
    /// Requests that found their process busy while another was idle.
    pub misplaced: AtomicUsize,
    /// Connections that carried a request; a check carries none.
    pub connections: AtomicUsize,
    pub live: AtomicUsize,
    pub requests: Mutex<Vec<Request>>,
    /// Answers to `/gate` wait for this.
    pub gate: Semaphore,
    /// Connections whose idle end is to be closed.
    pub close_idle: Notify,
    pub not_ready: AtomicBool,
    /// What asks for `/frail` breaks.
    pub frail: AtomicBool,
    /// Requests to `/unread`, of which the first is not read.
    pub unread: AtomicUsize,
}

struct Process {
    slots: Semaphore,
    connections: AtomicUsize,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub fields: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Fake {
    /// `slots` of each of `processes`; both announced.
    pub fn slotted(processes: usize, slots: usize) -> Self {
        Self::start(processes, slots, true)
    }

    pub fn foreign() -> Self {
        Self::start(1, 10_000, false)
    }

    fn start(processes: usize, slots: usize, announces: bool) -> Self {
        let processes = (0..processes)
            .map(|_| Process { slots: Semaphore::new(slots), connections: AtomicUsize::new(0) })
            .collect();
        let state = Arc::new(State {
            processes,
            slots,
            announces,
            most: AtomicUsize::new(0),
            now: AtomicUsize::new(0),
            misplaced: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            live: AtomicUsize::new(0),
            requests: Mutex::default(),
            gate: Semaphore::new(0),
            close_idle: Notify::new(),
            not_ready: AtomicBool::new(false),
            frail: AtomicBool::new(false),
            unread: AtomicUsize::new(0),
        });
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let shared = state.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                // Its own until the test ends: when it is gone, nobody else answers there.
                let listener = TcpListener::bind(("127.0.0.1", free_port())).await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    () = accept(listener, shared) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address: told.recv().unwrap(), state, stop: Some(stop), thread: Some(thread) }
    }

    pub fn seen(&self, path: &str) -> Vec<Request> {
        self.state.requests.lock().unwrap().iter().filter(|request| request.path == path).cloned().collect()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        // The process that is idle and holds the fewest connections, as the worker's accept rule has it.
        let entry = (0..state.processes.len())
            .min_by_key(|at| {
                let process = &state.processes[*at];
                (process.slots.available_permits() == 0, process.connections.load(Ordering::SeqCst))
            })
            .unwrap();
        state.processes[entry].connections.fetch_add(1, Ordering::SeqCst);
        let state = state.clone();
        tokio::spawn(async move {
            let _ = serve(stream, entry, &state).await;
            state.processes[entry].connections.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

async fn serve(mut stream: TcpStream, entry: usize, state: &Arc<State>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    let mut carried = None;
    loop {
        let request = tokio::select! {
            request = read(&mut stream, &mut buffer, state) => request?,
            () = state.close_idle.notified() => return Ok(()),
        };
        let Some(request) = request else { return Ok(()) };
        let path = request.path.clone();
        if carried.is_none() && path != "/readyz" {
            state.connections.fetch_add(1, Ordering::SeqCst);
            state.live.fetch_add(1, Ordering::SeqCst);
            carried = Some(Carried(state.clone()));
        }
        state.requests.lock().unwrap().push(request.clone());
        let process = &state.processes[entry];
        if process.slots.available_permits() == 0
            && state.processes.iter().any(|other| other.slots.available_permits() > 0)
        {
            state.misplaced.fetch_add(1, Ordering::SeqCst);
        }
        let now = state.now.fetch_add(1, Ordering::SeqCst) + 1;
        state.most.fetch_max(now, Ordering::SeqCst);
        let busy = process.slots.acquire().await.unwrap();
        let mut busy = Some((busy, Leaves(state.clone())));
        if !answer(&mut stream, &request, &path, entry, state, &mut busy).await? {
            return Ok(());
        }
    }
}

struct Leaves(Arc<State>);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Carried(Arc<State>);

impl Drop for Carried {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>, state: &State) -> std::io::Result<Option<Request>> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|part| part == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8(buffer.drain(..end).collect()).unwrap();
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap().split(' ');
    let (method, path) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
    let fields: HashMap<_, _> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = fields.get("content-length").map_or(0, |value| value.parse().unwrap());
    if path == "/early" {
        // Answers and closes while the body is still coming: what is unread turns the close into a reset.
        let text =
            format!("HTTP/1.1 401 No\r\n{}Content-Length: 4\r\nConnection: close\r\n\r\nno!\n", announce(state, 0));
        stream.write_all(text.as_bytes()).await?;
        return Ok(None);
    }
    if path == "/unread" && state.unread.fetch_add(1, Ordering::SeqCst) == 0 {
        // As a process that is killed before it has read all.
        return Ok(None);
    }
    while buffer.len() < length {
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    let body = buffer.drain(..length).collect();
    Ok(Some(Request { method, path, fields, body }))
}

fn announce(state: &State, entry: usize) -> String {
    if state.announces {
        format!("x-monodon-process: {entry}/{}/{}\r\n", state.slots, state.slots * state.processes.len())
    } else {
        String::new()
    }
}

/// False: close the connection.
async fn answer(
    stream: &mut TcpStream,
    request: &Request,
    path: &str,
    entry: usize,
    state: &Arc<State>,
    busy: &mut Option<(SemaphorePermit<'_>, Leaves)>,
) -> std::io::Result<bool> {
    let (kind, number) = path[1..].split_once('/').unwrap_or((&path[1..], "0"));
    let number: usize = number.parse().unwrap_or(0);
    let process = announce(state, entry);
    let first = |path: &str| state.requests.lock().unwrap().iter().filter(|one| one.path == path).count() == 1;
    match kind {
        "readyz" => {
            let status = if state.not_ready.load(Ordering::SeqCst) { "503 No" } else { "200 OK" };
            let text = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(text.as_bytes()).await?;
            return Ok(true);
        }
        "busy" => {
            stream.write_all(format!("HTTP/1.1 503 No\r\n{process}Content-Length: 0\r\n\r\n").as_bytes()).await?;
            return Ok(true);
        }
        "sleep" => tokio::time::sleep(Duration::from_millis(number as u64)).await,
        "gate" | "late-events" => state.gate.acquire().await.unwrap().forget(),
        "silent" => std::future::pending().await,
        "die-once" if first(path) => return Ok(false),
        "die" => return Ok(false),
        "frail" if state.frail.load(Ordering::SeqCst) => return Ok(false),
        "cut-once" if first(path) => {
            let text = format!("HTTP/1.1 200 OK\r\n{process}Content-Length: 10\r\n\r\nhalf");
            stream.write_all(text.as_bytes()).await?;
            return Ok(false);
        }
        "cut" => {
            let text = format!("HTTP/1.1 200 OK\r\n{process}Content-Length: 1000000\r\n\r\nhalf");
            stream.write_all(text.as_bytes()).await?;
            state.gate.acquire().await.unwrap().forget();
            return Ok(false);
        }
        "killed" => {
            let text = format!("HTTP/1.1 504 No\r\n{process}x-monodon-killed: timeout\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(text.as_bytes()).await?;
            return Ok(false);
        }
        "switch" => {
            let text = format!("HTTP/1.1 101 Go\r\n{process}Connection: upgrade\r\nUpgrade: websocket\r\n\r\n");
            busy.take();
            stream.write_all(text.as_bytes()).await?;
            return echo(stream).await;
        }
        "garbage" => {
            stream.write_all(b"SMTP ready\r\n\r\n").await?;
            return Ok(false);
        }
        "until-end" => {
            stream.write_all(format!("HTTP/1.0 200 OK\r\n{process}\r\n").as_bytes()).await?;
            stream.write_all(&pattern(number)).await?;
            return Ok(false);
        }
        "big" => {
            let text = format!("HTTP/1.1 200 OK\r\n{process}Content-Length: {number}\r\n\r\n");
            stream.write_all(text.as_bytes()).await?;
            stream.write_all(&pattern(number)).await?;
            return Ok(true);
        }
        "chunked" => {
            let text = format!("HTTP/1.1 200 OK\r\n{process}Transfer-Encoding: chunked\r\n\r\n");
            stream.write_all(text.as_bytes()).await?;
            for part in pattern(number).chunks(1000) {
                stream.write_all(format!("{:x}\r\n", part.len()).as_bytes()).await?;
                stream.write_all(part).await?;
                stream.write_all(b"\r\n").await?;
            }
            stream.write_all(b"0\r\n\r\n").await?;
            return Ok(true);
        }
        _ => {}
    }
    if kind.ends_with("events") {
        busy.take();
        return events(stream, &process).await;
    }
    let length = request.body.len();
    let text =
        format!("HTTP/1.1 200 OK\r\n{process}X-Accel-Expires: 1\r\nContent-Length: 3\r\nX-Body: {length}\r\n\r\n");
    let body = if request.method == "HEAD" { "" } else { "ok\n" };
    stream.write_all(format!("{text}{body}").as_bytes()).await?;
    Ok(true)
}

/// An asynchronous application: the stream lives on without a slot.
async fn events(stream: &mut TcpStream, process: &str) -> std::io::Result<bool> {
    let text = format!("HTTP/1.1 200 OK\r\n{process}Content-Type: text/event-stream\r\n\r\ndata: 1\n\n");
    stream.write_all(text.as_bytes()).await?;
    let (mut read, _write) = stream.split();
    read.read_to_end(&mut Vec::new()).await?;
    Ok(false)
}

async fn echo(stream: &mut TcpStream) -> std::io::Result<bool> {
    let mut buffer = [0; 1024];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(false);
        }
        stream.write_all(&buffer[..read]).await?;
    }
}

/// Bytes whose order shows.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 7 + at / 1000) as u8).collect()
}
