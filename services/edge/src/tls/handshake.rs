//! What became of a handshake, in words for the metrics.

use crate::metrics::{KINDS, TLS_FAILURES};
use rustls::{AlertDescription, Error, HandshakeKind, ServerConnection};
use std::io;

/// Place in [`KINDS`].
pub fn kind(session: &ServerConnection) -> u64 {
    let word = match session.handshake_kind() {
        Some(HandshakeKind::Resumed) => "resumed",
        _ => "full",
    };
    place(&KINDS, word) as u64
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
