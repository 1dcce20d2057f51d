//! Certificates and the acceptor's configuration.
//! Placeholder by the agreed signatures; its owner (`certs`) replaces it.

use crate::config::Tls;
use crate::drain::Drain;
use rustls::ServerConfig;
use rustls::server::ResolvesServerCertUsingSni;
use std::sync::Arc;
use std::time::SystemTime;

/// Every certificate by name, behind a resolver without locks.
pub struct Certificates;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issuer {
    Acme,
    Internal,
}

pub struct CertificateStatus {
    pub name: String,
    pub issuer: Issuer,
    pub not_after: SystemTime,
    /// Why it is not as wanted: pending, failing, expiring.
    pub problem: Option<String>,
}

impl Certificates {
    /// Reads the store, makes the internal CA where there is none. An unreadable store is not an error: it is in
    /// `status`.
    pub fn open(_config: &Tls) -> Result<Arc<Self>, String> {
        Ok(Arc::new(Self))
    }

    /// Whether `name` is served by a certificate that browsers trust.
    pub fn is_public(&self, _name: &str) -> bool {
        false
    }

    pub fn status(&self) -> Vec<CertificateStatus> {
        Vec::new()
    }

    pub fn ca_pem(&self) -> String {
        String::new()
    }

    /// The answer to `GET /.well-known/acme-challenge/TOKEN`.
    pub fn http_challenge(&self, _token: &str) -> Option<String> {
        None
    }

    /// After a reload: another list of names.
    pub fn reconfigure(&self, _config: &Tls) {}

    /// The certificates' families in Prometheus text.
    pub fn render(&self, _out: &mut String) {}
}

/// ALPN `h2`, `http/1.1` and `acme-tls/1`; the listener closes a connection that agreed on the last.
pub fn server_config(_certificates: &Arc<Certificates>) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let resolver = Arc::new(ResolvesServerCertUsingSni::new());
    match ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions() {
        Ok(builder) => Arc::new(builder.with_no_client_auth().with_cert_resolver(resolver)),
        Err(error) => unreachable!("the provider supports the default versions: {error}"),
    }
}

/// Control thread: internal CA re-issue and ACME until `drain` closes.
pub async fn manage(_certificates: Arc<Certificates>, mut drain: Drain) {
    drain.reached(crate::drain::Phase::Closing).await;
}
