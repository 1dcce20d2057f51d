//! The zygote as the supervisor sees it: started with what the workers inherit, told by packets of JSON what to do.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;

use rustix::io::FdFlags;
use rustix::net::{AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType};
use serde::{Deserialize, Serialize};
use tokio::net::UnixDatagram;

use super::Start;
use super::stacks::Writer;
use super::{background, systemd, upgrade};
use crate::config::Config;

/// What every process inherits.
pub struct Inherited<'a> {
    pub listeners: Vec<RawFd>,
    pub handover: [BorrowedFd<'a>; 2],
    pub scoreboard: BorrowedFd<'a>,
    pub alive: BorrowedFd<'a>,
    /// Where the zygote writes its Python stacks.
    pub stacks: BorrowedFd<'a>,
    pub app_metrics: Option<AppMetricsNames>,
}

/// How processes call their files of prometheus_client's.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AppMetricsNames {
    pub folder: PathBuf,
    /// The zygote's own, `z0`.
    pub zygote: String,
    /// What comes behind a worker's `w3`.
    pub tag: String,
}

/// The first packet; the zygote passes it on to each worker (see `child.rs`).
#[derive(Debug, Serialize, Deserialize)]
pub struct Setup {
    pub config: Config,
    pub listeners: Vec<RawFd>,
    /// Receiving end, sending end.
    pub handover: [RawFd; 2],
    pub scoreboard: RawFd,
    /// Closed by the kernel when the supervisor is gone.
    pub alive: RawFd,
    pub supervisor: u32,
    pub graceful_seconds: u32,
    /// Told by this signal, it writes its Python stacks to this pipe (see `stacks`).
    pub stacks_signal: i32,
    pub stacks: RawFd,
    /// Processes wanted, and how many there were before a reload.
    pub workers: usize,
    pub workers_before: Option<usize>,
    /// Whether it is there because of a reload.
    pub reload: bool,
    /// Whether it is the first, so that `when_ready` is called at once; another one is told when.
    pub first: bool,
    /// What the application finds in `sys.argv`.
    pub argv: Vec<String>,
    pub app_metrics: Option<AppMetricsNames>,
}

/// What the zygote and its children say.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Message {
    /// It can fork now.
    Up {
        #[allow(dead_code, reason = "its presence is the message")]
        up: bool,
        threads: Vec<String>,
        /// The interpreter: `3.13.1`, and whether it is free-threaded.
        python: String,
        /// gunicorn's hooks that the configuration has.
        hooks: Vec<String>,
    },
    /// The application cannot be imported (`--preload`), or a hook has failed.
    Failed {
        failed: String,
        /// The exit code that a hook's failure asks for.
        hook: Option<u8>,
    },
    /// The application keeps its metrics in a folder of its own.
    AppMetrics {
        app_metrics: PathBuf,
    },
    ForkFailed {
        fork_failed: usize,
        error: String,
        hook: Option<u8>,
    },
    BootFailed {
        boot_failed: usize,
        pid: u32,
        traceback: String,
        hook: Option<u8>,
    },
    /// `when_ready` has been called after a reload.
    TookOver {
        #[allow(dead_code, reason = "its presence is the message")]
        took_over: bool,
    },
    /// A hook wants another number of processes.
    Scale {
        scale: usize,
    },
    /// Somebody takes the zygote for gunicorn's master.
    Signal {
        signal: i32,
    },
    /// With `--reload`: files of imported modules.
    Files {
        files: Vec<PathBuf>,
    },
    /// With `--reload`: the application cannot be imported, and the traceback is served instead.
    Broken {
        broken: String,
    },
    /// `pre_exec` has been called; false if it has failed.
    PreExecuted {
        pre_executed: bool,
    },
    Forked {
        forked: usize,
        pid: u32,
        notes: Option<serde_json::Value>,
    },
    Exited {
        exited: u32,
        entry: usize,
        status: i32,
        /// The most resident memory it had.
        peak_kb: u64,
    },
}

#[derive(Serialize)]
#[serde(untagged)]
pub enum Order {
    Fork {
        fork: usize,
        generation: u32,
        age: u64,
    },
    /// So many processes are wanted now.
    Workers {
        workers: usize,
    },
    /// Processes of a zygote that is gone.
    Adopt {
        adopt: Vec<Adopted>,
    },
    /// The zygote before it is gone, and nobody holds what its hooks have opened: `when_ready`.
    TakeOver {
        take_over: bool,
    },
    /// A process that was adopted has ended.
    Reaped {
        reaped: Adopted,
    },
    /// Its log files are to be opened anew, for processes that it forks later.
    Reopen {
        reopen: bool,
    },
    /// A new supervisor is about to be executed: `pre_exec`.
    PreExec {
        pre_exec: bool,
    },
    /// The listening sockets are closed.
    Close {
        close: bool,
    },
    /// It ends: true because the worker does, false because another zygote is there.
    End {
        end: bool,
    },
}

/// A process whose zygote is gone.
#[derive(Debug, Serialize)]
pub struct Adopted {
    pub pid: u32,
    pub age: u64,
    /// What hooks have noted on it before the fork; none if that cannot be carried from one process to another.
    pub notes: Option<serde_json::Value>,
}

/// What a zygote is started for.
#[derive(Debug, Clone, Copy)]
pub struct Role {
    /// See [`Zygote::place`].
    pub place: usize,
    pub generation: u32,
    pub workers: usize,
    pub workers_before: Option<usize>,
    pub reload: bool,
    pub first: bool,
}

pub struct Zygote {
    pub id: u64,
    pub generation: u32,
    pub pid: u32,
    /// Among the zygotes that live, as the entry is a worker's.
    pub place: usize,
    pub up: bool,
    pub hooks: Vec<String>,
    /// How many processes are wanted, as far as it knows.
    pub workers: usize,
    /// No other zygote stands before it: it hears of all processes.
    pub in_charge: bool,
    /// `when_ready` has been called, or is being.
    pub greeted: bool,
    /// It is in a hook: it forks later.
    pub taking_over: bool,
    /// Told to end.
    pub ending: bool,
    pub started: u64,
    /// Why it is killed, if it is, and when that was decided.
    pub late: Option<String>,
    pub late_at: u64,
    pub stacks: Writer,
    /// SOCK_SEQPACKET: packets as a datagram's, and an end as a stream's. The standard library's type for datagrams
    /// makes the same system calls.
    channel: Rc<UnixDatagram>,
}

impl Zygote {
    pub fn start(
        id: u64,
        role: Role,
        writer: Writer,
        config: &Arc<Config>,
        start: &Start,
        inherited: &Inherited<'_>,
    ) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        let setup = Setup {
            config: config.as_ref().clone(),
            listeners: inherited.listeners.clone(),
            handover: inherited.handover.map(|fd| fd.as_raw_fd()),
            scoreboard: inherited.scoreboard.as_raw_fd(),
            alive: inherited.alive.as_raw_fd(),
            supervisor: std::process::id(),
            stacks_signal: super::stacks::signal(),
            stacks: inherited.stacks.as_raw_fd(),
            graceful_seconds: u32::try_from(config.graceful_timeout.as_secs()).unwrap_or(u32::MAX).max(1),
            workers: role.workers,
            workers_before: role.workers_before,
            reload: role.reload,
            first: role.first,
            argv: vec!["monodon-worker".to_owned(), config.app.clone()],
            app_metrics: inherited.app_metrics.clone(),
        };
        let Some((program, flags)) = start.python.split_first() else {
            return Err(io::Error::other("no Python interpreter is known"));
        };
        let mut command = Command::new(program);
        command.args(flags).args(["-m", "monodon.zygote"]).arg(theirs.as_raw_fd().to_string()).arg(crate::title::ROOM);
        if let Some(owner) = &config.mechanics.owner {
            crate::users::run_as(&mut command, owner);
        }
        // They were for the supervisor.
        for name in systemd::LISTEN.into_iter().chain([background::MARK, upgrade::VARIABLE]) {
            command.env_remove(name);
        }
        command.envs(start.exports.iter().map(|(name, value)| (name, value)));
        if let Some(names) = &inherited.app_metrics {
            command.env(crate::app_metrics::VARIABLE, &names.folder);
        }
        if let Some(folder) = &config.chdir {
            command.current_dir(folder);
        }
        // This process starts nothing else, so what is inheritable for a moment is inherited by the zygote alone.
        inheritable(theirs.as_fd(), true)?;
        inheritable(inherited.stacks, true)?;
        let child = command.spawn()?;
        inheritable(theirs.as_fd(), false)?;
        drop(theirs);
        let zygote = Self {
            id,
            generation: role.generation,
            pid: child.id(),
            place: role.place,
            up: false,
            hooks: Vec::new(),
            workers: role.workers,
            in_charge: false,
            greeted: role.first,
            taking_over: false,
            ending: false,
            started: crate::scoreboard::now(),
            late: None,
            late_at: 0,
            stacks: writer,
            channel: Rc::new(UnixDatagram::from_std(ours.into())?),
        };
        zygote.send(&serde_json::to_vec(&setup)?)?;
        Ok(zygote)
    }

    /// The new process writes its Python stacks to the pipe, which goes along.
    pub fn fork(&self, entry: usize, age: u64, stacks: BorrowedFd<'_>) -> io::Result<()> {
        let order = serde_json::to_vec(&Order::Fork { fork: entry, generation: self.generation, age })?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = [stacks];
        control.push(SendAncillaryMessage::ScmRights(&fds));
        rustix::net::sendmsg(self.channel.as_ref(), &[io::IoSlice::new(&order)], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    pub fn order(&self, order: &Order) -> io::Result<()> {
        self.send(&serde_json::to_vec(order)?)
    }

    /// The same for what one that is gone already need not be told.
    pub fn tell(&self, order: &Order) {
        let _ = self.order(order);
    }

    /// True because the worker ends, false because another zygote is there.
    pub fn end(&mut self, worker: bool) {
        self.ending = true;
        if self.up {
            self.tell(&Order::End { end: worker });
        } else {
            // It is importing, and hears nothing.
            self.signal(libc::SIGKILL);
        }
    }

    /// Its log files, for processes that it forks later.
    pub fn reopen(&self) {
        if let Ok(order) = serde_json::to_vec(&Order::Reopen { reopen: true }) {
            let _ = self.send(&order);
        }
    }

    pub fn signal(&self, signal: i32) {
        crate::sys::send_signal(self.pid, signal);
    }

    fn send(&self, packet: &[u8]) -> io::Result<()> {
        rustix::net::send(self.channel.as_ref(), packet, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    pub fn ear(&self) -> Ear {
        Ear(self.channel.clone())
    }
}

/// Hears the zygote and the children it has forked.
pub struct Ear(Rc<UnixDatagram>);

impl Ear {
    /// None when everybody at the other end is gone.
    pub async fn hear(&self) -> Option<Message> {
        let mut packet = vec![0; 256 << 10];
        loop {
            match self.0.recv(&mut packet).await {
                Ok(length) if length > 0 => match serde_json::from_slice(packet.get(..length)?) {
                    Ok(message) => return Some(message),
                    Err(error) => tracing::error!("a message of the zygote cannot be read: {error}"),
                },
                _ => return None,
            }
        }
    }
}

/// Whether a descriptor is inherited by what is executed.
pub fn inheritable(fd: BorrowedFd<'_>, yes: bool) -> io::Result<()> {
    Ok(rustix::io::fcntl_setfd(fd, if yes { FdFlags::empty() } else { FdFlags::CLOEXEC })?)
}
