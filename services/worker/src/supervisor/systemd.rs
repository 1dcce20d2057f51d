//! What systemd and a service tell each other: sockets that it has opened (sd_listen_fds(3)), and how the service is
//! (sd_notify(3), `Type=notify` or `notify-reload`, `WatchdogSec=`). Other supervisors of services speak it, too.

use std::os::fd::RawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use super::herd::Herd;
use super::process::Phase;
use crate::scoreboard::now;

/// For the process that systemd has started, and nobody below it.
pub const LISTEN: [&str; 3] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// The first descriptor that is passed.
const FIRST: RawFd = 3;

/// The sockets that were passed to this process.
pub fn listen_fds() -> Result<Vec<RawFd>, String> {
    let variable = |name: &str| std::env::var(name).ok();
    passed(std::process::id(), variable("LISTEN_PID").as_deref(), variable("LISTEN_FDS").as_deref())
}

fn passed(own: u32, pid: Option<&str>, count: Option<&str>) -> Result<Vec<RawFd>, String> {
    let (Some(pid), Some(count)) = (pid, count) else { return Ok(Vec::new()) };
    // Meant for another process, which has started this one.
    if pid.parse() != Ok(own) {
        return Ok(Vec::new());
    }
    match count.parse() {
        Ok(count @ 0..=1024) => Ok((FIRST..FIRST + count).collect()),
        _ => Err(format!("LISTEN_FDS: expected a number of sockets, got {count:?}")),
    }
}

/// The state that was told last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Starting,
    Ready,
    Reloading,
    Stopping,
}

/// Tells how the service is, where somebody wants to know.
pub struct Notifier {
    to: Option<(UnixDatagram, SocketAddr)>,
    state: State,
    /// What `systemctl status` shows.
    status: String,
    /// Half the time, in microseconds, after which systemd takes us for hung, and when we have given the last sign of life.
    watchdog: Option<(u64, u64)>,
}

impl Notifier {
    /// `predecessor`: this supervisor takes the place of that one, whose variables it has.
    pub fn new(predecessor: Option<u32>) -> Self {
        let variable = |name: &str| std::env::var(name).ok();
        let to = variable("NOTIFY_SOCKET").as_deref().and_then(address).and_then(|address| {
            let socket = UnixDatagram::unbound().ok()?;
            socket.set_nonblocking(true).ok()?;
            Some((socket, address))
        });
        let meant = variable("WATCHDOG_PID").and_then(|pid| pid.parse::<u32>().ok());
        let ours = meant.is_none_or(|pid| pid == std::process::id() || Some(pid) == predecessor);
        let limit = variable("WATCHDOG_USEC").and_then(|limit| limit.parse::<u64>().ok()).filter(|limit| *limit > 0);
        let watchdog = limit.filter(|_| ours && to.is_some()).map(|limit| (limit / 2, 0));
        Self { to, state: State::Starting, status: String::new(), watchdog }
    }

    fn tell(&self, words: &str) {
        if let Some((socket, address)) = &self.to {
            // Nobody who listens is no reason to stop.
            let _ = socket.send_to_addr(words.as_bytes(), address);
        }
    }

    /// The longest pause between two looks at [`Herd::notify`], in microseconds.
    pub fn longest_pause(&self) -> Option<u64> {
        self.watchdog.map(|(pause, _)| pause / 2)
    }
}

fn address(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name).ok(),
        None => SocketAddr::from_pathname(text).ok(),
    }
}

impl Herd {
    /// Tells what has changed since the last time.
    pub(super) fn notify(&mut self) {
        // While the supervisor before this one lives, it is the service.
        if self.notifier.to.is_none() || self.upgrade.has_predecessor() {
            return;
        }
        let serving = self.processes.values().filter(|process| process.phase == Phase::Serving).count();
        let state = match self.notifier.state {
            _ if self.stop.is_some() => State::Stopping,
            State::Starting if serving == 0 => State::Starting,
            _ if self.reload.is_some() => State::Reloading,
            _ => State::Ready,
        };
        let mut words = Vec::new();
        if state != self.notifier.state {
            match (state, self.upgrade.successor()) {
                (State::Starting, _) => {}
                (State::Ready, _) => words.push(format!("READY=1\nMAINPID={}", std::process::id())),
                // The monotonic clock, by which systemd knows that the READY=1 to come is this reload's.
                (State::Reloading, _) => words.push(format!("RELOADING=1\nMONOTONIC_USEC={}", now())),
                // The service goes on without this process.
                (State::Stopping, Some(pid)) => words.push(format!("MAINPID={pid}")),
                (State::Stopping, None) => words.push("STOPPING=1".to_owned()),
            }
            self.notifier.state = state;
        }
        let status = match state {
            State::Stopping => "stopping".to_owned(),
            State::Starting => "the application is being imported".to_owned(),
            State::Reloading => format!("reloading, {serving} processes serve"),
            State::Ready => format!("{serving} of {} processes serve", self.wanted),
        };
        if status != self.notifier.status {
            words.push(format!("STATUS={status}"));
            self.notifier.status = status;
        }
        let time = now();
        if let Some((pause, last)) = &mut self.notifier.watchdog
            && time.saturating_sub(*last) >= *pause / 2
        {
            *last = time;
            words.push("WATCHDOG=1".to_owned());
        }
        if !words.is_empty() {
            self.notifier.tell(&words.join("\n"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::passed;

    #[test]
    fn sockets_are_taken_by_the_process_that_is_named() {
        assert_eq!(passed(7, Some("7"), Some("2")), Ok(vec![3, 4]));
        assert_eq!(passed(7, Some("8"), Some("2")), Ok(vec![]));
        assert_eq!(passed(7, None, Some("2")), Ok(vec![]));
        assert_eq!(passed(7, Some("7"), None), Ok(vec![]));
        assert!(passed(7, Some("7"), Some("many")).is_err());
        assert!(passed(7, Some("7"), Some("-1")).is_err());
    }
}
