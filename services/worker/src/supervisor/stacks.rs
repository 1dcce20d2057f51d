//! Python stacks: where the threads of a process are.
//!
//! A signal of our own ([`SIGNAL`]) makes `faulthandler` write them, whatever the process is doing, be it in C; each process
//! and each zygote writes into a pipe of its own, which is read here. Nothing marks the end of what it writes: it is over
//! when nothing more has come for a moment. Stacks that somebody asked for (`monodon-worker dump`) go to them, all others
//! to the log.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::sync::{mpsc::UnboundedSender, oneshot};

use super::Event;
use super::herd::Herd;
use super::process::in_hand;
use crate::scoreboard::{Reason, now};

/// Real-time signals are not used by applications, as SIGUSR1 and SIGUSR2 are.
pub fn signal() -> i32 {
    libc::SIGRTMIN() + 6
}

/// What faulthandler gets to write, in microseconds, before the process is told to end.
pub const TIME: u64 = 300_000;
/// Who asks waits longer: the machine may be busy.
const PATIENCE: u64 = 3_000_000;
const QUIET: Duration = Duration::from_millis(100);
/// More than faulthandler's hundred threads with a hundred frames each.
const MOST: usize = 1 << 20;

/// Who writes: the number of a pipe, never used twice.
pub type Writer = u64;

/// Somebody waits for the stacks of one process.
pub struct Dump {
    writer: Writer,
    pid: u32,
    until: u64,
    waiter: oneshot::Sender<Result<String, String>>,
}

/// The end that a process writes to; what it writes comes as events.
pub fn listen(writer: Writer, name: String, events: &UnboundedSender<Event>) -> io::Result<OwnedFd> {
    use rustix::pipe::{PipeFlags, pipe_with};
    // A signal handler must never wait for us.
    let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let mut pipe = tokio::net::unix::pipe::Receiver::from_owned_fd(ours)?;
    let events = events.clone();
    tokio::task::spawn_local(async move {
        let mut stacks = Vec::new();
        loop {
            let limit = if stacks.is_empty() { Duration::MAX } else { QUIET };
            match tokio::time::timeout(limit, pipe.read_buf(&mut stacks)).await {
                Ok(Ok(more)) if more > 0 && stacks.len() < MOST => {}
                ended => {
                    let text = String::from_utf8_lossy(&stacks).trim_end().to_owned();
                    let told = || events.send(Event::Stacks { writer, name: name.clone(), text: text.clone() });
                    if !text.is_empty() && told().is_err() {
                        return;
                    }
                    stacks.clear();
                    if matches!(ended, Ok(Ok(0) | Err(_))) {
                        return;
                    }
                }
            }
        }
    });
    Ok(theirs)
}

impl Herd {
    /// For `dump PID`: the answer comes when the stacks are there, or the process has not answered.
    pub fn dump(&mut self, pid: u32, waiter: oneshot::Sender<Result<String, String>>) {
        let process = self.processes.values().find(|process| process.pid == Some(pid));
        let zygote = self.zygotes.iter().find(|zygote| zygote.pid == pid);
        let Some(writer) = process.map(|one| one.stacks).or(zygote.map(|one| one.stacks)) else {
            let _ = waiter.send(Err(format!("no process of this worker has the number {pid}")));
            return;
        };
        crate::sys::send_signal(pid, signal());
        self.dumps.push(Dump { writer, pid, until: now() + PATIENCE, waiter });
    }

    /// Stacks have come.
    pub fn stacks(&mut self, writer: Writer, name: &str, text: &str) {
        let (wanted, others) = std::mem::take(&mut self.dumps).into_iter().partition(|dump| dump.writer == writer);
        self.dumps = others;
        let asked: Vec<Dump> = wanted;
        let heading = self.heading(writer).unwrap_or_else(|| name.to_owned());
        if !asked.is_empty() {
            for dump in asked {
                let _ = dump.waiter.send(Ok(format!("{heading}\n{text}\n")));
            }
            return;
        }
        if let Some(process) = self.processes.values_mut().find(|process| process.stacks == writer) {
            if process.reason == Some(Reason::BootError) {
                let words = process.traceback.take().unwrap_or_default();
                process.traceback = Some(format!("{text}\n{words}; above is where it was"));
                return;
            }
        } else if let Some(zygote) = self.zygotes.iter_mut().find(|zygote| zygote.stacks == writer)
            && let Some(words) = &mut zygote.late
        {
            *words = format!("{text}\n{words}; above is where it was");
            return;
        }
        tracing::error!("the Python stacks of {heading}\n{text}");
    }

    fn heading(&self, writer: Writer) -> Option<String> {
        if let Some((index, process)) = self.processes.iter().find(|(_, process)| process.stacks == writer) {
            let entry = self.shared.board.entry(*index);
            let doing = entry.and_then(in_hand).map_or_else(String::new, |words| format!(", {words}"));
            let state = entry.map_or("", |entry| entry.state().name());
            return Some(format!("process {} (worker {index}, {state}{doing})", process.pid.unwrap_or(0)));
        }
        let zygote = self.zygotes.iter().find(|zygote| zygote.stacks == writer)?;
        Some(format!("process {} (the zygote of generation {})", zygote.pid, zygote.generation))
    }

    /// Whoever asked is told that a process does not answer, and what the kernel knows of it.
    pub fn watch_dumps(&mut self, now: u64) {
        let (late, others) = std::mem::take(&mut self.dumps).into_iter().partition(|dump| now > dump.until);
        self.dumps = others;
        let late: Vec<Dump> = late;
        for dump in late {
            let state = kernel_state(dump.pid).unwrap_or_else(|| "it has ended".to_owned());
            let _ = dump.waiter.send(Err(format!("process {} has written nothing: {state}", dump.pid)));
        }
    }
}

/// `T (stopped)`, as the kernel names it.
fn kernel_state(pid: u32) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let state = status.lines().find_map(|line| line.strip_prefix("State:"))?.trim();
    Some(format!("its state is {state}"))
}
