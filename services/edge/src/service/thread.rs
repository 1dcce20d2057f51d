//! What a data thread holds.

use super::trace::Trace;
use crate::access::Logins;
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
    /// In the order of the configuration's.
    pub upstreams: Vec<Rc<Upstream>>,
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
    /// Only of a thread that explains requests.
    pub trace: Option<Trace>,
    pub logins: Logins,
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
            upstreams: snapshot
                .upstreams
                .iter()
                .map(|shared| Rc::new(Upstream::new(shared.clone(), drain.clone())))
                .collect(),
            status: snapshot.status.clone().map(|status| Rc::new(Upstream::new(status, drain.clone()))),
            files: Files::new(&snapshot, metrics.clone()),
            snapshot,
        };
        Rc::new(Self {
            index,
            certificates,
            metrics,
            drain,
            log,
            logins: Logins::default(),
            trace: None,
            view: RefCell::new(Rc::new(view)),
        })
    }

    /// One that tells how requests are decided, and asks no upstream.
    pub fn explaining(self: Rc<Self>) -> Option<Rc<Self>> {
        let own = Rc::into_inner(self)?;
        Some(Rc::new(Self { trace: Some(Trace::default()), ..own }))
    }

    /// The configuration in force; hold it for one request, not for a connection.
    pub fn view(&self) -> Rc<View> {
        self.view.borrow().clone()
    }

    /// From the next request on. Requests that run keep theirs; connections to an upstream that is the same stay.
    pub fn replace(&self, snapshot: Arc<Snapshot>) {
        let old = self.view();
        let upstreams = snapshot.upstreams.iter().map(|shared| {
            let known = old.snapshot.upstreams.iter().position(|known| Arc::ptr_eq(known, shared));
            let kept = known.and_then(|place| old.upstreams.get(place).cloned());
            kept.unwrap_or_else(|| {
                let new = Upstream::new(shared.clone(), self.drain.clone());
                old.upstreams.iter().for_each(|before| new.take_over(before));
                Rc::new(new)
            })
        });
        let upstreams = upstreams.collect();
        let status = snapshot.status.clone().map(|status| match (&old.snapshot.status, &old.status) {
            (Some(shared), Some(upstream)) if Arc::ptr_eq(shared, &status) => upstream.clone(),
            _ => Rc::new(Upstream::new(status, self.drain.clone())),
        });
        let files = Files::new(&snapshot, self.metrics.clone());
        *self.view.borrow_mut() = Rc::new(View { snapshot, upstreams, status, files });
    }
}
