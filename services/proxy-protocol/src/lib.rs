//! The PROXY protocol, versions 1 (text) and 2 (binary): what a proxy that passes bytes on (HAProxy, stunnel, a cloud's
//! TCP balancer) sends before them, so that the server learns whose connection it is. The rules are those of HAProxy's
//! `doc/proxy-protocol.txt`; sections are cited from there.
//!
//! No input or output of its own (sans-I/O): [`read`] looks at the bytes that are there, [`line`] and [`block`] make some. Like the HTTP codec it refuses
//! what it does not fully understand, because whoever can slip a header past it chooses his own address. It neither
//! allocates nor panics.
//!
//! A header is only to be believed from those who are known to send one: check the peer as soon as [`Read::is_header`]
//! or [`Malformed`] says that there is one.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod binary;
mod malformed;
mod text;

use std::net::SocketAddr;

pub use binary::block;
pub use malformed::Malformed;
pub use text::line;

/// Which versions are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    V1,
    V2,
    Both,
}

/// What the bytes at the beginning of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// No header: they belong to the protocol that is spoken next.
    Absent,
    /// Too few to tell.
    Unsure,
    /// A header, of which more has to come.
    Partial,
    /// A header of this many bytes; what follows belongs to the protocol that is spoken next.
    Complete(Header),
}

impl Read {
    /// Whether the peer sends a header, complete or not.
    pub fn is_header(&self) -> bool {
        matches!(self, Read::Partial | Read::Complete(_))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Its length in bytes.
    pub length: usize,
    pub version: u8,
    pub connection: Connection,
}

/// Whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// The proxy's own, for a health check (`LOCAL`): the socket's addresses hold.
    Local,
    /// Somebody's whose address cannot be told (`UNKNOWN`, `AF_UNSPEC`): the socket's addresses hold.
    Unknown,
    /// A client's at `source`, which the proxy has accepted at `destination`. Both are of one family.
    Tcp { source: SocketAddr, destination: SocketAddr },
}

/// Looks for a header at the beginning of a connection. The answer for more bytes of the same connection never
/// contradicts one that was not [`Read::Unsure`] or [`Read::Partial`].
pub fn read(bytes: &[u8], versions: Versions) -> Result<Read, Malformed> {
    let mut unsure = false;
    if versions != Versions::V2 {
        match begins(bytes, text::PREFIX) {
            Begins::Yes => return text::read(bytes),
            Begins::Maybe => unsure = true,
            Begins::No => {}
        }
    }
    if versions != Versions::V1 {
        match begins(bytes, binary::SIGNATURE) {
            Begins::Yes => return binary::read(bytes),
            Begins::Maybe => unsure = true,
            Begins::No => {}
        }
    }
    Ok(if unsure { Read::Unsure } else { Read::Absent })
}

enum Begins {
    Yes,
    Maybe,
    No,
}

fn begins(bytes: &[u8], mark: &[u8]) -> Begins {
    if bytes.starts_with(mark) {
        Begins::Yes
    } else if mark.starts_with(bytes) {
        Begins::Maybe
    } else {
        Begins::No
    }
}

#[cfg(test)]
mod tests;
