//! The access log: what is known of a finished request becomes its line.

use monodon_http1::Version;
use monodon_logging::Lines;

use super::{Shared, request::Request};
use crate::access::{Clock, Format, Record, Wants, json};
use crate::config::Config;
use crate::settings::logs::AccessFormat;

/// The access log of a process.
pub struct Log {
    lines: Lines,
    /// None is JSON.
    format: Option<Format>,
    clock: Clock,
    pid: u32,
}

/// What became of a request.
pub struct Outcome<'o> {
    pub status: u16,
    /// Bytes of the request's body.
    pub received: u64,
    /// Bytes of the response's body.
    pub sent: u64,
    /// The time with the application.
    pub micros: u64,
    /// The fields that the application has set, and its `Content-Length`: see [`Wants::response`].
    pub head: Option<&'o (Vec<u8>, Option<u64>)>,
}

impl Log {
    /// None where no line is wanted.
    pub fn open(config: &Config) -> std::io::Result<Option<Self>> {
        let lines = match config.accesslog.as_deref() {
            Some(target) => Lines::open(target)?,
            None => return Ok(None),
        };
        if !lines.is_on() {
            return Ok(None);
        }
        let format = match config.logs.access_format(config) {
            AccessFormat::Json => None,
            AccessFormat::Text(text) => Some(Format::parse(&text).map_err(std::io::Error::other)?),
        };
        Ok(Some(Self { lines, format, clock: Clock::default(), pid: std::process::id() }))
    }

    pub fn wants(&self) -> Option<&Wants> {
        self.format.as_ref().map(Format::wants)
    }

    /// Whether the response's fields are to be kept.
    pub fn wants_head(&self) -> bool {
        self.wants().is_some_and(|wants| wants.response)
    }

    pub fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Writes the line of a finished request, or of one that was refused: then what was read of it is there, and
    /// the method is empty where not even the request line was.
    pub fn write(&self, shared: &Shared, request: &Request, outcome: &Outcome<'_>) {
        let client = client(shared, request);
        let field = |name: &[u8]| request.last_field(name);
        let environ = match (self.wants(), &request.kept) {
            (Some(wants), Some(kept)) if !wants.environ.is_empty() => kept.environ(&wants.environ),
            _ => Vec::new(),
        };
        let (response, length) = outcome.head.map_or((&[][..], None), |(bytes, length)| (bytes.as_slice(), *length));
        self.line(&Record {
            client: client.as_bytes(),
            method: request.method(),
            target: request.target(),
            protocol: match request.head.version {
                Version::Http10 => "HTTP/1.0",
                Version::Http11 => "HTTP/1.1",
            },
            id: request.id(),
            status: outcome.status,
            received: outcome.received,
            sent: outcome.sent,
            micros: outcome.micros,
            pid: self.pid,
            entry: shared.entry.index(),
            field: &field,
            response,
            length,
            environ: &environ,
        });
    }

    fn line(&self, record: &Record<'_>) {
        let mut line = Vec::with_capacity(256);
        match &self.format {
            Some(format) => format.write(&mut line, record, &self.clock),
            None => json::write(&mut line, record, &self.clock),
        }
        self.lines.write(line);
    }
}

/// The client's address, as the application is told it; empty for a unix socket.
fn client<'r>(shared: &Shared, request: &'r Request) -> std::borrow::Cow<'r, str> {
    if request.peer.trusted {
        let fields = request.head.fields.iter();
        let chain = fields.filter(|field| request.of(field.name).eq_ignore_ascii_case(b"x-forwarded-for"));
        if let Some(client) = shared.trust.client(chain.map(|field| request.of(field.value))) {
            return client.to_string().into();
        }
    }
    request.peer.remote_host.as_str().into()
}
