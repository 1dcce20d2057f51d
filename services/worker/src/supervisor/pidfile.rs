//! The file with the supervisor's process number.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// Removed when it is dropped, if it still names this process.
pub struct Pidfile(PathBuf);

impl Pidfile {
    /// Refused where it names another process that lives.
    pub fn write(path: PathBuf) -> Result<Self, String> {
        if let Some(other) = read(&path).filter(|pid| *pid != std::process::id() as i32 && lives(*pid)) {
            let path = path.display();
            return Err(format!(
                "pidfile {path}: already running as process {other}; if that is another program, remove it"
            ));
        }
        put(&path).map_err(|error| format!("pidfile {}: {error}", path.display()))?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        if read(&self.0) == Some(std::process::id() as i32) {
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

fn read(path: &Path) -> Option<i32> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn lives(pid: i32) -> bool {
    // Not being allowed to send a signal says that there is somebody.
    Some(pid)
        .filter(|pid| *pid > 0)
        .and_then(Pid::from_raw)
        .is_some_and(|pid| matches!(test_kill_process(pid), Ok(()) | Err(Errno::PERM)))
}

/// Whole or not at all, for whoever reads it meanwhile.
fn put(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o644)).tempfile_in(folder)?;
    writeln!(file, "{}", std::process::id())?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_unless_another_lives_and_removed_if_it_is_still_ours() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        let own = format!("{}\n", std::process::id());
        for stale in ["", "nonsense", "4194304", "-5", "0"] {
            std::fs::write(&path, stale).unwrap();
            let file = Pidfile::write(path.clone()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), own);
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
            drop(file);
            assert!(!path.exists());
        }
        std::fs::write(&path, "1\n").unwrap();
        let refused = Pidfile::write(path.clone()).err().unwrap();
        assert!(refused.contains("already running as process 1"), "{refused}");
        let file = {
            std::fs::remove_file(&path).unwrap();
            Pidfile::write(path.clone()).unwrap()
        };
        // Another has taken it over.
        std::fs::write(&path, "1\n").unwrap();
        drop(file);
        assert!(path.exists());
    }
}
