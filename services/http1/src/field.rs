//! One field line: `name ":" OWS value OWS` (RFC 9112 5), for heads and trailers; and what the fields say that requests and answers
//! have alike.

use crate::Reject;
use crate::bytes::{all_value, is_tchar, is_value_byte, trim};
use crate::lines::Span;

/// One field; the value is without the whitespace around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: Span,
    pub value: Span,
}

impl Field {
    /// Where name and value of `line` lie, which begins `begin` bytes into the buffer.
    #[inline]
    pub(crate) fn at(line: &[u8], begin: usize, name: &[u8], value: &[u8]) -> Self {
        // `value` is what is left of the line after the name, the colon and whitespace on both sides.
        let after_colon = line.get(name.len().saturating_add(1)..).unwrap_or_default();
        let lead = after_colon.iter().take_while(|&&b| b == b' ' || b == b'\t').count();
        let value_at = begin.saturating_add(name.len()).saturating_add(1).saturating_add(lead);
        Self { name: Span::at(begin, name.len()), value: Span::at(value_at, value.len()) }
    }
}

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

/// Reads the line that begins `begin` bytes into the buffer, and keeps where its name and value are.
#[inline]
pub(crate) fn take<'b>(
    line: &'b [u8],
    begin: usize,
    limit: usize,
    fields: &mut Vec<Field>,
) -> Result<(&'b [u8], &'b [u8], Field), Reject> {
    let (name, value) = split(line)?;
    if fields.len() >= limit {
        return Err(Reject::TooManyFields);
    }
    let field = Field::at(line, begin, name, value);
    fields.push(field);
    Ok((name, value, field))
}

/// The first value of a field, by its name in any case.
pub(crate) fn value<'b>(fields: &[Field], buf: &'b [u8], name: &[u8]) -> Option<&'b [u8]> {
    let found = fields.iter().find(|field| field.name.of(buf).eq_ignore_ascii_case(name));
    found.map(|field| field.value.of(buf))
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

/// What the fields say of the body's framing and of the connection.
#[derive(Debug, Default)]
pub(crate) struct Said {
    length: Option<u64>,
    chunked: bool,
    connection: Connection,
    upgrade: Option<Span>,
}

impl Said {
    #[inline]
    pub fn read(&mut self, name: &[u8], value: &[u8], span: Span) -> Result<(), Reject> {
        match name.len() {
            7 if name.eq_ignore_ascii_case(b"upgrade") => match self.upgrade.replace(span) {
                None => Ok(()),
                Some(_) => Err(Reject::UpgradeTwice),
            },
            10 if name.eq_ignore_ascii_case(b"connection") => {
                self.connection.read(value);
                Ok(())
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                if self.length.is_some() {
                    return Err(Reject::ContentLengthTwice);
                }
                self.length = Some(length(value)?);
                Ok(())
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if std::mem::replace(&mut self.chunked, true) {
                    return Err(Reject::TransferEncodingTwice);
                }
                chunked(value)
            }
            _ => Ok(()),
        }
    }

    /// Whether the body is chunked, and how long it is said to be.
    pub fn framing(&self, http11: bool) -> Result<(bool, Option<u64>), Reject> {
        match (self.chunked, self.length) {
            // RFC 9112 6.1 and 6.3: both ought to be handled as an error, and the framing of a 1.0 message cannot be trusted.
            (true, Some(_)) => Err(Reject::LengthAndEncoding),
            (true, None) if !http11 => Err(Reject::TransferEncodingVersion),
            said => Ok(said),
        }
    }

    /// RFC 9112 9.3: `close` first, then 1.1 persists, then 1.0 if it asks to.
    pub fn keep_alive(&self, http11: bool) -> bool {
        !self.connection.close && (http11 || self.connection.keep_alive)
    }

    /// RFC 9110 7.8: Upgrade counts only where Connection names it, and never in HTTP/1.0.
    pub fn upgrade(&self, http11: bool) -> Option<Span> {
        self.upgrade.filter(|_| http11 && self.connection.upgrade)
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
