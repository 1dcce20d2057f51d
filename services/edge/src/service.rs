//! The one pipeline that both protocols call, and what a data thread holds for it.

use crate::body::{Body, RequestBody};
use crate::buffer::Spool;
use crate::config::Config;
use crate::connection::ConnInfo;
use crate::drain::Drain;
use crate::metrics::Shard;
use crate::tls::Certificates;
use crate::upstream::{self, Upstream};
use http::{Request, Response, StatusCode};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// One configuration with all that was prepared from it. Shared by all threads, replaced as a whole by a reload.
pub struct Snapshot {
    pub config: Config,
    pub upstream: Arc<upstream::Shared>,
    pub spool: Arc<Spool>,
}

/// What one thread made of a snapshot: its own connections and caches.
pub struct View {
    pub snapshot: Arc<Snapshot>,
    pub upstream: Upstream,
}

/// A data thread's own things; nothing in it is shared with another core but the snapshot.
pub struct Thread {
    pub index: usize,
    pub certificates: Arc<Certificates>,
    pub metrics: Arc<Shard>,
    pub drain: Drain,
    view: RefCell<Rc<View>>,
}

impl Thread {
    pub fn new(index: usize, snapshot: Arc<Snapshot>, certificates: Arc<Certificates>, drain: Drain) -> Rc<Self> {
        let upstream = Upstream::new(snapshot.upstream.clone(), drain.clone());
        Rc::new(Self {
            index,
            certificates,
            metrics: Arc::default(),
            drain,
            view: RefCell::new(Rc::new(View { snapshot, upstream })),
        })
    }

    /// The configuration in force; hold it for one request, not for a connection.
    pub fn view(&self) -> Rc<View> {
        self.view.borrow().clone()
    }
}

/// A request that a protocol could not read: what is known of it, for the page, the log line and the counters.
pub struct Refusal<'a> {
    pub status: StatusCode,
    /// `snake_case`, from the codec or one of `timeout_header`, `timeout_body`.
    pub reason: &'static str,
    pub method: Option<&'a str>,
    pub target: Option<&'a str>,
    pub host: Option<&'a str>,
}

/// The answer to a request that never became one. The connection closes after it.
pub fn refuse(_thread: &Rc<Thread>, _conn: &Rc<ConnInfo>, refusal: &Refusal<'_>) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = refusal.status;
    response
}

/// request id → host → path → redirect → static → limits → buffer → upstream → headers → error page → log line.
pub async fn serve(_thread: &Rc<Thread>, _conn: &Rc<ConnInfo>, _request: Request<RequestBody>) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}
