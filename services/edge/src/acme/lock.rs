//! One edge of those that share a state folder orders; the others serve what it has stored.

use crate::tls::store;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Held until it is dropped or the process ends.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code)] File);

/// The lock, or none while another process has it.
pub fn take(folder: &Path) -> Result<Option<Lock>, String> {
    let path = folder.join("lock");
    let say = |error: &dyn std::fmt::Display| format!("{} cannot be locked: {error}", path.display());
    store::folder(folder).map_err(|error| say(&error))?;
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(|error| say(&error))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(Lock(file))),
        Err(Errno::WOULDBLOCK) => Ok(None),
        // Some network file systems have no locks: there, one edge is what there can be.
        Err(Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(Some(Lock(file))),
        Err(error) => Err(say(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("ca");
        let first = take(&folder).unwrap().unwrap();
        assert!(take(&folder).unwrap().is_none());
        drop(first);
        assert!(take(&folder).unwrap().is_some());
    }
}
