//! Certificates by ACME (RFC 8555): one a name, ordered, stored, renewed ahead of time, never in the way of a request.
//!
//! What is stored decides: a certificate that is good is served and nothing is ordered, however often we start; what
//! cannot be read is never taken for missing. Each name goes its own way, so that one whose DNS is wrong blocks no other.

pub mod authority;
pub mod backoff;
pub mod failure;
pub mod lock;
mod manager;
pub mod order;
pub mod records;

pub(crate) use manager::manage;

use crate::config::Tls;
use crate::tls::{State, bundle::Bundle, folder};
use records::{Records, authority_folder};
use rustls::pki_types::DnsName;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::atomic::AtomicU64;

/// How attempts ended since the process started.
#[derive(Debug, Default)]
pub struct Counts {
    pub issued: AtomicU64,
    pub failed: AtomicU64,
}

/// How one name fares. Times are Unix seconds.
#[derive(Clone, Debug, Default)]
pub struct NameStatus {
    pub problem: Option<String>,
    pub next_attempt: Option<u64>,
    pub last_success: Option<u64>,
    pub consecutive_failures: u32,
}

/// What makes a configuration unusable.
pub fn check(config: &Tls) -> Result<(), String> {
    for (key, names) in [("domains", &config.domains), ("local_names", &config.local_names)] {
        for name in names {
            let plain = name.strip_prefix("*.").unwrap_or(name);
            let address = name.parse::<IpAddr>().is_ok() && key == "local_names";
            let lower = !name.bytes().any(|byte| byte.is_ascii_uppercase());
            let good = address || (lower && DnsName::try_from(plain).is_ok());
            if !good {
                return Err(format!(
                    "{key}: expected host names such as www.example.com in lower case (other scripts as xn--...), got {name:?}"
                ));
            }
        }
    }
    if config.acme_email.is_some() {
        authority::client_config(config.acme_ca.as_deref())?;
        if !config.acme_directory.starts_with("https://") {
            return Err(format!("acme_directory: expected an https:// address, got {:?}", config.acme_directory));
        }
    }
    Ok(())
}

/// Why a CA on the internet can give no certificate for the name, if so.
fn unfit(name: &str) -> Option<&'static str> {
    let last = name.rsplit('.').next().unwrap_or(name);
    if name.starts_with("*.") {
        Some("a wildcard's certificate needs a DNS challenge, which is not supported: list the names themselves")
    } else if !name.contains('.') || last == "localhost" {
        Some("not a public name: put it into local_names")
    } else {
        None
    }
}

/// Serves the good ones of the stored certificates.
pub(crate) fn load(config: &Tls, state: &mut State, now: u64) {
    let (Some(_), Some(base)) = (&config.acme_email, folder(config)) else { return };
    let authority = authority_folder(base, &config.acme_directory);
    for name in &config.domains {
        match Records::new(&authority, name).certificate() {
            Ok(Some(bundle)) if bundle.covers(name) && !bundle.expired(now) => {
                state.names.remove(name);
                state.serve(name, bundle);
            }
            Ok(_) => {}
            Err(problem) => {
                tracing::warn!(event = "acme_store", site = name, "{problem}");
                state.names.entry(name.clone()).or_default().problem = Some(problem);
            }
        }
    }
}

/// Two thirds into its life, and up to a thirtieth later: always the same for one certificate, other for each.
fn renew_at(name: &str, bundle: &Bundle) -> u64 {
    let mut hasher = DefaultHasher::new();
    (name, bundle.not_after).hash(&mut hasher);
    let spread = (bundle.lifetime() / 30).max(1);
    bundle.two_thirds() + hasher.finish() % spread
}
