//! Which certificate a handshake gets: by the name the client asks for, without a lock.

use super::Certificates;
use super::config::ACME_TLS_ALPN;
use arc_swap::ArcSwap;
use bytes::Bytes;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};

/// What is served, at one moment. Never changed, only replaced.
#[derive(Debug)]
pub struct Table {
    /// For a name that nothing else is for, and for clients that say none: the internal CA's.
    pub default: Arc<CertifiedKey>,
    /// Public certificates by name; a wildcard's by its name without the `*.`.
    pub exact: HashMap<Box<str>, Arc<CertifiedKey>>,
    pub wildcard: HashMap<Box<str>, Arc<CertifiedKey>>,
    /// Names below `localhost` that somebody has asked for.
    pub local: HashMap<Box<str>, Arc<CertifiedKey>>,
    /// For the CA that checks a name now: its certificates (TLS-ALPN-01), its answers by token (HTTP-01).
    pub challenges: HashMap<Box<str>, Arc<CertifiedKey>>,
    pub tokens: HashMap<Box<str>, Bytes>,
}

impl Table {
    pub fn new(default: Arc<CertifiedKey>) -> Self {
        Self {
            default,
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            local: HashMap::new(),
            challenges: HashMap::new(),
            tokens: HashMap::new(),
        }
    }

    /// The public certificate for `name`, which is in lower case.
    pub fn public(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        self.exact.get(name).or_else(|| {
            let (_, rest) = name.split_once('.')?;
            self.wildcard.get(rest)
        })
    }

    /// What a client gets that asks for `name` and offers these protocols.
    fn choose<'a>(
        &self,
        name: Option<&str>,
        mut protocols: impl Iterator<Item = &'a [u8]>,
    ) -> Option<&Arc<CertifiedKey>> {
        if protocols.next() == Some(ACME_TLS_ALPN) && protocols.next().is_none() {
            return name.and_then(|name| self.challenges.get(name));
        }
        let named = name.and_then(|name| self.public(name).or_else(|| self.local.get(name)));
        Some(named.unwrap_or(&self.default))
    }
}

/// rustls asks this one.
pub struct Resolver {
    pub table: Arc<ArcSwap<Table>>,
    pub certificates: Weak<Certificates>,
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let table = self.table.load();
        // rustls has brought the name to lower case.
        let name = hello.server_name();
        let chosen = table.choose(name, hello.alpn().into_iter().flatten())?;
        // Browsers and OpenSSL take `*.localhost` for nothing, so each name below it gets a certificate when it is
        // first asked for. Only this first time takes a lock, and a public site has no such name.
        if let Some(name) = name.filter(|name| name.ends_with(".localhost") && Arc::ptr_eq(chosen, &table.default))
            && let Some(made) = self.certificates.upgrade().and_then(|certificates| certificates.local(name))
        {
            return Some(made);
        }
        Some(chosen.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::internal::Authority;

    fn key() -> Arc<CertifiedKey> {
        Authority::in_memory(1_800_000_000).unwrap().issue(&["x.test".into()], 1_800_000_000).unwrap().key
    }

    fn table() -> Table {
        let mut table = Table::new(key());
        table.exact.insert("www.example.com".into(), key());
        table.wildcard.insert("example.com".into(), key());
        table.challenges.insert("new.example.com".into(), key());
        table
    }

    fn chosen<'a>(table: &'a Table, name: Option<&str>, protocols: &[&[u8]]) -> Option<&'a Arc<CertifiedKey>> {
        table.choose(name, protocols.iter().copied())
    }

    #[test]
    fn the_exact_name_wins_over_the_wildcard_and_that_over_the_default() {
        let table = table();
        let is = |name: Option<&str>, want: &Arc<CertifiedKey>| {
            Arc::ptr_eq(chosen(&table, name, &[b"h2", b"http/1.1"]).unwrap(), want)
        };
        assert!(is(Some("www.example.com"), &table.exact["www.example.com"]));
        assert!(is(Some("shop.example.com"), &table.wildcard["example.com"]));
        assert!(is(Some("a.shop.example.com"), &table.default), "a wildcard stands for one label");
        assert!(is(Some("example.com"), &table.default));
        assert!(is(Some("localhost"), &table.default));
        assert!(is(None, &table.default));
    }

    #[test]
    fn a_challenge_is_answered_only_to_a_client_that_offers_nothing_else() {
        let table = table();
        let challenge = &table.challenges["new.example.com"];
        let name = Some("new.example.com");
        assert!(Arc::ptr_eq(chosen(&table, name, &[ACME_TLS_ALPN]).unwrap(), challenge));
        assert!(!Arc::ptr_eq(chosen(&table, name, &[ACME_TLS_ALPN, b"h2"]).unwrap(), challenge));
        assert!(!Arc::ptr_eq(chosen(&table, name, &[]).unwrap(), challenge));
        assert!(chosen(&table, Some("www.example.com"), &[ACME_TLS_ALPN]).is_none());
        assert!(chosen(&table, None, &[ACME_TLS_ALPN]).is_none());
    }
}
