//! What is kept of a request until its answer has ended.

use crate::access;
use crate::body::End;
use crate::config::{Options, Route};
use crate::connection::{ConnInfo, Protocol};
use crate::metrics::{Reason, Site};
use crate::router::Entry;
use crate::service::{Thread, View};
use crate::upstream::Timing;
use crate::{headers, limits};
use http::{HeaderMap, HeaderValue, Method, Uri, Version};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

/// What is kept of a request for its line and its counters. Dropped, it writes them: also when the client left while
/// the answer was still awaited.
pub struct Record {
    pub thread: Rc<Thread>,
    pub conn: Rc<ConnInfo>,
    pub begun: Instant,
    pub started: SystemTime,
    pub id: HeaderValue,
    /// The client's own address, where it is not the connection's.
    pub client: Option<HeaderValue>,
    pub method: Method,
    pub uri: Uri,
    pub version: Version,
    pub host: Option<HeaderValue>,
    pub agent: Option<HeaderValue>,
    pub referer: Option<HeaderValue>,
    pub log_query: bool,
    /// Where the trace is another than the request's id.
    pub traceparent: Option<HeaderValue>,
    /// Headers that the line's format asks for.
    pub asked: Vec<Option<HeaderValue>>,
    pub answered: Vec<Option<HeaderValue>>,
    /// The address that answered, where the line's format asks for it.
    pub upstream: Option<Rc<str>>,
    /// Its answer was long in coming.
    pub slow: bool,
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
    /// Of its head, where the line's format asks for it.
    pub head_in: u32,
    pub complete: bool,
    /// Where it is counted until it has ended, and what its answer says of that.
    pub held: Vec<limits::Held>,
    /// The zones that have counted it: none does twice.
    pub counted: limits::Counted,
    pub verdict: limits::Verdict,
    pub quota: Option<Box<limits::Quota>>,
    /// Who it is, where somebody has said so.
    pub known: Option<Box<access::Known>>,
    /// What all answers say is still to be written behind this one's fields; whether to a site with a public certificate.
    pub unsaid: Option<bool>,
}

impl Record {
    /// Counts the request as begun.
    pub fn begin(self: Box<Self>) -> Box<Self> {
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
        self
    }

    pub fn fail(&mut self, reason: Reason, exact: &'static str) {
        self.reason = Some(exact);
        self.thread.metrics.error(self.site, reason);
    }

    /// The answer's head stands.
    pub fn head(&mut self, headers: &HeaderMap) {
        if let Some(format) = self.view.snapshot.config.log.line.format() {
            self.answered = format.of_answer(headers);
        }
        if let Some(limit) = self.options().log.slow
            && self.status != 101
        {
            self.slow = self.begun.elapsed() >= limit;
        }
    }

    /// Whether the upstream's address is wanted when its answer has come.
    pub fn wants_upstream(&self) -> bool {
        let log = &self.view.snapshot.config.log;
        log.line.format().is_some_and(|format| format.upstream) || self.options().log.slow.is_some()
    }

    pub fn client(&self) -> &[u8] {
        self.client.as_ref().unwrap_or(&self.conn.address).as_bytes()
    }

    pub fn trace_id(&self) -> &[u8] {
        let parent = self.traceparent.as_ref().and_then(|parent| parent.as_bytes().get(3..35));
        parent.unwrap_or(self.id.as_bytes())
    }

    /// Without its query, which tells as much as ours.
    pub fn referer(&self) -> Option<&[u8]> {
        let referer = self.referer.as_ref()?.as_bytes();
        let end = memchr::memchr(b'?', referer).filter(|_| !self.log_query);
        end.map_or(Some(referer), |end| referer.get(..end))
    }

    pub fn site_name(&self) -> Option<&str> {
        let place = usize::from(self.site).checked_sub(1)?;
        self.view.snapshot.router.names.get(place).map(String::as_str)
    }

    pub fn route(&self) -> Option<&Route> {
        self.view.snapshot.router.get(self.entry?)?.routes.get(self.route?)
    }

    /// What holds for this request.
    pub fn options(&self) -> &Options {
        let site = || self.view.snapshot.router.get(self.entry?).map(|site| &site.options);
        self.route().map(|route| &route.options).or_else(site).unwrap_or(&self.view.snapshot.config.options)
    }

    pub fn protocol(&self) -> &'static str {
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
    fn say(&self, out: &mut Vec<u8>) {
        if let Some(public) = self.unsaid {
            headers::write(out, &self.id, public, self.options());
        }
    }

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
        if let (Some(entry), Some(route)) = (self.entry, self.route) {
            let index = self.view.snapshot.router.index(entry, route);
            metrics.route(index, self.status, ended.saturating_duration_since(self.begun));
        }
        if self.status == 499
            && let Some(limit) = self.options().log.slow
        {
            // Who waits no longer has waited.
            self.slow = ended.saturating_duration_since(self.begun) >= limit;
        }
        if self.slow {
            self.warn(ended);
        }
        if self.slow || self.reason.is_some() || self.status >= 500 || self.options().log.takes() {
            self.thread.log.write(self, ended);
        }
    }
}

impl Record {
    /// Where the time of a slow request went.
    fn warn(&self, ended: Instant) {
        let timing = self.timing.unwrap_or_default();
        let seconds = |time: Duration| time.as_secs_f64();
        tracing::warn!(
            request_id = self.id.to_str().unwrap_or_default(),
            method = self.method.as_str(),
            path = self.uri.path(),
            route = self.route().map_or("", |route| route.name.as_str()),
            status = self.status,
            upstream = self.upstream.as_deref().unwrap_or_default(),
            queue = seconds(timing.queue),
            connect = seconds(timing.connect),
            first_byte = seconds(timing.first_byte),
            whole = seconds(ended.saturating_duration_since(self.begun)),
            "a slow request"
        );
    }
}
