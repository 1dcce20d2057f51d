//! The folder for bodies that outgrow memory: unnamed files under one quota.
//!
//! Writes run on the runtime's blocking pool, and so do reads of what the page cache has no longer: most take
//! microseconds, but a disk that is behind stalls them for as long as it likes, and a data thread must not stand still
//! with it.

use bytes::Bytes;
use rustix::fs::{Mode, OFlags};
use rustix::io::{ReadWriteFlags, preadv2};
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How much is read back at once: a client that takes it slowly holds that much memory, and there may be thousands.
const READ: usize = 16 << 10;

/// Shared by all threads.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    limit: AtomicU64,
    /// Bodies in memory, all of one direction together: past it they go to the file at once. Without a bound a few dozen
    /// HTTP/2 connections, 128 streams each, would fill any container.
    memory: AtomicU64,
    requests: AtomicU64,
    answers: AtomicU64,
    used: AtomicU64,
    files: AtomicU64,
    written: AtomicU64,
    refused: AtomicU64,
    /// Why the last attempt failed; `None` after one that worked.
    problem: Mutex<Option<Problem>>,
}

#[derive(Debug)]
struct Problem {
    text: String,
    /// Over when there is room again, without anybody trying.
    quota: bool,
}

impl Spool {
    /// Never fails for a folder that cannot be used: requests that fit into memory go on, `/readyz` warns.
    pub fn open(config: &crate::config::Spool) -> io::Result<Self> {
        let spool = Self {
            dir: config.dir.clone(),
            limit: AtomicU64::new(config.limit),
            memory: AtomicU64::new(config.memory),
            requests: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            used: AtomicU64::new(0),
            files: AtomicU64::new(0),
            written: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            problem: Mutex::new(None),
        };
        let tried = std::fs::create_dir_all(&spool.dir).and_then(|()| spool.file());
        drop(spool.note(tried));
        Ok(spool)
    }

    /// Other bounds, for what comes from now on; what is there stays.
    pub fn resize(&self, config: &crate::config::Spool) {
        self.limit.store(config.limit, Ordering::Relaxed);
        self.memory.store(config.memory, Ordering::Relaxed);
    }

    fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// What is wrong with it, for `/readyz`.
    pub fn problem(&self) -> Option<String> {
        let room = self.limit().saturating_sub(self.used.load(Ordering::Relaxed));
        let problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        let lasting = problem.as_ref().filter(|problem| !problem.quota || room <= self.limit() / 4);
        lasting.map(|problem| problem.text.clone())
    }

    fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
        let mut problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        match &result {
            Ok(_) => {
                if problem.take().is_some() {
                    tracing::info!(spool = %self.dir.display(), "the spool works again");
                }
            }
            Err(error) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                let text = format!("{}: {error}", self.dir.display());
                if problem.is_none() {
                    tracing::warn!("spool {text}: bodies that do not fit into memory are refused");
                }
                *problem = Some(Problem { text, quota: error.kind() == io::ErrorKind::QuotaExceeded });
            }
        }
        result
    }

    /// An unnamed file: nothing is left behind, however the process ends.
    fn file(&self) -> io::Result<File> {
        let mode = Mode::RUSR | Mode::WUSR;
        match rustix::fs::open(&self.dir, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, mode) {
            Ok(fd) => Ok(File::from(fd)),
            // File systems without O_TMPFILE (overlayfs of old kernels, NFS).
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR | rustix::io::Errno::NOENT) => {
                let path = self.dir.join(format!(".body-{:016x}", fastrand::u64(..)));
                let file = File::options().read(true).write(true).create_new(true).open(&path)?;
                std::fs::remove_file(&path)?;
                Ok(file)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        let limit = self.limit();
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= limit);
        let reserved = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        match reserved {
            Ok(_) => Ok(()),
            Err(_) => Err(io::Error::new(io::ErrorKind::QuotaExceeded, "spool_limit is reached")),
        }
    }

    pub fn render(&self, out: &mut String) {
        use std::fmt::Write;
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let _ = write!(
            out,
            "# HELP monodon_edge_body_spool_bytes_total Bytes of bodies written to the spool.\n\
             # TYPE monodon_edge_body_spool_bytes_total counter\nmonodon_edge_body_spool_bytes_total {}\n\
             # HELP monodon_edge_body_spool_used_bytes Bytes in the spool now.\n\
             # TYPE monodon_edge_body_spool_used_bytes gauge\nmonodon_edge_body_spool_used_bytes {}\n\
             # HELP monodon_edge_body_spool_limit_bytes The spool's quota.\n\
             # TYPE monodon_edge_body_spool_limit_bytes gauge\nmonodon_edge_body_spool_limit_bytes {}\n\
             # HELP monodon_edge_body_spool_files Bodies in the spool now.\n\
             # TYPE monodon_edge_body_spool_files gauge\nmonodon_edge_body_spool_files {}\n\
             # HELP monodon_edge_body_spool_errors_total Bodies that the spool could not take.\n\
             # TYPE monodon_edge_body_spool_errors_total counter\nmonodon_edge_body_spool_errors_total {}\n\
             # HELP monodon_edge_body_memory_bytes Request bodies held in memory that did not come at once.\n\
             # TYPE monodon_edge_body_memory_bytes gauge\nmonodon_edge_body_memory_bytes {}\n\
             # HELP monodon_edge_answer_memory_bytes Answers held in memory for clients that have not taken them yet.\n\
             # TYPE monodon_edge_answer_memory_bytes gauge\nmonodon_edge_answer_memory_bytes {}\n",
            value(&self.written),
            value(&self.used),
            value(&self.limit),
            value(&self.files),
            value(&self.refused),
            value(&self.requests),
            value(&self.answers),
        );
    }
}

/// One body's part of the memory that all have together; comes back when it is dropped.
#[derive(Debug)]
pub struct Share {
    spool: Arc<Spool>,
    of: Direction,
    bytes: u64,
}

#[derive(Clone, Copy, Debug)]
enum Direction {
    Request,
    Answer,
}

impl Share {
    pub fn of_request(spool: &Arc<Spool>) -> Self {
        Self { spool: spool.clone(), of: Direction::Request, bytes: 0 }
    }

    pub fn of_answer(spool: &Arc<Spool>) -> Self {
        Self { spool: spool.clone(), of: Direction::Answer, bytes: 0 }
    }

    fn held(&self) -> &AtomicU64 {
        match self.of {
            Direction::Request => &self.spool.requests,
            Direction::Answer => &self.spool.answers,
        }
    }

    /// These bytes are kept with their share, and give it back when the last of them is gone.
    pub fn keep(self, bytes: Bytes) -> Bytes {
        if self.is_empty() { bytes } else { Bytes::from_owner(Kept { bytes, _share: self }) }
    }

    /// False: there is no room for that much more.
    pub fn take(&mut self, bytes: u64) -> bool {
        let most = self.spool.memory.load(Ordering::Relaxed);
        let fits = |held: u64| held.checked_add(bytes).filter(|sum| *sum <= most);
        let taken = self.held().fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        if taken {
            self.bytes += bytes;
        }
        taken
    }

    /// What is in memory all the same counts there, beyond the bound too.
    pub fn insist(&mut self, bytes: u64) {
        self.held().fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
    }

    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    pub fn give_back(&mut self) {
        self.give(u64::MAX);
    }

    /// Of what it has, so much is not needed any more.
    pub fn give(&mut self, bytes: u64) {
        let given = bytes.min(self.bytes);
        self.bytes -= given;
        self.held().fetch_sub(given, Ordering::Relaxed);
    }
}

struct Kept {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// One body's file; its share of the quota comes back when it is dropped.
#[derive(Debug)]
pub struct SpoolFile {
    file: File,
    reserved: AtomicU64,
    spool: Arc<Spool>,
}

impl SpoolFile {
    pub async fn create(spool: &Arc<Spool>) -> io::Result<Arc<Self>> {
        let spool = spool.clone();
        blocking(move || {
            let file = spool.note(spool.file())?;
            spool.files.fetch_add(1, Ordering::Relaxed);
            Ok(Arc::new(Self { file, reserved: AtomicU64::new(0), spool }))
        })
        .await
    }

    /// One writer at a time.
    pub async fn write(self: &Arc<Self>, data: Bytes, at: u64) -> io::Result<()> {
        let file = self.clone();
        blocking(move || {
            let end = at + data.len() as u64;
            let reserved = file.reserved.load(Ordering::Relaxed);
            if end > reserved {
                file.spool.note(file.spool.reserve(end - reserved))?;
                file.reserved.store(end, Ordering::Relaxed);
            }
            file.spool.note(file.file.write_all_at(&data, at))?;
            file.spool.written.fetch_add(data.len() as u64, Ordering::Relaxed);
            Ok(())
        })
        .await
    }

    /// The next part between `at` and `end`; never empty while `at < end`.
    pub async fn read(self: Arc<Self>, at: u64, end: u64) -> io::Result<Bytes> {
        let length = usize::try_from(end.saturating_sub(at)).unwrap_or(READ).min(READ);
        let mut buffer = vec![0; length];
        // Any error: the disk must be waited for, or the file system cannot tell, or the same will be said below.
        let now = preadv2(&self.file, &mut [IoSliceMut::new(&mut buffer)], at, ReadWriteFlags::NOWAIT);
        if let Ok(size @ 1..) = now {
            buffer.truncate(size);
            return Ok(Bytes::from(buffer));
        }
        blocking(move || {
            self.file.read_exact_at(&mut buffer, at)?;
            Ok(Bytes::from(buffer))
        })
        .await
    }
}

impl Drop for SpoolFile {
    fn drop(&mut self) {
        self.spool.used.fetch_sub(self.reserved.load(Ordering::Relaxed), Ordering::Relaxed);
        self.spool.files.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool(limit: u64) -> (tempfile::TempDir, Arc<Spool>) {
        let dir = tempfile::tempdir().unwrap();
        let config = crate::config::Spool { dir: dir.path().to_owned(), limit, ..Default::default() };
        (dir, Arc::new(Spool::open(&config).unwrap()))
    }

    #[tokio::test]
    async fn keeps_the_quota_and_leaves_nothing_behind() {
        let (dir, spool) = spool(100);
        let file = SpoolFile::create(&spool).await.unwrap();
        file.write(Bytes::from(vec![7; 60]), 0).await.unwrap();
        let other = SpoolFile::create(&spool).await.unwrap();
        let error = other.write(Bytes::from(vec![7; 60]), 0).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
        file.write(Bytes::from(vec![7; 20]), 60).await.unwrap();
        drop(other.write(Bytes::from(vec![7; 60]), 0).await.unwrap_err());
        assert!(spool.problem().unwrap().contains("spool_limit"));
        assert_eq!(file.clone().read(10, 60).await.unwrap(), vec![7; 50]);
        drop((file, other));
        assert_eq!(spool.problem(), None);
        let again = SpoolFile::create(&spool).await.unwrap();
        again.write(Bytes::from(vec![7; 60]), 0).await.unwrap();
        assert_eq!(spool.problem(), None);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_a_warning() {
        let config = crate::config::Spool { dir: "/proc/nothing/here".into(), limit: 1, ..Default::default() };
        assert!(Spool::open(&config).unwrap().problem().is_some());
    }
}
