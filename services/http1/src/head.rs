//! The head of a request: request line and fields, and what they say of the body and the connection (RFC 9112 2 to 6).

use memchr::memchr;

use crate::bytes::{is_method_byte, is_tchar};
use crate::field::{self, Field, Said};
use crate::lines::{Lines, Span};
use crate::{Reject, target};

/// How much of a head is taken.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the request line.
    pub line: usize,
    /// Bytes of the whole head.
    pub head: usize,
    /// Number of fields.
    pub fields: usize,
    /// Bytes of one field line.
    pub field: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { line: 8 * 1024, head: 32 * 1024, fields: 100, field: 16 * 1024 }
    }
}

/// Of a method: the registry's run from PUT to UPDATEREDIRECTREF.
const METHOD_LENGTH: std::ops::RangeInclusive<usize> = 3..=20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Http10,
    Http11,
}

/// How the end of the body is found (RFC 9112 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// A parsed head. One is kept a connection and cleared between requests, so that its list of fields is allocated once.
#[derive(Debug)]
pub struct Head {
    pub method: Span,
    pub target: Span,
    pub version: Version,
    pub fields: Vec<Field>,
    /// The authority the request is for: the target's if it has one (RFC 9112 3.2.2), else the Host field's.
    pub host: Option<Span>,
    pub framing: Framing,
    /// Whether the client wants to send another request on this connection (RFC 9112 9.3).
    pub keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the body. Never set where there is no body or in HTTP/1.0.
    pub expect_continue: bool,
    /// The value of Upgrade, when Connection says `upgrade` and the version is 1.1.
    pub upgrade: Option<Span>,
    /// How many bytes of the buffer the head took.
    pub len: usize,
    state: State,
}

/// What is known between two calls and not shown.
#[derive(Debug, Default)]
struct State {
    lines: Lines,
    empty_line: bool,
    request_line: bool,
    done: bool,
    target_has_host: bool,
    host_field: Option<Span>,
    said: Said,
    expect: bool,
    content_type: bool,
}

impl Default for Head {
    fn default() -> Self {
        Self::new()
    }
}

impl Head {
    pub fn new() -> Self {
        Self {
            method: Span::default(),
            target: Span::default(),
            version: Version::Http11,
            fields: Vec::new(),
            host: None,
            framing: Framing::None,
            keep_alive: false,
            expect_continue: false,
            upgrade: None,
            len: 0,
            state: State::default(),
        }
    }

    /// Ready for the next request; keeps what is allocated.
    pub fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Self { fields, ..Self::new() };
    }

    /// Reads on. `buf` begins with the first byte of the request at every call and only ever grows; `Ok(false)` asks for more bytes.
    /// After `Ok(true)` the head is `buf[..self.len]`; after `Err` the connection is to be answered and closed.
    pub fn parse(&mut self, buf: &[u8], limits: &Limits) -> Result<bool, Reject> {
        while !self.state.done {
            let Some((line, begin)) = self.state.lines.take(buf)? else {
                return self.partial(buf, limits).map(|()| false);
            };
            let next = self.state.lines.taken();
            if !self.state.request_line {
                if line.len() > limits.line {
                    return Err(Reject::LineTooLong);
                }
                self.first_line(line, begin)?;
            } else if line.is_empty() {
                self.len = next;
                self.finish()?;
            } else {
                if line.len() > limits.field {
                    return Err(Reject::FieldTooLong);
                }
                self.field_line(line, begin, limits)?;
            }
            if next > limits.head.min(u32::MAX as usize) {
                return Err(Reject::HeadTooLong);
            }
        }
        Ok(true)
    }

    /// The first value of a field, by its name in any case.
    pub fn value<'b>(&self, buf: &'b [u8], name: &[u8]) -> Option<&'b [u8]> {
        field::value(&self.fields, buf, name)
    }

    /// A line whose end has not come: refused at once when it can no longer become a good one, so that noise is not waited out.
    fn partial(&mut self, buf: &[u8], limits: &Limits) -> Result<(), Reject> {
        let (line_limit, too_long) = if self.state.request_line {
            (limits.field, Reject::FieldTooLong)
        } else {
            (limits.line, Reject::LineTooLong)
        };
        // One more, for the CR.
        if self.state.lines.begun(buf).len() > line_limit.saturating_add(1) {
            return Err(too_long);
        }
        if buf.len() > limits.head {
            return Err(Reject::HeadTooLong);
        }
        self.state.lines.look(buf)?;
        let begin = self.state.lines.begun(buf).first();
        if !self.state.request_line && begin.is_some_and(|&b| !is_tchar(b) && b != b'\r') {
            return Err(Reject::Method);
        }
        Ok(())
    }

    fn first_line(&mut self, line: &[u8], begin: usize) -> Result<(), Reject> {
        if line.is_empty() {
            // RFC 9112 2.2: some old clients send a CRLF after a body; one is ignored.
            return if std::mem::replace(&mut self.state.empty_line, true) { Err(Reject::EmptyLines) } else { Ok(()) };
        }
        // RFC 9112 3: method SP request-target SP HTTP-version, and no whitespace of any other kind.
        let method_len = line.iter().position(|&b| !is_method_byte(b)).ok_or(Reject::RequestLine)?;
        let (method, rest) = line.split_at_checked(method_len).ok_or(Reject::RequestLine)?;
        let [b' ', rest @ ..] = rest else {
            return Err(Reject::Method);
        };
        if !METHOD_LENGTH.contains(&method_len) {
            return Err(Reject::Method);
        }
        let target_len = memchr(b' ', rest).ok_or(Reject::RequestLine)?;
        let (target, version) = rest.split_at_checked(target_len).ok_or(Reject::RequestLine)?;
        self.version = version_of(version)?;
        let parts = target::check(method, target)?;
        let target_at = begin.saturating_add(method_len).saturating_add(1);
        if let Some(host) = parts.host {
            // Only absolute and authority form have one; `check` has told us where in the target it begins.
            self.host = Some(Span::at(target_at.saturating_add(parts.host_at), host.len()));
            self.state.target_has_host = true;
        }
        self.method = Span::at(begin, method_len);
        self.target = Span::at(target_at, target_len);
        self.state.request_line = true;
        Ok(())
    }

    fn field_line(&mut self, line: &[u8], begin: usize, limits: &Limits) -> Result<(), Reject> {
        let (name, value, field) = field::take(line, begin, limits.fields, &mut self.fields)?;
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.host_field(value, field.value),
            6 if name.eq_ignore_ascii_case(b"expect") => self.expect_field(value),
            12 if name.eq_ignore_ascii_case(b"content-type") => self.type_field(),
            _ => self.state.said.read(name, value, field.value),
        }
    }

    /// RFC 9112 3.2: exactly one, and valid, or 400.
    fn host_field(&mut self, value: &[u8], span: Span) -> Result<(), Reject> {
        if self.state.host_field.replace(span).is_some() {
            return Err(Reject::HostTwice);
        }
        if target::is_host(value) { Ok(()) } else { Err(Reject::Host) }
    }

    /// RFC 9110 10.1.1: 417 for anything but 100-continue. Sent twice it is a disguise.
    fn expect_field(&mut self, value: &[u8]) -> Result<(), Reject> {
        if std::mem::replace(&mut self.state.expect, true) || !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(Reject::Expect);
        }
        Ok(())
    }

    /// RFC 9110 8.3: a single member; of two, everybody would take another.
    fn type_field(&mut self) -> Result<(), Reject> {
        if std::mem::replace(&mut self.state.content_type, true) { Err(Reject::ContentTypeTwice) } else { Ok(()) }
    }

    /// What only the whole head can say.
    fn finish(&mut self) -> Result<(), Reject> {
        let http11 = self.version == Version::Http11;
        self.framing = match self.state.said.framing(http11)? {
            (true, _) => Framing::Chunked,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::None,
        };
        // RFC 9112 3.2: HTTP/1.1 needs Host, in absolute form too; the target's authority then goes before it.
        if http11 && self.state.host_field.is_none() {
            return Err(Reject::HostMissing);
        }
        if !self.state.target_has_host {
            self.host = self.state.host_field;
        }
        let has_body = !matches!(self.framing, Framing::None | Framing::Length(0));
        self.upgrade = self.state.said.upgrade(http11);
        if self.upgrade.is_some() && has_body {
            return Err(Reject::UpgradeWithBody);
        }
        self.expect_continue = self.state.expect && http11 && has_body;
        self.keep_alive = self.state.said.keep_alive(http11);
        self.state.done = true;
        Ok(())
    }
}

/// RFC 9112 2.3. `version` has the space before it. A minor version that is not known is as the highest that is (RFC 9110 2.5).
fn version_of(version: &[u8]) -> Result<Version, Reject> {
    match version {
        b" HTTP/1.1" => Ok(Version::Http11),
        b" HTTP/1.0" => Ok(Version::Http10),
        [b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9'] => Ok(Version::Http11),
        [b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(Reject::Version)
        }
        _ => Err(Reject::VersionSyntax),
    }
}
