//! How many requests a server takes at once, and how many it has. That is the server's own, whatever the configuration says
//! of its address: where a reload changes that, the permits that are out go on counting.

use super::process::{ENTRIES, Process};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// What an address has told of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// It has not answered yet: one request at a time.
    Unknown = 0,
    /// It names its processes and slots: ours.
    Slotted = 1,
    /// It says nothing of slots.
    Foreign = 2,
}

/// What a server that says nothing of slots takes: whatever the configuration allows.
pub const ANY: u32 = u32::MAX;

#[derive(Default)]
#[repr(align(64))]
struct Line(AtomicU32);

pub struct Capacity {
    kind: AtomicU8,
    /// Requests at once, by its own words.
    told: AtomicU32,
    busy: Line,
    processes: Box<[Process]>,
    /// Requests that wait for this server and no other.
    pub waiting: AtomicUsize,
    /// Answers while unknown: tells the control thread whether there is progress.
    pub heads: AtomicU64,
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            kind: AtomicU8::new(Kind::Unknown as u8),
            told: AtomicU32::new(1),
            busy: Line::default(),
            processes: (0..ENTRIES).map(|_| Process::default()).collect(),
            waiting: AtomicUsize::new(0),
            heads: AtomicU64::new(0),
        }
    }
}

impl Capacity {
    pub fn kind(&self) -> Kind {
        match self.kind.load(Ordering::Relaxed) {
            0 => Kind::Unknown,
            1 => Kind::Slotted,
            _ => Kind::Foreign,
        }
    }

    pub fn told(&self) -> u32 {
        self.told.load(Ordering::Relaxed)
    }

    pub fn process(&self, entry: u32) -> Option<&Process> {
        self.processes.get(entry as usize)
    }

    /// SeqCst: see [`Capacity::give_back`].
    pub fn busy(&self) -> u32 {
        self.busy.0.load(Ordering::SeqCst)
    }

    /// One more, if that is not more than the limit.
    pub fn take(&self, limit: u32) -> bool {
        let more = |busy| (busy < limit).then_some(busy + 1);
        self.busy.0.fetch_update(Ordering::SeqCst, Ordering::Relaxed, more).is_ok()
    }

    /// SeqCst here and in the queue: either the one who begins to wait sees this permit, or we see that he waits.
    pub fn give_back(&self) {
        self.busy.0.fetch_sub(1, Ordering::SeqCst);
    }

    /// What it is, and what it takes. True when it takes more than before.
    pub fn learn(&self, kind: Kind, told: u32) -> bool {
        if self.kind() != kind {
            self.kind.store(kind as u8, Ordering::Relaxed);
        }
        self.told() != told && self.told.swap(told, Ordering::SeqCst) < told
    }

    /// What the same server has told under another name.
    pub fn copy(&self, other: &Self) -> bool {
        for (process, known) in self.processes.iter().zip(&other.processes) {
            process.learn(known.slots());
        }
        self.learn(other.kind(), other.told())
    }
}
