//! What the edge offers in a TLS handshake.

use super::resolver::Resolver;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, ServerConfig};
use std::sync::{Arc, LazyLock};

/// The name of the protocol in which a CA checks that a host is ours (RFC 8737).
pub const ACME_TLS_ALPN: &[u8] = b"acme-tls/1";

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let mut provider = aws_lc_rs::default_provider();
    // Forward secret AEAD suites only, which is all that rustls has; browsers of the last ten years speak one of them.
    provider.kx_groups =
        vec![aws_lc_rs::kx_group::X25519MLKEM768, aws_lc_rs::kx_group::X25519, aws_lc_rs::kx_group::SECP256R1];
    Arc::new(provider)
});

/// The cryptography of both sides: the edge's own handshakes and its calls to a CA.
pub fn provider() -> Arc<CryptoProvider> {
    PROVIDER.clone()
}

/// The configuration that all cores share: ALPN `h2`, `http/1.1` and `acme-tls/1`; the listener closes a connection that
/// agreed on the last.
pub fn server_config(resolver: Arc<Resolver>) -> Arc<ServerConfig> {
    let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
    let mut config = match ServerConfig::builder_with_provider(provider()).with_protocol_versions(&versions) {
        Ok(builder) => builder.with_no_client_auth().with_cert_resolver(resolver),
        Err(error) => unreachable!("the provider has suites for both versions: {error}"),
    };
    // `acme-tls/1` comes last: a client that offers anything else beside it gets that, and never a challenge's
    // certificate (RFC 8737, section 3). The resolver refuses one that offers it alone while nothing is being checked.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec(), ACME_TLS_ALPN.to_vec()];
    // Sessions are resumed by tickets alone (their keys change every six hours): a cache would be a lock between cores.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    match aws_lc_rs::Ticketer::new() {
        Ok(ticketer) => config.ticketer = ticketer,
        Err(error) => {
            tracing::warn!(event = "tls_tickets", "no session tickets, every handshake is a full one: {error}");
        }
    }
    // A resumed connection gets a new ticket, so one is enough; each further one costs every first visit.
    config.send_tls13_tickets = 1;
    // Early data can be replayed by anybody who saw it, and an application cannot tell.
    config.max_early_data_size = 0;
    Arc::new(config)
}

/// Whether this handshake was a CA's check: the connection carries nothing and is closed after it.
pub fn is_challenge(connection: &rustls::ServerConnection) -> bool {
    connection.alpn_protocol() == Some(ACME_TLS_ALPN)
}
