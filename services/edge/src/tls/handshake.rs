//! What became of a handshake, in words for the metrics.

use crate::metrics::{KINDS, TLS_FAILURES};
use rustls::{AlertDescription, CipherSuite, Error, HandshakeKind, ServerConnection};
use std::io;

/// Place in [`KINDS`].
pub fn kind(session: &ServerConnection) -> u64 {
    let word = match session.handshake_kind() {
        Some(HandshakeKind::Resumed) => "resumed",
        _ => "full",
    };
    place(&KINDS, word) as u64
}

/// What was agreed on, by OpenSSL's name, which logs have had for ever.
pub fn cipher(session: &ServerConnection) -> &'static str {
    use CipherSuite as Suite;
    match session.negotiated_cipher_suite().map(|suite| suite.suite()) {
        Some(Suite::TLS13_AES_128_GCM_SHA256) => "TLS_AES_128_GCM_SHA256",
        Some(Suite::TLS13_AES_256_GCM_SHA384) => "TLS_AES_256_GCM_SHA384",
        Some(Suite::TLS13_CHACHA20_POLY1305_SHA256) => "TLS_CHACHA20_POLY1305_SHA256",
        Some(Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256) => "ECDHE-ECDSA-AES128-GCM-SHA256",
        Some(Suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384) => "ECDHE-ECDSA-AES256-GCM-SHA384",
        Some(Suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256) => "ECDHE-ECDSA-CHACHA20-POLY1305",
        Some(Suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256) => "ECDHE-RSA-AES128-GCM-SHA256",
        Some(Suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384) => "ECDHE-RSA-AES256-GCM-SHA384",
        Some(Suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256) => "ECDHE-RSA-CHACHA20-POLY1305",
        _ => "unknown",
    }
}

/// Place in [`TLS_FAILURES`]; `None` is a handshake that took too long.
pub fn failure(error: Option<&io::Error>) -> usize {
    place(&TLS_FAILURES, error.map_or("timeout", reason))
}

fn place(words: &[&str], word: &str) -> usize {
    words.iter().position(|known| *known == word).unwrap_or_default()
}

fn reason(error: &io::Error) -> &'static str {
    use AlertDescription as Alert;
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidMessage(_)) => "not_tls",
        Some(Error::PeerIncompatible(_)) => "nothing_in_common",
        // The client says that it found none of ours.
        Some(Error::AlertReceived(Alert::HandshakeFailure | Alert::ProtocolVersion | Alert::InsufficientSecurity)) => {
            "nothing_in_common"
        }
        Some(Error::AlertReceived(
            Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied,
        )) => "certificate_refused",
        Some(Error::AlertReceived(Alert::CloseNotify | Alert::UserCanceled)) => "closed",
        Some(Error::NoApplicationProtocol) => "nothing_in_common",
        Some(_) => "other",
        None => match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "closed",
            _ => "other",
        },
    }
}
