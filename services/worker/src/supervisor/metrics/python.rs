//! What the interpreter costs: its lock, its collector, and what the application raises.

use std::collections::BTreeMap;

use monodon_admin::text::Family;

use super::seconds;
use crate::scoreboard::{BOUNDS, Entry, GENERATIONS, Snapshot, Tally};
use crate::supervisor::shared::Shared;

pub fn render(shared: &Shared, out: &mut String) {
    let entries = shared.board.entries();
    let mut waits = Snapshot::default();
    entries.iter().for_each(|entry| entry.add_gil(&mut waits));
    let help = "Waits for the interpreter's lock, where a process has other threads that may hold it";
    Family::histogram(out, "monodon_worker_gil_wait_seconds", help).buckets(
        &[],
        &BOUNDS.map(seconds),
        &waits.buckets,
        seconds(waits.sum),
    );
    let mut runs = [0; GENERATIONS];
    for entry in entries {
        runs.iter_mut().zip(entry.collections()).for_each(|(sum, count)| *sum += count);
    }
    let mut family =
        Family::counter(out, "monodon_worker_gc_collections_total", "Runs of Python's collector by generation");
    for (generation, count) in runs.into_iter().enumerate() {
        family.sample(&[("generation", &generation.to_string())], count);
    }
    let collecting: u64 = entries.iter().map(Entry::collecting).sum();
    Family::counter(out, "monodon_worker_gc_pause_seconds_total", "Time that Python's collector took")
        .sample(&[], seconds(collecting));
    let help = "Exceptions that came out of the application, by type: up to fifty of them, then _other";
    tally(shared.board.exceptions(), out, "monodon_worker_exceptions_total", help, "type");
}

/// One sample for each name; names from outside are cut to what a label may hold.
pub fn tally<const N: usize>(tally: &Tally<N>, out: &mut String, name: &str, help: &str, label: &str) {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    tally.each(|name, count| *counts.entry(name.to_owned()).or_default() += count);
    let mut family = Family::counter(out, name, help);
    for (name, count) in counts {
        family.sample(&[(label, &name)], count);
    }
}
