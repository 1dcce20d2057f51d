//! Where requests come in, as gunicorn's `bind` writes it.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::str::FromStr;

use monodon_settings::Address;
use serde::{Deserialize, Serialize};

/// gunicorn's, where `bind` names none.
const PORT: u16 = 8000;

/// As JSON it is its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Bind {
    Tcp(SocketAddr),
    /// A name that is looked up when it is bound.
    Name(String, u16),
    Unix(PathBuf),
    /// A socket that was inherited.
    Fd(RawFd),
}

impl FromStr for Bind {
    type Err = String;

    /// `HOST`, `HOST:PORT`, `[::1]:PORT`, `:PORT`, `tcp://HOST:PORT`, `unix:PATH`, `fd://NUMBER`.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(number) = text.strip_prefix("fd://") {
            let fd = number.parse().ok().filter(|fd| *fd > 2);
            return fd.map(Bind::Fd).ok_or_else(|| format!("{number:?} is no descriptor of a socket"));
        }
        let text = text.strip_prefix("tcp://").unwrap_or(text);
        if let Ok(address) = text.trim_start_matches('[').trim_end_matches(']').parse() {
            return Ok(Bind::Tcp(SocketAddr::new(address, PORT)));
        }
        let address = match text.parse::<Address>() {
            Err(_) if !text.is_empty() && !text.contains(':') => format!("{text}:{PORT}").parse::<Address>()?,
            other => other?,
        };
        Ok(match address {
            Address::Socket(address) => Bind::Tcp(address),
            Address::Port(port) => Bind::Tcp((Ipv4Addr::UNSPECIFIED, port).into()),
            Address::Host(name, port) => Bind::Name(name, port),
            Address::Unix(path) => Bind::Unix(path),
        })
    }
}

impl From<Bind> for String {
    fn from(bind: Bind) -> Self {
        bind.to_string()
    }
}

impl TryFrom<String> for Bind {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bind::Tcp(address) => write!(f, "{address}"),
            Bind::Name(name, port) => write!(f, "{name}:{port}"),
            Bind::Unix(path) => write!(f, "unix:{}", path.display()),
            Bind::Fd(fd) => write!(f, "fd://{fd}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_gunicorn_writes_it() {
        let read = |text: &str| text.parse::<Bind>().map(|bind| bind.to_string());
        for (text, meant) in [
            ("127.0.0.1:8001", "127.0.0.1:8001"),
            ("127.0.0.1", "127.0.0.1:8000"),
            ("::1", "[::1]:8000"),
            ("[::1]", "[::1]:8000"),
            ("[::]:80", "[::]:80"),
            (":80", "0.0.0.0:80"),
            ("tcp://127.0.0.1:80", "127.0.0.1:80"),
            ("localhost", "localhost:8000"),
            ("localhost:80", "localhost:80"),
            ("unix:/run/app.sock", "unix:/run/app.sock"),
            ("unix:///run/app.sock", "unix:/run/app.sock"),
            ("unix:app.sock", "unix:app.sock"),
            ("fd://7", "fd://7"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(meant), "{text}");
        }
        for text in
            ["", "unix:", "fd://", "fd://x", "fd://1", "fd://-1", "127.0.0.1:x", "127.0.0.1:70000", "1.2.3.4.5", "a b"]
        {
            assert!(read(text).is_err(), "{text}: {:?}", read(text));
        }
    }
}
