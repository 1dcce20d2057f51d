//! Files of the state folder: keys and certificates, written so that a crash leaves the old file or the new one.
//!
//! A new file is written beside its place under another name, brought to the disk, and renamed. It is never readable for
//! anybody else, not even for a moment. What a crash leaves behind is removed at the next start.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How the name of a file ends that is being written.
const UNFINISHED: &str = ".unfinished";

/// How old an unfinished file must be to be a crash's leftover, and not another process's work.
pub const LEFTOVER_AGE: Duration = Duration::from_secs(60);

/// Makes the folder and those above it, for its owner alone.
pub fn folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The file's content; `None` only when there is certainly no such file.
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts `bytes` in the place of what was there.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = unfinished(path, bytes)?;
    let done = fs::rename(&unfinished, path).and_then(|()| sync_folder(path));
    if done.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    done
}

/// Makes the file if there is none; false when somebody else was first (two processes on one volume, say).
pub fn create(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let unfinished = unfinished(path, bytes)?;
    // A link, unlike a rename, never replaces.
    let linked = fs::hard_link(&unfinished, path);
    let _ = fs::remove_file(&unfinished);
    match linked {
        Ok(()) => sync_folder(path).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes the file; it may be gone already.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => sync_folder(path),
    }
}

/// Removes unfinished files older than `age`: they may hold keys.
pub fn sweep(folder: &Path, age: Duration) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let unfinished = entry.file_name().to_str().is_some_and(|name| name.ends_with(UNFINISHED));
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let old = modified.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|passed| passed >= age));
        if unfinished && old {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The content, on the disk, under a name of its own: in containers every process has the same pid, so it is drawn.
fn unfinished(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("file");
    let temporary = path.with_file_name(format!(".{name}.{:016x}{UNFINISHED}", fastrand::u64(..)));
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    match written {
        Ok(()) => Ok(temporary),
        Err(error) => {
            let _ = fs::remove_file(&temporary);
            Err(error)
        }
    }
}

/// A new name is on the disk only when its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn files_and_folders_are_for_their_owner_alone() {
        let base = tempfile::tempdir().unwrap();
        let inner = base.path().join("a/b");
        folder(&inner).unwrap();
        write(&inner.join("key"), b"one").unwrap();
        assert!(create(&inner.join("other"), b"two").unwrap());
        assert_eq!(mode(&inner), 0o700);
        assert_eq!(mode(&base.path().join("a")), 0o700);
        assert_eq!(mode(&inner.join("key")), 0o600);
        assert_eq!(mode(&inner.join("other")), 0o600);
    }

    #[test]
    fn a_write_replaces_whole_and_leaves_nothing_else() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("key");
        write(&path, b"a longer content").unwrap();
        write(&path, b"short").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"short");
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_write_that_fails_keeps_the_old_and_cleans_up() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("key");
        fs::create_dir(&path).unwrap();
        assert!(write(&path, b"x").is_err());
        assert!(path.is_dir());
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_first_to_create_wins() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("key");
        assert!(create(&path, b"first").unwrap());
        assert!(!create(&path, b"second").unwrap());
        assert_eq!(read(&path).unwrap().unwrap(), b"first");
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 1);
    }

    #[test]
    fn only_a_missing_file_is_none() {
        let base = tempfile::tempdir().unwrap();
        assert!(read(&base.path().join("none")).unwrap().is_none());
        fs::create_dir(base.path().join("folder")).unwrap();
        assert!(read(&base.path().join("folder")).is_err());
        remove(&base.path().join("none")).unwrap();
    }

    #[test]
    fn leftovers_of_a_crash_are_swept_and_nothing_else() {
        let base = tempfile::tempdir().unwrap();
        let leftover = unfinished(&base.path().join("key"), b"half a k").unwrap();
        write(&base.path().join("key"), b"good").unwrap();
        sweep(base.path(), LEFTOVER_AGE);
        assert!(leftover.exists(), "another process may be writing it");
        sweep(base.path(), Duration::ZERO);
        assert!(!leftover.exists());
        assert_eq!(read(&base.path().join("key")).unwrap().unwrap(), b"good");
    }
}
