//! A histogram of fixed buckets in shared memory: written with relaxed adds, read by the scrape alone.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Upper bounds in microseconds: waits and requests share them, so they begin well below a millisecond.
pub const BOUNDS: [u64; 19] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 30_000_000,
];

#[repr(C)]
#[derive(Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum: AtomicU64,
}

impl Histogram {
    pub fn observe(&self, micros: u64) {
        let place = BOUNDS.partition_point(|bound| *bound < micros);
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(1, Relaxed);
        }
        self.sum.fetch_add(micros, Relaxed);
    }

    pub fn add_to(&self, snapshot: &mut Snapshot) {
        for (sum, bucket) in snapshot.buckets.iter_mut().zip(&self.buckets) {
            *sum += bucket.load(Relaxed);
        }
        snapshot.sum += self.sum.load(Relaxed);
    }
}

/// Added up over entries.
#[derive(Default, Clone)]
pub struct Snapshot {
    pub buckets: [u64; BOUNDS.len() + 1],
    /// Microseconds.
    pub sum: u64,
}

impl Snapshot {
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}
