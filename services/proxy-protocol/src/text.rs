//! Version 1, section 2.1: `PROXY TCP4 192.0.2.7 192.0.2.1 51234 443\r\n`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::{Connection, Header, Malformed, Read};

pub const PREFIX: &[u8] = b"PROXY ";

/// The longest line, its CRLF included: section 2.1 counts it out for `UNKNOWN` with two long IPv6 addresses.
const LONGEST: usize = 107;

/// `bytes` begin with the prefix.
pub fn read(bytes: &[u8]) -> Result<Read, Malformed> {
    let window = bytes.get(..LONGEST).unwrap_or(bytes);
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return if window.len() < LONGEST { Ok(Read::Partial) } else { Err(Malformed::LineTooLong) };
    };
    let line = window.get(PREFIX.len()..end).unwrap_or_default();
    let connection = connection(line)?;
    Ok(Read::Complete(Header { length: end.saturating_add(2), version: 1, connection }))
}

fn connection(line: &[u8]) -> Result<Connection, Malformed> {
    // Whatever follows UNKNOWN is to be ignored.
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Ok(Connection::Unknown);
    }
    let line = std::str::from_utf8(line).map_err(|_| Malformed::Line)?;
    let mut words = line.split(' ');
    let mut next = || words.next().ok_or(Malformed::Line);
    let (protocol, source, destination, source_port, destination_port) = (next()?, next()?, next()?, next()?, next()?);
    if words.next().is_some() {
        return Err(Malformed::Line);
    }
    let address: fn(&str) -> Option<IpAddr> = match protocol {
        "TCP4" => |text| text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => |text| text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => return Err(Malformed::Protocol),
    };
    let socket = |text: &str, digits: &str| {
        Ok(SocketAddr::new(address(text).ok_or(Malformed::Address)?, port(digits).ok_or(Malformed::Port)?))
    };
    Ok(Connection::Tcp { source: socket(source, source_port)?, destination: socket(destination, destination_port)? })
}

/// Digits alone (the standard library takes a sign, too) and no leading zeros.
fn port(digits: &str) -> Option<u16> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    plain.then(|| digits.parse().ok())?
}

/// The line that says the same: how a connection whose header has been read is passed on. Without addresses of one
/// family, `UNKNOWN`.
pub fn line(connection: Connection) -> String {
    match connection {
        Connection::Tcp { source: SocketAddr::V4(source), destination: SocketAddr::V4(destination) } => {
            let (from, to) = (source.ip(), destination.ip());
            format!("PROXY TCP4 {from} {to} {} {}\r\n", source.port(), destination.port())
        }
        Connection::Tcp { source: SocketAddr::V6(source), destination: SocketAddr::V6(destination) } => {
            let (from, to) = (source.ip(), destination.ip());
            format!("PROXY TCP6 {from} {to} {} {}\r\n", source.port(), destination.port())
        }
        Connection::Tcp { .. } | Connection::Local | Connection::Unknown => "PROXY UNKNOWN\r\n".to_owned(),
    }
}
