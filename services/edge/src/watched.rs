//! Files that count while the edge runs: error pages, flags of maintenance, users. The control thread looks at them once a
//! second, so that no request does.

use crate::access::Users;
use crate::config::{Config, Options};
use crate::error_pages::Page;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(1);

/// Whether a file is there.
#[derive(Debug)]
pub struct Flag {
    path: PathBuf,
    there: AtomicBool,
}

impl Flag {
    fn new(path: &Path) -> Arc<Self> {
        let flag = Self { path: path.to_owned(), there: AtomicBool::new(false) };
        flag.look();
        Arc::new(flag)
    }

    pub fn is_there(&self) -> bool {
        self.there.load(Ordering::Relaxed)
    }

    fn look(&self) {
        self.there.store(self.path.exists(), Ordering::Relaxed);
    }
}

impl PartialEq for Flag {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

/// The files of one configuration, each opened once however many routes name it.
#[derive(Default)]
pub struct Files {
    pages: HashMap<PathBuf, Result<Arc<Page>, String>>,
    flags: HashMap<PathBuf, Arc<Flag>>,
    users: HashMap<PathBuf, Result<Arc<Users>, String>>,
}

impl Files {
    pub fn page(&mut self, path: &Path) -> Result<Arc<Page>, String> {
        self.pages.entry(path.to_owned()).or_insert_with(|| Page::open(path)).clone()
    }

    pub fn users(&mut self, path: &Path) -> Result<Arc<Users>, String> {
        self.users.entry(path.to_owned()).or_insert_with(|| Users::open(path)).clone()
    }

    pub fn flag(&mut self, path: &Path) -> Arc<Flag> {
        self.flags.entry(path.to_owned()).or_insert_with(|| Flag::new(path)).clone()
    }

    /// Those that a configuration uses.
    pub fn of(config: &Config) -> Self {
        let mut files = Self::default();
        let sites = config.sites.iter();
        let inner = sites.flat_map(|site| site.routes.iter().map(|route| &route.options).chain([&site.options]));
        for Options { errors, auth, .. } in inner.chain([&config.options]) {
            let (pages, flag) = errors.watched();
            files.pages.extend(pages.map(|page| (page.path().to_owned(), Ok(page.clone()))));
            let users = auth.basic.iter().map(|basic| &basic.users);
            files.users.extend(users.map(|users| (users.path().to_owned(), Ok(users.clone()))));
            files.flags.extend(flag.map(|flag| (flag.path.clone(), flag.clone())));
        }
        files
    }

    fn look(&self) {
        self.flags.values().for_each(|flag| flag.look());
        self.pages.values().flatten().for_each(|page| page.look());
        self.users.values().flatten().for_each(|users| users.look());
    }

    /// Until it is aborted; to be begun anew with each configuration.
    pub async fn watch(self) {
        if self.pages.is_empty() && self.flags.is_empty() && self.users.is_empty() {
            return;
        }
        let files = Arc::new(self);
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let files = files.clone();
            // A folder on a network that hangs holds a thread for blocking work, not this one.
            if tokio::task::spawn_blocking(move || files.look()).await.is_err() {
                return;
            }
        }
    }
}
