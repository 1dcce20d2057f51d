//! The cells: one writer each, so adding is a plain load and store; any thread may read.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A counter, or a gauge that only its thread changes.
#[derive(Default)]
pub struct Cell64(AtomicU64);

impl Cell64 {
    pub fn add(&self, more: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(more), Relaxed);
    }

    pub fn subtract(&self, less: u64) {
        self.0.store(self.0.load(Relaxed).saturating_sub(less), Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A small open-addressed table of counters by a packed key; the reader sees a key only after its slot is claimed.
/// Full, it counts what it dropped.
pub struct Table<const N: usize> {
    slots: Box<[(AtomicU64, Cell64)]>,
    pub dropped: Cell64,
}

impl<const N: usize> Default for Table<N> {
    fn default() -> Self {
        Self { slots: (0..N).map(|_| Default::default()).collect(), dropped: Cell64::default() }
    }
}

impl<const N: usize> Table<N> {
    pub fn add(&self, key: u64, more: u64) {
        // 0 marks a free slot.
        let stored = key + 1;
        let start = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % N;
        for slot in self.slots.iter().skip(start).chain(self.slots.iter().take(start)) {
            match slot.0.load(Relaxed) {
                found if found == stored => return slot.1.add(more),
                0 => {
                    slot.1.add(more);
                    return slot.0.store(stored, std::sync::atomic::Ordering::Release);
                }
                _ => {}
            }
        }
        self.dropped.add(more);
    }

    pub fn entries(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.slots.iter().filter_map(|(key, value)| {
            let key = key.load(std::sync::atomic::Ordering::Acquire).checked_sub(1)?;
            Some((key, value.get()))
        })
    }
}

/// Upper bounds in microseconds, and in seconds.
pub const BUCKETS: [(u64, f64); 16] = [
    (500, 0.0005),
    (1_000, 0.001),
    (5_000, 0.005),
    (10_000, 0.01),
    (25_000, 0.025),
    (50_000, 0.05),
    (75_000, 0.075),
    (100_000, 0.1),
    (250_000, 0.25),
    (500_000, 0.5),
    (750_000, 0.75),
    (1_000_000, 1.0),
    (2_500_000, 2.5),
    (5_000_000, 5.0),
    (7_500_000, 7.5),
    (10_000_000, 10.0),
];

#[derive(Default)]
pub struct Histogram {
    pub buckets: [Cell64; BUCKETS.len() + 1],
    pub microseconds: Cell64,
}

impl Histogram {
    pub fn is_empty(&self) -> bool {
        self.buckets.iter().all(|bucket| bucket.get() == 0)
    }

    pub fn observe(&self, duration: Duration) {
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let index = BUCKETS.partition_point(|(bound, _)| *bound < microseconds);
        if let Some(bucket) = self.buckets.get(index) {
            bucket.add(1);
        }
        self.microseconds.add(microseconds);
    }
}
