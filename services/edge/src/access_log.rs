//! One JSON line a request, written when its answer has ended, in per-thread batches.
//!
//! The line's data is kept as the reference-counted pieces that the request brought: nothing is formatted before the
//! answer is out.

use crate::body::End;
use crate::config::{Options, Route};
use crate::connection::{ConnInfo, Protocol};
use crate::limits;
use crate::metrics::{Reason, Site};
use crate::router::Entry;
use crate::service::{Thread, View};
use crate::upstream::Timing;
use http::{HeaderValue, Method, Uri, Version};
use monodon_logging::Lines;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A thread's batch of lines.
pub struct Log {
    lines: Lines,
    batch: RefCell<Vec<u8>>,
    /// The current second as text, so that it is formatted once a second.
    second: RefCell<(u64, String)>,
}

/// What the writer takes in one go: smaller ones would only wake it more often.
const BATCH: usize = 64 << 10;
pub const FLUSH_EVERY: Duration = Duration::from_millis(500);

impl Log {
    pub fn new(lines: Lines) -> Self {
        Self { lines, batch: RefCell::default(), second: RefCell::new((0, String::new())) }
    }

    /// Hands the batch to the writer.
    pub fn flush(&self) {
        let batch = std::mem::take(&mut *self.batch.borrow_mut());
        if !batch.is_empty() {
            self.lines.write(batch);
        }
    }

    fn write(&self, record: &Record, ended: Instant) {
        if !self.lines.is_on() {
            return;
        }
        let mut batch = self.batch.borrow_mut();
        if batch.capacity() == 0 {
            batch.reserve(BATCH + 1024);
        }
        self.line(&mut batch, record, ended);
        if batch.len() >= BATCH {
            drop(batch);
            self.flush();
        }
    }

    fn line(&self, out: &mut Vec<u8>, record: &Record, ended: Instant) {
        out.extend_from_slice(b"{\"time\":\"");
        let since = record.started.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut second = self.second.borrow_mut();
        if second.0 != since.as_secs() || second.1.is_empty() {
            let text = monodon_logging::rfc3339(UNIX_EPOCH + Duration::from_secs(since.as_secs()));
            *second = (since.as_secs(), text.get(..19).unwrap_or_default().to_owned());
        }
        out.extend_from_slice(second.1.as_bytes());
        out.push(b'.');
        digits(out, u64::from(since.subsec_micros()), 6);
        out.extend_from_slice(b"Z\",\"service\":\"edge\",\"log\":\"access\",\"request_id\":");
        string(out, record.id.as_bytes());
        field(out, r#","client":"#, record.client.as_bytes());
        field(out, r#","method":"#, record.method.as_str().as_bytes());
        if let Some(host) = &record.host {
            field(out, r#","host":"#, host.as_bytes());
        }
        field(out, r#","path":"#, record.uri.path().as_bytes());
        if record.log_query
            && let Some(query) = record.uri.query()
        {
            field(out, r#","query":"#, query.as_bytes());
        }
        if let Some(route) = record.route() {
            field(out, r#","route":"#, route.name.as_bytes());
        }
        number(out, r#","status":"#, u64::from(record.status));
        number(out, r#","bytes_in":"#, record.bytes_in);
        number(out, r#","bytes_out":"#, record.bytes_out);
        seconds(out, r#","duration":"#, ended.saturating_duration_since(record.begun));
        if let Some(timing) = &record.timing {
            seconds(out, r#","queue":"#, timing.queue);
            seconds(out, r#","upstream":"#, timing.first_byte);
        }
        field(out, r#","protocol":"#, record.protocol().as_bytes());
        if let Some(tls) = &record.conn.tls {
            field(out, r#","tls":"#, tls.version.as_bytes());
        }
        if let Some(reason) = record.reason {
            field(out, r#","reason":"#, reason.as_bytes());
        }
        if !record.complete {
            out.extend_from_slice(b",\"complete\":false");
        }
        if let Some(agent) = &record.agent {
            field(out, r#","user_agent":"#, agent.as_bytes());
        }
        if let Some(referer) = &record.referer {
            field(out, r#","referer":"#, referer.as_bytes());
        }
        out.extend_from_slice(b"}\n");
    }
}

/// What is kept of a request for its line and its counters. Dropped, it writes them: also when the client left while
/// the answer was still awaited.
pub struct Record {
    pub thread: Rc<Thread>,
    pub conn: Rc<ConnInfo>,
    pub begun: Instant,
    pub started: SystemTime,
    pub id: HeaderValue,
    pub client: HeaderValue,
    pub method: Method,
    pub uri: Uri,
    pub version: Version,
    pub host: Option<HeaderValue>,
    pub agent: Option<HeaderValue>,
    pub referer: Option<HeaderValue>,
    pub log_query: bool,
    pub site: Site,
    /// The configuration that answers it, and the route of it that took it.
    pub view: Rc<View>,
    pub entry: Option<Entry>,
    pub route: Option<usize>,
    /// 499 until there is an answer: what nginx calls a client that did not wait for it.
    pub status: u16,
    pub reason: Option<&'static str>,
    pub timing: Option<Timing>,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub complete: bool,
    /// Where it is counted until it has ended, and what its answer says of that.
    pub held: Vec<limits::Held>,
    pub quota: Option<Box<limits::Quota>>,
}

impl Record {
    /// Counts the request as begun.
    pub fn begin(self) -> Box<Self> {
        self.conn.requests.set(self.conn.requests.get() + 1);
        let in_flight = self.conn.in_flight.get();
        self.conn.in_flight.set(in_flight + 1);
        let metrics = &self.thread.metrics;
        if in_flight == 0
            && let Some(active) = metrics.connections.active.get(self.conn.protocol as usize)
        {
            active.add(1);
        }
        if let Some(site) = metrics.site(self.site) {
            site.in_flight.add(1);
        }
        Box::new(self)
    }

    pub fn fail(&mut self, reason: Reason, exact: &'static str) {
        self.reason = Some(exact);
        self.thread.metrics.error(self.site, reason);
    }

    fn route(&self) -> Option<&Route> {
        self.view.snapshot.router.get(self.entry?)?.routes.get(self.route?)
    }

    /// What holds for this request.
    pub fn options(&self) -> &Options {
        let site = || self.view.snapshot.router.get(self.entry?).map(|site| &site.options);
        self.route().map(|route| &route.options).or_else(site).unwrap_or(&self.view.snapshot.config.options)
    }

    fn protocol(&self) -> &'static str {
        crate::metrics::PROTOCOLS.get(usize::from(self.protocol_index())).copied().unwrap_or_default()
    }

    fn protocol_index(&self) -> u8 {
        match (self.conn.protocol, self.version) {
            (Protocol::Http2, _) => 2,
            (Protocol::Http1, Version::HTTP_10) => 0,
            (Protocol::Http1, _) => 1,
        }
    }
}

impl End for Record {
    fn end(mut self: Box<Self>, bytes: u64, complete: bool) {
        self.bytes_out = bytes;
        self.complete = complete || self.method == Method::HEAD;
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let ended = Instant::now();
        let metrics = &self.thread.metrics;
        let in_flight = self.conn.in_flight.get().saturating_sub(1);
        self.conn.in_flight.set(in_flight);
        if in_flight == 0
            && let Some(active) = metrics.connections.active.get(self.conn.protocol as usize)
        {
            active.subtract(1);
        }
        if !self.held.is_empty() {
            limits::release(&self.view.snapshot.limits, &self.held);
        }
        if self.status == 499 {
            self.complete = false;
            self.reason = Some("client_closed");
            metrics.error(self.site, Reason::ClientClosed);
        }
        metrics.request(self.site, &self.method, self.status, self.protocol_index());
        if let Some(site) = metrics.site(self.site) {
            site.in_flight.subtract(1);
            site.bytes_in.add(self.bytes_in);
            site.bytes_out.add(self.bytes_out);
            let class = usize::from(self.status / 100).saturating_sub(1);
            if let Some(histogram) = site.seconds.get(class) {
                histogram.observe(ended.saturating_duration_since(self.begun));
            }
        }
        if self.reason.is_some() || self.options().log.requests {
            self.thread.log.write(self, ended);
        }
    }
}

/// The program's own log, counted by level.
pub fn render_own_log(out: &mut String) {
    let name = "monodon_edge_log_messages_total";
    let mut family = monodon_admin::text::Family::counter(out, name, "Messages of the program's own log.");
    for (level, count) in monodon_logging::counts() {
        family.sample(&[("level", level)], count);
    }
}

/// `key` is all that stands before the value: `,"status":`.
fn number(out: &mut Vec<u8>, key: &str, value: u64) {
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Seconds with microseconds.
fn seconds(out: &mut Vec<u8>, key: &str, value: Duration) {
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(itoa::Buffer::new().format(value.as_secs()).as_bytes());
    out.push(b'.');
    digits(out, u64::from(value.subsec_micros()), 6);
}

fn digits(out: &mut Vec<u8>, mut value: u64, width: usize) {
    let start = out.len();
    out.resize(start + width, b'0');
    for place in out.iter_mut().skip(start).rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

fn field(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    out.extend_from_slice(key.as_bytes());
    string(out, value);
}

/// A JSON string of bytes from anywhere. Only printable ASCII stands for itself: control characters, and those that
/// turn text around on a terminal, are escaped; what is not UTF-8 is taken for Latin-1.
fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    // All are looked at, which the compiler does many at a time; stopping at the first odd one, it could not.
    let odd = |byte: u8| !matches!(byte, 0x20..=0x7e) | (byte == b'"') | (byte == b'\\');
    if !bytes.iter().fold(false, |found, byte| found | odd(*byte)) {
        out.extend_from_slice(bytes);
    } else {
        match std::str::from_utf8(bytes) {
            Ok(text) => text.chars().for_each(|c| character(out, c)),
            Err(_) => bytes.iter().for_each(|byte| character(out, char::from(*byte))),
        }
    }
    out.push(b'"');
}

fn character(out: &mut Vec<u8>, c: char) {
    match c {
        '"' | '\\' => out.extend_from_slice(&[b'\\', c as u8]),
        ' '..='~' => out.push(c as u8),
        _ => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.extend_from_slice(b"\\u");
                for shift in [12, 8, 4, 0] {
                    let digit = (*unit >> shift & 0xf) as u8;
                    out.push(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        string(&mut out, bytes);
        serde_json::from_slice::<String>(&out).unwrap()
    }

    #[test]
    fn strings_survive_and_hide_nothing() {
        for text in ["plain", "quo\"te\\", "new\nline\u{1b}[31m", "caf\u{e9} \u{202e}turned\u{1F40B}"] {
            assert_eq!(json(text.as_bytes()), text);
        }
        assert_eq!(json(b"\xff\xfe"), "\u{ff}\u{fe}");
        let mut out = Vec::new();
        string(&mut out, "a\u{202e}\n".as_bytes());
        assert!(out.is_ascii() && !out.contains(&b'\n'));
    }

    #[test]
    fn durations() {
        let mut out = Vec::new();
        seconds(&mut out, r#","duration":"#, Duration::from_micros(1_000_042));
        assert_eq!(out, b",\"duration\":1.000042");
    }
}
