//! TLS towards an upstream: what we trust, what we show, whom we expect.

use super::connect::Stream;
use crate::config::UpstreamTls;
use crate::tls::config::provider;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::io;
use std::sync::Arc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Shared by all connections of an upstream, so that sessions are resumed.
pub struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
    http2: bool,
}

impl Tls {
    /// The setting that is wrong, and why.
    pub fn new(settings: &UpstreamTls, http2: bool) -> Result<Self, (&'static str, String)> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| ("tls", error.to_string()))?;
        let builder = if settings.verify {
            builder.with_root_certificates(roots(settings)?)
        } else {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone))
        };
        let mut config = match &settings.certificate {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = CertificateDer::pem_slice_iter(&chain.0).collect::<Result<Vec<_>, _>>();
                let chain = chain.map_err(|error| ("tls_certificate", format!("not PEM certificates: {error}")))?;
                if chain.is_empty() {
                    return Err(("tls_certificate", "no PEM certificate in it".into()));
                }
                let key = PrivateKeyDer::from_pem_slice(&key.0);
                let key = key.map_err(|error| ("tls_key", format!("not a PEM key: {error}")))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| ("tls_certificate", error.to_string()))?
            }
        };
        config.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        let name = ServerName::try_from(settings.server_name.clone())
            .map_err(|_| ("tls_server_name", format!("{:?} is neither a name nor an address", settings.server_name)))?;
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name, http2 })
    }

    pub async fn connect(&self, stream: Stream) -> io::Result<TlsStream<Stream>> {
        let stream = self.connector.connect(self.name.clone(), stream).await?;
        if self.http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(io::Error::other("the upstream does not speak HTTP/2 over TLS"));
        }
        Ok(stream)
    }
}

fn roots(settings: &UpstreamTls) -> Result<RootCertStore, (&'static str, String)> {
    let mut store = RootCertStore::empty();
    let Some(pem) = &settings.ca else {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        return Ok(store);
    };
    for certificate in CertificateDer::pem_slice_iter(&pem.0) {
        let certificate = certificate.map_err(|error| ("tls_ca", format!("not PEM certificates: {error}")))?;
        store.add(certificate).map_err(|error| ("tls_ca", error.to_string()))?;
    }
    if store.is_empty() { Err(("tls_ca", "no PEM certificate in it".into())) } else { Ok(store) }
}

/// `tls_verify = false`: whoever answers is believed, but must hold the key of what he shows.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
