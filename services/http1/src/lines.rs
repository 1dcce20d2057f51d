//! The lines of a head as they come in, each looked at once: a call with more bytes goes on where the last one stopped.

use memchr::memchr;

use crate::bytes::all_value;
use crate::{Reject, field};

/// A range of the caller's buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    /// The bytes, out of the buffer that was parsed (empty if it is another, shorter one).
    #[inline]
    pub fn of<'b>(&self, buf: &'b [u8]) -> &'b [u8] {
        buf.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// Where a part, `len` bytes long and `at` bytes into the buffer, lies. Heads are limited far below 4 GiB.
    #[inline]
    pub(crate) fn at(at: usize, len: usize) -> Self {
        let end = at.saturating_add(len);
        Self { start: u32::try_from(at).unwrap_or(u32::MAX), end: u32::try_from(end).unwrap_or(u32::MAX) }
    }
}

/// How far a buffer is read that begins with a head's first byte at every call and only ever grows.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// Where the line that is not taken yet begins.
    line: usize,
    /// From where on nobody has looked for that line's end.
    scan: usize,
}

impl Lines {
    /// Takes the next line, without its CRLF, and tells where it began. None: its end has not come.
    #[inline]
    pub fn take<'b>(&mut self, buf: &'b [u8]) -> Result<Option<(&'b [u8], usize)>, Reject> {
        let unseen = buf.get(self.scan..).unwrap_or_default();
        let Some(at) = memchr(b'\n', unseen) else { return Ok(None) };
        let begin = self.line;
        let end = self.scan.saturating_add(at);
        // RFC 9112 2.2: a line ends with CRLF; a recipient may take a bare LF for it, and that is how smuggling begins.
        let Some(line) = buf.get(begin..end).and_then(|line| line.strip_suffix(b"\r")) else {
            return Err(Reject::BareLf);
        };
        self.line = end.saturating_add(1);
        self.scan = self.line;
        Ok(Some((line, begin)))
    }

    /// How many bytes the lines took that are taken.
    #[inline]
    pub fn taken(&self) -> usize {
        self.line
    }

    /// What there is of the line whose end has not come.
    pub fn begun<'b>(&self, buf: &'b [u8]) -> &'b [u8] {
        buf.get(self.line..).unwrap_or_default()
    }

    /// Looks at what has come of that line: refused at once when it can no longer become a good one, so that noise is not waited out.
    pub fn look(&mut self, buf: &[u8]) -> Result<(), Reject> {
        let mut unseen = buf.get(self.scan..).unwrap_or_default();
        if let [rest @ .., b'\r'] = unseen {
            unseen = rest;
        }
        if !all_value(unseen) {
            return Err(field::bad_byte(unseen));
        }
        // A CR at the end is looked at again together with what follows it.
        self.scan = self.scan.saturating_add(unseen.len());
        Ok(())
    }
}
