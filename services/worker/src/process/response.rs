//! The head of a response, as an interface gives it, and the framing that the connection chooses for its body.

use monodon_http1::{Version, encode};

/// Status line and fields, already encoded; what the connection decides (framing, date, `Connection`) comes after.
#[derive(Default)]
pub struct Head {
    pub status: u16,
    pub bytes: Vec<u8>,
    /// What the application says of its body's length.
    pub length: Option<u64>,
    /// Whether the application has set `Date` itself.
    pub dated: bool,
    /// Whether the application wants the connection closed.
    pub close: bool,
}

/// Why a head is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    Status,
    Field,
    Length,
}

/// Fields that are the connection's own (RFC 9110 section 7.6.1) or that the edge believes from us alone.
fn is_ours(name: &[u8]) -> bool {
    const OURS: [&str; 8] =
        ["keep-alive", "proxy-connection", "te", "trailer", "trailers", "transfer-encoding", "upgrade", "connection"];
    OURS.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
        || name.get(..10).is_some_and(|start| start.eq_ignore_ascii_case(b"x-monodon-"))
}

impl Head {
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.length = None;
        self.dated = false;
        self.close = false;
    }

    /// `status` is such as `200 OK`.
    pub fn begin(&mut self, status: &[u8]) -> Result<(), Refused> {
        self.clear();
        let (code, rest) = status.split_at_checked(3).ok_or(Refused::Status)?;
        let reason = match rest {
            [] => None,
            [b' ', reason @ ..] => Some(reason),
            _ => return Err(Refused::Status),
        };
        if !code.iter().all(u8::is_ascii_digit) || !reason.is_none_or(encode::is_value) {
            return Err(Refused::Status);
        }
        let code = code.iter().fold(0u16, |sum, digit| sum * 10 + u16::from(digit - b'0'));
        // Interim answers have no place here: a client would take what follows for another answer.
        if !(200..=999).contains(&code) {
            return Err(Refused::Status);
        }
        self.status = code;
        // The version of a response is always the highest that we speak (RFC 9110 section 6.2).
        encode::status_line(&mut self.bytes, Version::Http11, code, reason);
        Ok(())
    }

    pub fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), Refused> {
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"date") => self.dated = true,
            14 if name.eq_ignore_ascii_case(b"content-length") => return self.set_length(value),
            2 | 7 | 8 | 10..=64 if is_ours(name) => {
                if name.eq_ignore_ascii_case(b"connection") && contains_close(value) {
                    self.close = true;
                }
                // Dropped, not refused: many applications that ran under lenient servers set `Connection`.
                return if encode::is_value(value) { Ok(()) } else { Err(Refused::Field) };
            }
            _ => {}
        }
        encode::field(&mut self.bytes, name, value).map_err(|_| Refused::Field)
    }

    fn set_length(&mut self, value: &[u8]) -> Result<(), Refused> {
        let value = value.trim_ascii();
        let length = (!value.is_empty() && value.iter().all(u8::is_ascii_digit))
            .then(|| std::str::from_utf8(value).ok()?.parse::<u64>().ok())
            .flatten()
            .ok_or(Refused::Length)?;
        if self.length.is_some_and(|known| known != length) {
            return Err(Refused::Length);
        }
        self.length = Some(length);
        Ok(())
    }

    /// A short answer of the worker's own.
    pub fn plain(status: u16) -> (Self, Vec<u8>) {
        let reason = encode::phrase(status);
        let mut head = Self { status, ..Self::default() };
        encode::status_line(&mut head.bytes, Version::Http11, status, Some(reason.as_bytes()));
        head.bytes.extend_from_slice(b"Content-Type: text/plain; charset=utf-8\r\n");
        (head, format!("{status} {reason}\n").into_bytes())
    }
}

fn contains_close(value: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|word| word.trim_ascii().eq_ignore_ascii_case(b"close"))
}

/// Whether an answer with this status can have a body at all.
pub fn has_body(status: u16) -> bool {
    !matches!(status, 204 | 304)
}
