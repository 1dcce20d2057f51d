//! The scoreboard: shared memory in which each worker process writes what it does, and from which the supervisor
//! (and the siblings) read it without asking a process that may be stuck in Python.
//!
//! It is one memfd, made by the supervisor and mapped by everyone: a [`Header`] followed by twice as many [`Entry`]s
//! as there are processes. A process writes only its own entry; the supervisor writes the header, the fields of an
//! entry that no process holds, and death marks. Counters are never reset: an entry's counters go on with the next
//! process that takes it, as a Prometheus counter should.
#![allow(unsafe_code)]

mod entry;
mod histogram;
mod request;
mod tally;

#[cfg(test)]
mod tests;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

pub use entry::{CODES, Class, Death, Entry, GENERATIONS, METHODS, Reason, State, method_index};
pub use histogram::{BOUNDS, Histogram, Snapshot};
pub use request::{Cell as RequestCell, CurrentRequest};
pub use tally::Tally;

const MILLISECOND: u64 = 1000;
const MAGIC: u64 = 0x4d4f_4e4f_444f_4e31;

/// What all processes share.
#[repr(C, align(64))]
pub struct Header {
    magic: AtomicU64,
    entries: AtomicU32,
    /// Slots of all processes that serve: the third figure of `x-monodon-process`.
    slots: AtomicU32,
    /// Set while the whole worker drains, so that answers say `Connection: close` (see `stop` in the design).
    draining: AtomicU32,
    /// Set while another supervisor serves on the same sockets, which takes what leaving processes give away.
    heir: AtomicU32,
    /// Processes that left and wait for a sibling to take their connections are of no use once nobody is left.
    serving: AtomicU32,
    /// With `--reload`: the generation to which all before it leave their connections, though it may not be there yet.
    succession: AtomicU32,
    /// Exceptions that came out of the application, by type.
    exceptions: Tally<50>,
    /// Requests that were refused, by reason.
    rejections: Tally<64>,
}

/// A mapping of the scoreboard; clones share it.
#[derive(Clone)]
pub struct Scoreboard {
    map: Arc<Map>,
}

struct Map {
    base: NonNull<u8>,
    len: usize,
    entries: usize,
    fd: OwnedFd,
}

// SAFETY: the mapping is plain shared memory that holds nothing but atomics; its address never changes before the
// last clone is dropped.
unsafe impl Send for Map {}
// SAFETY: as above: every field of `Header` and `Entry` is an atomic, so shared access is sound.
unsafe impl Sync for Map {}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: `base` and `len` are what mmap returned, and no reference into the mapping outlives its `Arc`:
        // `Scoreboard` hands out borrows of itself only, `Own` keeps a clone.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

impl Scoreboard {
    /// Makes a new one; the supervisor does so once.
    pub fn create(entries: usize) -> std::io::Result<Self> {
        let fd = rustix::fs::memfd_create("monodon-scoreboard", rustix::fs::MemfdFlags::CLOEXEC)?;
        rustix::fs::ftruncate(&fd, size(entries) as u64)?;
        let board = Self::map(fd, entries)?;
        board.header().entries.store(entries as u32, Relaxed);
        board.header().magic.store(MAGIC, Relaxed);
        Ok(board)
    }

    /// Maps the one that was inherited as `fd`.
    pub fn open(fd: OwnedFd) -> std::io::Result<Self> {
        let len = rustix::fs::fstat(&fd)?.st_size as usize;
        let fixed = size_of::<Header>();
        if len < fixed || !(len - fixed).is_multiple_of(size_of::<Entry>()) {
            return Err(std::io::Error::other("the scoreboard has another size than this version's"));
        }
        let board = Self::map(fd, (len - fixed) / size_of::<Entry>())?;
        if board.header().magic.load(Relaxed) != MAGIC {
            return Err(std::io::Error::other("the scoreboard is of another version"));
        }
        Ok(board)
    }

    fn map(fd: OwnedFd, entries: usize) -> std::io::Result<Self> {
        use rustix::mm::{MapFlags, ProtFlags};
        let len = size(entries);
        // SAFETY: a fresh mapping at an address of the kernel's choice aliases no Rust object. The file is a memfd
        // of at least `len` bytes that nobody truncates, so no access can fault.
        let base = unsafe {
            rustix::mm::mmap(std::ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, &fd, 0)?
        };
        let base = NonNull::new(base.cast::<u8>()).ok_or_else(|| std::io::Error::other("mmap returned null"))?;
        Ok(Self { map: Arc::new(Map { base, len, entries, fd }) })
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.map.fd.as_fd()
    }

    fn header(&self) -> &Header {
        // SAFETY: the mapping is page-aligned, at least `size_of::<Header>()` long, and zero bytes are valid
        // atomics; the borrow cannot outlive `self`, which keeps the mapping.
        unsafe { self.map.base.cast::<Header>().as_ref() }
    }

    pub fn entries(&self) -> &[Entry] {
        // SAFETY: `Entry` is `repr(C, align(64))` and made of atomics alone, the header's size is a multiple of 64,
        // so the array starts aligned; `map` sized the mapping for `entries` of them. The borrow is bound to `self`.
        unsafe {
            let first = self.map.base.add(size_of::<Header>()).cast::<Entry>();
            std::slice::from_raw_parts(first.as_ptr(), self.map.entries)
        }
    }

    pub fn entry(&self, index: usize) -> Option<&Entry> {
        self.entries().get(index)
    }

    /// A process's own entry, kept with the mapping it lives in.
    pub fn own(&self, index: usize) -> Option<Own> {
        let entry = NonNull::from(self.entry(index)?);
        Some(Own { entry, index, board: self.clone() })
    }

    /// Exceptions that came out of the application, by type.
    pub fn exceptions(&self) -> &Tally<50> {
        &self.header().exceptions
    }

    /// Requests that were refused, by reason.
    pub fn rejections(&self) -> &Tally<64> {
        &self.header().rejections
    }

    /// Slots of all processes that serve.
    pub fn slots(&self) -> u32 {
        self.header().slots.load(Relaxed)
    }

    pub fn set_slots(&self, slots: u32) {
        self.header().slots.store(slots, Relaxed);
    }

    /// The whole worker is being stopped.
    pub fn draining(&self) -> bool {
        self.header().draining.load(Relaxed) != 0
    }

    pub fn set_draining(&self, draining: bool) {
        self.header().draining.store(u32::from(draining), Relaxed);
    }

    /// Another supervisor's processes take connections, too.
    pub fn heir(&self) -> bool {
        self.header().heir.load(Relaxed) != 0
    }

    pub fn set_heir(&self, heir: bool) {
        self.header().heir.store(u32::from(heir), Relaxed);
    }

    /// Processes that accept connections: with none, a leaving process has nobody to hand its own to.
    pub fn serving(&self) -> u32 {
        self.header().serving.load(Relaxed)
    }

    pub fn set_serving(&self, serving: u32) {
        self.header().serving.store(serving, Relaxed);
    }

    /// With `--reload`: whether connections are to be left to a later generation, which will come.
    pub fn superseded(&self, generation: u32) -> bool {
        self.header().succession.load(Relaxed) > generation
    }

    pub fn supersede(&self, by: u32) {
        self.header().succession.store(by, Relaxed);
    }

    /// Whether a process with `connections` may accept now: it holds no more than any sibling that could accept, and has
    /// room if any of them has. A sibling whose slots have been taken for a millisecond or longer does not count.
    pub fn may_accept(&self, own: usize, connections: u32, full: bool) -> bool {
        let others =
            self.entries().iter().enumerate().filter(|(index, entry)| *index != own && entry.state().accepts());
        let mut more = others.filter(|(_, entry)| full || entry.connections() < connections).peekable();
        if more.peek().is_none() {
            return true;
        }
        let now = now();
        more.all(|(_, entry)| entry.full_since().is_some_and(|since| now.saturating_sub(since) >= MILLISECOND))
    }

    /// How the last process of this entry died, if it did so lately (within `within` microseconds). For
    /// `x-monodon-retry`: none means that no mark is there, yet or at all.
    pub fn died_lately(&self, entry: usize, within: u64) -> Option<Death> {
        let death = self.entry(entry)?.death()?;
        (now().saturating_sub(death.at) <= within).then_some(death)
    }
}

/// A process's own entry; dereferences to it at no cost.
#[derive(Clone)]
pub struct Own {
    entry: NonNull<Entry>,
    index: usize,
    board: Scoreboard,
}

// SAFETY: `entry` points into `board`'s mapping, which this value keeps alive, at atomics alone.
unsafe impl Send for Own {}
// SAFETY: as above.
unsafe impl Sync for Own {}

impl Own {
    pub fn index(&self) -> usize {
        self.index
    }

    pub fn board(&self) -> &Scoreboard {
        &self.board
    }
}

impl std::ops::Deref for Own {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        // SAFETY: `entry` was taken from `board`, whose mapping stays where it is as long as `self.board` lives.
        unsafe { self.entry.as_ref() }
    }
}

fn size(entries: usize) -> usize {
    size_of::<Header>() + entries * size_of::<Entry>()
}

/// Monotonic microseconds: the one clock of the scoreboard, the same in all processes.
pub fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec.unsigned_abs() * 1_000_000 + time.tv_nsec.unsigned_abs() / 1000
}
