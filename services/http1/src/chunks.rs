//! The chunked coding (RFC 9112 7.1): finds the data in the caller's buffer, copies nothing.
//!
//! Extensions and trailers are checked, bounded and dropped: who re-frames a body may (RFC 9112 7.1.1, 7.1.2), and they carry attacks. Who
//! wants an answer's trailers asks for them ([`Chunks::with_trailers`]).

use memchr::memchr;

use crate::bytes::{is_tchar, is_value_byte, trim_start};
use crate::{Reject, field};

/// Bytes of extensions in one chunk, and in all chunks of a body.
const EXTENSION: usize = 1024;
const EXTENSIONS: usize = 16 * 1024;
/// Bytes and fields of the trailers.
const TRAILERS: usize = 8 * 1024;
const TRAILER_FIELDS: usize = 32;
/// Sixteen hexadecimal digits are 64 bits.
const DIGITS: usize = 16;

/// What a trailer must not be (RFC 9110 6.5.1).
const FORBIDDEN: [&[u8]; 6] = [b"host", b"content-length", b"transfer-encoding", b"trailer", b"authorization", b"te"];

/// A decoder for one body.
#[derive(Debug)]
pub struct Chunks {
    state: State,
    limit: u64,
    total: u64,
    extensions: usize,
    trailers: usize,
    trailer_fields: usize,
    /// The lines, where they are wanted.
    kept: Option<Vec<u8>>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    Done,
}

/// What the next bytes of the buffer are. The caller drops what is to be consumed before the next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// `buf[start..end]` is data; what is before `start` is framing. Consume `end`.
    Data { start: usize, end: usize },
    /// More bytes are needed after these are consumed.
    More { consume: usize },
    /// The body is over; what follows belongs to the next request.
    End { consume: usize },
}

impl Chunks {
    /// For a body of at most `limit` bytes of data.
    pub fn new(limit: u64) -> Self {
        Self { state: State::Size, limit, total: 0, extensions: 0, trailers: 0, trailer_fields: 0, kept: None }
    }

    /// Trailers are kept, to be asked for at the end.
    pub fn with_trailers(self) -> Self {
        Self { kept: Some(Vec::new()), ..self }
    }

    /// Name and value of each trailer that was kept.
    pub fn trailers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let lines = self.kept.as_deref().unwrap_or_default().split(|&b| b == b'\n');
        lines.filter_map(|line| field::split(line.strip_suffix(b"\r")?).ok())
    }

    /// Bytes of data that the chunks read so far have announced.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Whether the end has been read.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Looks at the unread bytes.
    pub fn next(&mut self, buf: &[u8]) -> Result<Chunk, Reject> {
        let mut at = 0usize;
        loop {
            let rest = buf.get(at..).unwrap_or_default();
            let used = match self.state {
                State::Size => self.size(rest)?,
                State::Data(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    if here == 0 {
                        return Ok(Chunk::More { consume: at });
                    }
                    let left = left.saturating_sub(here as u64);
                    self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                    return Ok(Chunk::Data { start: at, end: at.saturating_add(here) });
                }
                State::DataEnd => self.data_end(rest)?,
                State::Trailers => self.trailer(rest)?,
                State::Done => return Ok(Chunk::End { consume: at }),
            };
            match used {
                Some(used) => at = at.saturating_add(used),
                None => return Ok(Chunk::More { consume: at }),
            }
        }
    }

    /// chunk-size [ chunk-ext ] CRLF. Byte by byte, so that a bad one is refused as soon as it is seen.
    fn size(&mut self, buf: &[u8]) -> Result<Option<usize>, Reject> {
        let digits = buf.iter().take(DIGITS.saturating_add(1)).take_while(|b| b.is_ascii_hexdigit()).count();
        if digits > DIGITS {
            return Err(Reject::ChunkSize);
        }
        let mut size = 0u64;
        for &b in buf.iter().take(digits) {
            let digit = char::from(b).to_digit(16).unwrap_or_default();
            size = size << 4 | u64::from(digit);
        }
        let rest = buf.get(digits..).unwrap_or_default();
        let extension = match rest.first() {
            None => return Ok(None),
            Some(b'\r') if digits > 0 => 0,
            Some(b';') if digits > 0 => match self.extension(rest)? {
                Some(len) => len,
                None => return Ok(None),
            },
            // RFC 9112 7.1: no sign, no prefix, no whitespace; 1*HEXDIG.
            Some(_) => return Err(Reject::ChunkSize),
        };
        let end = match rest.get(extension..) {
            Some([b'\r', b'\n', ..]) => digits.saturating_add(extension).saturating_add(2),
            Some([b'\r']) => return Ok(None),
            _ => return Err(Reject::BareCr),
        };
        self.extensions = self.extensions.saturating_add(extension);
        if self.extensions > EXTENSIONS {
            return Err(Reject::ChunkExtension);
        }
        if size == 0 {
            self.state = State::Trailers;
            return Ok(Some(end));
        }
        let total = self.total.checked_add(size).ok_or(Reject::ChunkSize)?;
        if total > self.limit {
            return Err(Reject::BodyTooLarge);
        }
        self.total = total;
        self.state = State::Data(size);
        Ok(Some(end))
    }

    /// The length of an extension up to its CR.
    fn extension(&self, buf: &[u8]) -> Result<Option<usize>, Reject> {
        let len = buf.iter().take(EXTENSION.saturating_add(1)).take_while(|&&b| is_value_byte(b)).count();
        if len > EXTENSION {
            return Err(Reject::ChunkExtension);
        }
        match buf.get(len) {
            None => Ok(None),
            Some(b'\r') if is_extension(buf.get(..len).unwrap_or_default()) => Ok(Some(len)),
            // A bare LF here is the terminator for some and a part of the extension for others (CVE-2025-55315).
            Some(b'\n') => Err(Reject::BareLf),
            Some(_) => Err(Reject::ChunkExtension),
        }
    }

    /// RFC 9112 7.1: chunk-data is followed by CRLF, and nothing else (CVE-2025-43859).
    fn data_end(&mut self, buf: &[u8]) -> Result<Option<usize>, Reject> {
        match buf {
            [b'\r', b'\n', ..] => {
                self.state = State::Size;
                Ok(Some(2))
            }
            [] | [b'\r'] => Ok(None),
            _ => Err(Reject::ChunkEnd),
        }
    }

    /// One line of the trailer section, the empty one at the end included.
    fn trailer(&mut self, buf: &[u8]) -> Result<Option<usize>, Reject> {
        let bound = TRAILERS.saturating_sub(self.trailers);
        let Some(lf) = memchr(b'\n', buf) else {
            return if buf.len() > bound { Err(Reject::TrailersTooLong) } else { Ok(None) };
        };
        let Some(line) = buf.get(..lf).and_then(|line| line.strip_suffix(b"\r")) else {
            return Err(Reject::BareLf);
        };
        let used = lf.saturating_add(1);
        if line.is_empty() {
            self.state = State::Done;
            return Ok(Some(used));
        }
        self.trailer_fields = self.trailer_fields.saturating_add(1);
        if used > bound || self.trailer_fields > TRAILER_FIELDS {
            return Err(Reject::TrailersTooLong);
        }
        self.trailers = self.trailers.saturating_add(used);
        // RFC 9110 6.5.1: trailers are dropped, never merged into the fields; and no honest client sends some of them there.
        let (name, _) = field::split(line)?;
        if FORBIDDEN.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden)) {
            return Err(Reject::Trailer);
        }
        if let (Some(kept), Some(line)) = (&mut self.kept, buf.get(..used)) {
            kept.extend_from_slice(line);
        }
        Ok(Some(used))
    }
}

/// RFC 9112 7.1.1: *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ), without a space before the first.
fn is_extension(mut rest: &[u8]) -> bool {
    while let [b';', after @ ..] = trim_start(rest) {
        let Some(after) = after_token(trim_start(after)) else { return false };
        rest = after;
        if let [b'=', value @ ..] = trim_start(after) {
            let value = trim_start(value);
            let after = if value.first() == Some(&b'"') { after_quoted(value) } else { after_token(value) };
            match after {
                Some(after) => rest = after,
                None => return false,
            }
        }
    }
    rest.is_empty()
}

fn after_token(bytes: &[u8]) -> Option<&[u8]> {
    let len = bytes.iter().take_while(|&&b| is_tchar(b)).count();
    bytes.get(len..).filter(|_| len > 0)
}

/// RFC 9110 5.6.4; that no control byte is in it was seen to before.
fn after_quoted(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes.get(1..)?;
    loop {
        rest = match rest {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', _, rest @ ..] | [_, rest @ ..] => rest,
            [] => return None,
        };
    }
}
