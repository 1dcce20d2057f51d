//! One entry of the scoreboard: the state, the figures and the death mark of the process that holds it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, Ordering::Relaxed};

use super::histogram::{Histogram, Snapshot};
use super::request::{Cell, CurrentRequest};

/// Methods that are counted by name; any other is `_OTHER`.
pub const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "_OTHER"];
/// Status codes that are counted exactly are 100 to 599.
pub const CODES: usize = 500;
const FIRST_CODE: u16 = 100;
/// Of `monodon_logging::LEVELS`.
const LEVELS: usize = 5;
/// Of Python's collector.
pub const GENERATIONS: usize = 3;

pub fn method_index(method: &[u8]) -> usize {
    METHODS.iter().position(|name| name.as_bytes() == method).unwrap_or(METHODS.len() - 1)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum State {
    /// No live process holds the entry.
    Free = 0,
    /// Forked, imports the application, does not accept yet.
    Starting = 1,
    Idle = 2,
    /// A request is with the application.
    Busy = 3,
    /// Finishes what it has and hands its idle connections over.
    Draining = 4,
    /// Asks for a replacement (by `max_requests`, `max_rss`, `lifetime`); it goes on serving until it is told to leave.
    Retiring = 5,
    /// Its request is past its time: it is about to be killed.
    Hung = 6,
}

impl State {
    pub const ALL: [State; 7] =
        [State::Free, State::Starting, State::Idle, State::Busy, State::Draining, State::Retiring, State::Hung];

    pub fn name(self) -> &'static str {
        match self {
            State::Free => "free",
            State::Starting => "starting",
            State::Idle => "idle",
            State::Busy => "busy",
            State::Draining => "draining",
            State::Retiring => "retiring",
            State::Hung => "hung",
        }
    }

    /// Whether the process takes new connections.
    pub fn accepts(self) -> bool {
        matches!(self, State::Idle | State::Busy | State::Retiring)
    }

    fn from(value: u32) -> Self {
        Self::ALL.into_iter().find(|state| *state as u32 == value).unwrap_or(State::Free)
    }
}

/// Why a process ended; the names are the values of `reason` in `monodon_worker_process_restarts_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Reason {
    /// Killed because a request took longer than `timeout`.
    Timeout = 1,
    /// Replaced because it has grown past `max_rss`.
    Memory = 2,
    /// Killed for memory by the kernel.
    Oom = 3,
    /// Ended by itself with an exit code.
    Crash = 4,
    /// Ended by a signal that nobody here sent.
    Signal = 5,
    MaxRequests = 6,
    Reload = 7,
    BootError = 8,
    /// Stopped because fewer processes are wanted, or none.
    Stop = 9,
    /// Replaced because of its age.
    Lifetime = 10,
}

impl Reason {
    pub const ALL: [Reason; 10] = [
        Reason::Timeout,
        Reason::Memory,
        Reason::Oom,
        Reason::Crash,
        Reason::Signal,
        Reason::MaxRequests,
        Reason::Reload,
        Reason::BootError,
        Reason::Stop,
        Reason::Lifetime,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Reason::Timeout => "timeout",
            Reason::Memory => "memory",
            Reason::Oom => "oom",
            Reason::Crash => "crash",
            Reason::Signal => "signal",
            Reason::MaxRequests => "max_requests",
            Reason::Reload => "reload",
            Reason::BootError => "boot_error",
            Reason::Stop => "stop",
            Reason::Lifetime => "lifetime",
        }
    }

    /// Nothing went wrong: the process was told to leave.
    pub fn is_orderly(self) -> bool {
        matches!(self, Reason::Stop | Reason::Reload | Reason::MaxRequests | Reason::Memory | Reason::Lifetime)
    }

    fn of(value: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| *reason as u32 == value)
    }

    /// The value of `x-monodon-killed` for a request that died with its process and must not be sent again.
    pub fn killed(self) -> Option<&'static str> {
        match self {
            Reason::Timeout => Some("timeout"),
            Reason::Oom => Some("memory"),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Death {
    pub reason: Reason,
    pub pid: u32,
    /// Monotonic microseconds.
    pub at: u64,
}

/// The first figure of a status, for histograms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Class(pub usize);

impl Class {
    pub const NAMES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

    fn of(code: u16) -> Self {
        Self((code / 100).clamp(1, 5) as usize - 1)
    }
}

/// Only atomics, so that zeroed shared memory is a valid value (see the module above).
#[repr(C, align(64))]
pub struct Entry {
    state: AtomicU32,
    pid: AtomicU32,
    generation: AtomicU32,
    slots: AtomicU32,
    connections: AtomicU32,
    in_flight: AtomicU32,
    threads: AtomicU32,
    /// Why it asks for a replacement.
    retiring_for: AtomicU32,
    started: AtomicU64,
    ready: AtomicU64,
    heartbeat: AtomicU64,
    request_start: AtomicU64,
    deadline: AtomicU64,

    served: AtomicU64,
    busy: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    accepted: AtomicU64,
    handed_over: AtomicU64,
    taken_over: AtomicU64,
    abandoned: AtomicU64,
    exceptions: AtomicU64,
    log_lost: AtomicU64,

    death_reason: AtomicU32,
    death_pid: AtomicU32,
    death_at: AtomicU64,

    current: Cell,
    durations: [Histogram; Class::NAMES.len()],
    queue: Histogram,
    gil: Histogram,
    log_messages: [AtomicU64; LEVELS],
    collections: [AtomicU64; GENERATIONS],
    collecting: AtomicU64,
    requests: [[AtomicU64; CODES]; METHODS.len()],
}

/// Declares a counter: `name` adds to it, `name_total` reads it.
macro_rules! counters {
    ($($(#[$words:meta])* $add:ident, $read:ident, $field:ident;)*) => {
        $($(#[$words])* pub fn $add(&self, more: u64) { self.$field.fetch_add(more, Relaxed); }
          pub fn $read(&self) -> u64 { self.$field.load(Relaxed) })*
    };
}

// What the process itself writes.
impl Entry {
    /// A new process takes the entry: what belongs to the last one goes, the counters stay.
    pub fn begin(&self, pid: u32, generation: u32, now: u64) {
        self.current.reset();
        for field in [&self.ready, &self.heartbeat, &self.request_start, &self.deadline] {
            field.store(0, Relaxed);
        }
        for field in [&self.connections, &self.in_flight, &self.slots] {
            field.store(0, Relaxed);
        }
        self.served.store(0, Relaxed);
        self.retiring_for.store(0, Relaxed);
        self.generation.store(generation, Relaxed);
        self.started.store(now, Relaxed);
        self.pid.store(pid, Relaxed);
        self.set_state(State::Starting);
    }

    /// The process accepts from now on, with `slots` requests at a time.
    pub fn set_ready(&self, slots: u32, now: u64) {
        self.slots.store(slots, Relaxed);
        self.heartbeat.store(now, Relaxed);
        self.ready.store(now, Relaxed);
        self.set_state(State::Idle);
    }

    pub fn set_state(&self, state: State) {
        self.state.store(state as u32, Ordering::Release);
    }

    /// Asks for a replacement, and serves on until it is there.
    pub fn retire(&self, reason: Reason) {
        if self.state().accepts() && self.state() != State::Retiring {
            self.retiring_for.store(reason as u32, Relaxed);
            self.set_state(State::Retiring);
        }
    }

    /// Moves between idle and busy, and leaves the other states (draining, retiring, hung) as they are.
    pub fn set_busy(&self, busy: bool) {
        let (from, to) = if busy { (State::Idle, State::Busy) } else { (State::Busy, State::Idle) };
        let _ = self.state.compare_exchange(from as u32, to as u32, Relaxed, Relaxed);
    }

    /// The I/O loop turns. To be told at least once a second while no request is with the application.
    pub fn beat(&self, now: u64) {
        self.heartbeat.store(now, Relaxed);
    }

    /// The start of the oldest request that is with the application; 0 when none is.
    pub fn set_request_start(&self, start: u64) {
        self.request_start.store(start, Relaxed);
    }

    /// When the oldest request is past its time (it moves with each part of a response); 0 when none runs. The
    /// process's own watchdog acts at this moment, the supervisor a second later.
    pub fn set_deadline(&self, deadline: u64) {
        self.deadline.store(deadline, Relaxed);
    }

    pub fn set_connections(&self, connections: u32) {
        self.connections.store(connections, Relaxed);
    }

    /// Requests that are with the application.
    pub fn set_in_flight(&self, requests: u32) {
        self.in_flight.store(requests, Relaxed);
    }

    pub fn set_current(&self, method: &[u8], path: &[u8], id: &[u8]) {
        self.current.set(method, path, id);
    }

    /// A finished request. `method` comes from [`method_index`]; `micros` is the time with the application.
    pub fn count_request(&self, method: usize, code: u16, micros: u64) {
        let place = code.checked_sub(FIRST_CODE).map(usize::from);
        if let Some(counter) = place.and_then(|place| self.requests.get(method)?.get(place)) {
            counter.fetch_add(1, Relaxed);
        }
        let Class(class) = Class::of(code);
        if let Some(histogram) = self.durations.get(class) {
            histogram.observe(micros);
        }
        self.busy.fetch_add(micros, Relaxed);
        self.served.fetch_add(1, Relaxed);
    }

    /// A wait for the interpreter's lock, in microseconds.
    pub fn observe_gil(&self, micros: u64) {
        self.gil.observe(micros);
    }

    /// Messages of the process's log; `level` is a place in `monodon_logging::LEVELS`.
    pub fn add_log_messages(&self, level: usize, more: u64) {
        if let Some(counter) = self.log_messages.get(level) {
            counter.fetch_add(more, Relaxed);
        }
    }

    /// Python's collector ran, and took so long.
    pub fn count_collection(&self, generation: usize, micros: u64) {
        if let Some(counter) = self.collections.get(generation.min(GENERATIONS - 1)) {
            counter.fetch_add(1, Relaxed);
        }
        self.collecting.fetch_add(micros, Relaxed);
    }

    /// From `X-Request-Start` to the application.
    pub fn observe_queue(&self, micros: u64) {
        self.queue.observe(micros);
    }

    counters! {
        add_bytes_in, bytes_in, bytes_in;
        add_bytes_out, bytes_out, bytes_out;
        add_accepted, accepted, accepted;
        /// Idle connections given to a sibling, when leaving or busy.
        add_handed_over, handed_over, handed_over;
        /// Connections taken from a sibling that was leaving or busy.
        add_taken_over, taken_over, taken_over;
        /// Requests whose client left before the answer was written.
        add_abandoned, abandoned, abandoned;
        /// Exceptions that came out of the application.
        add_exceptions, exceptions, exceptions;
        /// Access log lines lost because nobody read them.
        add_log_lost, log_lost, log_lost;
    }
}

// What the supervisor and the siblings read and write.
impl Entry {
    pub fn state(&self) -> State {
        State::from(self.state.load(Ordering::Acquire))
    }

    /// Why it asks for a replacement, if it does.
    pub fn retiring_for(&self) -> Option<Reason> {
        Reason::of(self.retiring_for.load(Relaxed))
    }

    pub fn pid(&self) -> u32 {
        self.pid.load(Relaxed)
    }

    pub fn generation(&self) -> u32 {
        self.generation.load(Relaxed)
    }

    pub fn slots(&self) -> u32 {
        self.slots.load(Relaxed)
    }

    pub fn connections(&self) -> u32 {
        self.connections.load(Relaxed)
    }

    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Since when at least one request is with the application, where no more may be; none if there is room.
    pub fn full_since(&self) -> Option<u64> {
        (self.in_flight() >= self.slots().max(1)).then(|| self.request_start())
    }

    pub fn started(&self) -> u64 {
        self.started.load(Relaxed)
    }

    /// When it became ready; 0 before.
    pub fn ready_at(&self) -> u64 {
        self.ready.load(Relaxed)
    }

    pub fn heartbeat(&self) -> u64 {
        self.heartbeat.load(Relaxed)
    }

    pub fn request_start(&self) -> u64 {
        self.request_start.load(Relaxed)
    }

    pub fn deadline(&self) -> u64 {
        self.deadline.load(Relaxed)
    }

    /// Requests served by the process that holds the entry now.
    pub fn served(&self) -> u64 {
        self.served.load(Relaxed)
    }

    /// Microseconds that requests spent with the application.
    pub fn busy_micros(&self) -> u64 {
        self.busy.load(Relaxed)
    }

    pub fn current(&self) -> Option<CurrentRequest> {
        self.current.get()
    }

    /// Calls `see(method, code, count)` for each that is not zero.
    pub fn each_count(&self, mut see: impl FnMut(usize, u16, u64)) {
        for (method, codes) in self.requests.iter().enumerate() {
            for (place, counter) in codes.iter().enumerate() {
                let count = counter.load(Relaxed);
                if count > 0 {
                    see(method, FIRST_CODE + place as u16, count);
                }
            }
        }
    }

    pub fn add_durations(&self, class: Class, snapshot: &mut Snapshot) {
        if let Some(histogram) = self.durations.get(class.0) {
            histogram.add_to(snapshot);
        }
    }

    /// Microseconds spent waiting for the interpreter's lock.
    pub fn gil_wait(&self) -> u64 {
        let mut snapshot = Snapshot::default();
        self.gil.add_to(&mut snapshot);
        snapshot.sum
    }

    pub fn add_gil(&self, snapshot: &mut Snapshot) {
        self.gil.add_to(snapshot);
    }

    pub fn log_messages(&self) -> impl Iterator<Item = u64> {
        self.log_messages.iter().map(|counter| counter.load(Relaxed))
    }

    /// Runs of Python's collector by generation.
    pub fn collections(&self) -> impl Iterator<Item = u64> {
        self.collections.iter().map(|counter| counter.load(Relaxed))
    }

    /// Microseconds that the collector took.
    pub fn collecting(&self) -> u64 {
        self.collecting.load(Relaxed)
    }

    pub fn add_queue(&self, snapshot: &mut Snapshot) {
        self.queue.add_to(snapshot);
    }

    /// Written before the kill where we kill, so that whoever sees the connection break finds it.
    pub fn mark_death(&self, reason: Reason, pid: u32, now: u64) {
        self.death_pid.store(pid, Relaxed);
        self.death_reason.store(reason as u32, Relaxed);
        self.death_at.store(now, Ordering::Release);
    }

    pub fn death(&self) -> Option<Death> {
        let at = self.death_at.load(Ordering::Acquire);
        let reason = Reason::of(self.death_reason.load(Relaxed))?;
        Some(Death { reason, pid: self.death_pid.load(Relaxed), at })
    }

    /// The process is gone.
    pub fn release(&self) {
        for field in [&self.connections, &self.in_flight, &self.slots] {
            field.store(0, Relaxed);
        }
        for field in [&self.request_start, &self.deadline] {
            field.store(0, Relaxed);
        }
        self.set_state(State::Free);
    }
}
