//! What can be wrong with a header. None of it can be repaired: the connection is refused.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// Version 1: no CRLF within the longest line there can be.
    LineTooLong,
    /// Version 1: not `PROXY TCP4|TCP6 SOURCE DESTINATION PORT PORT`, with single spaces.
    Line,
    /// Version 1: neither TCP4, TCP6 nor UNKNOWN.
    Protocol,
    /// Version 1: not an address of the family that was named.
    Address,
    /// Version 1: not a decimal number from 0 to 65535, or written with leading zeros.
    Port,
    /// Version 2: another version.
    Version,
    /// Version 2: neither LOCAL nor PROXY.
    Command,
    /// Version 2: not TCP (over IPv4 or IPv6).
    Transport,
    /// Version 2: too short for its family's addresses.
    Addresses,
    /// Version 2: the additional values do not fill the rest of the header.
    Values,
    /// Version 2: its checksum does not hold.
    Checksum,
}

impl Malformed {
    /// For the log.
    pub fn reason(self) -> &'static str {
        match self {
            Malformed::LineTooLong => "PROXY line without an end",
            Malformed::Line => "malformed PROXY line",
            Malformed::Protocol => "PROXY line with a protocol that is none of TCP4, TCP6, UNKNOWN",
            Malformed::Address => "PROXY line with a malformed address",
            Malformed::Port => "PROXY line with a malformed port",
            Malformed::Version => "PROXY header of an unknown version",
            Malformed::Command => "PROXY header with an unknown command",
            Malformed::Transport => "PROXY header for something else than TCP",
            Malformed::Addresses => "PROXY header too short for its addresses",
            Malformed::Values => "PROXY header with malformed additional values",
            Malformed::Checksum => "PROXY header with a wrong checksum",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for Malformed {}
