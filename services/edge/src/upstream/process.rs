//! What a worker tells of its processes with every answer, and how many requests each has in hand.

use std::sync::atomic::{AtomicU32, Ordering};

/// Scoreboard entries we keep count of; an upstream with more is bounded by its total alone.
pub const ENTRIES: usize = 256;

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
pub struct Process {
    busy: AtomicU32,
    slots: AtomicU32,
}

impl Process {
    pub fn slots(&self) -> u32 {
        self.slots.load(Ordering::Relaxed).max(1)
    }

    pub fn learn(&self, slots: u32) {
        if self.slots.load(Ordering::Relaxed) != slots {
            self.slots.store(slots, Ordering::Relaxed);
        }
    }

    /// One of its slots, if one is free.
    pub fn take(&self) -> bool {
        let slots = self.slots();
        let take = |busy| (busy < slots).then_some(busy + 1);
        self.busy.fetch_update(Ordering::SeqCst, Ordering::Relaxed, take).is_ok()
    }

    /// One more, free or not.
    pub fn add(&self) {
        self.busy.fetch_add(1, Ordering::SeqCst);
    }

    pub fn give_back(&self) {
        self.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_process_header_strictly() {
        assert_eq!(ProcessHeader::parse(b"3/1/4"), Some(ProcessHeader { entry: 3, slots: 1, all: 4 }));
        for bad in ["", "1", "1/2", "1/2/3/4", "a/1/1", "1/0/1", "1/1/0", "-1/1/1", "1//1", "9999999/1/1"] {
            assert_eq!(ProcessHeader::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
