//! A certificate as it lies in a file or comes from a CA: the chain and its key, checked to belong together.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// A certificate that can be served.
#[derive(Clone, Debug)]
pub struct Bundle {
    pub key: Arc<CertifiedKey>,
    /// Unix seconds.
    pub not_before: u64,
    pub not_after: u64,
}

impl Bundle {
    /// Reads a PEM text that holds the leaf, the rest of the chain, and the leaf's private key, in any order of kinds.
    pub fn from_pem(pem: &[u8]) -> Result<Self, String> {
        let chain = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| format!("no PEM certificates: {error}"))?;
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| format!("no PEM private key: {error}"))?;
        Self::new(chain, key)
    }

    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, String> {
        let leaf = chain.first().ok_or("no certificate in it")?;
        let (_, parsed) =
            x509_parser::parse_x509_certificate(leaf).map_err(|error| format!("not a certificate: {error}"))?;
        let validity = parsed.validity();
        let not_before = u64::try_from(validity.not_before.timestamp()).unwrap_or(0);
        let not_after = u64::try_from(validity.not_after.timestamp()).unwrap_or(0);
        let key = CertifiedKey::from_der(chain, key, &super::config::provider())
            .map_err(|error| format!("the key and the certificate do not work together: {error}"))?;
        Ok(Self { key: Arc::new(key), not_before, not_after })
    }

    /// Whether a client that asks for `name` would take it.
    pub fn covers(&self, name: &str) -> bool {
        let Some(leaf) = self.key.cert.first() else { return false };
        let Ok(parsed) = rustls::server::ParsedCertificate::try_from(leaf) else { return false };
        ServerName::try_from(name).is_ok_and(|name| rustls::client::verify_server_name(&parsed, &name).is_ok())
    }

    /// When two thirds of its life are over.
    pub fn two_thirds(&self) -> u64 {
        self.not_before + self.not_after.saturating_sub(self.not_before) / 3 * 2
    }

    pub fn lifetime(&self) -> u64 {
        self.not_after.saturating_sub(self.not_before)
    }

    pub fn expired(&self, now: u64) -> bool {
        now >= self.not_after
    }
}
