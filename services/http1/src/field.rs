//! One field line: `name ":" OWS value OWS` (RFC 9112 5), for heads and trailers.

use crate::Reject;
use crate::bytes::{all_value, is_tchar, is_value_byte, trim};

/// Name and value, without the whitespace around the value. The line comes without its CRLF.
#[inline]
pub(crate) fn split(line: &[u8]) -> Result<(&[u8], &[u8]), Reject> {
    let colon = line.iter().position(|&b| !is_tchar(b));
    let (name, rest) = colon.and_then(|at| line.split_at_checked(at)).ok_or(Reject::NoColon)?;
    let [b':', value @ ..] = rest else {
        return Err(bad_name(name, rest));
    };
    if name.is_empty() {
        return Err(Reject::FieldName);
    }
    if !all_value(value) {
        return Err(bad_byte(value));
    }
    Ok((name, trim(value)))
}

#[cold]
fn bad_name(name: &[u8], rest: &[u8]) -> Reject {
    match rest.first() {
        Some(b' ' | b'\t') if name.is_empty() => Reject::ObsFold,
        Some(b' ' | b'\t') => Reject::SpaceInName,
        Some(b'\r') => Reject::BareCr,
        Some(0) => Reject::Nul,
        _ => Reject::FieldName,
    }
}

/// The rule that the first byte which may not stand in a value breaks.
#[cold]
pub(crate) fn bad_byte(bytes: &[u8]) -> Reject {
    match bytes.iter().find(|&&b| !is_value_byte(b)) {
        Some(b'\r') => Reject::BareCr,
        Some(b'\n') => Reject::BareLf,
        Some(0) => Reject::Nul,
        _ => Reject::Control,
    }
}

/// RFC 9110 8.6: 1*DIGIT. Lists may be merged when their members are equal; we refuse them.
pub(crate) fn length(value: &[u8]) -> Result<u64, Reject> {
    if value.is_empty() {
        return Err(Reject::ContentLength);
    }
    let mut length = 0u64;
    for &b in value {
        let digit = if b.is_ascii_digit() { b & 0x0f } else { return Err(Reject::ContentLength) };
        length = length.checked_mul(10).and_then(|n| n.checked_add(u64::from(digit))).ok_or(Reject::ContentLength)?;
    }
    Ok(length)
}

/// RFC 9112 6.1 and 7: `chunked` and nothing else. A plain word that is another coding is 501, all that is odder 400.
pub(crate) fn chunked(value: &[u8]) -> Result<(), Reject> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let word = !value.is_empty() && value.iter().all(|&b| is_tchar(b));
    Err(if word { Reject::TransferCoding } else { Reject::TransferEncoding })
}

/// What the Connection fields of a message say (RFC 9110 7.6.1): a list of options; `close` wins over all.
#[derive(Debug, Default)]
pub struct Connection {
    pub close: bool,
    pub keep_alive: bool,
    pub upgrade: bool,
}

impl Connection {
    pub fn read(&mut self, value: &[u8]) {
        for option in value.split(|&b| b == b',').map(trim) {
            match option.len() {
                5 if option.eq_ignore_ascii_case(b"close") => self.close = true,
                7 if option.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
                10 if option.eq_ignore_ascii_case(b"keep-alive") => self.keep_alive = true,
                _ => {}
            }
        }
    }
}
