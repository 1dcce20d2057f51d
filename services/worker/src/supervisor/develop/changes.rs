//! Watches files from a thread of its own, and tells the supervisor when some have changed.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::inotify::Inotify;
use super::watched::Watched;
use crate::settings::Develop;
use crate::supervisor::Event;

/// How often files are looked at where the kernel does not tell, and how soon files to watch are taken in.
const TURN: Duration = Duration::from_millis(200);
/// Nothing more has to change for so long: editors and version control write many files.
const SETTLED: Duration = Duration::from_millis(50);
const PATIENCE: u32 = 10;

enum Told {
    Files(Vec<PathBuf>),
    Broken(bool),
}

pub struct Changes(Sender<Told>);

impl Changes {
    /// `root` is the application's folder.
    pub fn watch(develop: &Develop, root: PathBuf, events: UnboundedSender<Event>) -> io::Result<Self> {
        let inotify = if develop.poll { None } else { Inotify::new().ok() };
        let engine = if inotify.is_some() { "inotify" } else { "polling" };
        let extra = develop.extra_files.clone();
        let (sender, inbox) = channel();
        std::thread::Builder::new().name("changes".to_owned()).spawn(move || {
            let watched = Watched::new(&root, &extra);
            Watcher { watched, inotify, inbox, events }.run();
        })?;
        tracing::warn!(
            "--reload is for development: files are watched by {engine}, and tracebacks are shown to whoever asks"
        );
        Ok(Self(sender))
    }

    pub fn add(&self, files: Vec<PathBuf>) {
        // The thread lives as long as we do.
        let _ = self.0.send(Told::Files(files));
    }

    pub fn broken(&self, broken: bool) {
        let _ = self.0.send(Told::Broken(broken));
    }
}

struct Watcher {
    watched: Watched,
    inotify: Option<Inotify>,
    inbox: Receiver<Told>,
    events: UnboundedSender<Event>,
}

impl Watcher {
    fn run(mut self) {
        loop {
            let told = match &self.inotify {
                Some(inotify) if !self.watched.has_patterns() => inotify.wait(TURN),
                _ => {
                    std::thread::sleep(TURN);
                    true
                }
            };
            // Before the look: what was told was true before what has changed now.
            let Some(new) = self.take_in() else { return };
            let mut changed = if told || new { self.watched.look() } else { continue };
            if changed.is_empty() {
                continue;
            }
            for _ in 0..PATIENCE {
                std::thread::sleep(SETTLED);
                let more = self.watched.look();
                if more.is_empty() {
                    break;
                }
                changed.extend(more);
            }
            changed.sort();
            changed.dedup();
            self.watched.begin();
            if self.events.send(Event::Changed(changed)).is_err() {
                return;
            }
        }
    }

    /// Whether there was anything; none when the supervisor is gone.
    fn take_in(&mut self) -> Option<bool> {
        let mut some = false;
        loop {
            match self.inbox.try_recv() {
                Ok(Told::Files(files)) => files.into_iter().for_each(|file| self.watched.imported(file)),
                Ok(Told::Broken(broken)) => self.watched.broken = broken,
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return None,
            }
            some = true;
        }
        if let Some(inotify) = &mut self.inotify {
            let refused = self.watched.all_folders().into_iter().any(|folder| {
                // One that is not there has nothing to tell.
                inotify.watch(folder).is_err_and(|error| error.kind() != io::ErrorKind::NotFound)
            });
            if refused {
                tracing::warn!("inotify takes no more folders (fs.inotify.max_user_watches): files are polled instead");
                self.inotify = None;
            }
        }
        Some(some)
    }
}
