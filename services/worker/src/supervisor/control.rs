//! The control socket (unix, mode 0600): what changes state goes through it, never through the admin port. One line in,
//! one answer out: `status`, or `status pss`; `reload`, which answers when it is done; `dump PID`, which answers with Python stacks.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc::UnboundedSender, oneshot};

use super::Event;
use super::status::Status;

pub enum Command {
    /// With each process's proportional share of memory, if asked for: that takes milliseconds for each.
    Status(bool, oneshot::Sender<Status>),
    Reload(oneshot::Sender<Result<String, String>>),
    /// The Python stacks of the process with this number.
    Dump(u32, oneshot::Sender<Result<String, String>>),
}

/// Ends the listening and removes the socket when it is dropped.
pub struct Socket {
    path: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Without it the worker serves all the same.
pub fn listen(path: &Path, events: UnboundedSender<Event>) -> io::Result<Socket> {
    let listener = bind(path)?;
    let task = tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let events = events.clone();
            tokio::task::spawn_local(async move {
                // Whoever asked and left does not matter.
                let _ = talk(stream, &events).await;
            });
        }
    });
    Ok(Socket { path: path.to_owned(), task })
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::Error::from(io::ErrorKind::AddrInUse));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Made under a mask, so that it is never open to others, not even for a moment.
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(path);
    rustix::process::umask(before);
    let listener = listener?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn talk(stream: UnixStream, events: &UnboundedSender<Event>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    tokio::io::AsyncReadExt::take(&mut stream, 256).read_line(&mut line).await?;
    let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
    let answer = match line.trim() {
        line @ ("status" | "status pss") => {
            let (waiter, answer) = oneshot::channel();
            events.send(Command::Status(line == "status pss", waiter).into()).map_err(|_| gone())?;
            serde_json::to_string(&answer.await.map_err(|_| gone())?)?
        }
        "reload" => {
            let (waiter, answer) = oneshot::channel();
            events.send(Command::Reload(waiter).into()).map_err(|_| gone())?;
            match answer.await.map_err(|_| gone())? {
                Ok(words) => format!("ok {words}"),
                Err(words) => format!("failed {words}"),
            }
        }
        line if line.starts_with("dump ") => {
            let Some(pid) = line.strip_prefix("dump ").and_then(|pid| pid.trim().parse().ok()) else {
                return answer_with(stream, "failed expected the number of a process").await;
            };
            let (waiter, answer) = oneshot::channel();
            events.send(Command::Dump(pid, waiter).into()).map_err(|_| gone())?;
            match answer.await.map_err(|_| gone())? {
                Ok(words) => format!("ok {words}"),
                Err(words) => format!("failed {words}"),
            }
        }
        other => format!("failed unknown command {other:?}; there are status, reload and dump"),
    };
    answer_with(stream, &answer).await
}

async fn answer_with(mut stream: BufReader<UnixStream>, answer: &str) -> io::Result<()> {
    stream.write_all(answer.as_bytes()).await?;
    stream.write_all(b"\n").await?;
    stream.shutdown().await
}

pub fn answer(waiter: Option<oneshot::Sender<Result<String, String>>>, words: Result<String, String>) {
    if let Some(waiter) = waiter {
        let _ = waiter.send(words);
    }
}
