//! Counters live in per-thread shards and are added up at a scrape.

/// One thread's counters.
#[derive(Default)]
pub struct Shard {}
