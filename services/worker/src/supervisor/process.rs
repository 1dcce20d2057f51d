//! One worker process as the supervisor knows it, and how it ended.

use std::cell::Cell;

use super::stacks::Writer;
use crate::scoreboard::{Entry, Reason, State};
use crate::sys;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Forked, imports the application.
    Booting,
    Serving,
    /// Told to leave at this time (monotonic microseconds).
    Leaving(u64),
    /// Being killed, and at this step since.
    Killing {
        since: u64,
        step: Step,
    },
}

/// How a process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It writes its Python stacks.
    Stacks,
    /// SIGABRT: a hook or a handler of the application's may still run.
    Abort,
    /// SIGKILL.
    Kill,
}

#[derive(Debug)]
pub struct Process {
    pub pid: Option<u32>,
    pub generation: u32,
    /// How many were forked before it, and one: gunicorn's `worker.age`.
    pub age: u64,
    /// The zygote that has forked it.
    pub parent: u64,
    pub forked: u64,
    pub phase: Phase,
    /// Why we want it gone, once we do.
    pub reason: Option<Reason>,
    pub stacks: Writer,
    /// SIGKILL came from us.
    pub killed: Cell<bool>,
    /// What it said when it could not import the application.
    pub traceback: Option<String>,
    /// A hook's failure asks for this exit code.
    pub hook: Option<u8>,
    /// What hooks have noted on it before the fork, for the zygote that adopts it.
    pub notes: Option<serde_json::Value>,
}

impl Process {
    pub fn leaving(&self) -> bool {
        matches!(self.phase, Phase::Leaving(_) | Phase::Killing { .. })
    }

    pub fn signal(&self, signal: i32) {
        if let Some(pid) = self.pid {
            self.killed.set(self.killed.get() || signal == libc::SIGKILL);
            sys::send_signal(pid, signal);
        }
    }
}

/// How a process ended, from its wait status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Code(i32),
    Signal(i32),
    /// Reaped by somebody else: nobody knows.
    Unknown,
}

impl End {
    pub fn of(status: i32) -> Self {
        if libc::WIFEXITED(status) {
            End::Code(libc::WEXITSTATUS(status))
        } else if libc::WIFSIGNALED(status) {
            End::Signal(libc::WTERMSIG(status))
        } else {
            End::Unknown
        }
    }

    /// Why it is gone, when we did not ask for it.
    pub fn reason(self) -> Reason {
        match self {
            End::Signal(_) => Reason::Signal,
            End::Code(_) | End::Unknown => Reason::Crash,
        }
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            End::Code(code) => write!(f, "exit code {code}"),
            End::Signal(signal) => f.write_str(&sys::signal_name(*signal)),
            End::Unknown => f.write_str("unknown"),
        }
    }
}

/// Whether the process is past the time of its request, or has given no sign of life for as long although it has none
/// (a thread of the application's may hold Python's lock for ever). Its own watchdog had a second to act, and once it
/// does, it has the time that a handler of SIGABRT may take.
pub fn hung(entry: &Entry, timeout: u64, now: u64) -> bool {
    const SECOND: u64 = 1_000_000;
    let state = entry.state();
    let head_start = if state == State::Hung { 4 * SECOND } else { SECOND };
    let (deadline, heartbeat) = (entry.deadline(), entry.heartbeat());
    let late = deadline > 0 && now > deadline + head_start;
    let silent = timeout > 0 && deadline == 0 && entry.in_flight() == 0 && heartbeat > 0;
    state != State::Starting && (late || silent && now > heartbeat + timeout + head_start)
}

/// What the process was working on when it ended, for the log.
pub fn in_hand(entry: &Entry) -> Option<String> {
    let start = entry.request_start();
    let current = entry.current().filter(|_| start > 0)?;
    let age = crate::scoreboard::now().saturating_sub(start) / 1000;
    let id = if current.id.is_empty() { String::new() } else { format!(" (request_id {})", current.id) };
    Some(format!("{} {} for {age} ms{id}", current.method, current.path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scoreboard::Scoreboard;

    #[test]
    fn a_process_is_hung_past_its_deadline_or_without_a_sign_of_life() {
        const SECOND: u64 = 1_000_000;
        let board = Scoreboard::create(1).unwrap();
        let entry = board.entry(0).unwrap();
        entry.begin(1, 1, 0);
        assert!(!hung(entry, SECOND, 100 * SECOND), "it boots: that is for boot_timeout");
        entry.set_ready(1, 10 * SECOND);
        assert!(!hung(entry, SECOND, 12 * SECOND));
        assert!(hung(entry, SECOND, 12 * SECOND + 1));
        assert!(!hung(entry, 0, 100 * SECOND), "no limit");
        entry.set_in_flight(1);
        entry.set_deadline(20 * SECOND);
        assert!(!hung(entry, SECOND, 21 * SECOND));
        assert!(hung(entry, SECOND, 21 * SECOND + 1));
    }

    #[test]
    fn ends_are_told_by_name() {
        assert_eq!(End::of(3 << 8).to_string(), "exit code 3");
        assert_eq!(End::of(libc::SIGSEGV).to_string(), "SIGSEGV");
        assert_eq!(End::Signal(libc::SIGKILL).reason(), Reason::Signal);
        assert_eq!(End::Code(0).reason(), Reason::Crash);
    }
}
