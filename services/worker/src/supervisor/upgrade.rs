//! SIGUSR2: a new supervisor, of the program and the packages that are installed now, beside this one and on the same
//! listening sockets. Which of the two goes on is the user's choice, as with gunicorn and nginx: SIGTERM to the old one once
//! the new one serves (or SIGWINCH first, to keep it in reserve), or SIGTERM to the new one if that is no good.
//!
//! They share the sockets through which processes hand connections to each other, so clients notice neither.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::process::Command;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{getpid, getppid};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;

use super::Event;
use super::herd::Herd;
use super::process::End;
use super::zygote::{Order, inheritable};
use super::{background, systemd};
use crate::bind::Bind;

/// What a supervisor tells the one that it starts.
pub const VARIABLE: &str = "MONODON_UPGRADE";

/// Programs that are process 1 of containers, and end when the one that they have started does.
const SMALL_INITS: [&str; 5] = ["tini", "docker-init", "dumb-init", "catatonit", "podman-init"];

#[derive(Debug, Serialize, Deserialize)]
pub struct Passed {
    pub pid: u32,
    pub sockets: Vec<(Bind, RawFd)>,
    /// systemd has opened them.
    pub systemd: bool,
    pub handover: [RawFd; 2],
    /// Written to when the new one serves.
    ready: RawFd,
}

/// What the supervisor before this one has passed on, if there is one.
pub fn passed() -> Result<Option<Passed>, String> {
    let Ok(text) = std::env::var(VARIABLE) else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|error| format!("{VARIABLE}: {error}"))
}

#[derive(Default)]
pub struct Upgrade {
    /// The supervisor that has started this one, while it lives.
    predecessor: Option<u32>,
    /// The pipe to tell it that this one serves.
    ready: Option<OwnedFd>,
    /// The supervisor that this one has started.
    successor: Option<u32>,
}

impl Upgrade {
    pub fn of(passed: &Passed) -> io::Result<Self> {
        let lives = getppid().map(|pid| pid.as_raw_pid() as u32) == Some(passed.pid);
        let ready = crate::sys::take(passed.ready)?;
        Ok(Self { predecessor: Some(passed.pid).filter(|_| lives), ready: Some(ready), successor: None })
    }

    pub fn has_predecessor(&self) -> bool {
        self.predecessor.is_some()
    }

    pub fn has_successor(&self) -> bool {
        self.successor.is_some()
    }

    pub fn successor(&self) -> Option<u32> {
        self.successor
    }

    /// What both use belongs to neither alone.
    pub fn alone(&self) -> bool {
        self.predecessor.is_none() && self.successor.is_none()
    }
}

/// Why the end of this process would be the end of everything, if it would.
fn tied() -> Option<String> {
    if getpid().is_init() {
        return Some("this is process 1, and the container ends with it".to_owned());
    }
    let init = std::fs::read_to_string("/proc/1/comm").unwrap_or_default();
    let child = getppid().is_some_and(rustix::process::Pid::is_init);
    (child && SMALL_INITS.contains(&init.trim()))
        .then(|| format!("{} is process 1 and waits for this one: the container ends with it", init.trim()))
}

impl Herd {
    /// SIGUSR2.
    pub fn upgrade(&mut self) {
        if self.stop.is_some() {
            return tracing::warn!("SIGUSR2 is ignored: the worker is stopping");
        }
        if let Some(pid) = self.upgrade.successor {
            return tracing::warn!("SIGUSR2 is ignored: there is a new supervisor already, process {pid}");
        }
        if let Some(pid) = self.upgrade.predecessor {
            return tracing::warn!("SIGUSR2 is ignored: the supervisor before this one still lives, process {pid}");
        }
        let tied = if self.config.mechanics.daemon { None } else { tied() };
        if let Some(why) = tied {
            return tracing::error!(
                "SIGUSR2 is refused: {why}. Replace the container instead; new code of the application alone comes by \
                 SIGHUP"
            );
        }
        // gunicorn's hook before the new program is executed.
        let hears =
            self.zygotes.iter_mut().find(|zygote| zygote.in_charge && zygote.hooks.iter().any(|one| one == "pre_exec"));
        if hears.is_none_or(|zygote| zygote.order(&Order::PreExec { pre_exec: true }).is_err()) {
            self.start_successor();
        }
    }

    pub(super) fn start_successor(&mut self) {
        if self.stop.is_some() || !self.upgrade.alone() {
            return;
        }
        // What is of this one's processes alone is not for the other.
        let private = [self.shared.board.fd(), self.alive.as_fd()];
        let shared = |yes| private.iter().try_for_each(|fd| inheritable(*fd, yes));
        let started = shared(false).and_then(|()| self.execute());
        let again = shared(true);
        match started.and_then(|pid| again.map(|()| pid)) {
            Ok(pid) => {
                tracing::info!(pid, "a new supervisor is started beside this one");
                self.upgrade.successor = Some(pid);
            }
            Err(error) => tracing::error!("the new supervisor cannot be started: {error}"),
        }
    }

    fn execute(&self) -> io::Result<u32> {
        let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
        let passed = Passed {
            pid: std::process::id(),
            sockets: self.listeners.passed(),
            systemd: self.listeners.systemd,
            handover: [self.handover.0.as_raw_fd(), self.handover.1.as_raw_fd()],
            ready: theirs.as_raw_fd(),
        };
        let Some((program, flags)) = self.start.python.split_first() else {
            return Err(io::Error::other("no Python interpreter is known"));
        };
        let mut command = Command::new(program);
        command.args(flags).args(["-m", "monodon"]).args(&self.start.arguments).current_dir(&self.config.folder);
        for name in systemd::LISTEN.into_iter().chain([background::MARK]) {
            command.env_remove(name);
        }
        command.env(VARIABLE, serde_json::to_string(&passed)?);
        inheritable(theirs.as_fd(), true)?;
        let child = command.spawn()?;
        let pid = child.id();
        let mut pipe = tokio::net::unix::pipe::Receiver::from_owned_fd(ours)?;
        let events = self.events.clone();
        tokio::task::spawn_local(async move {
            if pipe.read_u8().await.is_ok() {
                let _ = events.send(Event::SuccessorServes(pid));
            }
        });
        Ok(pid)
    }

    /// From now on, what this one's processes hold when they leave goes to the new one's.
    pub(super) fn successor_serves(&mut self, pid: u32) {
        if self.upgrade.successor == Some(pid) {
            self.shared.board.set_heir(true);
            tracing::info!(pid, "the new supervisor serves; SIGTERM ends this one");
        }
    }

    /// True if it was the new supervisor that has ended.
    pub(super) fn successor_ended(&mut self, pid: u32, end: End) -> bool {
        let was = self.upgrade.successor == Some(pid);
        if was {
            self.upgrade.successor = None;
            self.shared.board.set_heir(false);
            tracing::warn!(pid, "the new supervisor has ended by {end}; this one goes on");
        }
        was
    }

    pub(super) fn upgrade_step(&mut self) {
        if self.shared.board.serving() > 0
            && let Some(pipe) = self.upgrade.ready.take()
        {
            // Whoever does not listen any more need not know.
            let _ = rustix::io::write(pipe, b"s");
        }
        if self.upgrade.has_predecessor() && getppid().map(|pid| pid.as_raw_pid() as u32) != self.upgrade.predecessor {
            tracing::info!("the supervisor before this one has ended: this one is in its place");
            self.upgrade.predecessor = None;
            self.renew_mechanics();
        }
    }

    /// SIGWINCH: all processes leave, and the supervisor stays, so that SIGHUP can bring them back.
    pub(super) fn stand_down(&mut self) {
        // It is also what a terminal sends when its window changes.
        if !self.config.mechanics.daemon && has_terminal() {
            return tracing::debug!("SIGWINCH is ignored: there is a terminal whose window may have changed");
        }
        tracing::info!("all processes are stopped gracefully; SIGHUP or SIGTTIN starts them again");
        self.wanted = 0;
        self.tell_workers();
    }
}

/// Whether this process's session has one.
fn has_terminal() -> bool {
    use rustix::fs::{Mode, OFlags, open};
    open("/dev/tty", OFlags::RDONLY | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).is_ok()
}
