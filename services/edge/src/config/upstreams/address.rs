//! Where an upstream is, and what it is asked to see whether it lives.

use super::super::load::Reader;
use monodon_settings::Address;
use std::path::PathBuf;

/// One `upstream` as it was written; a name is resolved again and again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamAddress {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

impl std::fmt::Display for UpstreamAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What is asked at each address every second; without a port, the application's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamCheck {
    pub port: Option<u16>,
    pub path: String,
}

impl Reader<'_> {
    pub(in crate::config) fn upstream_address(&mut self, key: &str, address: Address) -> Option<UpstreamAddress> {
        Self::address(address).map_err(|wrong| self.wrong(key, wrong)).ok()
    }

    pub(in crate::config) fn address(address: Address) -> Result<UpstreamAddress, String> {
        match address {
            Address::Socket(socket) => Ok(UpstreamAddress::Tcp { host: socket.ip().to_string(), port: socket.port() }),
            Address::Host(host, port) => Ok(UpstreamAddress::Tcp { host, port }),
            Address::Unix(path) => Ok(UpstreamAddress::Unix(path)),
            Address::Port(_) => Err(format!("expected a host and a port such as worker:8000, got \"{address}\"")),
        }
    }

    pub(in crate::config) fn check(text: &str) -> Result<Option<UpstreamCheck>, String> {
        if text.is_empty() {
            return Ok(None);
        }
        parse_check(text).map(Some).ok_or_else(|| format!("expected :PORT/PATH or /PATH, got {text:?}"))
    }
}

fn parse_check(text: &str) -> Option<UpstreamCheck> {
    let (port, path) = match text.strip_prefix(':') {
        Some(rest) => {
            let slash = rest.find('/').unwrap_or(rest.len());
            let (port, path) = rest.split_at(slash);
            (Some(port.parse().ok().filter(|port| *port != 0)?), path)
        }
        None => (None, text),
    };
    let path = if path.is_empty() { "/" } else { path };
    path.parse::<http::uri::PathAndQuery>().ok().filter(|_| path.starts_with('/'))?;
    Some(UpstreamCheck { port, path: path.to_owned() })
}
