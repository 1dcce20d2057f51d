//! The folder that the files are in: the user's, where `PROMETHEUS_MULTIPROC_DIR` names one, or one of our own in shared
//! memory, which goes with the supervisor.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

const PREFIX: &str = "monodon-metrics-";
const LOCK: &str = "lock";

pub struct Place {
    pub folder: PathBuf,
    /// Held as long as a folder of our own is in use.
    lock: Option<File>,
    /// In the names of files, so that two workers may share a folder of the user's; empty in our own.
    pub tag: String,
}

impl Place {
    pub fn of_the_user(folder: PathBuf) -> io::Result<Self> {
        if !folder.is_dir() {
            fs::create_dir_all(&folder)?;
        }
        let tag: String = std::iter::repeat_with(fastrand::alphanumeric).take(4).collect();
        Ok(Self { folder, lock: None, tag: format!("-{}", tag.to_lowercase()) })
    }

    pub fn of_our_own() -> io::Result<Self> {
        let shared = Path::new("/dev/shm");
        let bases = [shared.to_path_buf(), std::env::temp_dir()];
        let mut refused = None;
        for base in bases.iter().filter(|base| base.is_dir()) {
            remove_abandoned(base);
            match Self::make(base) {
                Ok(place) => return Ok(place),
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.unwrap_or_else(|| io::Error::other("there is neither /dev/shm nor a temporary folder")))
    }

    fn make(base: &Path) -> io::Result<Self> {
        let name: String = std::iter::repeat_with(fastrand::alphanumeric).take(8).collect();
        let folder = base.join(format!("{PREFIX}{name}"));
        fs::DirBuilder::new().mode(0o700).create(&folder)?;
        let lock = File::create(folder.join(LOCK))?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self { folder, lock: Some(lock), tag: String::new() })
    }

    pub fn is_our_own(&self) -> bool {
        self.lock.is_some()
    }

    /// Our own folder goes; the user's stays.
    pub fn remove(&self) {
        if self.is_our_own()
            && let Err(error) = fs::remove_dir_all(&self.folder)
        {
            tracing::debug!("{}: {error}", self.folder.display());
        }
    }
}

/// What supervisors have left that were killed: on a tmpfs it is memory.
fn remove_abandoned(base: &Path) {
    let user = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
            // Root gives its folder to whom the processes belong to.
            && entry.metadata().is_ok_and(|meta| meta.is_dir() && (user == 0 || meta.uid() == user));
        if ours && abandoned(&entry.path()) {
            // Somebody else may be at it as well.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn abandoned(folder: &Path) -> bool {
    // Another user's folder may hold anything under that name: opening a FIFO would wait.
    let careful = libc::O_NONBLOCK | libc::O_NOFOLLOW;
    let Ok(lock) = OpenOptions::new().read(true).custom_flags(careful).open(folder.join(LOCK)) else {
        // Between making the folder and its lock there is a moment.
        let age = fs::metadata(folder).and_then(|meta| meta.modified()).ok().and_then(|made| made.elapsed().ok());
        return age.is_some_and(|age| age > Duration::from_secs(60));
    };
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// What the user says: the variable, or its older name in lower case.
pub fn wanted(variable: impl Fn(&str) -> Option<OsString>, chdir: Option<&Path>) -> Option<PathBuf> {
    let given = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = given(super::VARIABLE).or_else(|| given("prometheus_multiproc_dir"))?;
    // As the application would take it.
    let from = chdir.map_or_else(|| std::env::current_dir().unwrap_or_default(), Path::to_path_buf);
    Some(from.join(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_nobody_holds_is_removed_by_the_next_one() {
        let base = tempfile::tempdir().unwrap();
        let held = Place::make(base.path()).unwrap();
        let left = Place::make(base.path()).unwrap().folder;
        fs::write(left.join("counter_w1.db"), b"x").unwrap();
        fs::create_dir(base.path().join("monodon-metrics-new")).unwrap();
        fs::create_dir(base.path().join("other")).unwrap();
        remove_abandoned(base.path());
        let mut rest: Vec<_> = fs::read_dir(base.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        rest.sort();
        let mut expected = [held.folder.clone(), base.path().join("monodon-metrics-new"), base.path().join("other")];
        expected.sort();
        assert_eq!(rest, expected);
        held.remove();
        assert!(!held.folder.exists());
    }

    #[test]
    fn the_users_folder_is_made_and_kept() {
        let base = tempfile::tempdir().unwrap();
        let variable = |name: &str| (name == "prometheus_multiproc_dir").then(|| "a/b".into());
        let folder = wanted(variable, Some(base.path())).unwrap();
        assert_eq!(folder, base.path().join("a/b"));
        let place = Place::of_the_user(folder).unwrap();
        place.remove();
        assert!(place.folder.is_dir());
        assert_eq!(wanted(|_| Some("".into()), None), None);
    }
}
