//! One configuration with all that was prepared from it. Shared by all threads, replaced as a whole by a reload.

use crate::buffer::Spool;
use crate::config::Config;
use crate::headers::Prepared;
use crate::metrics::{MAX_SITES, Site};
use crate::static_files::Root;
use crate::upstream;
use std::collections::HashMap;
use std::sync::Arc;

pub struct Snapshot {
    pub config: Config,
    pub upstream: Arc<upstream::Shared>,
    /// The sidecar, behind `status_page`.
    pub status: Option<Arc<upstream::Shared>>,
    pub spool: Arc<Spool>,
    pub prepared: Prepared,
    /// In the order of `config.files`, to be looked at for readiness; threads have their own.
    pub roots: Vec<Root>,
    sites: HashMap<Box<str>, Site>,
    /// Labels by site index, from 1. Grows over reloads, so that an index keeps its meaning.
    pub site_names: Vec<String>,
}

impl Snapshot {
    /// What did not change since `previous` is kept: connections, queues, permits.
    pub fn build(config: Config, spool: Arc<Spool>, previous: Option<&Self>) -> Self {
        let kept = |old: &Self| {
            let same = old.config.upstream == config.upstream
                && old.config.timeouts == config.timeouts
                && old.config.limits == config.limits;
            same.then(|| old.upstream.clone())
        };
        let upstream = previous.and_then(kept).unwrap_or_else(|| upstream::Shared::new(&config, spool.clone()));
        let status = config.status_page.as_ref().map(|page| {
            let old = previous.filter(|old| old.config.status_page.as_ref() == Some(page));
            old.and_then(|old| old.status.clone()).unwrap_or_else(|| {
                let mut config = config.clone();
                config.upstream =
                    crate::config::Upstream { addresses: vec![page.upstream.clone()], ..Default::default() };
                upstream::Shared::new(&config, spool.clone())
            })
        });
        let mut site_names = previous.map(|old| old.site_names.clone()).unwrap_or_default();
        let mut sites = HashMap::new();
        for domain in &config.tls.domains {
            let index = match site_names.iter().position(|known| known == domain) {
                Some(index) => index + 1,
                None if site_names.len() < MAX_SITES => {
                    site_names.push(domain.clone());
                    site_names.len()
                }
                None => 0,
            };
            sites.insert(domain.as_str().into(), index as Site);
        }
        let prepared = Prepared::new(&config);
        let roots = config.files.iter().map(|entry| Root::new(&entry.dir)).collect();
        Self { config, upstream, status, spool, prepared, roots, sites, site_names }
    }

    /// The site that answers for `host`; `None`: nobody.
    pub fn site(&self, host: &str) -> Option<Site> {
        if self.sites.is_empty() { Some(0) } else { self.sites.get(host).copied() }
    }
}
