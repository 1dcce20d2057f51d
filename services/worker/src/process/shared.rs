//! What all connections of a process share.

use std::{
    cell::{Cell, RefCell},
    io::Write,
    os::fd::OwnedFd,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use monodon_http1::Limits;
use tokio::sync::Notify;

use super::{
    Setup, fds, handover, introduction::Introduction, log::Log, output::Output, relief::Relief, request::Request,
    retire, stream::Stream, trust::Trust, watch::Watches,
};
use crate::{
    config::Config,
    scoreboard::{self, Own, Reason, Scoreboard, method_index},
    statsd::Statsd,
};

/// How long idle connections may stay with a process that leaves and has nobody to give them to.
const LINGER: Duration = Duration::from_secs(3);
/// And how long each has after its last answer, for the next request may be on its way.
const LAST: Duration = Duration::from_secs(1);
/// A client that leaves before its answer has begun, as nginx counts it.
const CLIENT_GONE: u16 = 499;

pub struct Shared {
    pub config: Arc<Config>,
    pub limits: Limits,
    pub trust: Arc<Trust>,
    pub entry: Own,
    pub scoreboard: Scoreboard,
    pub watches: Watches,
    /// Where PROXY headers are looked for: which versions, and whose are believed.
    pub introductions: Option<(monodon_proxy_protocol::Versions, Trust)>,
    /// None where the I/O thread never calls the application.
    pub relief: Option<Rc<Relief>>,
    pub log: Option<Log>,
    pub statsd: Option<RefCell<Statsd>>,
    /// The header line that names this process to the edge.
    pub process_line: RefCell<Rc<[u8]>>,
    handover: OwnedFd,
    connections: Cell<u32>,
    in_flight: Cell<u32>,
    leaving: Cell<Option<Instant>>,
    /// Requests until this process asks for its replacement.
    requests_left: Cell<Option<u64>>,
    limits_of_life: retire::Limits,
    emptied: Notify,
    /// There is room again for connections.
    fewer: Notify,
    /// Lines of logs that are counted as lost already.
    lost: Cell<u64>,
    /// And messages, by level, that are counted.
    told: Cell<[u64; monodon_logging::LEVELS.len()]>,
}

impl Shared {
    pub fn new(setup: &Setup, entry: Own, trust: Arc<Trust>, relief: Option<Rc<Relief>>) -> std::io::Result<Self> {
        let config = Arc::clone(&setup.config);
        let log = Log::open(&config)?;
        let jitter = match config.max_requests_jitter {
            0 => 0,
            most => fastrand::u64(0..=most),
        };
        let introductions = match config.proxy_protocol.mode.versions() {
            Some(versions) => {
                Some((versions, Trust::parse(&config.proxy_protocol.allow).map_err(std::io::Error::other)?))
            }
            None => None,
        };
        let shared = Self {
            limits: Limits {
                line: config.limit_request_line,
                head: config.head_limit,
                fields: config.limit_request_fields,
                field: config.limit_request_field_size,
            },
            trust,
            entry,
            scoreboard: setup.scoreboard.clone(),
            watches: Watches::new(),
            introductions,
            log,
            statsd: config.logs.statsd.clone().map(|settings| RefCell::new(Statsd::new(settings))),
            relief,
            process_line: RefCell::new(Rc::from([])),
            handover: fds::duplicate(setup.handover.tx)?,
            connections: Cell::new(0),
            in_flight: Cell::new(0),
            leaving: Cell::new(None),
            requests_left: Cell::new((config.max_requests > 0).then(|| config.max_requests.saturating_add(jitter))),
            limits_of_life: retire::Limits::new(&config.life, config.preload_app),
            emptied: Notify::new(),
            fewer: Notify::new(),
            lost: Cell::new(0),
            told: Cell::default(),
            config,
        };
        shared.name_process();
        Ok(shared)
    }

    fn name_process(&self) {
        let mut line = Vec::with_capacity(48);
        let slots = u32::try_from(self.config.threads.max(1)).unwrap_or(u32::MAX);
        let all = self.scoreboard.slots().max(slots);
        // Writing to memory cannot fail.
        let _ = write!(line, "x-monodon-process: {}/{slots}/{all}\r\n", self.entry.index());
        if **self.process_line.borrow() != *line {
            *self.process_line.borrow_mut() = Rc::from(line);
        }
    }

    /// A few times a second.
    pub fn tick(&self) {
        self.watches.tick();
        let now = scoreboard::now();
        self.entry.beat(now);
        if let Some(reason) = self.limits_of_life.passed(now) {
            self.entry.retire(reason);
        }
        self.count_logs();
        self.send_metrics();
        self.name_process();
        if self.leaving() && self.has_siblings() {
            // Connections that could not be given away at first.
            self.watches.leave();
        }
    }

    /// What was logged and what of it nobody read, here where the supervisor finds it.
    fn count_logs(&self) {
        let lost = monodon_logging::lost() + self.log.as_ref().map_or(0, Log::lost);
        self.entry.add_log_lost(lost.saturating_sub(self.lost.replace(lost)));
        let mut told = self.told.get();
        for (level, (told, (_, count))) in told.iter_mut().zip(monodon_logging::counts()).enumerate() {
            self.entry.add_log_messages(level, count.saturating_sub(*told));
            *told = count;
        }
        self.told.set(told);
    }

    /// Before the process ends.
    pub fn finish_telling(&self) {
        self.count_logs();
        self.send_metrics();
        if let Some(log) = &self.log {
            log.flush();
        }
    }

    /// To StatsD, where that is wanted.
    pub fn send_metrics(&self) {
        if let Some(statsd) = &self.statsd {
            statsd.borrow_mut().flush();
        }
    }

    /// A request is refused before the application sees it.
    pub fn reject(&self, reason: &str) {
        self.scoreboard.rejections().count(reason);
    }

    pub fn leaving(&self) -> bool {
        self.leaving.get().is_some()
    }

    pub fn begin_leaving(&self) {
        self.leaving.set(Some(Instant::now()));
    }

    /// How long an idle connection may wait for its next request.
    pub fn idle_limit(&self) -> Duration {
        match self.leaving.get() {
            Some(since) => LINGER.saturating_sub(since.elapsed()).max(LAST),
            // No connection is kept then, but a new one still gets time for its first request.
            None if self.config.keepalive.is_zero() => self.config.head_timeout,
            None => self.config.keepalive,
        }
    }

    /// With `--reload`: the code has changed, and nothing new is to meet the old.
    pub fn superseded(&self) -> bool {
        self.config.develop.reload && self.scoreboard.superseded(self.entry.generation())
    }

    /// Whether another process takes connections, or will.
    pub fn has_siblings(&self) -> bool {
        let others = self.scoreboard.entries().iter().enumerate();
        let siblings = || {
            self.superseded()
                || others.into_iter().any(|(index, other)| index != self.entry.index() && other.state().accepts())
        };
        self.scoreboard.heir() || !self.scoreboard.draining() && siblings()
    }

    /// Whether an answer tells the client not to use the connection again. `more` if the next request is already here.
    pub fn says_close(&self, more: bool) -> bool {
        self.config.keepalive.is_zero()
            || (self.scoreboard.draining() && !self.scoreboard.heir())
            || (self.leaving() && (more || !self.has_siblings()))
    }

    /// Hands a connection to a sibling; the socket here is only to be closed then. False if none takes it.
    pub fn give_away(&self, stream: &Stream, introduction: Introduction) -> bool {
        let sent = handover::send(&self.handover, stream, &introduction.to_bytes()).is_ok();
        if sent {
            self.entry.add_handed_over(1);
        }
        sent
    }

    /// Whether no sibling ought to accept a connection rather than this process.
    pub fn may_accept(&self, full: bool) -> bool {
        self.scoreboard.may_accept(self.entry.index(), self.connections.get(), full)
    }

    pub fn add_connections(&self, more: i32) {
        let connections = self.connections.get().saturating_add_signed(more);
        self.connections.set(connections);
        self.entry.set_connections(connections);
        if connections == 0 {
            self.emptied.notify_waiters();
        }
        if more < 0 && connections + 1 == self.config.sockets.worker_connections {
            self.fewer.notify_waiters();
        }
    }

    /// Waits until one more connection may be held.
    pub async fn room(&self) {
        loop {
            let fewer = self.fewer.notified();
            if self.connections.get() < self.config.sockets.worker_connections {
                return;
            }
            fewer.await;
        }
    }

    /// Waits until no connection is left.
    pub async fn empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.connections.get() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// A request goes to the application.
    pub fn enter(&self, request: &Request, now: u64) {
        let in_flight = self.in_flight.get() + 1;
        self.in_flight.set(in_flight);
        self.entry.set_in_flight(in_flight);
        if in_flight == 1 {
            self.entry.set_busy(true);
            self.entry.set_request_start(now);
        }
        self.entry.set_current(request.method(), request.target(), request.id());
    }

    /// The application is done with a request.
    pub fn exit(&self, request: &Request, output: &Output<'_>, received: u64, micros: u64) {
        let in_flight = self.in_flight.get().saturating_sub(1);
        self.in_flight.set(in_flight);
        self.entry.set_in_flight(in_flight);
        if in_flight == 0 {
            self.entry.set_busy(false);
            self.entry.set_request_start(0);
        }
        let status = match output.status() {
            0 => CLIENT_GONE,
            status => status,
        };
        if output.broken() {
            self.entry.add_abandoned(1);
        }
        self.entry.count_request(method_index(request.method()), status, micros);
        if let Some(statsd) = &self.statsd {
            statsd.borrow_mut().request(status, micros);
        }
        self.entry.add_bytes_in(received);
        self.entry.add_bytes_out(output.sent());
        if let Some(left) = self.requests_left.get() {
            self.requests_left.set(left.checked_sub(1).filter(|left| *left > 0));
            if left <= 1 {
                self.entry.retire(Reason::MaxRequests);
            }
        }
    }
}
