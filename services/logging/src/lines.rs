//! Lines to a file or stdout that never make their writer wait: a bounded queue, one thread that writes, a counter of
//! what was lost.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::syslog::{Address, Sender};

/// Messages (lines, or batches of lines) and bytes that may wait.
const QUEUE: usize = 4096;
const QUEUE_BYTES: usize = 4 << 20;
/// As much as a pipe takes in one piece, so that the lines of several processes or threads on one stdout stay whole.
const PIPE: usize = 4096;
const GATHER: usize = 64 << 10;
/// The writer's rest after each write: a busy server then wakes it some hundred times a second, not once a line.
const REST: Duration = Duration::from_millis(2);

enum Message {
    Lines(Vec<u8>),
    Flush(SyncSender<()>),
    /// Look at the flags.
    Wake,
}

/// A cheap handle; the clones share queue and thread. The thread ends, with all written, when the last is dropped.
#[derive(Clone, Debug)]
pub struct Lines {
    inner: Option<Inner>,
}

#[derive(Clone, Debug)]
struct Inner {
    queue: SyncSender<Message>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    lost: AtomicU64,
    waiting: AtomicUsize,
    reopen: AtomicBool,
    /// Why the last lines could not be written.
    problem: Mutex<Option<String>>,
}

enum Target {
    Stdout,
    Stderr,
    Path(PathBuf),
    Syslog(Address),
}

/// Where the writer writes.
enum Sink {
    File { file: File, pipe: bool },
    Syslog(Sender),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stdout => f.write_str("stdout"),
            Self::Stderr => f.write_str("stderr"),
            Self::Path(path) => path.display().fmt(f),
            Self::Syslog(_) => f.write_str("syslog"),
        }
    }
}

impl Target {
    fn open(&self) -> io::Result<Sink> {
        let file = match self {
            Target::Stdout => File::from(io::stdout().as_fd().try_clone_to_owned()?),
            Target::Stderr => File::from(io::stderr().as_fd().try_clone_to_owned()?),
            Target::Path(path) => OpenOptions::new().create(true).append(true).open(path)?,
            Target::Syslog(address) => return Ok(Sink::Syslog(Sender::new(address.clone()))),
        };
        Ok(Sink::File { pipe: is_pipe(&file), file })
    }
}

impl Lines {
    /// `stdout` (or gunicorn's `-`), `stderr`, `off` (or empty), or a path that is appended to.
    pub fn open(target: &str) -> io::Result<Lines> {
        match target {
            "off" | "" => Ok(Lines { inner: None }),
            "stdout" | "-" => Lines::start(Target::Stdout),
            "stderr" => Lines::start(Target::Stderr),
            path => Lines::start(Target::Path(path.into())),
        }
    }

    /// Each line is a message of its own; nobody has to listen yet.
    pub fn syslog(address: Address) -> io::Result<Lines> {
        Lines::start(Target::Syslog(address))
    }

    /// Stdout, or nothing where there is none.
    pub(crate) fn stdout() -> Lines {
        Lines::start(Target::Stdout).unwrap_or(Lines { inner: None })
    }

    fn start(target: Target) -> io::Result<Lines> {
        let sink = target.open()?;
        let (queue, messages) = sync_channel(QUEUE);
        let shared = Arc::new(Shared::default());
        let writer = Writer { target, sink, shared: shared.clone() };
        std::thread::Builder::new().name("log".into()).spawn(move || writer.run(&messages))?;
        Ok(Lines { inner: Some(Inner { queue, shared }) })
    }

    /// Is anything written at all? Callers spare themselves the line if not.
    pub fn is_on(&self) -> bool {
        self.inner.is_some()
    }

    /// One line or a batch of whole lines, each with its `\n`. Never waits: what does not fit in the queue is counted.
    pub fn write(&self, lines: impl Into<Vec<u8>>) {
        let Some(inner) = &self.inner else { return };
        let lines = lines.into();
        let size = lines.len();
        if inner.shared.waiting.fetch_add(size, Ordering::Relaxed) + size > QUEUE_BYTES {
            inner.shared.waiting.fetch_sub(size, Ordering::Relaxed);
            inner.shared.lose(&lines);
            return;
        }
        let refused = inner.queue.try_send(Message::Lines(lines));
        if let Err(TrySendError::Full(refused) | TrySendError::Disconnected(refused)) = refused {
            inner.shared.waiting.fetch_sub(size, Ordering::Relaxed);
            if let Message::Lines(lines) = refused {
                inner.shared.lose(&lines);
            }
        }
    }

    /// Lines that were not written.
    pub fn lost(&self) -> u64 {
        self.inner.as_ref().map_or(0, |inner| inner.shared.lost.load(Ordering::Relaxed))
    }

    /// Why lines are lost now: a full disk, say.
    pub fn problem(&self) -> Option<String> {
        self.inner.as_ref()?.shared.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// After a rotation: opens the path anew. The old file stays in use if that fails.
    pub fn reopen(&self) {
        if let Some(inner) = &self.inner {
            inner.shared.reopen.store(true, Ordering::Release);
            let _ = inner.queue.try_send(Message::Wake);
        }
    }

    /// Waits until what is queued now is written, at most for `patience`. `false`: it was not.
    pub fn flush(&self, patience: Duration) -> bool {
        let Some(inner) = &self.inner else { return true };
        let (done, wait) = sync_channel(1);
        // A full queue means a blocked stdout: nothing would be gained by waiting for room.
        inner.queue.try_send(Message::Flush(done)).is_ok() && wait.recv_timeout(patience).is_ok()
    }
}

impl Shared {
    fn lose(&self, lines: &[u8]) {
        let count = lines.iter().filter(|byte| **byte == b'\n').count().max(1);
        self.lost.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// How the last attempt went; told once when that changes.
    fn note(&self, target: &Target, result: &io::Result<()>) {
        let mut problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(()) if problem.is_none() => {}
            Ok(()) => {
                *problem = None;
                let lost = self.lost.load(Ordering::Relaxed);
                tracing::info!(lines_lost = lost, "{target} can be written again");
            }
            Err(error) => {
                let text = format!("{target} cannot be written: {error}");
                if problem.is_none() {
                    tracing::warn!("{text}; its lines are lost, and counted");
                }
                *problem = Some(text);
            }
        }
    }
}

struct Writer {
    target: Target,
    sink: Sink,
    shared: Arc<Shared>,
}

impl Writer {
    fn run(mut self, messages: &Receiver<Message>) {
        let mut batch = Vec::with_capacity(GATHER);
        let mut flushes = Vec::new();
        while let Ok(first) = messages.recv() {
            let mut next = Some(first);
            while let Some(message) = next {
                match message {
                    Message::Lines(lines) => batch.extend_from_slice(&lines),
                    Message::Flush(done) => flushes.push(done),
                    Message::Wake => {}
                }
                next = if batch.len() < GATHER { messages.try_recv().ok() } else { None };
            }
            if self.shared.reopen.swap(false, Ordering::AcqRel) {
                self.reopen();
            }
            self.write(&batch);
            self.shared.waiting.fetch_sub(batch.len(), Ordering::Relaxed);
            batch.clear();
            if flushes.is_empty() {
                std::thread::sleep(REST);
            }
            for done in flushes.drain(..) {
                let _ = done.try_send(());
            }
        }
    }

    fn reopen(&mut self) {
        match self.target.open() {
            Ok(sink) => self.sink = sink,
            Err(error) => eprintln!("the log cannot be opened anew, the old file stays in use: {error}"),
        }
    }

    fn write(&mut self, mut batch: &[u8]) {
        let (file, pipe) = match &mut self.sink {
            Sink::File { file, pipe } => (file, *pipe),
            Sink::Syslog(sender) => {
                let lines = batch.split_inclusive(|byte| *byte == b'\n');
                lines.filter(|line| !sender.send(line)).for_each(|line| self.shared.lose(line));
                return;
            }
        };
        while !batch.is_empty() {
            let size = if pipe { whole_lines(batch, PIPE) } else { batch.len() };
            let (piece, rest) = batch.split_at(size);
            let result = write_all(file, piece);
            if result.is_err() {
                self.shared.lose(piece);
            }
            self.shared.note(&self.target, &result);
            batch = rest;
        }
    }
}

/// `write_all` that also waits where stdout was made non-blocking by somebody it is shared with.
fn write_all(file: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(REST),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The longest run of whole lines within `most` bytes; a line that is longer than that goes alone.
pub(crate) fn whole_lines(batch: &[u8], most: usize) -> usize {
    if batch.len() <= most {
        return batch.len();
    }
    let newline = |byte: &u8| *byte == b'\n';
    let (head, tail) = batch.split_at(most);
    match head.iter().rposition(newline) {
        Some(at) => at + 1,
        None => tail.iter().position(newline).map_or(batch.len(), |at| most + at + 1),
    }
}

fn is_pipe(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo() || metadata.file_type().is_socket())
}
