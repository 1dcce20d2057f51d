//! The access log: what is known of a finished request becomes its line.

use std::time::Duration;

use monodon_http1::Version;
use monodon_logging::Lines;
use monodon_logging::syslog::{self, Severity};

use super::{Shared, logger::AccessLogger, request::Request};
use crate::access::{Clock, Format, Record, Wants, json};
use crate::config::Config;
use crate::settings::logs::AccessFormat;

/// What a writer gets at the end.
const PATIENCE: Duration = Duration::from_secs(1);

/// The access log of a process.
pub struct Log {
    lines: Lines,
    /// With the beginning of a message.
    syslog: Option<(Lines, String)>,
    /// None is JSON.
    format: Option<Format>,
    python: Option<AccessLogger>,
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
        let logs = &config.logs;
        if !logs.tells_access(config) {
            return Ok(None);
        }
        let lines = Lines::open(config.accesslog.as_deref().unwrap_or("off"))?;
        let syslog = match logs.syslog.as_ref().filter(|syslog| syslog.access) {
            Some(syslog) => {
                let address = syslog.address.parse().map_err(std::io::Error::other)?;
                let name = syslog.name(config, "access");
                Some((Lines::syslog(address)?, syslog::opening(syslog.facility, Severity::Info, &name)))
            }
            None => None,
        };
        let (format, text) = match logs.access_format(config) {
            AccessFormat::Json => (None, None),
            AccessFormat::Text(text) => (Some(Format::parse(&text).map_err(std::io::Error::other)?), Some(text)),
        };
        let python = if logs.through_python { Some(AccessLogger::new(text.as_deref())?) } else { None };
        let pid = std::process::id();
        Ok(Some(Self { lines, syslog, format, python, clock: Clock::default(), pid }))
    }

    pub fn wants(&self) -> Option<&Wants> {
        self.format.as_ref().map(Format::wants)
    }

    /// Whether the response's fields are to be kept.
    pub fn wants_head(&self) -> bool {
        self.python.is_some() || self.wants().is_some_and(|wants| wants.response)
    }

    pub fn reopen(&self) {
        self.lines.reopen();
    }

    /// Waits a moment until what was told is written.
    pub fn flush(&self) {
        self.lines.flush(PATIENCE);
        if let Some((lines, _)) = &self.syslog {
            lines.flush(PATIENCE);
        }
    }

    /// Lines that nobody took.
    pub fn lost(&self) -> u64 {
        self.lines.lost() + self.syslog.as_ref().map_or(0, |(lines, _)| lines.lost())
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
        let record = Record {
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
        };
        self.line(&record);
        if let Some(python) = &self.python {
            let fields = request.head.fields.iter().map(|field| (request.of(field.name), request.of(field.value)));
            python.write(&record, fields, request.kept.as_ref().map(|kept| kept.object()), &self.clock);
        }
    }

    fn line(&self, record: &Record<'_>) {
        if let Some((lines, opening)) = &self.syslog {
            let mut line = opening.clone().into_bytes();
            self.format(&mut line, record);
            lines.write(line);
        }
        if self.lines.is_on() {
            let mut line = Vec::with_capacity(256);
            self.format(&mut line, record);
            self.lines.write(line);
        }
    }

    fn format(&self, line: &mut Vec<u8>, record: &Record<'_>) {
        match &self.format {
            Some(format) => format.write(line, record, &self.clock),
            None => json::write(line, record, &self.clock),
        }
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
