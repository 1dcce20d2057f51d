//! Addresses to listen on or connect to, as people write them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// `127.0.0.1:8080`, `[::1]:8080`
    Socket(SocketAddr),
    /// `:8080`: every address of the machine, or a port to be asked at addresses known otherwise.
    Port(u16),
    /// `worker:8000`
    Host(String, u16),
    /// `unix:/run/app.sock`
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() || path.contains('\0') {
                return Err("the path after unix: is missing".into());
            }
            return Ok(Address::Unix(path.into()));
        }
        if let Ok(address) = text.parse() {
            return Ok(Address::Socket(address));
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err("the port is missing".into());
        };
        let port = port.parse().map_err(|_| format!("{port:?} is not a port"))?;
        if host.is_empty() {
            return Ok(Address::Port(port));
        }
        if host.contains(':') {
            return Err("an IPv6 address is written in brackets: [::1]:8080".into());
        }
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        // Digits and dots alone would be a broken IPv4 address, never a name.
        if !host.chars().all(fine) || host.chars().all(|c| c.is_ascii_digit() || c == '.') {
            return Err(format!("{host:?} is neither an address nor a name"));
        }
        Ok(Address::Host(host.to_owned(), port))
    }
}

impl Address {
    /// Where to listen: `:8080` is every IPv4 address; a name has to be resolved by whoever asks.
    pub fn socket(&self) -> Option<SocketAddr> {
        match self {
            Address::Socket(address) => Some(*address),
            Address::Port(port) => Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), *port)),
            Address::Host(name, port) if name == "localhost" => Some((Ipv4Addr::LOCALHOST, *port).into()),
            Address::Host(..) | Address::Unix(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Socket(address) => write!(f, "{address}"),
            Address::Port(port) => write!(f, ":{port}"),
            Address::Host(host, port) => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
