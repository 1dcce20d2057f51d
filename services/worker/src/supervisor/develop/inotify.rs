//! The kernel's word that something in a folder has changed. What it was is found by looking.

use std::collections::BTreeSet;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

pub struct Inotify {
    fd: OwnedFd,
    folders: BTreeSet<PathBuf>,
}

impl Inotify {
    pub fn new() -> io::Result<Self> {
        Ok(Self { fd: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?, folders: BTreeSet::new() })
    }

    pub fn watch(&mut self, folder: &Path) -> io::Result<()> {
        if self.folders.contains(folder) {
            return Ok(());
        }
        // Whatever way an editor saves a file.
        let what = WatchFlags::CLOSE_WRITE
            | WatchFlags::MODIFY
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::ATTRIB
            | WatchFlags::ONLYDIR;
        inotify::add_watch(&self.fd, folder, what)?;
        self.folders.insert(folder.to_owned());
        Ok(())
    }

    /// Waits until something has happened, for at most `limit`; false if nothing has.
    pub fn wait(&self, limit: Duration) -> bool {
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        let limit = Timespec::try_from(limit).ok();
        // Interrupted is as good as anything: somebody looks then.
        let _ = poll(&mut fds, limit.as_ref());
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(self.fd.as_fd(), &mut space);
        let mut some = false;
        while events.next().is_ok() {
            some = true;
        }
        some
    }
}
