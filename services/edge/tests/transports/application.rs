//! The application of these tests, and certificates for it.

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

/// A CA and what it has signed, as files in a folder.
pub struct Pki {
    dir: tempfile::TempDir,
    pub server: Arc<rustls::ServerConfig>,
}

impl Pki {
    /// A server of this name; with `clients`, one that wants to know who asks.
    pub fn new(name: &str, clients: bool, alpn: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ca_key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = params.self_signed(&ca_key).unwrap();
        let issuer = rcgen::Issuer::new(params, ca_key);
        std::fs::write(dir.path().join("ca.pem"), ca.pem()).unwrap();
        let sign = |name: &str| {
            let key = rcgen::KeyPair::generate().unwrap();
            let certificate =
                rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
            (certificate, key)
        };
        let (certificate, key) = sign("edge.internal");
        std::fs::write(dir.path().join("client.pem"), certificate.pem()).unwrap();
        std::fs::write(dir.path().join("client.key"), key.serialize_pem()).unwrap();
        let (certificate, key) = sign(name);
        let builder =
            rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap();
        let builder = if clients {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(ca.der().clone()).unwrap();
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut server = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        server.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Self { dir, server: Arc::new(server) }
    }

    pub fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }
}

/// What the server of these tests saw.
#[derive(Default)]
pub struct Seen {
    pub requests: Mutex<Vec<(String, HeaderMap)>>,
    pub connections: AtomicUsize,
    /// Of requests for `/silent`: uploads that have ended, and answers that nobody waits for any more.
    pub ended: AtomicUsize,
    pub left: AtomicUsize,
}

impl Seen {
    pub fn last(&self) -> (String, HeaderMap) {
        self.requests.lock().unwrap().last().cloned().expect("no request reached the upstream")
    }
}

/// An application server on hyper: HTTP/1.1 or HTTP/2, plain or over TLS.
pub struct Application {
    /// As it stands in `servers`.
    pub address: String,
    pub seen: Arc<Seen>,
}

/// Where it listens.
pub enum Place {
    V4,
    V6,
    Unix(PathBuf),
}

enum Listener {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl Application {
    pub fn start(tls: Option<Arc<rustls::ServerConfig>>, http2: bool) -> Self {
        Self::at(&Place::V4, tls, http2)
    }

    pub fn at(place: &Place, tls: Option<Arc<rustls::ServerConfig>>, http2: bool) -> Self {
        let seen = Arc::<Seen>::default();
        let shared = seen.clone();
        let tcp = |host: &str| {
            let listener = std::net::TcpListener::bind((host, 0)).unwrap();
            listener.set_nonblocking(true).unwrap();
            listener
        };
        let (address, open): (String, Box<dyn FnOnce() -> Listener + Send>) = match place {
            Place::Unix(path) => {
                let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
                listener.set_nonblocking(true).unwrap();
                let open = || Listener::Unix(tokio::net::UnixListener::from_std(listener).unwrap());
                (format!("unix:{}", path.display()), Box::new(open))
            }
            place => {
                let listener = tcp(if matches!(place, Place::V6) { "::1" } else { "127.0.0.1" });
                let address = listener.local_addr().unwrap().to_string();
                (address, Box::new(|| Listener::Tcp(tokio::net::TcpListener::from_std(listener).unwrap())))
            }
        };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                match open() {
                    Listener::Tcp(listener) => {
                        while let Ok((stream, _)) = listener.accept().await {
                            tokio::spawn(welcome(stream, tls.clone(), http2, shared.clone()));
                        }
                    }
                    Listener::Unix(listener) => {
                        while let Ok((stream, _)) = listener.accept().await {
                            tokio::spawn(welcome(stream, tls.clone(), http2, shared.clone()));
                        }
                    }
                }
            });
        });
        Self { address, seen }
    }
}

async fn welcome(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    tls: Option<Arc<rustls::ServerConfig>>,
    http2: bool,
    seen: Arc<Seen>,
) {
    match tls {
        None => serve(stream, http2, seen).await,
        Some(tls) => {
            if let Ok(stream) = tokio_rustls::TlsAcceptor::from(tls).accept(stream).await {
                serve(stream, http2, seen).await;
            }
        }
    }
}

async fn serve(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, http2: bool, seen: Arc<Seen>) {
    let used = Arc::new(AtomicBool::new(false));
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        // A check opens connections too, but asks nothing.
        if !used.swap(true, Ordering::SeqCst) {
            seen.connections.fetch_add(1, Ordering::SeqCst);
        }
        answer(request, seen.clone())
    });
    let io = TokioIo::new(io);
    let _ = if http2 {
        hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await
    } else {
        hyper::server::conn::http1::Builder::new().serve_connection(io, service).await
    };
}

type Answer = Response<http_body_util::combinators::UnsyncBoxBody<Bytes, hyper::Error>>;

/// Counts when it is dropped.
struct Left(Arc<Seen>);

impl Drop for Left {
    fn drop(&mut self) {
        self.0.left.fetch_add(1, Ordering::SeqCst);
    }
}

async fn answer(request: Request<Incoming>, seen: Arc<Seen>) -> Result<Answer, Infallible> {
    seen.requests.lock().unwrap().push((request.uri().to_string(), request.headers().clone()));
    let (echo, silent) = (request.uri().path() == "/grpc", request.uri().path() == "/silent");
    let mut body = request.into_body();
    if echo {
        // As a gRPC server: the head at once, each message back as it comes, trailers at the end.
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Ok(frame)) = body.frame().await {
                if frame.is_data() {
                    let _ = sender.send(Ok(frame));
                }
            }
            let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
            let _ = sender.send(Ok(Frame::trailers(trailers)));
        });
        let stream = futures_util::stream::unfold(receiver, async |mut receiver| {
            let frame = receiver.recv().await?;
            Some((frame, receiver))
        });
        let response = Response::builder().header("content-type", "application/grpc");
        return Ok(response.body(StreamBody::new(stream).boxed_unsync()).unwrap());
    }
    if silent {
        // An event stream in which nothing happens.
        let ended = seen.clone();
        tokio::spawn(async move {
            while let Some(Ok(_)) = body.frame().await {}
            ended.ended.fetch_add(1, Ordering::SeqCst);
        });
        let left = Left(seen);
        let stream = futures_util::stream::once(async move {
            let _left = left;
            std::future::pending().await
        });
        let response = Response::builder().header("content-type", "text/event-stream");
        return Ok(response.body(StreamBody::new(stream).boxed_unsync()).unwrap());
    }
    let taken = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let text = format!("{} bytes", taken.len());
    let body = http_body_util::Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync();
    Ok(Response::new(body))
}
