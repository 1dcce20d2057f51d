//! An open-loop load generator: requests are due at fixed moments, whatever the server does, and a request's latency counts from the moment
//! it was due, so that waiting for a connection counts too (closed loops such as wrk hide exactly that).
//!
//! `monodon-openloop --url https://127.0.0.1:8443/ --rate 4000 --connections 64 --seconds 8` prints
//! `answered=32000 failed=0 p50_ms=0.41 p99_ms=1.90 max_ms=7.2`. Certificates are not checked: the server is our own, on loopback.

use std::{
    collections::HashMap,
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::{Mutex, mpsc},
    task::JoinSet,
};
use tokio_rustls::TlsConnector;

type Failure = Box<dyn Error + Send + Sync>;

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

struct Target {
    address: String,
    tls: Option<TlsConnector>,
    request: Vec<u8>,
}

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let given: HashMap<&str, &str> =
        words.chunks(2).filter_map(|pair| Some((pair.first()?.as_str(), pair.get(1)?.as_str()))).collect();
    let need = |name: &str| given.get(name).copied().ok_or_else(|| format!("{name} is missing"));
    let target = Arc::new(target(need("--url")?)?);
    let rate: f64 = need("--rate")?.parse()?;
    let connections: usize = need("--connections")?.parse()?;
    let seconds: u64 = need("--seconds")?.parse()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(load(
        target,
        rate,
        connections,
        seconds,
    ))
}

fn target(url: &str) -> Result<Target, Failure> {
    let (scheme, rest) = url.split_once("://").ok_or("the URL has no scheme")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: monodon-openloop\r\n\r\n");
    let tls = (scheme == "https").then(|| TlsConnector::from(Arc::new(unchecked())));
    Ok(Target { address: authority.to_owned(), tls, request: request.into_bytes() })
}

/// Fills a queue with moments; each connection takes the next when it is free.
async fn load(target: Arc<Target>, rate: f64, connections: usize, seconds: u64) -> Result<(), Failure> {
    let (due, moments) = mpsc::unbounded_channel::<Instant>();
    let moments = Arc::new(Mutex::new(moments));
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        clients.spawn(client(target.clone(), moments.clone()));
    }
    std::thread::spawn(move || schedule(&due, rate, seconds));
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
    #[allow(clippy::print_stdout)]
    {
        println!(
            "answered={} failed={failed} p50_ms={:.3} p99_ms={:.3} max_ms={:.3}",
            took.len(),
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
    Ok(())
}

/// A thread of its own, because the runtime's timers are a millisecond coarse and the kernel's sleep is not.
fn schedule(due: &mpsc::UnboundedSender<Instant>, rate: f64, seconds: u64) {
    let start = Instant::now() + Duration::from_millis(200);
    for number in 0..(rate * seconds as f64) as u64 {
        let moment = start + Duration::from_secs_f64(number as f64 / rate);
        std::thread::sleep(moment.saturating_duration_since(Instant::now()));
        if due.send(moment).is_err() {
            return;
        }
    }
}

async fn client(target: Arc<Target>, moments: Arc<Mutex<mpsc::UnboundedReceiver<Instant>>>) -> (Vec<Duration>, u64) {
    let (mut took, mut failed, mut connection) = (Vec::new(), 0, None);
    loop {
        let Some(moment) = moments.lock().await.recv().await else { return (took, failed) };
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

fn unchecked() -> ClientConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let schemes = provider.signature_verification_algorithms.supported_schemes();
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.unwrap_or_else(|_| ClientConfig::builder());
    builder.dangerous().with_custom_certificate_verifier(Arc::new(Unchecked(schemes))).with_no_client_auth()
}

#[derive(Debug)]
struct Unchecked(Vec<SignatureScheme>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}
