//! Certificates: which are there, which a handshake gets, and what a TLS handshake offers.
//!
//! With no public domain the edge issues from its own CA ([`internal`]); with domains and an address for the CA to write
//! to, they come by ACME ([`crate::acme`]), and until one is there its name is served by the internal CA's. Handshakes
//! read one immutable [`resolver::Table`]; everything that changes it runs on the control thread.

pub mod bundle;
pub mod config;
pub mod handshake;
pub mod internal;
pub mod resolver;
pub mod status;
pub mod store;

pub use config::is_challenge;
pub use status::{CertificateStatus, Issuer};

use crate::acme;
use crate::config::Tls;
use crate::drain::{Drain, Phase};
use arc_swap::ArcSwap;
use bundle::Bundle;
use bytes::Bytes;
use internal::Authority;
use resolver::{Resolver, Table};
use rustls::ServerConfig;
use rustls::sign::CertifiedKey;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

/// How often the internal certificate's age is looked at. Short, because a machine may sleep and clocks may jump.
const UPKEEP: Duration = Duration::from_secs(60);

/// So many names below `localhost` get a certificate of their own: a developer's projects, and not whatever is asked for.
const LOCAL_NAMES: usize = 64;

/// Every certificate by name, behind a resolver without locks.
pub struct Certificates {
    table: Arc<ArcSwap<Table>>,
    settings: ArcSwap<Tls>,
    state: Mutex<State>,
    pub(crate) counts: acme::Counts,
    /// One for all cores: a client comes back to another core with the ticket it got from this one.
    config: OnceLock<Arc<ServerConfig>>,
    /// Wakes the manager after a reload.
    changed: tokio::sync::Notify,
}

/// What the table is made of. Only the control thread takes the lock, but for a scrape.
pub(crate) struct State {
    authority: Authority,
    /// Why the internal CA will not outlive this process.
    authority_problem: Option<String>,
    leaf: Bundle,
    leaf_names: Vec<String>,
    /// By name.
    public: BTreeMap<String, Bundle>,
    /// Names below `localhost`.
    local: BTreeMap<String, Arc<CertifiedKey>>,
    challenges: BTreeMap<String, Arc<CertifiedKey>>,
    tokens: BTreeMap<String, Bytes>,
    /// How each name of ACME's fares.
    pub(crate) names: BTreeMap<String, acme::NameStatus>,
    /// What keeps ACME from working for any name.
    pub(crate) acme_problem: Option<String>,
}

impl Certificates {
    /// Reads the store, makes the internal CA where there is none. An unreadable store is not an error: it is in
    /// `status`. What is: names that cannot stand in a certificate, a CA file that cannot be used.
    pub fn open(config: &Tls) -> Result<Arc<Self>, String> {
        acme::check(config)?;
        let now = unix_now();
        let (authority, authority_problem) = Authority::open(folder(config), now)?;
        let leaf_names = internal_names(config, &BTreeMap::new());
        let leaf = authority.issue(&leaf_names, now)?;
        if let Some(problem) = &authority_problem {
            tracing::warn!(event = "internal_ca", "{problem}");
        }
        let mut state = State {
            authority,
            authority_problem,
            leaf,
            leaf_names,
            public: BTreeMap::new(),
            local: BTreeMap::new(),
            challenges: BTreeMap::new(),
            tokens: BTreeMap::new(),
            names: BTreeMap::new(),
            acme_problem: None,
        };
        // What is stored is served from the first handshake on, not from the manager's first round.
        acme::load(config, &mut state, now);
        let certificates = Arc::new(Self {
            table: Arc::new(ArcSwap::from_pointee(state.table())),
            settings: ArcSwap::from_pointee(config.clone()),
            state: Mutex::new(state),
            counts: acme::Counts::default(),
            config: OnceLock::new(),
            changed: tokio::sync::Notify::new(),
        });
        certificates.upkeep(now);
        Ok(certificates)
    }

    /// Whether `name` (lower case) is served by a certificate that browsers trust.
    pub fn is_public(&self, name: &str) -> bool {
        self.table.load().public(name).is_some()
    }

    /// The internal CA's root, to be trusted.
    pub fn ca_pem(&self) -> String {
        self.state().authority.pem().to_owned()
    }

    /// The answer to `GET /.well-known/acme-challenge/TOKEN`.
    pub fn http_challenge(&self, token: &str) -> Option<String> {
        let table = self.table.load();
        table.tokens.get(token).map(|answer| String::from_utf8_lossy(answer).into_owned())
    }

    /// After a reload: other names, another CA. What `open` would refuse changes nothing.
    pub fn reconfigure(&self, config: &Tls) {
        if let Err(problem) = acme::check(config) {
            tracing::error!(event = "certificates_reload", "{problem}; the certificates stay as they were");
            return;
        }
        self.settings.store(Arc::new(config.clone()));
        let now = unix_now();
        self.change(|state| {
            state.public.retain(|name, _| config.domains.contains(name));
            state.names.clear();
            acme::load(config, state, now);
        });
        self.upkeep(now);
        self.changed.notify_one();
    }

    pub(crate) fn resolver(self: &Arc<Self>) -> Arc<Resolver> {
        Arc::new(Resolver { table: self.table.clone(), certificates: Arc::downgrade(self) })
    }

    /// A certificate for a name below `localhost`, kept for the next time; none when there are enough of them.
    pub(crate) fn local(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        if self.state().local.len() >= LOCAL_NAMES {
            return None;
        }
        self.change(|state| {
            let made = state.authority.issue(&[name.to_owned()], unix_now()).ok()?;
            state.local.insert(name.to_owned(), made.key.clone());
            Some(made.key)
        })
    }

    pub(crate) fn settings(&self) -> Arc<Tls> {
        self.settings.load_full()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is served, all at once.
    pub(crate) fn change<T>(&self, how: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let result = how(&mut state);
        self.table.store(Arc::new(state.table()));
        result
    }

    /// A new internal certificate when the old one is old, or is for other names than it should.
    pub(crate) fn upkeep(&self, now: u64) {
        let settings = self.settings();
        let names = internal_names(&settings, &self.state().public);
        let due = {
            let state = self.state();
            // A clock that was wrong when it was made shows here.
            let early = now < state.leaf.not_before;
            names != state.leaf_names || now >= state.leaf.two_thirds() || early
        };
        if !due {
            return;
        }
        let issued = self.change(|state| {
            state.leaf = state.authority.issue(&names, now)?;
            state.leaf_names = names;
            // They are as old, or will be soon; each is made again when it is asked for.
            state.local.clear();
            Ok::<_, String>(())
        });
        match issued {
            Ok(()) => tracing::info!(event = "internal_certificate", "issued a new internal certificate"),
            Err(problem) => tracing::error!(event = "internal_certificate", "no new internal certificate: {problem}"),
        }
    }

    /// Serves a new public certificate.
    pub(crate) fn install(&self, name: &str, bundle: Bundle) {
        self.change(|state| state.public.insert(name.to_owned(), bundle));
        self.upkeep(unix_now());
    }
}

impl State {
    pub(crate) fn serve(&mut self, name: &str, bundle: Bundle) {
        self.public.insert(name.to_owned(), bundle);
    }

    pub(crate) fn set_challenge(&mut self, name: &str, key: Option<Arc<CertifiedKey>>) {
        match key {
            Some(key) => drop(self.challenges.insert(name.to_owned(), key)),
            None => drop(self.challenges.remove(name)),
        }
    }

    pub(crate) fn set_token(&mut self, token: &str, answer: Option<Bytes>) {
        match answer {
            Some(answer) => drop(self.tokens.insert(token.to_owned(), answer)),
            None => drop(self.tokens.remove(token)),
        }
    }

    fn table(&self) -> Table {
        let mut table = Table::new(self.leaf.key.clone());
        for (name, bundle) in &self.public {
            match name.strip_prefix("*.") {
                Some(rest) => table.wildcard.insert(rest.into(), bundle.key.clone()),
                None => table.exact.insert(name.as_str().into(), bundle.key.clone()),
            };
        }
        table.local = self.local.iter().map(|(name, key)| (name.as_str().into(), key.clone())).collect();
        table.challenges = self.challenges.iter().map(|(name, key)| (name.as_str().into(), key.clone())).collect();
        table.tokens = self.tokens.iter().map(|(token, answer)| (token.as_str().into(), answer.clone())).collect();
        table
    }
}

/// The names the internal certificate is for beside those that it always is for.
fn internal_names(config: &Tls, public: &BTreeMap<String, Bundle>) -> Vec<String> {
    let pending = config.domains.iter().filter(|name| !public.contains_key(*name));
    config.local_names.iter().chain(pending).cloned().collect()
}

/// What every listener accepts with; the same whenever it is asked for.
pub fn server_config(certificates: &Arc<Certificates>) -> Arc<ServerConfig> {
    certificates.config.get_or_init(|| config::server_config(certificates.resolver())).clone()
}

/// The state folder, if one is set.
pub(crate) fn folder(config: &Tls) -> Option<&Path> {
    Some(config.state.as_path()).filter(|path| !path.as_os_str().is_empty())
}

/// Control thread: internal CA re-issue and ACME until `drain` closes.
pub async fn manage(certificates: Arc<Certificates>, mut drain: Drain) {
    tokio::select! {
        () = look_after(&certificates) => {}
        () = acme::manage(&certificates) => {}
        _ = drain.reached(Phase::Closing) => {}
    }
}

async fn look_after(certificates: &Certificates) {
    loop {
        tokio::time::sleep(UPKEEP).await;
        certificates.upkeep(unix_now());
    }
}

impl Certificates {
    /// Until the settings change.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// The wall clock: what certificates and CAs go by.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |passed| passed.as_secs())
}

#[cfg(test)]
mod tests;
