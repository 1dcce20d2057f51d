//! One event of `tracing`, one line: JSON with flat fields for machines, text for a person at a terminal.

use std::fmt::{Debug, Write as _};
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::Context;

use crate::syslog::{self, Severity};
use crate::{COUNTS, Level, Lines, rfc3339};

pub(crate) struct Layer {
    pub(crate) lines: Lines,
    pub(crate) level: Level,
    pub(crate) json: bool,
    /// Colours are for a terminal: in a container's log they would stand between the words that are searched. And a
    /// person there knows what day it is.
    pub(crate) terminal: bool,
    pub(crate) service: &'static str,
    /// The facility's number, and the name that messages begin with.
    pub(crate) syslog: Option<(Lines, u8, String)>,
}

impl Layer {
    /// Libraries are a step quieter than the program: at `info` one hears their warnings, at `debug` their news.
    fn hears(&self, metadata: &Metadata<'_>) -> bool {
        let foreign = match self.level {
            Level::Error => tracing::Level::ERROR,
            Level::Warn | Level::Info => tracing::Level::WARN,
            Level::Debug => tracing::Level::INFO,
            Level::Trace => tracing::Level::TRACE,
        };
        let own = metadata.target().starts_with("monodon");
        metadata.level() <= if own { const { &tracing::Level::TRACE } } else { &foreign }
            && *metadata.level() <= self.level.filter()
    }
}

impl<S: Subscriber> tracing_subscriber::Layer<S> for Layer {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.hears(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.hears(metadata)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if !self.hears(metadata) {
            return;
        }
        let (name, count) = match *metadata.level() {
            tracing::Level::ERROR => ("error", &COUNTS[0]),
            tracing::Level::WARN => ("warn", &COUNTS[1]),
            tracing::Level::INFO => ("info", &COUNTS[2]),
            tracing::Level::DEBUG => ("debug", &COUNTS[3]),
            tracing::Level::TRACE => ("trace", &COUNTS[4]),
        };
        count.fetch_add(1, Ordering::Relaxed);
        let mut fields = Fields::default();
        event.record(&mut fields);
        let time = rfc3339(SystemTime::now());
        let target = metadata.target();
        if let Some((lines, facility, name)) = &self.syslog {
            let severity = match *metadata.level() {
                tracing::Level::ERROR => Severity::Error,
                tracing::Level::WARN => Severity::Warning,
                tracing::Level::INFO => Severity::Info,
                _ => Severity::Debug,
            };
            // One message is one line, so its own line ends must not end it.
            let words = sentence(&fields).replace(['\n', '\r'], " ");
            lines.write(format!("{}{words}\n", syslog::opening(*facility, severity, name)));
        }
        self.lines.write(if self.json {
            json(&time, name, self.service, target, fields)
        } else {
            text(&time, name, target, &fields, self.terminal)
        });
    }
}

/// The names every line has; a field that is called so too gets a trailing underscore.
const OWN: [&str; 5] = ["time", "level", "service", "target", "message"];

pub(crate) fn json(time: &str, level: &str, service: &str, target: &str, fields: Fields) -> Vec<u8> {
    let mut line = Vec::with_capacity(256);
    let head =
        [("time", time), ("level", level), ("service", service), ("target", target), ("message", &fields.message)];
    // Written by hand only to keep the order: the fields every line has come first.
    for (index, (name, value)) in head.into_iter().enumerate() {
        line.extend_from_slice(if index == 0 { b"{\"" } else { b",\"" });
        line.extend_from_slice(name.as_bytes());
        line.extend_from_slice(b"\":");
        push(&mut line, &Value::from(value));
    }
    for (mut name, value) in fields.others {
        if OWN.contains(&name.as_str()) {
            name.push('_');
        }
        line.push(b',');
        push(&mut line, &Value::from(name));
        line.push(b':');
        push(&mut line, &value);
    }
    line.extend_from_slice(b"}\n");
    line
}

fn push(line: &mut Vec<u8>, value: &Value) {
    // Writing a value that is already JSON into memory cannot fail.
    let _ = serde_json::to_writer(line, value);
}

pub(crate) fn text(time: &str, level: &str, target: &str, fields: &Fields, terminal: bool) -> Vec<u8> {
    let of_level = match level {
        "error" => "31",
        "warn" => "33",
        "info" => "32",
        _ => "2",
    };
    let clock = if terminal { time.get(11..23).unwrap_or(time) } else { time };
    let target = target.strip_prefix("monodon_").unwrap_or(target);
    let paint = |code: &str, words: &str| {
        if terminal { format!("\x1b[{code}m{words}\x1b[0m") } else { words.to_owned() }
    };
    let level = format!("{level:5}");
    let mut line = format!("{} {} {}", paint("2", clock), paint(of_level, &level), printable(&fields.message));
    for (name, value) in shown(fields) {
        let _ = write!(line, " {}{value}", paint("2", &format!("{name}=")));
    }
    let _ = writeln!(line, " {}", paint("2", target));
    line.into_bytes()
}

/// The message and its fields, without the rest of a line.
fn sentence(fields: &Fields) -> String {
    let mut line = printable(&fields.message);
    for (name, value) in shown(fields) {
        let _ = write!(line, " {name}={value}");
    }
    line
}

fn shown(fields: &Fields) -> impl Iterator<Item = (&str, String)> {
    fields.others.iter().map(|(name, value)| {
        let value = match value {
            Value::String(text) if text.chars().all(|c| c.is_ascii_graphic()) => text.clone(),
            value => printable(&value.to_string()),
        };
        (name.as_str(), value)
    })
}

/// What comes from outside must not move a person's cursor.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[derive(Default)]
pub(crate) struct Fields {
    pub(crate) message: String,
    pub(crate) others: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        let name = field.name();
        self.others.insert(name.strip_prefix("r#").unwrap_or(name).to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" { self.message = text } else { self.put(field, text) }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" { self.message = value.to_owned() } else { self.put(field, value) }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        self.put(field, text);
    }
}
