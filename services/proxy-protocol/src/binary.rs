//! Version 2, section 2.2: a signature, version and command, family and transport, a length, addresses, and additional
//! values (type, length, value), of which only the checksum is looked at.

use std::net::{IpAddr, SocketAddr};

use crate::{Connection, Header, Malformed, Read};

pub const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The signature and the four bytes after it.
const FIXED: usize = 16;
/// PP2_TYPE_CRC32C, section 2.2.3.
const CHECKSUM: u8 = 0x03;

/// `bytes` begin with the signature.
pub fn read(bytes: &[u8]) -> Result<Read, Malformed> {
    // What is wrong is said as soon as it can be seen, not only when the rest has come.
    let after = |at: usize| bytes.get(SIGNATURE.len().saturating_add(at)).copied();
    let command = match after(0) {
        None => return Ok(Read::Partial),
        Some(byte) if byte >> 4 != 2 => return Err(Malformed::Version),
        Some(byte) => byte & 0x0f,
    };
    if command > 1 {
        return Err(Malformed::Command);
    }
    let (Some(family), Some(high), Some(low)) = (after(1), after(2), after(3)) else { return Ok(Read::Partial) };
    let length = FIXED.saturating_add(usize::from(u16::from_be_bytes([high, low])));
    let Some(whole) = bytes.get(..length) else {
        return Ok(Read::Partial);
    };
    let rest = whole.get(FIXED..).unwrap_or_default();
    let connection = match (command, family) {
        // Section 2.2: the receiver of LOCAL must take the connection and ignore the rest.
        (0, _) => Connection::Local,
        (_, 0x00) => Connection::Unknown,
        // The family does not matter where its addresses are not known; gunicorn takes this, too.
        (_, 0x01) => Connection::Unknown,
        (_, 0x11) => tcp::<4>(rest)?,
        (_, 0x21) => tcp::<16>(rest)?,
        _ => return Err(Malformed::Transport),
    };
    if let Connection::Tcp { source, .. } = connection {
        let addresses = if source.is_ipv4() { 12 } else { 36 };
        values(whole, FIXED.saturating_add(addresses))?;
    }
    Ok(Read::Complete(Header { length, version: 2, connection }))
}

/// The header that says whose connection it is. Without addresses of one family nothing is said, as in version 1.
pub fn block(connection: Connection) -> Vec<u8> {
    let mut block = Vec::with_capacity(52);
    block.extend_from_slice(SIGNATURE);
    match connection {
        Connection::Tcp { source: SocketAddr::V4(source), destination: SocketAddr::V4(destination) } => {
            block.extend_from_slice(&[0x21, 0x11, 0, 12]);
            block.extend_from_slice(&source.ip().octets());
            block.extend_from_slice(&destination.ip().octets());
            block.extend_from_slice(&source.port().to_be_bytes());
            block.extend_from_slice(&destination.port().to_be_bytes());
        }
        Connection::Tcp { source: SocketAddr::V6(source), destination: SocketAddr::V6(destination) } => {
            block.extend_from_slice(&[0x21, 0x21, 0, 36]);
            block.extend_from_slice(&source.ip().octets());
            block.extend_from_slice(&destination.ip().octets());
            block.extend_from_slice(&source.port().to_be_bytes());
            block.extend_from_slice(&destination.port().to_be_bytes());
        }
        Connection::Local => block.extend_from_slice(&[0x20, 0, 0, 0]),
        Connection::Tcp { .. } | Connection::Unknown => block.extend_from_slice(&[0x21, 0, 0, 0]),
    }
    block
}

/// Source and destination, then their ports.
fn tcp<const N: usize>(rest: &[u8]) -> Result<Connection, Malformed>
where
    IpAddr: From<[u8; N]>,
{
    let short = Malformed::Addresses;
    let (source, rest) = rest.split_first_chunk::<N>().ok_or(short)?;
    let (destination, rest) = rest.split_first_chunk::<N>().ok_or(short)?;
    let (source_port, rest) = rest.split_first_chunk::<2>().ok_or(short)?;
    let (destination_port, _) = rest.split_first_chunk::<2>().ok_or(short)?;
    Ok(Connection::Tcp {
        source: SocketAddr::new(IpAddr::from(*source), u16::from_be_bytes(*source_port)),
        destination: SocketAddr::new(IpAddr::from(*destination), u16::from_be_bytes(*destination_port)),
    })
}

/// The additional values from `at` on: they have to fill the header, and a checksum has to hold.
fn values(whole: &[u8], mut at: usize) -> Result<(), Malformed> {
    while at < whole.len() {
        let Some([kind, high, low]) = whole.get(at..).and_then(|rest| rest.first_chunk::<3>()) else {
            return Err(Malformed::Values);
        };
        let begin = at.saturating_add(3);
        let end = begin.saturating_add(usize::from(u16::from_be_bytes([*high, *low])));
        let value = whole.get(begin..end).ok_or(Malformed::Values)?;
        if *kind == CHECKSUM {
            let told: [u8; 4] = value.try_into().map_err(|_| Malformed::Values)?;
            // It is computed over the header with zeros in its own place.
            let zeroed = whole.iter().enumerate().map(|(i, byte)| if (begin..end).contains(&i) { 0 } else { *byte });
            if crc32c(zeroed) != u32::from_be_bytes(told) {
                return Err(Malformed::Checksum);
            }
        }
        at = end;
    }
    Ok(())
}

/// RFC 4960 appendix B (Castagnoli), bit by bit: a header is short, and few senders add it.
pub fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}
