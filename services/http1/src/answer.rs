//! The head of an answer, as a client reads it: status line and fields, and how the end of the body is found (RFC 9112 4 to 6).
//!
//! As strict as [`Head`](crate::Head): an upstream that can be made to send two answers for one is how a cache or a shared connection is
//! poisoned, so whatever can be read in two ways is refused.

use crate::bytes::is_value_byte;
use crate::field::{self, Field, Said};
use crate::lines::{Lines, Span};
use crate::{Reject, Version};

/// How much of an answer's head is taken.
#[derive(Clone, Copy, Debug)]
pub struct AnswerLimits {
    /// Bytes of the whole head.
    pub head: usize,
    /// Number of fields.
    pub fields: usize,
}

impl Default for AnswerLimits {
    fn default() -> Self {
        Self { head: 128 * 1024, fields: 200 }
    }
}

/// How the end of an answer's body is found (RFC 9112 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// There is no body, whatever the fields say.
    None,
    Length(u64),
    Chunked,
    /// The connection's end is the body's.
    Close,
}

/// A parsed head. One is kept and cleared between answers, so that its list of fields is allocated once.
#[derive(Debug)]
pub struct Answer {
    pub version: Version,
    pub status: u16,
    pub fields: Vec<Field>,
    pub ending: Ending,
    /// Whether the connection may carry another request, as far as the answer says (RFC 9112 9.3).
    pub keep_alive: bool,
    /// The value of Upgrade in a 101 whose Connection names it.
    pub upgrade: Option<Span>,
    /// How many bytes of the buffer the head took.
    pub len: usize,
    state: State,
}

#[derive(Debug, Default)]
struct State {
    lines: Lines,
    status_line: bool,
    done: bool,
    said: Said,
}

impl Default for Answer {
    fn default() -> Self {
        Self::new()
    }
}

impl Answer {
    pub fn new() -> Self {
        Self {
            version: Version::Http11,
            status: 0,
            fields: Vec::new(),
            ending: Ending::None,
            keep_alive: false,
            upgrade: None,
            len: 0,
            state: State::default(),
        }
    }

    /// Ready for the next head; keeps what is allocated.
    pub fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Self { fields, ..Self::new() };
    }

    /// An interim answer: another follows it (RFC 9110 15.2). A 101 is none, for nothing of HTTP follows it.
    pub fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }

    /// Reads on. `buf` begins with the first byte of the answer at every call and only ever grows; `Ok(false)` asks for more bytes. `to_head` is
    /// whether the request was a HEAD: its answer has no body. After `Ok(true)` the head is `buf[..self.len]`.
    pub fn parse(&mut self, buf: &[u8], to_head: bool, limits: &AnswerLimits) -> Result<bool, Reject> {
        while !self.state.done {
            let Some((line, begin)) = self.state.lines.take(buf)? else {
                return self.partial(buf, limits).map(|()| false);
            };
            let next = self.state.lines.taken();
            if next > limits.head.min(u32::MAX as usize) {
                return Err(Reject::HeadTooLong);
            }
            if !self.state.status_line {
                self.status_line(line)?;
            } else if line.is_empty() {
                self.len = next;
                self.finish(to_head)?;
            } else {
                self.field_line(line, begin, limits)?;
            }
        }
        Ok(true)
    }

    /// The first value of a field, by its name in any case.
    pub fn value<'b>(&self, buf: &'b [u8], name: &[u8]) -> Option<&'b [u8]> {
        field::value(&self.fields, buf, name)
    }

    /// A line whose end has not come: refused at once when it can no longer become a good one.
    fn partial(&mut self, buf: &[u8], limits: &AnswerLimits) -> Result<(), Reject> {
        if buf.len() > limits.head {
            return Err(Reject::HeadTooLong);
        }
        let same = self.state.lines.begun(buf).iter().zip(b"HTTP/1.").all(|(is, wanted)| is == wanted);
        if !self.state.status_line && !same {
            return Err(Reject::StatusLine);
        }
        self.state.lines.look(buf)
    }

    /// RFC 9112 4: HTTP-version SP status-code SP [ reason-phrase ]. The second space is missing in too many answers to insist on it.
    fn status_line(&mut self, line: &[u8]) -> Result<(), Reject> {
        let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor, b' ', a, b, c, rest @ ..] = line else {
            return Err(Reject::StatusLine);
        };
        self.version = match minor {
            b'1' => Version::Http11,
            b'0' => Version::Http10,
            _ => return Err(Reject::Version),
        };
        let mut status = 0u16;
        for digit in [a, b, c] {
            if !digit.is_ascii_digit() {
                return Err(Reject::StatusLine);
            }
            status = status.saturating_mul(10).saturating_add(u16::from(digit & 0x0f));
        }
        // RFC 9110 15: the first digit is 1 to 5; others exist, and are taken for what their class says.
        if status < 100 {
            return Err(Reject::StatusLine);
        }
        match rest {
            [] => {}
            [b' ', reason @ ..] if reason.iter().all(|&b| is_value_byte(b)) => {}
            [b' ', reason @ ..] => return Err(field::bad_byte(reason)),
            _ => return Err(Reject::StatusLine),
        }
        self.status = status;
        self.state.status_line = true;
        Ok(())
    }

    fn field_line(&mut self, line: &[u8], begin: usize, limits: &AnswerLimits) -> Result<(), Reject> {
        let (name, value, field) = field::take(line, begin, limits.fields, &mut self.fields)?;
        self.state.said.read(name, value, field.value)
    }

    /// RFC 9112 6.3, in its order.
    fn finish(&mut self, to_head: bool) -> Result<(), Reject> {
        let http11 = self.version == Version::Http11;
        let (chunked, length) = self.state.said.framing(http11)?;
        let says_body = chunked || length.is_some_and(|length| length > 0);
        let mut confused = false;
        self.ending = match self.status {
            // RFC 9110 8.6 and RFC 9112 6.1: neither may stand here, and what it announces would be taken for the next answer.
            100..=199 if says_body => return Err(Reject::InterimBody),
            204 => {
                // Some send the body's framing all the same, and perhaps a body: nobody can tell what follows.
                confused = says_body;
                Ending::None
            }
            100..=199 | 304 => Ending::None,
            _ if to_head => Ending::None,
            _ if chunked => Ending::Chunked,
            _ => length.map_or(Ending::Close, |length| if length == 0 { Ending::None } else { Ending::Length(length) }),
        };
        // Only where it is granted.
        self.upgrade = self.state.said.upgrade(http11).filter(|_| self.status == 101);
        self.keep_alive = self.state.said.keep_alive(http11) && !confused && self.ending != Ending::Close;
        self.state.done = true;
        Ok(())
    }
}
