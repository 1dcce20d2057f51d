//! One line in a format of gunicorn's.

use monodon_http1::target;

use super::format::{Atom, Format, Piece, Width};
use super::{Clock, Record, escape};

impl Format {
    /// Appends the line of a request, with its end.
    pub fn write(&self, line: &mut Vec<u8>, record: &Record<'_>, clock: &Clock) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => line.extend_from_slice(text),
                Piece::Atom(atom, None) => write(line, atom, record, clock),
                Piece::Atom(atom, Some(width)) => {
                    let start = line.len();
                    write(line, atom, record, clock);
                    width.apply(line, start);
                }
            }
        }
        line.push(b'\n');
    }
}

impl Width {
    /// What stands from `start` on is cut and filled up.
    fn apply(self, line: &mut Vec<u8>, start: usize) {
        if let Some(most) = self.most {
            line.truncate(start.saturating_add(most));
        }
        let missing = self.least.saturating_sub(line.len().saturating_sub(start));
        if self.left {
            line.resize(line.len() + missing, b' ');
        } else {
            let fill = if self.zero { b'0' } else { b' ' };
            line.splice(start..start, std::iter::repeat_n(fill, missing));
        }
    }
}

fn write(line: &mut Vec<u8>, atom: &Atom, record: &Record<'_>, clock: &Clock) {
    match atom {
        Atom::Client => or_dash(line, Some(record.client)),
        Atom::User => or_dash(line, user(record).as_deref()),
        Atom::Time => clock.common(line),
        Atom::RequestLine if record.method.is_empty() => line.push(b'-'),
        Atom::RequestLine => {
            escape::text(line, record.method);
            line.push(b' ');
            escape::text(line, record.target);
            line.push(b' ');
            line.extend_from_slice(record.protocol.as_bytes());
        }
        Atom::Method => or_dash(line, Some(record.method)),
        Atom::Path => {
            let path = target::split(record.target).map_or(record.target, |parts| parts.path);
            escape::text(line, &target::decoded(path));
        }
        Atom::Query => {
            let query = target::split(record.target).ok().and_then(|parts| parts.query);
            escape::text(line, query.unwrap_or_default());
        }
        Atom::Protocol if record.method.is_empty() => line.push(b'-'),
        Atom::Protocol => line.extend_from_slice(record.protocol.as_bytes()),
        Atom::Status => number(line, u64::from(record.status)),
        Atom::Length => number(line, record.sent),
        Atom::Referer => or_dash(line, (record.field)(b"referer")),
        Atom::Agent => or_dash(line, (record.field)(b"user-agent")),
        Atom::Seconds => number(line, record.micros / 1_000_000),
        Atom::Millis => number(line, record.micros / 1000),
        Atom::Micros => number(line, record.micros),
        Atom::Decimal => {
            number(line, record.micros / 1_000_000);
            line.push(b'.');
            padded(line, record.micros % 1_000_000, 6);
        }
        Atom::Pid => {
            line.push(b'<');
            number(line, u64::from(record.pid));
            line.push(b'>');
        }
        Atom::RequestField(name) => found(line, (record.field)(name)),
        Atom::ResponseField(name) if name == b"content-length" => match record.length {
            Some(length) => number(line, length),
            None => line.push(b'-'),
        },
        Atom::ResponseField(name) => {
            let fields = record.response_fields().filter(|(known, _)| known.eq_ignore_ascii_case(name));
            found(line, fields.last().map(|(_, value)| value));
        }
        Atom::Environ(place) => {
            let value = record.environ.get(*place).and_then(Option::as_deref);
            found(line, value.map(str::as_bytes));
        }
        Atom::Dash => line.push(b'-'),
    }
}

/// A dash for what is not there; what is there and empty stays empty, as in gunicorn.
fn found(line: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(value) => escape::text(line, value),
        None => line.push(b'-'),
    }
}

/// A dash also for what is empty.
fn or_dash(line: &mut Vec<u8>, value: Option<&[u8]>) {
    found(line, value.filter(|value| !value.is_empty()));
}

pub(super) fn number(line: &mut Vec<u8>, value: u64) {
    line.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// With leading zeros.
pub(super) fn padded(line: &mut Vec<u8>, value: u64, digits: usize) {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(value).as_bytes();
    line.resize(line.len() + digits.saturating_sub(text.len()), b'0');
    line.extend_from_slice(text);
}

/// The user of HTTP's basic authentication (RFC 7617), where the name is UTF-8.
fn user(record: &Record<'_>) -> Option<Vec<u8>> {
    let value = (record.field)(b"authorization")?;
    let (scheme, credentials) = value.split_at_checked(value.iter().position(|byte| *byte == b' ')?)?;
    // gunicorn looks at the first five letters alone.
    if !scheme.get(..5)?.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let decoded = base64(credentials.trim_ascii())?;
    let user = decoded.split(|byte| *byte == b':').next()?;
    std::str::from_utf8(user).is_ok().then(|| user.to_vec())
}

/// As Python decodes it: what is not of the alphabet is passed over, the padding is wanted.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len() / 4 * 3);
    let (mut word, mut count, mut padding) = (0u32, 0, 0);
    for &byte in text {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' if count >= 2 => {
                padding += 1;
                if count + padding == 4 {
                    break;
                }
                continue;
            }
            _ => continue,
        };
        padding = 0;
        word = word << 6 | u32::from(value);
        count += 1;
        if count == 4 {
            decoded.extend_from_slice(word.to_be_bytes().get(1..)?);
            (word, count) = (0, 0);
        }
    }
    match (count, padding) {
        (0, _) => {}
        (2, 2) => decoded.push((word >> 4) as u8),
        (3, 1) => decoded.extend_from_slice(((word >> 2) as u16).to_be_bytes().as_slice()),
        _ => return None,
    }
    Some(decoded)
}
