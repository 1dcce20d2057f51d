//! One address of an upstream: its permits (one a slot, decision 4) and what is known of its health.
//!
//! All data threads share it through atomics. A permit counts twice: in the address's total, which bounds what is sent
//! there, and in the process that the connection leads to, so that no request is sent behind a busy one.

use super::queue::Queue;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

/// Scoreboard entries we keep count of; an upstream with more is bounded by its total alone.
const ENTRIES: usize = 256;
/// Requests at once to an upstream whose first answer does not come, after the careful time (see `open_up`).
const CAREFUL_LIMIT: u32 = 16;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

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

/// `x-monodon-process: ENTRY/SLOTS_OF_PROCESS/SLOTS_OF_ALL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessHeader {
    pub entry: u32,
    pub slots: u32,
    pub all: u32,
}

impl ProcessHeader {
    pub fn parse(value: &[u8]) -> Option<Self> {
        let mut parts = value.split(|byte| *byte == b'/');
        let mut number = || -> Option<u32> {
            let digits = parts.next()?;
            if digits.is_empty() || digits.len() > 6 {
                return None;
            }
            digits
                .iter()
                .try_fold(0u32, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u32::from(digit - b'0')))
        };
        let header = Self { entry: number()?, slots: number()?, all: number()? };
        (parts.next().is_none() && header.slots > 0 && header.all > 0).then_some(header)
    }
}

/// On a cache line of its own: each is written by every request that goes there.
#[derive(Default)]
#[repr(align(64))]
struct Process {
    busy: AtomicU32,
    slots: AtomicU32,
}

#[derive(Default)]
#[repr(align(64))]
struct Line(AtomicU32);

pub struct Address {
    pub id: u64,
    pub target: Target,
    pub label: String,
    kind: AtomicU8,
    /// Requests at once.
    limit: AtomicU32,
    busy: Line,
    processes: Box<[Process]>,
    max_connections: u32,
    queue: Arc<Queue>,
    /// Set by a failed connection, cleared by a check or a connection that works.
    down: AtomicBool,
    failures: AtomicU32,
    /// Answers while unknown: tells the control thread whether there is progress.
    pub heads: AtomicU64,
}

impl Address {
    pub fn new(id: u64, target: Target, max_connections: u32, queue: Arc<Queue>) -> Self {
        Self {
            id,
            label: target.to_string(),
            target,
            kind: AtomicU8::new(Kind::Unknown as u8),
            limit: AtomicU32::new(1),
            busy: Line::default(),
            processes: (0..ENTRIES).map(|_| Process::default()).collect(),
            max_connections: max_connections.max(1),
            queue,
            down: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            heads: AtomicU64::new(0),
        }
    }

    pub fn kind(&self) -> Kind {
        match self.kind.load(Ordering::Relaxed) {
            0 => Kind::Unknown,
            1 => Kind::Slotted,
            _ => Kind::Foreign,
        }
    }

    pub fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    pub fn busy(&self) -> u32 {
        self.busy.0.load(Ordering::Relaxed)
    }

    /// SeqCst: see [`Permit`]'s drop.
    pub fn is_free(&self) -> bool {
        self.busy.0.load(Ordering::SeqCst) < self.limit()
    }

    /// Slots to reckon the queue's length by; generous before any are known.
    pub fn queue_share(&self) -> usize {
        let slots = if self.kind() == Kind::Unknown { self.max_connections } else { self.limit() };
        slots as usize
    }

    /// Slots of one process, as it last said.
    pub fn slots_of(&self, entry: u32) -> u32 {
        self.processes.get(entry as usize).map_or(1, |process| process.slots.load(Ordering::Relaxed).max(1))
    }

    /// One of the address's permits; which process it goes to is settled by [`Permit::bind`].
    pub fn take(self: &Arc<Self>) -> Option<Permit> {
        let limit = self.limit();
        let taken =
            self.busy.0.fetch_update(Ordering::SeqCst, Ordering::Relaxed, |busy| (busy < limit).then_some(busy + 1));
        taken.ok().map(|_| Permit { address: self.clone(), entry: None })
    }

    /// An answer's head has come; `None` where it says nothing of processes.
    pub fn learn(&self, said: Option<ProcessHeader>) {
        if self.kind() == Kind::Unknown {
            self.heads.fetch_add(1, Ordering::Relaxed);
        }
        let (kind, limit) = match said {
            Some(said) => {
                if let Some(process) = self.processes.get(said.entry as usize)
                    && process.slots.load(Ordering::Relaxed) != said.slots
                {
                    process.slots.store(said.slots, Ordering::Relaxed);
                }
                (Kind::Slotted, said.all)
            }
            // A worker's answer without the header (a watchdog's last words) takes nothing back.
            None if self.kind() == Kind::Slotted => return,
            None => (Kind::Foreign, self.max_connections),
        };
        if self.kind() != kind {
            self.kind.store(kind as u8, Ordering::Relaxed);
        }
        self.set_limit(limit);
    }

    /// Control thread: the first request has been out for long without an answer. A foreign server that is asked for
    /// something slow must not stop the site.
    pub fn open_up(&self) {
        if self.kind() == Kind::Unknown {
            self.set_limit(CAREFUL_LIMIT.min(self.max_connections));
        }
    }

    fn set_limit(&self, limit: u32) {
        if self.limit.load(Ordering::Relaxed) != limit {
            let before = self.limit.swap(limit, Ordering::SeqCst);
            if before < limit {
                self.queue.pass();
            }
        }
    }

    pub fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// A connection failed. True when this is news.
    pub fn failed(&self) -> bool {
        self.failures.fetch_add(1, Ordering::Relaxed);
        !self.down.swap(true, Ordering::Relaxed)
    }

    /// A connection or a check worked. True when this is news.
    pub fn works(&self) -> bool {
        self.is_down() && {
            self.failures.store(0, Ordering::Relaxed);
            let news = self.down.swap(false, Ordering::Relaxed);
            self.queue.pass();
            news
        }
    }

    pub fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Busy per slot, in 1/1024, to compare addresses by.
    pub fn load(&self) -> u32 {
        self.busy().saturating_mul(1024) / self.limit().max(1)
    }
}

/// The right to have one request worked on. Comes back when dropped.
pub struct Permit {
    address: Arc<Address>,
    entry: Option<u32>,
}

impl Permit {
    pub fn address(&self) -> &Arc<Address> {
        &self.address
    }

    /// Take a slot of this process, if one is free.
    pub fn try_bind(&mut self, entry: u32) -> bool {
        let Some(process) = self.address.processes.get(entry as usize) else {
            return true;
        };
        let slots = process.slots.load(Ordering::Relaxed).max(1);
        let taken =
            process.busy.fetch_update(Ordering::SeqCst, Ordering::Relaxed, |busy| (busy < slots).then_some(busy + 1));
        if taken.is_ok() {
            self.unbind();
            self.entry = Some(entry);
        }
        taken.is_ok()
    }

    /// The answer came from this process, whatever we thought before.
    pub fn bind(&mut self, entry: u32) {
        if self.entry == Some(entry) {
            return;
        }
        self.unbind();
        if let Some(process) = self.address.processes.get(entry as usize) {
            process.busy.fetch_add(1, Ordering::SeqCst);
            self.entry = Some(entry);
        }
    }

    fn unbind(&mut self) {
        if let Some(process) = self.entry.take().and_then(|entry| self.address.processes.get(entry as usize)) {
            process.busy.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.unbind();
        // SeqCst here and in the queue: either the one who begins to wait sees this permit, or we see that he waits.
        self.address.busy.0.fetch_sub(1, Ordering::SeqCst);
        if self.address.queue.waiting() > 0 {
            self.address.queue.pass();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> Arc<Address> {
        let target = Target::Tcp(SocketAddr::from(([127, 0, 0, 1], 1)));
        Arc::new(Address::new(1, target, 512, Arc::new(Queue::new(100))))
    }

    #[test]
    fn reads_the_process_header_strictly() {
        assert_eq!(ProcessHeader::parse(b"3/1/4"), Some(ProcessHeader { entry: 3, slots: 1, all: 4 }));
        for bad in ["", "1", "1/2", "1/2/3/4", "a/1/1", "1/0/1", "1/1/0", "-1/1/1", "1//1", "9999999/1/1"] {
            assert_eq!(ProcessHeader::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn one_request_until_it_has_answered() {
        let address = address();
        let first = address.take().unwrap();
        assert!(address.take().is_none());
        address.learn(Some(ProcessHeader { entry: 0, slots: 1, all: 2 }));
        let second = address.take().unwrap();
        assert!(address.take().is_none());
        drop((first, second));
        assert_eq!(address.busy(), 0);
    }

    #[test]
    fn a_foreign_upstream_is_bounded_by_connections_alone() {
        let address = address();
        address.learn(None);
        assert_eq!(address.limit(), 512);
        address.learn(Some(ProcessHeader { entry: 0, slots: 1, all: 2 }));
        address.learn(None);
        assert_eq!(address.limit(), 2);
    }

    #[test]
    fn a_process_takes_no_more_than_its_slots() {
        let address = address();
        address.learn(Some(ProcessHeader { entry: 0, slots: 1, all: 2 }));
        address.learn(Some(ProcessHeader { entry: 1, slots: 1, all: 2 }));
        let (mut a, mut b) = (address.take().unwrap(), address.take().unwrap());
        assert!(a.try_bind(0));
        assert!(!b.try_bind(0));
        assert!(b.try_bind(1));
        drop(a);
        let mut c = address.take().unwrap();
        assert!(!c.try_bind(1));
        assert!(c.try_bind(0));
    }
}
