//! The application's own metrics: what it sets with prometheus_client, merged over all processes, without any set-up.
//!
//! prometheus_client keeps a process's values in files where `PROMETHEUS_MULTIPROC_DIR` says. The supervisor sets that,
//! and the processes name their files by their entry of the scoreboard (`w3`, see `monodon/app_metrics.py`), as a zygote
//! does by its place (`z0`). So there are never more files than entries, and what becomes of a dead process's is this:
//!
//! - counters, summaries and histograms stay where they are, and the next process of the entry goes on counting in them;
//! - gauges of the modes `all` and `live*` are gone with the process;
//! - those of `min`, `max`, `sum` and `mostrecent` count for the dead as well, as prometheus_client says, and are added
//!   to an archive, for the next process begins with new ones.
//!
//! Files of other processes (what the application starts) bear a pid, and are archived once that is gone.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod archive;
pub mod file;
pub mod kind;
pub mod merge;
mod names;
pub mod place;
mod text;

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use monodon_admin::text::Family;

use self::file::Trouble;
use self::kind::Kind;
use self::merge::{Limits, Merge};
use self::place::Place;
use crate::scoreboard::{BOUNDS, Histogram, Snapshot};

pub const VARIABLE: &str = "PROMETHEUS_MULTIPROC_DIR";
/// No more files than these are read for one scrape.
const MOST_FILES: usize = 20_000;

pub struct AppMetrics {
    place: Place,
    /// Folders that the application has named in Python: only read.
    others: Mutex<BTreeSet<PathBuf>>,
    /// Odd while what is in the files moves from one to another.
    moves: AtomicU64,
    moving: Mutex<()>,
    scraped: Mutex<Option<Scraped>>,
    file_errors: AtomicU64,
    took: Histogram,
    /// Files whose trouble has been told.
    told: Mutex<HashSet<OsString>>,
    full: AtomicBool,
}

struct Scraped {
    begun: Instant,
    page: String,
}

impl AppMetrics {
    /// `variable` finds what the user has set.
    pub fn begin(variable: impl Fn(&str) -> Option<OsString>, chdir: Option<&Path>) -> io::Result<Self> {
        let place = match place::wanted(variable, chdir) {
            Some(folder) => Place::of_the_user(folder)?,
            None => Place::of_our_own()?,
        };
        Ok(Self::at(place))
    }

    fn at(place: Place) -> Self {
        Self {
            place,
            others: Mutex::new(BTreeSet::new()),
            moves: AtomicU64::new(0),
            moving: Mutex::new(()),
            scraped: Mutex::new(None),
            file_errors: AtomicU64::new(0),
            took: Histogram::default(),
            told: Mutex::new(HashSet::new()),
            full: AtomicBool::new(false),
        }
    }

    pub fn folder(&self) -> &Path {
        &self.place.folder
    }

    /// What a process puts behind its `w3` or `z0`.
    pub fn tag(&self) -> &str {
        &self.place.tag
    }

    /// Reads this folder too.
    pub fn also(&self, folder: PathBuf) {
        const MOST: usize = 8;
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if folder != self.folder() && others.len() < MOST {
            others.insert(folder);
        }
    }

    /// The worker ends.
    pub fn end(&self) {
        self.place.remove();
    }

    /// The process that named its files so is dead; another may bear the name from now on.
    pub fn left(&self, name: &str) {
        let process = format!("{name}{}", self.tag());
        let _moving = self.begin_move();
        for kind in Kind::each() {
            let path = self.folder().join(kind.file(&process));
            let mut bytes = Vec::new();
            let found = file::read(&path, &mut bytes).and_then(|()| file::check(&bytes));
            let kept = match (found, kind) {
                (Err(Trouble::Gone), _) => continue,
                (Ok(()), Kind::Counter | Kind::Summary | Kind::Histogram) => continue,
                (Ok(()), _) => self.archive(kind, &bytes).and_then(|()| Ok(file::empty(&path)?)),
                (Err(trouble), _) => Err(trouble),
            };
            if let Err(trouble) = kept {
                // The next process could not open it either.
                self.note(&path, &trouble);
                let _ = fs::remove_file(&path);
            }
        }
    }

    /// For now and then: files of processes that we do not know, which are gone; and whether there is room.
    pub fn sweep(&self) {
        if self.place.is_our_own() {
            let mut dead: Vec<String> = files_in(self.folder()).iter().filter_map(gone).collect();
            dead.sort();
            dead.dedup();
            dead.iter().for_each(|pid| self.bury(pid));
        }
        self.look_for_room();
    }

    fn bury(&self, pid: &str) {
        let _moving = self.begin_move();
        for kind in Kind::each() {
            let path = self.folder().join(kind.file(pid));
            let mut bytes = Vec::new();
            let found = file::read(&path, &mut bytes).and_then(|()| file::check(&bytes));
            match found.and_then(|()| self.archive(kind, &bytes)) {
                Err(Trouble::Gone) => continue,
                Err(trouble) => self.note(&path, &trouble),
                Ok(()) => {}
            }
            let _ = fs::remove_file(&path);
        }
    }

    fn archive(&self, kind: Kind, bytes: &[u8]) -> Result<(), Trouble> {
        match kind {
            Kind::Gauge { mode: kind::Mode::All, .. } | Kind::Gauge { live: true, .. } => Ok(()),
            _ => archive::add(self.folder(), &format!("archive{}", self.tag()), kind, bytes),
        }
    }

    /// prometheus_client's processes are killed (SIGBUS) when their files find no room.
    fn look_for_room(&self) {
        let Ok(room) = rustix::fs::statvfs(self.folder()) else { return };
        let full = room.f_bavail < room.f_blocks / 20;
        if full && !self.full.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "there is little room left for the application's metrics in {}: give it more (in a container: shm_size), \
                 another {VARIABLE}, or fewer series",
                self.folder().display()
            );
        } else if !full {
            self.full.store(false, Ordering::Relaxed);
        }
    }

    fn begin_move(&self) -> Moving<'_> {
        let lock = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        self.moves.fetch_add(1, Ordering::SeqCst);
        Moving { moves: &self.moves, _lock: lock }
    }

    /// Adds the application's families, and figures about them, to a page. `page` is what stands there already: none of
    /// its names is used again.
    pub fn render(&self, page: &mut String) {
        let asked = Instant::now();
        // One at a time; who has waited takes what was begun after they asked.
        let mut scraped = self.scraped.lock().unwrap_or_else(PoisonError::into_inner);
        let new = match scraped.take().filter(|scraped| scraped.begun >= asked) {
            Some(scraped) => scraped,
            None => Scraped { begun: Instant::now(), page: self.scrape(page) },
        };
        page.push_str(&new.page);
        *scraped = Some(new);
    }

    fn scrape(&self, page: &str) -> String {
        let begun = Instant::now();
        let (files, mut merge) = self.merged();
        let taken = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        let mut text = String::new();
        merge.write(&taken, &mut text);
        self.took.observe(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
        let mut out = String::new();
        self.about(files, &merge, &mut out);
        out.push_str(&text);
        out
    }

    /// All files as they are at one time: read again if something has moved between them meanwhile.
    fn merged(&self) -> (usize, Merge) {
        const TRIES: usize = 4;
        let mut tried = 0;
        loop {
            tried += 1;
            let before = self.moves.load(Ordering::SeqCst);
            let merged = self.read_all();
            if tried == TRIES || before.is_multiple_of(2) && self.moves.load(Ordering::SeqCst) == before {
                return merged;
            }
        }
    }

    fn read_all(&self) -> (usize, Merge) {
        let mut merge = Merge::new(Limits::default());
        let mut buffer = Vec::new();
        let others = self.others.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let folders = std::iter::once(self.folder()).chain(others.iter().map(PathBuf::as_path));
        let files: Vec<PathBuf> =
            folders.flat_map(|folder| files_in(folder).into_iter().map(|name| folder.join(name))).collect();
        for path in &files {
            let name = path.file_name().and_then(|name| name.to_str());
            let Some((kind, process)) = name.and_then(Kind::of) else { continue };
            let read = file::read(path, &mut buffer).and_then(|()| file::check(&buffer));
            match read.and_then(|()| file::values(&buffer)) {
                Ok(values) => merge.add(kind, process, values.flatten()),
                Err(Trouble::Gone) => {}
                Err(trouble) => self.note(path, &trouble),
            }
        }
        (files.len(), merge)
    }

    fn note(&self, path: &Path, trouble: &Trouble) {
        self.file_errors.fetch_add(1, Ordering::Relaxed);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < 100 && told.insert(path.as_os_str().to_owned()) {
            tracing::warn!("the application's metrics in {} are left out: {trouble}", path.display());
        }
    }

    fn about(&self, files: usize, merge: &Merge, out: &mut String) {
        let name = |rest: &str| format!("monodon_worker_app_metrics_{rest}");
        Family::gauge(out, &name("files"), "Files in which the application's processes keep their metrics")
            .sample(&[], files);
        Family::gauge(out, &name("series"), "Series that the application's metrics make").sample(&[], merge.series());
        let help =
            "The application's series that are left out: too many, under a name that is taken, or not understood";
        let mut family = Family::gauge(out, &name("series_dropped"), help);
        family.sample(&[("reason", "limit")], merge.dropped.limit);
        family.sample(&[("reason", "name")], merge.dropped.name);
        family.sample(&[("reason", "key")], merge.dropped.key);
        Family::counter(out, &name("file_errors_total"), "Files of the application's metrics that could not be read")
            .sample(&[], self.file_errors.load(Ordering::Relaxed));
        let mut took = Snapshot::default();
        self.took.add_to(&mut took);
        Family::histogram(out, &name("merge_seconds"), "Time to merge the application's metrics").buckets(
            &[],
            &BOUNDS.map(|micros| micros as f64 / 1e6),
            &took.buckets,
            took.sum as f64 / 1e6,
        );
    }
}

struct Moving<'a> {
    moves: &'a AtomicU64,
    _lock: MutexGuard<'a, ()>,
}

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        self.moves.fetch_add(1, Ordering::SeqCst);
    }
}

/// Names of files that hold metrics; those of processes before the archive, for what they say of a metric is newer.
fn files_in(folder: &Path) -> Vec<OsString> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let mut files: Vec<(bool, OsString)> = entries
        .filter_map(|name| {
            let process = Kind::of(name.to_str()?)?.1;
            Some((process.starts_with("archive"), name))
        })
        .take(MOST_FILES)
        .collect();
    files.sort();
    files.into_iter().map(|(_, name)| name).collect()
}

/// The pid in a file's name, of a process that is no more.
fn gone(file: &OsString) -> Option<String> {
    let (_, process) = Kind::of(file.to_str()?)?;
    let pid = rustix::process::Pid::from_raw(process.parse().ok()?)?;
    let dead = rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH);
    dead.then(|| process.to_owned())
}

#[cfg(test)]
mod tests;
