//! One configuration with all that was prepared from it. Shared by all threads, replaced as a whole by a reload.

use crate::buffer::Spool;
use crate::config::{Config, Upstream};
use crate::limits::Limits;
use crate::router::Router;
use crate::static_files::Root;
use crate::upstream;
use std::sync::Arc;

pub struct Snapshot {
    pub config: Config,
    /// In the order of `config.upstreams`.
    pub upstreams: Vec<Arc<upstream::Shared>>,
    /// The sidecar, behind `status_page`.
    pub status: Option<Arc<upstream::Shared>>,
    /// Routes that are held to some of their upstream's slots.
    pub lanes: upstream::Lanes,
    pub limits: Limits,
    pub router: Router,
    pub spool: Arc<Spool>,
    /// In the order of `config.files`, to be looked at for readiness; threads have their own.
    pub roots: Vec<Root>,
}

impl Snapshot {
    /// What did not change since `previous` is kept; of an upstream that changed, what outlives that (see [`upstream::Shared`]).
    pub fn build(config: Config, spool: Arc<Spool>, previous: Option<&Self>) -> Self {
        let previous_same = previous.filter(|old| old.config.limits == config.limits);
        let before = upstream::Memory::of(previous.map_or(&[], |old| &old.upstreams));
        let upstreams = config.upstreams.iter().map(|named| {
            let old = previous_same.and_then(|old| {
                let place = old.config.upstreams.iter().position(|known| known == named)?;
                old.upstreams.get(place).cloned()
            });
            old.unwrap_or_else(|| upstream::Shared::new(named, spool.clone(), &before))
        });
        let upstreams: Vec<_> = upstreams.collect();
        let lanes = upstream::Lanes::build(&config, &upstreams);
        let status = config.status_page.as_ref().map(|page| {
            let old = previous.filter(|old| old.config.status_page.as_ref() == Some(page));
            old.and_then(|old| old.status.clone()).unwrap_or_else(|| {
                let sidecar = crate::config::Named {
                    name: "sidecar".into(),
                    upstream: Upstream { servers: vec![page.upstream.clone().into()], ..Default::default() },
                    timeouts: config.timeouts.clone(),
                };
                upstream::Shared::new(&sidecar, spool.clone(), &upstream::Memory::default())
            })
        });
        let router = Router::new(&config.sites, previous.map(|old| &old.router));
        let roots = config.files.iter().map(|entry| Root::new(&entry.dir)).collect();
        let limits = Limits::build(&config, previous.map(|old| &old.limits));
        Self { lanes, limits, config, upstreams, status, router, spool, roots }
    }
}
