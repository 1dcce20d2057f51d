//! Notices that a call of the application takes too long, from a thread that never needs the interpreter's lock.
//!
//! It answers 504 for the application, has the Python stacks of all threads written to the log, and ends the process: Python
//! cannot be interrupted otherwise. Each thread that calls the application has a [`Lane`]. Where other threads work on
//! other requests, the process asks for its replacement, finishes those within `graceful_timeout`, and ends then: by
//! SIGABRT, which a hook may answer, and two seconds later by SIGKILL.

use std::{
    os::fd::RawFd,
    sync::{
        Arc,
        atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::request::Request;
use crate::{
    scoreboard::{self, Own, Reason, RequestCell, State},
    supervisor::stacks,
    sys,
};

const IDLE: u32 = 0;
/// The application runs, and nothing of its answer was written.
const UNANSWERED: u32 = 1;
const ANSWERED: u32 = 2;
/// The time is up: nobody but the watchdog writes to the connection.
const OVER: u32 = 3;

const STEP: Duration = Duration::from_millis(100);
/// What faulthandler gets to write the stacks down.
const DUMP: Duration = Duration::from_millis(200);
/// Between SIGABRT, which a hook may answer, and SIGKILL.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What one thread's call of the application is at.
pub struct Lane {
    phase: AtomicU32,
    fd: AtomicI32,
    /// Monotonic microseconds.
    deadline: AtomicU64,
    limit: u64,
    /// When the application was called for this request, and which it is.
    since: AtomicU64,
    request: RequestCell,
}

impl Lane {
    pub fn new(limit: Duration) -> Self {
        Self {
            phase: AtomicU32::new(IDLE),
            fd: AtomicI32::new(-1),
            deadline: AtomicU64::new(0),
            limit: u64::try_from(limit.as_micros()).unwrap_or(u64::MAX),
            since: AtomicU64::new(0),
            request: RequestCell::default(),
        }
    }

    /// The application is called. `answered` if a part of the response is already on its way. Returns the deadline.
    pub fn begin(&self, fd: RawFd, answered: bool) -> u64 {
        self.fd.store(fd, Ordering::Relaxed);
        let deadline = self.progress();
        if !answered {
            self.since.store(deadline.saturating_sub(self.limit), Ordering::Relaxed);
        }
        self.phase.store(if answered { ANSWERED } else { UNANSWERED }, Ordering::Release);
        deadline
    }

    /// What the log calls the request, where the process's entry may name another: more than one is in hand.
    pub fn name(&self, request: &Request) {
        if self.limit > 0 {
            self.request.set(request.method(), request.target(), request.id());
        }
    }

    /// To be asked before the first byte of a response is written: false if the watchdog was first.
    pub fn claim(&self) -> bool {
        match self.phase.compare_exchange(UNANSWERED, ANSWERED, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(phase) => phase != OVER,
        }
    }

    /// A part of the response is there: the time for the next one begins. Returns its end.
    pub fn progress(&self) -> u64 {
        let deadline = if self.limit == 0 { 0 } else { scoreboard::now().saturating_add(self.limit) };
        self.deadline.store(deadline, Ordering::Relaxed);
        deadline
    }

    /// The call is over. False if it came too late, and the process is about to end.
    pub fn end(&self) -> bool {
        let running = |phase| (phase != OVER).then_some(IDLE);
        self.phase.fetch_update(Ordering::AcqRel, Ordering::Acquire, running).is_ok()
    }

    fn is_late(&self, now: u64) -> bool {
        let deadline = self.deadline.load(Ordering::Relaxed);
        deadline != 0 && now >= deadline && matches!(self.phase.load(Ordering::Acquire), UNANSWERED | ANSWERED)
    }

    /// Takes the connection away from whoever runs in this lane.
    fn seize(&self, now: u64) -> Option<Seized> {
        loop {
            let phase = self.phase.load(Ordering::Acquire);
            if !self.is_late(now) {
                return None;
            }
            if self.phase.compare_exchange(phase, OVER, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                let fd = self.fd.load(Ordering::Relaxed);
                return Some(Seized { fd, answered: phase == ANSWERED });
            }
        }
    }

    pub fn is_over(&self) -> bool {
        self.phase.load(Ordering::Acquire) == OVER
    }

    fn running_deadline(&self) -> Option<u64> {
        let runs = matches!(self.phase.load(Ordering::Acquire), UNANSWERED | ANSWERED);
        Some(self.deadline.load(Ordering::Relaxed)).filter(|deadline| runs && *deadline != 0)
    }
}

struct Seized {
    fd: RawFd,
    answered: bool,
}

/// Watches the lanes for as long as the process lives.
pub fn start(lanes: Vec<Arc<Lane>>, entry: Own, grace: Duration) -> std::io::Result<()> {
    let grace = u64::try_from(grace.as_micros()).unwrap_or(u64::MAX);
    let pool = lanes.len() > 1;
    std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
        // When the process has to end although others still work.
        let mut last = None;
        loop {
            std::thread::sleep(STEP);
            let now = scoreboard::now();
            for lane in &lanes {
                if let Some(seized) = lane.seize(now) {
                    last.get_or_insert(now.saturating_add(grace));
                    if !pool {
                        entry.set_state(State::Hung);
                    }
                    condemn(lane, &seized, &entry);
                }
            }
            if pool {
                let oldest = lanes.iter().filter_map(|lane| lane.running_deadline()).min();
                entry.set_deadline(oldest.unwrap_or(0));
            }
            if last.is_some_and(|last| now >= last || alone(&lanes, &entry)) {
                kill(&entry);
            }
        }
    })?;
    Ok(())
}

/// Whether nothing is left in the process but what hangs.
fn alone(lanes: &[Arc<Lane>], entry: &Own) -> bool {
    let over = lanes.iter().filter(|lane| lane.is_over()).count();
    if over == lanes.len() {
        return true;
    }
    // Until the replacement is there and the supervisor tells this process to leave, it goes on serving.
    if entry.state().accepts() {
        entry.retire(Reason::Timeout);
    }
    entry.state() == State::Draining && entry.connections() as usize <= over
}

/// Answers, and says why the process ends.
fn condemn(lane: &Lane, seized: &Seized, entry: &Own) {
    entry.mark_death(Reason::Timeout, std::process::id(), scoreboard::now());
    answer(seized, entry);
    let named = lane.request.get().filter(|named| !named.method.is_empty());
    let current = named.or_else(|| entry.current());
    let (method, path, id) = current.map_or_else(Default::default, |c| (c.method, c.path, c.id));
    tracing::error!(
        worker = entry.index(),
        pid = std::process::id(),
        method,
        path,
        request_id = id,
        age_ms = scoreboard::now().saturating_sub(lane.since.load(Ordering::Relaxed)) / 1000,
        "the application took longer than the timeout: the Python stacks of all threads follow, then this process ends"
    );
    // faulthandler's handler, which needs no lock; the supervisor logs what it writes.
    sys::send_signal(std::process::id(), stacks::signal());
    std::thread::sleep(DUMP);
}

fn kill(entry: &Own) {
    entry.set_state(State::Hung);
    entry.mark_death(Reason::Timeout, std::process::id(), scoreboard::now());
    sys::send_signal(std::process::id(), libc::SIGABRT);
    std::thread::sleep(LAST_WORDS);
    sys::send_signal(std::process::id(), libc::SIGKILL);
}

/// The end of the connection, after a 504 if nothing of an answer is on its way.
fn answer(seized: &Seized, entry: &Own) {
    let Ok(socket) = super::fds::duplicate(seized.fd) else { return };
    let body = "504 Gateway Timeout\n";
    let text = format!(
        "HTTP/1.1 504 Gateway Timeout\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\nx-monodon-process: {}/{}/{}\r\nx-monodon-killed: timeout\r\n\r\n{body}",
        body.len(),
        entry.index(),
        entry.slots(),
        entry.board().slots(),
    );
    if !seized.answered {
        let flags = rustix::net::SendFlags::DONTWAIT | rustix::net::SendFlags::NOSIGNAL;
        let _ = rustix::net::send(&socket, text.as_bytes(), flags);
    }
    let _ = rustix::net::shutdown(&socket, rustix::net::Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_the_application_or_the_watchdog_answers() {
        let lane = Lane::new(Duration::from_micros(1));
        let deadline = lane.begin(7, false);
        assert!(lane.seize(deadline - 1).is_none());
        assert!(lane.claim());
        let seized = lane.seize(deadline).unwrap();
        assert!(seized.answered);
        assert!(!lane.claim());
        assert!(!lane.end());

        let lane = Lane::new(Duration::from_micros(1));
        let deadline = lane.begin(7, false);
        assert!(!lane.seize(deadline).unwrap().answered);
        assert!(!lane.claim());
    }

    #[test]
    fn a_lane_that_is_idle_or_has_no_limit_is_never_late() {
        let lane = Lane::new(Duration::from_micros(1));
        let deadline = lane.begin(7, false);
        assert!(lane.end());
        assert!(lane.seize(deadline + 1).is_none());
        let lane = Lane::new(Duration::ZERO);
        lane.begin(7, false);
        assert!(lane.seize(u64::MAX).is_none());
    }
}
