//! A data thread in miniature: a runtime, an upstream, requests.

use http::request::Parts;
use http::{Method, Response};
use http_body_util::BodyExt;
use monodon_edge::body::Body;
use monodon_edge::buffer::{Buffered, Outgoing, Spool};
use monodon_edge::config::{self, Named, Server, UpstreamAddress};
use monodon_edge::drain;
use monodon_edge::upstream::{Buffering, Ends, Lane, Memory, Meta, Resolve, Shared, Timing, Upstream, UpstreamError};
use std::cell::Cell;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::LocalSet;

pub struct Kit {
    pub shared: Arc<Shared>,
    pub spool: Arc<Spool>,
    control: drain::Control,
    drain: drain::Drain,
    _dir: tempfile::TempDir,
}

/// What a test may want otherwise.
#[derive(Default)]
pub struct Wanted {
    pub upstream: config::Upstream,
    pub timeouts: config::Timeouts,
    pub spool: config::Spool,
}

impl Kit {
    pub fn new(addresses: &[SocketAddr]) -> Self {
        Self::with(addresses, |_| {})
    }

    pub fn with(addresses: &[SocketAddr], change: impl FnOnce(&mut Wanted)) -> Self {
        Self::build(addresses, change, None, &[])
    }

    pub fn resolved(resolver: Arc<dyn Resolve>, change: impl FnOnce(&mut Wanted)) -> Self {
        Self::build(&[], change, Some(resolver), &[])
    }

    /// What a reload makes of it.
    pub fn reloaded(&self, addresses: &[SocketAddr], change: impl FnOnce(&mut Wanted)) -> Self {
        Self::build(addresses, change, None, std::slice::from_ref(&self.shared))
    }

    /// The same with names.
    pub fn reloaded_and_resolved(&self, resolver: Arc<dyn Resolve>, change: impl FnOnce(&mut Wanted)) -> Self {
        Self::build(&[], change, Some(resolver), std::slice::from_ref(&self.shared))
    }

    fn build(
        addresses: &[SocketAddr],
        change: impl FnOnce(&mut Wanted),
        resolver: Option<Arc<dyn Resolve>>,
        before: &[Arc<Shared>],
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Wanted::default();
        config.upstream.servers = addresses.iter().map(|address| server(*address)).collect();
        config.spool.dir = dir.path().to_owned();
        change(&mut config);
        let spool = Arc::new(Spool::open(&config.spool).unwrap());
        let named = Named { name: "default".into(), upstream: config.upstream, timeouts: config.timeouts };
        let before = Memory::of(before);
        let shared = match resolver {
            Some(resolver) => Shared::with_resolver(&named, spool.clone(), resolver, &before),
            None => Shared::new(&named, spool.clone(), &before),
        };
        let (control, drain) = drain::channel();
        Self { shared, spool, control, drain, _dir: dir }
    }

    /// One data thread; the upstream's control runs beside it.
    pub fn run<T>(&self, work: impl AsyncFnOnce(Thread) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let local = LocalSet::new();
        local.block_on(&runtime, async {
            let watch = tokio::spawn(self.shared.clone().manage(self.drain.clone()));
            let result = work(self.thread()).await;
            watch.abort();
            result
        })
    }

    pub fn thread(&self) -> Thread {
        Thread(Rc::new(Upstream::new(self.shared.clone(), self.drain.clone())), Rc::default(), None, None)
    }

    /// As when no configuration has it any more, but requests do.
    pub fn manage_the_rest(&self) -> tokio::task::JoinHandle<()> {
        tokio::spawn(self.shared.clone().manage_the_rest(self.drain.clone()))
    }

    /// To the upstream, that are open.
    pub fn connections(&self) -> u32 {
        let metrics = self.metrics();
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix("monodon_edge_upstream_connections{upstream=\"default\"} "));
        line.unwrap().parse().unwrap()
    }

    pub fn metrics(&self) -> String {
        let mut out = String::new();
        monodon_edge::upstream::render(std::slice::from_ref(&self.shared), &mut out);
        self.spool.render(&mut out);
        out
    }

    pub fn close(&self) {
        self.control.enter(drain::Phase::Closing);
    }
}

/// A request on its way.
pub type Sent = tokio::task::JoinHandle<Result<Response<Body>, UpstreamError>>;

#[derive(Clone)]
pub struct Thread(pub Rc<Upstream>, pub Rc<Cell<Timing>>, pub Option<Arc<Lane>>, pub Option<IpAddr>);

impl Thread {
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Outgoing>,
    ) -> Result<Response<Body>, UpstreamError> {
        self.send_parts(parts(method, path), body).await
    }

    pub async fn send_parts(
        &self,
        mut parts: Parts,
        body: impl Into<Outgoing>,
    ) -> Result<Response<Body>, UpstreamError> {
        let idempotent = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
        let lane = self.2.clone();
        let ends = Ends { source: "192.0.2.7:1234".parse().unwrap(), destination: "192.0.2.1:443".parse().unwrap() };
        let meta = Meta {
            told: Vec::new(),
            idempotent,
            client: self.3,
            secure: false,
            lane,
            waits: Default::default(),
            buffering: Buffering { on: true, memory: 64 << 10 },
            ends,
            timing: Cell::default(),
        };
        let result = self.0.send(&mut parts, body.into(), &meta).await;
        self.1.set(meta.timing.get());
        result
    }

    pub async fn get(&self, path: &str) -> Result<Response<Body>, UpstreamError> {
        self.send(Method::GET, path, Buffered::empty()).await
    }

    /// A GET that runs by itself; aborting it is a client that leaves.
    pub fn start(&self, path: &str) -> Sent {
        let (thread, path) = (self.clone(), path.to_owned());
        tokio::task::spawn_local(async move { thread.get(&path).await })
    }

    /// As the requests of a route that is bounded.
    pub fn on(&self, lane: &Arc<Lane>) -> Self {
        Self(self.0.clone(), self.1.clone(), Some(lane.clone()), self.3)
    }

    /// As the requests of this client.
    pub fn from(&self, client: IpAddr) -> Self {
        Self(self.0.clone(), self.1.clone(), self.2.clone(), Some(client))
    }

    /// Has the upstream say how many slots it has.
    pub async fn learn(&self) {
        assert_eq!(self.get("/hello").await.unwrap().status(), 200);
    }
}

pub fn parts(method: Method, path: &str) -> Parts {
    let request = http::Request::builder().method(method).uri(path).header("host", "example.org");
    request.body(()).unwrap().into_parts().0
}

pub async fn read(response: Response<Body>) -> Result<Vec<u8>, monodon_edge::body::BodyError> {
    response.into_body().collect().await.map(|body| body.to_bytes().to_vec())
}

pub fn server(address: SocketAddr) -> Server {
    UpstreamAddress::Tcp { host: address.ip().to_string(), port: address.port() }.into()
}

/// Waits until something is so; a test that waits for long has failed.
pub async fn until(what: &str, mut so: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never: {what}");
}

/// As [`until`], for what has to be asked.
pub async fn until_async<F: Future<Output = bool>>(what: &str, mut so: impl FnMut() -> F) {
    for _ in 0..1000 {
        if so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}
