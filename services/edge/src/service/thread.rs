//! What a data thread holds.

use crate::access_log::Log;
use crate::drain::Drain;
use crate::metrics::Shard;
use crate::snapshot::Snapshot;
use crate::static_files::Files;
use crate::tls::Certificates;
use crate::upstream::Upstream;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// What one thread made of a snapshot: its own connections and caches.
pub struct View {
    pub snapshot: Arc<Snapshot>,
    pub upstream: Rc<Upstream>,
    pub status: Option<Rc<Upstream>>,
    pub files: Files,
}

/// A data thread's own things; nothing in it is written by another core.
pub struct Thread {
    pub index: usize,
    pub certificates: Arc<Certificates>,
    pub metrics: Arc<Shard>,
    pub drain: Drain,
    pub log: Log,
    view: RefCell<Rc<View>>,
}

impl Thread {
    pub fn new(
        index: usize,
        snapshot: Arc<Snapshot>,
        certificates: Arc<Certificates>,
        metrics: Arc<Shard>,
        log: Log,
        drain: Drain,
    ) -> Rc<Self> {
        let view = View {
            upstream: Rc::new(Upstream::new(snapshot.upstream.clone(), drain.clone())),
            status: snapshot.status.clone().map(|status| Rc::new(Upstream::new(status, drain.clone()))),
            files: Files::new(&snapshot, metrics.clone()),
            snapshot,
        };
        Rc::new(Self { index, certificates, metrics, drain, log, view: RefCell::new(Rc::new(view)) })
    }

    /// The configuration in force; hold it for one request, not for a connection.
    pub fn view(&self) -> Rc<View> {
        self.view.borrow().clone()
    }

    /// From the next request on. Requests that run keep theirs; connections to an upstream that is the same stay.
    pub fn replace(&self, snapshot: Arc<Snapshot>) {
        let old = self.view();
        let upstream = if Arc::ptr_eq(&old.snapshot.upstream, &snapshot.upstream) {
            old.upstream.clone()
        } else {
            Rc::new(Upstream::new(snapshot.upstream.clone(), self.drain.clone()))
        };
        let status = snapshot.status.clone().map(|status| match (&old.snapshot.status, &old.status) {
            (Some(shared), Some(upstream)) if Arc::ptr_eq(shared, &status) => upstream.clone(),
            _ => Rc::new(Upstream::new(status, self.drain.clone())),
        });
        let files = Files::new(&snapshot, self.metrics.clone());
        *self.view.borrow_mut() = Rc::new(View { snapshot, upstream, status, files });
    }
}
