//! The head of a request: request line and fields, and what they say of the body and the connection (RFC 9112 2 to 6).
//!
//! Lines are parsed as they come in, each once: a call with more bytes goes on where the last one stopped.

use memchr::memchr;

use crate::bytes::{all_value, is_method_byte, is_tchar};
use crate::{Reject, field, target};

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

    /// Where `part`, `len` bytes long and `at` bytes into the buffer, lies. Heads are limited far below 4 GiB.
    #[inline]
    fn at(at: usize, len: usize) -> Self {
        let end = at.saturating_add(len);
        Self { start: u32::try_from(at).unwrap_or(u32::MAX), end: u32::try_from(end).unwrap_or(u32::MAX) }
    }
}

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
    /// Where the line that is not parsed yet begins.
    line: usize,
    /// From where on nobody has looked for that line's end.
    scan: usize,
    empty_line: bool,
    request_line: bool,
    done: bool,
    target_has_host: bool,
    host_field: Option<Span>,
    length: Option<u64>,
    chunked: bool,
    connection: field::Connection,
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
            let unseen = buf.get(self.state.scan..).unwrap_or_default();
            let Some(at) = memchr(b'\n', unseen) else {
                return self.partial(buf, limits).map(|()| false);
            };
            let begin = self.state.line;
            let end = self.state.scan.saturating_add(at);
            let next = end.saturating_add(1);
            // RFC 9112 2.2: a line ends with CRLF; a recipient may take a bare LF for it, and that is how smuggling begins.
            let Some(line) = buf.get(begin..end).and_then(|line| line.strip_suffix(b"\r")) else {
                return Err(Reject::BareLf);
            };
            self.state.line = next;
            self.state.scan = next;
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
        let found = self.fields.iter().find(|field| field.name.of(buf).eq_ignore_ascii_case(name));
        found.map(|field| field.value.of(buf))
    }

    /// A line whose end has not come: refused at once when it can no longer become a good one, so that noise is not waited out.
    fn partial(&mut self, buf: &[u8], limits: &Limits) -> Result<(), Reject> {
        let (line_limit, too_long) = if self.state.request_line {
            (limits.field, Reject::FieldTooLong)
        } else {
            (limits.line, Reject::LineTooLong)
        };
        // One more, for the CR.
        if buf.len().saturating_sub(self.state.line) > line_limit.saturating_add(1) {
            return Err(too_long);
        }
        if buf.len() > limits.head {
            return Err(Reject::HeadTooLong);
        }
        let mut unseen = buf.get(self.state.scan..).unwrap_or_default();
        if let [rest @ .., b'\r'] = unseen {
            unseen = rest;
        }
        if !all_value(unseen) {
            return Err(field::bad_byte(unseen));
        }
        let begin = buf.get(self.state.line).copied();
        if !self.state.request_line && begin.is_some_and(|b| !is_tchar(b) && b != b'\r') {
            return Err(Reject::Method);
        }
        // A CR at the end is looked at again together with what follows it.
        self.state.scan = self.state.scan.saturating_add(unseen.len());
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
        let (name, value) = field::split(line)?;
        if self.fields.len() >= limits.fields {
            return Err(Reject::TooManyFields);
        }
        let field = Field::at(line, begin, name, value);
        self.fields.push(field);
        let value_span = field.value;
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.host_field(value, value_span),
            6 if name.eq_ignore_ascii_case(b"expect") => self.expect_field(value),
            7 if name.eq_ignore_ascii_case(b"upgrade") => match self.upgrade.replace(value_span) {
                None => Ok(()),
                Some(_) => Err(Reject::UpgradeTwice),
            },
            10 if name.eq_ignore_ascii_case(b"connection") => {
                self.state.connection.read(value);
                Ok(())
            }
            12 if name.eq_ignore_ascii_case(b"content-type") => self.type_field(),
            14 if name.eq_ignore_ascii_case(b"content-length") => self.length_field(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.encoding_field(value),
            _ => Ok(()),
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

    /// RFC 9110 8.6: 1*DIGIT. Lists and repetitions may be merged when they are equal; we refuse them.
    fn length_field(&mut self, value: &[u8]) -> Result<(), Reject> {
        if self.state.length.is_some() {
            return Err(Reject::ContentLengthTwice);
        }
        self.state.length = Some(field::length(value)?);
        Ok(())
    }

    /// RFC 9112 6.1 and 7: `chunked`, once, and nothing else. A plain word that is another coding is 501, all that is odder 400.
    fn encoding_field(&mut self, value: &[u8]) -> Result<(), Reject> {
        if std::mem::replace(&mut self.state.chunked, true) {
            return Err(Reject::TransferEncodingTwice);
        }
        field::chunked(value)
    }

    /// What only the whole head can say.
    fn finish(&mut self) -> Result<(), Reject> {
        let http11 = self.version == Version::Http11;
        self.framing = match (self.state.chunked, self.state.length) {
            // RFC 9112 6.1: both ought to be handled as an error, and a 1.0 client's framing cannot be trusted.
            (true, Some(_)) => return Err(Reject::LengthAndEncoding),
            (true, None) if !http11 => return Err(Reject::TransferEncodingVersion),
            (true, None) => Framing::Chunked,
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
        // RFC 9110 7.8: Upgrade counts only where Connection names it, and never in HTTP/1.0.
        if !http11 || !self.state.connection.upgrade {
            self.upgrade = None;
        }
        if self.upgrade.is_some() && has_body {
            return Err(Reject::UpgradeWithBody);
        }
        self.expect_continue = self.state.expect && http11 && has_body;
        // RFC 9112 9.3: `close` first, then 1.1 persists, then 1.0 if it asks to.
        self.keep_alive = !self.state.connection.close && (http11 || self.state.connection.keep_alive);
        self.state.done = true;
        Ok(())
    }
}

/// RFC 9112 2.3. `version` has the space before it.
fn version_of(version: &[u8]) -> Result<Version, Reject> {
    match version {
        b" HTTP/1.1" => Ok(Version::Http11),
        b" HTTP/1.0" => Ok(Version::Http10),
        [b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(Reject::Version)
        }
        _ => Err(Reject::VersionSyntax),
    }
}
