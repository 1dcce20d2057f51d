//! An open-loop load generator: requests are due at fixed moments, whatever the server does, and a request's latency counts from the moment
//! it was due, so that waiting for a connection counts too (closed loops such as wrk hide exactly that).
//!
//! `monodon-openloop --url https://127.0.0.1:8443/ --rate 4000 --connections 64 --seconds 8` prints `ready` when its connections stand, then
//! `answered=32000 failed=0 p50_ms=0.41 p99_ms=1.90 max_ms=7.2`. Certificates are not checked: the server is our own, on loopback.
//!
//! With `--uploads 1000` as many clients besides send a body of 1 MB each, over and over, a part every 200 ms for 20 s. With
//! `--handshakes new` or `--handshakes resumed` in place of `--rate`, each client opens a connection for every request, as fast as it can.

mod unchecked;
mod uploads;

use std::{
    collections::HashMap,
    error::Error,
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::{Mutex, mpsc},
    task::JoinSet,
};
use tokio_rustls::TlsConnector;
use uploads::Uploads;

/// Between what is prepared and what is measured.
const PAUSE: Duration = Duration::from_millis(200);

type Failure = Box<dyn Error + Send + Sync>;

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

struct Target {
    address: String,
    tls: Option<TlsConnector>,
    request: Vec<u8>,
}

/// What the clients wait for before they send.
enum Pace {
    /// A moment at which a request is due.
    Due(Mutex<mpsc::UnboundedReceiver<Instant>>),
    /// Their own last answer; then a connection of its own for each request, until the end.
    Handshakes(Instant),
}

/// What is sent, and for how long.
struct Load {
    /// Requests a second; none: each client as fast as it can, with a connection of its own for each.
    rate: Option<f64>,
    connections: usize,
    uploads: usize,
    seconds: u64,
}

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let given: HashMap<&str, &str> =
        words.chunks(2).filter_map(|pair| Some((pair.first()?.as_str(), pair.get(1)?.as_str()))).collect();
    let need = |name: &str| given.get(name).copied().ok_or_else(|| format!("{name} is missing"));
    let resume = match given.get("--handshakes") {
        None | Some(&"resumed") => true,
        Some(&"new") => false,
        Some(other) => return Err(format!("--handshakes is new or resumed, not {other}").into()),
    };
    let target = Arc::new(target(need("--url")?, resume)?);
    let load = Load {
        rate: if given.contains_key("--handshakes") { None } else { Some(need("--rate")?.parse()?) },
        connections: need("--connections")?.parse()?,
        uploads: given.get("--uploads").map_or(Ok(0), |count| count.parse())?,
        seconds: need("--seconds")?.parse()?,
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(target, &load))
}

fn target(url: &str, resume: bool) -> Result<Target, Failure> {
    let (scheme, rest) = url.split_once("://").ok_or("the URL has no scheme")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: monodon-openloop\r\n\r\n");
    let tls = (scheme == "https").then(|| TlsConnector::from(Arc::new(unchecked::client(resume))));
    Ok(Target { address: authority.to_owned(), tls, request: request.into_bytes() })
}

/// Runs the clients until each has had its last request, and says how long requests took.
async fn run(target: Arc<Target>, load: &Load) -> Result<(), Failure> {
    let uploads = Uploads::start(&target, load.uploads);
    let mut ready = Vec::new();
    for _ in 0..load.connections {
        let mut connection = None;
        if load.rate.is_some() {
            exchange(&target, &mut connection).await?;
        }
        ready.push(connection);
    }
    tokio::time::sleep(if load.uploads == 0 { PAUSE } else { uploads::BEGIN }).await;
    // What comes before this line is not to be counted.
    say("ready")?;
    let pace = Arc::new(match load.rate {
        None => Pace::Handshakes(Instant::now() + Duration::from_secs(load.seconds)),
        Some(rate) => {
            let (due, moments) = mpsc::unbounded_channel();
            let seconds = load.seconds;
            std::thread::spawn(move || schedule(&due, rate, seconds));
            Pace::Due(Mutex::new(moments))
        }
    });
    let mut clients = JoinSet::new();
    for connection in ready {
        clients.spawn(client(target.clone(), pace.clone(), connection));
    }
    let (mut took, mut failed) = (Vec::new(), 0u64);
    while let Some(done) = clients.join_next().await {
        let (mine, mistakes) = done?;
        took.extend(mine);
        failed += mistakes;
    }
    took.sort_unstable();
    let at = |share: f64| {
        let index = ((took.len() as f64 * share) as usize).min(took.len().saturating_sub(1));
        took.get(index).map_or(0.0, |took| took.as_secs_f64() * 1000.0)
    };
    let (uploaded, refused) = uploads.counts();
    say(&format!(
        "answered={} failed={failed} p50_ms={:.3} p99_ms={:.3} max_ms={:.3} uploaded={uploaded} refused={refused}",
        took.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    ))
}

fn say(line: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// A thread of its own, because the runtime's timers are a millisecond coarse and the kernel's sleep is not.
fn schedule(due: &mpsc::UnboundedSender<Instant>, rate: f64, seconds: u64) {
    let start = Instant::now() + PAUSE;
    for number in 0..(rate * seconds as f64) as u64 {
        let moment = start + Duration::from_secs_f64(number as f64 / rate);
        std::thread::sleep(moment.saturating_duration_since(Instant::now()));
        if due.send(moment).is_err() {
            return;
        }
    }
}

async fn client(target: Arc<Target>, pace: Arc<Pace>, mut connection: Option<Box<dyn Io>>) -> (Vec<Duration>, u64) {
    let (mut took, mut failed) = (Vec::new(), 0);
    loop {
        let moment = match &*pace {
            Pace::Due(moments) => moments.lock().await.recv().await,
            Pace::Handshakes(end) => {
                connection = None;
                Some(Instant::now()).filter(|now| now < end)
            }
        };
        let Some(moment) = moment else { return (took, failed) };
        match exchange(&target, &mut connection).await {
            Ok(()) => took.push(moment.elapsed()),
            Err(_) => {
                failed += 1;
                connection = None;
            }
        }
    }
}

/// One request and its whole answer over a kept-alive connection.
async fn exchange(target: &Target, connection: &mut Option<Box<dyn Io>>) -> Result<(), Failure> {
    let stream = match connection {
        Some(stream) => stream,
        None => connection.insert(open(target).await?),
    };
    stream.write_all(&target.request).await?;
    let mut answer = Vec::with_capacity(4096);
    let head = loop {
        if let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut answer).await? == 0 {
            return Err("closed before the end of the head".into());
        }
    };
    let text = String::from_utf8_lossy(answer.get(..head).unwrap_or_default()).to_ascii_lowercase();
    if !text.starts_with("http/1.1 200") {
        return Err("not 200".into());
    }
    let length = text.split("content-length:").nth(1).and_then(|rest| rest.split("\r\n").next()).map(str::trim);
    let whole = match length {
        Some(length) => Some(head + length.parse::<usize>()?),
        None => None,
    };
    loop {
        let done = match whole {
            Some(whole) => answer.len() >= whole,
            None => answer.ends_with(b"0\r\n\r\n"),
        };
        if done {
            break;
        }
        if stream.read_buf(&mut answer).await? == 0 {
            return Err("closed before the end of the body".into());
        }
    }
    if text.contains("connection: close") {
        *connection = None;
    }
    Ok(())
}

async fn open(target: &Target) -> Result<Box<dyn Io>, Failure> {
    let stream = TcpStream::connect(&target.address).await?;
    stream.set_nodelay(true)?;
    Ok(match &target.tls {
        None => Box::new(stream),
        Some(tls) => Box::new(tls.connect(ServerName::try_from("localhost")?, stream).await?),
    })
}
