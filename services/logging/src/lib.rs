//! Logs. What the program itself has to say goes through `tracing` ([`init`]); access logs go through [`Lines`]
//! directly. Both end in one bounded queue and one writer thread: what a blocked stdout costs is lines, which are
//! counted, never requests.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod event;
mod lines;
pub mod syslog;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::IsTerminal;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::macros::format_description;
use tracing_subscriber::layer::SubscriberExt;

pub use lines::Lines;

/// What the setting `log_level` may be.
pub const LEVELS: &[&str] = &["error", "warn", "info", "debug", "trace"];
/// What the setting `log_format` may be.
pub const FORMATS: &[&str] = &["auto", "json", "text"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Level {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Level, String> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "error" | "critical" | "fatal" => Level::Error,
            "warn" | "warning" => Level::Warn,
            "info" => Level::Info,
            "debug" => Level::Debug,
            "trace" => Level::Trace,
            _ => return Err(format!("expected one of {}, got {text:?}", LEVELS.join(", "))),
        })
    }
}

impl Level {
    pub(crate) fn filter(self) -> tracing::Level {
        match self {
            Level::Error => tracing::Level::ERROR,
            Level::Warn => tracing::Level::WARN,
            Level::Info => tracing::Level::INFO,
            Level::Debug => tracing::Level::DEBUG,
            Level::Trace => tracing::Level::TRACE,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Text on a terminal, JSON anywhere else.
    #[default]
    Auto,
    Json,
    Text,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Format, String> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "auto" => Format::Auto,
            "json" => Format::Json,
            "text" => Format::Text,
            _ => return Err(format!("expected one of {}, got {text:?}", FORMATS.join(", "))),
        })
    }
}

impl Format {
    /// What `Auto` means here and now.
    pub fn is_json(self) -> bool {
        match self {
            Format::Auto => !std::io::stdout().is_terminal(),
            Format::Json => true,
            Format::Text => false,
        }
    }
}

/// Keeps the log going; when it is dropped, what is still queued gets a second to be written.
#[must_use = "the log's last lines are lost without it"]
pub struct Guard {
    lines: Lines,
    syslog: Option<Lines>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.lines.flush(Duration::from_secs(1));
        if let Some(syslog) = &self.syslog {
            syslog.flush(Duration::from_secs(1));
        }
    }
}

static LOG: OnceLock<Lines> = OnceLock::new();
static COUNTS: [AtomicU64; 5] = [const { AtomicU64::new(0) }; 5];

/// Sends the program's own log to stdout. A second call in one process (tests do that) leaves the first in place.
pub fn init(level: Level, format: Format, service: &'static str) -> Guard {
    let lines = LOG.get_or_init(Lines::stdout).clone();
    begin(level, format.is_json(), std::io::stdout().is_terminal(), None, service, lines)
}

/// Where the program's own log goes, if not to stdout alone.
#[derive(Debug, Default)]
pub struct Places {
    /// `stdout`, `stderr`, or a path that is appended to.
    pub target: String,
    /// Messages are sent there too: its address, the facility's number, the name they begin with.
    pub syslog: Option<(syslog::Address, u8, String)>,
}

/// Sends the program's own log to where it is wanted.
pub fn init_to(level: Level, format: Format, service: &'static str, places: Places) -> std::io::Result<Guard> {
    let terminal = match places.target.as_str() {
        "stdout" => std::io::stdout().is_terminal(),
        "stderr" => std::io::stderr().is_terminal(),
        _ => false,
    };
    let lines = Lines::open(&places.target)?;
    let lines = LOG.get_or_init(|| lines).clone();
    let syslog = match places.syslog {
        Some((address, facility, name)) => Some((Lines::syslog(address)?, facility, name)),
        None => None,
    };
    let json = format == Format::Json || (format == Format::Auto && !terminal);
    Ok(begin(level, json, terminal, syslog, service, lines))
}

fn begin(
    level: Level,
    json: bool,
    terminal: bool,
    syslog: Option<(Lines, u8, String)>,
    service: &'static str,
    lines: Lines,
) -> Guard {
    let sent = syslog.as_ref().map(|(lines, ..)| lines.clone());
    let layer = event::Layer { lines: lines.clone(), level, json, terminal, service, syslog };
    if tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer)).is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            let message = panic.payload_as_str().unwrap_or("unknown");
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let thread = std::thread::current().name().unwrap_or_default().to_owned();
            tracing::error!(target: "monodon", place, thread, "a task panicked: {message}");
        }));
    }
    Guard { lines, syslog: sent }
}

/// After a rotation: opens the file anew.
pub fn reopen() {
    if let Some(lines) = LOG.get() {
        lines.reopen();
    }
}

/// A line that somebody else has made, with its end, among the program's own. False while there is no log yet.
pub fn write(level: Level, line: Vec<u8>) -> bool {
    let Some(lines) = LOG.get() else { return false };
    if let Some(count) = COUNTS.get(level as usize) {
        count.fetch_add(1, Ordering::Relaxed);
    }
    lines.write(line);
    true
}

/// Waits until the log's lines are written, at most for `patience`: before a process ends without dropping its [`Guard`].
pub fn flush(patience: Duration) -> bool {
    LOG.get().is_none_or(|lines| lines.flush(patience))
}

/// Messages since the start, by level: `[("error", 0), …]`, for `log_messages_total`.
pub fn counts() -> impl Iterator<Item = (&'static str, u64)> {
    LEVELS.iter().zip(&COUNTS).map(|(level, count)| (*level, count.load(Ordering::Relaxed)))
}

/// Lines of the program's own log that could not be written.
pub fn lost() -> u64 {
    LOG.get().map_or(0, Lines::lost)
}

/// `2026-11-21T05:42:11.123456Z`
pub fn rfc3339(at: SystemTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
    OffsetDateTime::from(at).format(&format).unwrap_or_default()
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}
