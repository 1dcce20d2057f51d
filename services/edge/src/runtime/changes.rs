//! `reload_on_change`: the configuration and every file that it names are looked at once a second, by content. Looking works
//! where notifications do not: on bind mounts, on network file systems, and where an editor or Kubernetes puts another file
//! into the place of the old one.

use super::reload::Cause;
use crate::admin::State;
use crate::config::options::errors;
use crate::config::{effective, load};
use crate::control::Request;
use monodon_settings::Values;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot};

const EVERY: Duration = Duration::from_secs(1);
/// Of a larger file only its size and times are looked at.
const READ: u64 = 1 << 20;
/// What the edge itself writes to, and what it looks at by itself.
const WRITTEN: &[&str] = &["state", "spool", "access_log", "maintenance_file"];

/// What a file looked like.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Mark {
    Missing,
    /// Named for the first time, and written after the configuration was read.
    Unread,
    /// Its files come and go, and are not configuration.
    Folder,
    Content(u64),
    Large {
        size: u64,
        inode: u64,
        modified: (i64, i64),
    },
}

type Marks = BTreeMap<PathBuf, Mark>;

/// Asks for a reload when something has changed and then stayed as it is from one look to the next: a file that is
/// being written, or several that belong together, are taken when they are whole.
pub async fn watch(state: Arc<State>, requests: mpsc::Sender<Request>) {
    let mut known = Marks::new();
    let mut moving: Option<Marks> = None;
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if !state.snapshot.load().config.reload_on_change {
            (known, moving) = (Marks::new(), None);
            continue;
        }
        let files = files(&state);
        let read = state.reloads.begun.load(Ordering::Relaxed);
        let Ok(now) = tokio::task::spawn_blocking(move || look(files)).await else { continue };
        for path in
            now.keys().filter(|path| !known.contains_key(*path) && younger(path, read)).cloned().collect::<Vec<_>>()
        {
            known.insert(path, Mark::Unread);
        }
        if !differs(&known, &now) {
            (known, moving) = (now, None);
            continue;
        }
        if moving.as_ref() != Some(&now) {
            moving = Some(now);
            continue;
        }
        (known, moving) = (now, None);
        let (answer, outcome) = oneshot::channel();
        if requests.send(Request::Reload(Cause::Change, answer)).await.is_err() {
            return;
        }
        // What was wrong is in the log; the next change is the next attempt.
        let _ = outcome.await;
    }
}

fn files(state: &State) -> Vec<PathBuf> {
    let values = state.values.load();
    let mut files = named_by(&values);
    files.push(values.file().unwrap_or(Path::new(load::DEFAULT_FILE)).to_owned());
    // What was refused for a file that is not there, or not right, may be good when that has changed.
    files.extend(state.reloads.refused_values.load().iter().flat_map(|values| named_by(values)));
    files
}

fn named_by(values: &Values) -> Vec<PathBuf> {
    let mut files = values.named_files(&|setting| !WRITTEN.contains(&setting.key));
    files.extend(errors::files(values));
    files
}

fn look(files: Vec<PathBuf>) -> Marks {
    files.into_iter().map(|path| (path.clone(), mark(&path))).collect()
}

fn mark(path: &Path) -> Mark {
    match std::fs::metadata(path) {
        Err(_) => Mark::Missing,
        Ok(file) if !file.is_file() => Mark::Folder,
        Ok(file) if file.len() > READ => {
            Mark::Large { size: file.len(), inode: file.ino(), modified: (file.mtime(), file.mtime_nsec()) }
        }
        Ok(_) => std::fs::read(path).map_or(Mark::Missing, |content| Mark::Content(effective::digest(&content))),
    }
}

/// Clocks of files go in ticks.
const TICK: u64 = 20_000;

fn younger(path: &Path, read: u64) -> bool {
    let written = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).and_then(|file| file.modified().ok());
    let written = written.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    written.is_some_and(|since| since.as_micros() + u128::from(TICK) > u128::from(read))
}

/// A file that is named for the first time has not changed.
fn differs(known: &Marks, now: &Marks) -> bool {
    now.iter().any(|(path, mark)| known.get(path).is_some_and(|before| before != mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_counts_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let look = || look(vec![path.clone(), folder.path().to_owned()]);
        let missing = look();
        std::fs::write(&path, "one").unwrap();
        let one = look();
        assert!(differs(&missing, &one));
        std::fs::write(&path, "one").unwrap();
        assert!(!differs(&one, &look()), "written again, but the same");
        let times = std::fs::metadata(&path).unwrap().modified().unwrap();
        std::fs::write(&path, "two").unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(times).unwrap();
        assert!(differs(&one, &look()), "of the same size and time");
        assert!(!differs(&Marks::new(), &one), "named for the first time");
        std::fs::write(&path, vec![0; 2 << 20]).unwrap();
        assert!(matches!(look().get(&path), Some(Mark::Large { .. })));
    }
}
