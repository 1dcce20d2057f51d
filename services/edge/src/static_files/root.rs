//! A folder that nothing is opened outside of: the kernel refuses links and ways out (`openat2`), or we do, step by step.

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long the folder's descriptor is used: a folder that was replaced by another is found after that.
const KEPT: Duration = Duration::from_secs(1);

#[derive(Default)]
pub struct Root {
    dir: PathBuf,
    /// Each thread has a root of its own: nobody waits for this lock.
    open: Mutex<Option<(Arc<OwnedFd>, Instant)>>,
    /// The kernel (before 5.6) or a seccomp profile has no `openat2`.
    stepwise: AtomicBool,
}

impl Root {
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), open: Mutex::default(), stepwise: AtomicBool::new(false) }
    }

    /// What is wrong with the folder, for `/readyz`.
    pub fn problem(&self) -> Option<String> {
        self.folder().err().map(|error| format!("{}: {error}", self.dir.display()))
    }

    fn folder(&self) -> io::Result<Arc<OwnedFd>> {
        // A poisoned lock only means that another thread panicked between two assignments.
        let mut open = self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((folder, since)) = &*open
            && since.elapsed() < KEPT
        {
            return Ok(folder.clone());
        }
        *open = None;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = Arc::new(rustix::fs::openat(CWD, &self.dir, flags, Mode::empty())?);
        *open = Some((folder.clone(), Instant::now()));
        Ok(folder)
    }

    /// `name` has passed [`check_name`].
    pub fn open(&self, name: &str) -> io::Result<File> {
        // Without blocking: a pipe in the folder must not hold the thread.
        self.open_with(name, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY)
    }

    /// To be listed. `name` has passed [`check_name`], or is empty: the folder itself.
    pub fn open_folder(&self, name: &str) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if name.is_empty() {
            return Ok(rustix::fs::openat(&*self.folder()?, ".", flags, Mode::empty())?);
        }
        self.open_with(name, flags).map(OwnedFd::from)
    }

    fn open_with(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let folder = self.folder()?;
        if !self.stepwise.load(Ordering::Relaxed) {
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            match rustix::fs::openat2(&*folder, name, flags, Mode::empty(), resolve) {
                Ok(file) => return Ok(file.into()),
                // EPERM is a seccomp profile's no; a file's own is EACCES.
                Err(Errno::NOSYS | Errno::PERM) => self.stepwise.store(true, Ordering::Relaxed),
                Err(error) => return Err(error.into()),
            }
        }
        open_stepwise(&folder, name, flags)
    }
}

/// One segment at a time, none of them a link.
fn open_stepwise(folder: &OwnedFd, name: &str, flags: OFlags) -> io::Result<File> {
    let mut owned: Option<OwnedFd> = None;
    let mut segments = name.split('/').peekable();
    while let Some(segment) = segments.next() {
        let at = owned.as_ref().map_or(folder.as_fd(), AsFd::as_fd);
        let step = match segments.peek() {
            Some(_) => OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            None => flags,
        };
        owned = Some(rustix::fs::openat(at, segment, step | OFlags::NOFOLLOW, Mode::empty())?);
    }
    owned.map(File::from).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Plain names only: no empty or dot segment, no dot file but `.well-known` at the top, nothing that another system would
/// take for a way out.
pub fn check_name(name: &str) -> io::Result<()> {
    let fine = |segment: &str| !segment.is_empty() && !segment.starts_with('.') && !segment.contains(['\0', '\\']);
    let name = name.strip_prefix(".well-known/").unwrap_or(name);
    if name.split('/').all(fine) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn read(root: &Root, name: &str) -> io::Result<String> {
        let mut text = String::new();
        root.open(name)?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn never_outside_either_way() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("root");
        std::fs::create_dir_all(inside.join("sub")).unwrap();
        std::fs::write(inside.join("sub/file"), "inside").unwrap();
        std::fs::write(dir.path().join("secret"), "outside").unwrap();
        std::os::unix::fs::symlink("../secret", inside.join("link")).unwrap();
        std::os::unix::fs::symlink("..", inside.join("up")).unwrap();
        std::os::unix::fs::symlink("file", inside.join("sub/alias")).unwrap();
        for stepwise in [false, true] {
            let root = Root::new(&inside);
            root.stepwise.store(stepwise, Ordering::Relaxed);
            assert_eq!(read(&root, "sub/file").unwrap(), "inside");
            for name in ["link", "up/secret", "sub/alias", "missing", "sub/file/x"] {
                assert!(read(&root, name).is_err(), "{name}, stepwise: {stepwise}");
            }
        }
        assert!(Root::new(&inside).open("../secret").is_err());
        assert!(Root::new(&dir.path().join("none")).problem().is_some());
    }

    #[test]
    fn names() {
        for name in ["a.css", "a/b.css", "..a".trim_start_matches('.'), ".well-known/security.txt"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in [
            "",
            "a/",
            "/a",
            "a//b",
            ".",
            "..",
            "a/../b",
            ".git/config",
            "a/.env",
            ".well-known",
            ".well-known/",
            ".well-known/.x",
            "a/.well-known/b",
            "a\\b",
            "a\0b",
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
