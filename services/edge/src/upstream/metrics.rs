//! Counters of the way to the upstream: one shard a thread, written by that thread alone, added up at a scrape.

use super::address::Kind;
use super::list::List;
use super::queue::Refused;
use super::{Shared, State};
use http::StatusCode;
use monodon_admin::text::Family;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds in microseconds: waits below a millisecond are what tells a good day from a bad one.
const BOUNDS: [u64; 17] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];
const FAILURES: [&str; 8] =
    ["connect", "reset", "refused", "timeout", "killed_timeout", "killed_memory", "bad_response", "other"];

#[derive(Default)]
struct Histogram {
    /// The last is beyond all bounds.
    counts: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Histogram {
    fn observe(&self, value: Duration) {
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        let at = BOUNDS.partition_point(|bound| *bound < micros);
        if let Some(count) = self.counts.get(at) {
            add(count, 1);
        }
        add(&self.micros, micros);
    }
}

/// A shard has one writer: no locked instruction is needed.
fn add(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

#[derive(Default)]
pub struct Shard {
    classes: [AtomicU64; 6],
    failures: [AtomicU64; FAILURES.len()],
    retries: AtomicU64,
    full: AtomicU64,
    timeout: AtomicU64,
    queue: Histogram,
    first_byte: Histogram,
}

impl Shard {
    pub fn waited(&self, wait: Duration) {
        self.queue.observe(wait);
    }

    pub fn refused(&self, refused: &Refused) {
        match refused {
            Refused::Full => add(&self.full, 1),
            Refused::Timeout => add(&self.timeout, 1),
            // Those that came after them are not counted here either.
            Refused::Drained => {}
        }
    }

    pub fn answered(&self, status: StatusCode, first_byte: Duration) {
        if let Some(class) = self.classes.get(usize::from(status.as_u16() / 100)) {
            add(class, 1);
        }
        self.first_byte.observe(first_byte);
    }

    pub fn failed(&self, reason: &str) {
        let at = FAILURES.iter().position(|known| *known == reason).unwrap_or(FAILURES.len() - 1);
        if let Some(count) = self.failures.get(at) {
            add(count, 1);
        }
    }

    pub fn retried(&self) {
        add(&self.retries, 1);
    }
}

/// Connections, of all threads: they outlive a configuration.
#[derive(Default)]
struct Connections {
    opened: AtomicU64,
    closed: AtomicU64,
}

/// A connection that is open, with a request, idle or as a tunnel.
pub struct Open(Arc<Connections>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.closed.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Default)]
pub struct Metrics {
    shards: Mutex<Vec<Arc<Shard>>>,
    connections: Arc<Connections>,
}

impl Metrics {
    pub fn opened(&self) -> Open {
        self.connections.opened.fetch_add(1, Ordering::Relaxed);
        Open(self.connections.clone())
    }

    pub fn shard(&self) -> Arc<Shard> {
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        // One that a reload has left behind goes on counting for its successor.
        if let Some(free) = shards.iter().find(|shard| Arc::strong_count(shard) == 1) {
            return free.clone();
        }
        let shard = Arc::<Shard>::default();
        shards.push(shard.clone());
        shard
    }

    /// Whether a thread has one, and so requests may still come or be under way.
    pub fn are_written(&self) -> bool {
        let shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        shards.iter().any(|shard| Arc::strong_count(shard) > 1)
    }
}

/// All families of all upstreams in Prometheus text, each upstream's summed over its threads.
pub fn render(upstreams: &[Arc<Shared>], out: &mut String) {
    let all: Vec<Part<'_>> = upstreams
        .iter()
        .map(|shared| Part {
            shared,
            name: shared.name(),
            shards: shared.live.metrics.shards.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            list: shared.live.queue.list.load_full(),
        })
        .collect();
    addresses(&all, out);
    connections(&all, out);
    queue(&all, out);
    answers(&all, out);
    super::lanes::render(upstreams, out);
    let mut family =
        Family::counter(out, "monodon_edge_upstream_resolutions_total", "Look-ups of the upstream's names.");
    for part in &all {
        let control = &part.shared.live.control;
        for (result, count) in [("ok", &control.resolved), ("failed", &control.unresolved)] {
            family.sample(&[("upstream", part.name), ("result", result)], count.load(Ordering::Relaxed));
        }
    }
}

/// One upstream at the moment of a scrape.
struct Part<'a> {
    shared: &'a Shared,
    name: &'a str,
    shards: Vec<Arc<Shard>>,
    list: Arc<List>,
}

impl Part<'_> {
    fn sum(&self, counter: impl Fn(&Shard) -> Option<&AtomicU64>) -> u64 {
        self.shards.iter().filter_map(|shard| counter(shard)).map(|count| count.load(Ordering::Relaxed)).sum()
    }

    fn histogram(&self, family: &mut Family<'_>, of: impl Fn(&Shard) -> &Histogram) {
        let counts: Vec<u64> = (0..=BOUNDS.len()).map(|at| self.sum(|shard| of(shard).counts.get(at))).collect();
        let micros = self.sum(|shard| Some(&of(shard).micros));
        family.buckets(&[("upstream", self.name)], &BOUNDS.map(seconds), &counts, seconds(micros));
    }
}

fn addresses(all: &[Part<'_>], out: &mut String) {
    let help = "1 where an address of the upstream is ready for requests.";
    let mut family = Family::gauge(out, "monodon_edge_upstream_up", help);
    for part in all {
        for status in part.shared.status() {
            family.sample(&[("upstream", part.name), ("address", &status.address)], status.up);
        }
    }
    let help = "The state of each of the upstream's addresses: 1 for the one it is in.";
    let mut family = Family::gauge(out, "monodon_edge_upstream_state", help);
    for part in all {
        for one in part.shared.snapshot() {
            family.states(&[("upstream", part.name), ("address", &one.address)], &State::ALL, one.state.name());
        }
    }
    let help = "Failures have left an address out so often, and that is not forgiven yet.";
    let mut family = Family::gauge(out, "monodon_edge_upstream_ejections", help);
    for part in all {
        for address in &part.list.all {
            family.sample(&[("upstream", part.name), ("address", &address.label)], address.health.ejections());
        }
    }
    let help = "1 where so many addresses fail that none is left out.";
    let mut family = Family::gauge(out, "monodon_edge_upstream_panic", help);
    for part in all {
        family.sample(&[("upstream", part.name)], part.list.panics());
    }
    let help = "Slots of the upstream, as its answers announce them.";
    let mut family = Family::gauge(out, "monodon_edge_upstream_slots", help);
    for part in all {
        for address in part.list.all.iter().filter(|address| address.kind() == Kind::Slotted) {
            let (limit, busy) = (address.limit(), address.busy());
            for (state, count) in [("busy", busy.min(limit)), ("idle", limit.saturating_sub(busy))] {
                family.sample(&[("upstream", part.name), ("address", &address.label), ("state", state)], count);
            }
        }
    }
    let help = "Requests an address of the upstream is working on.";
    let mut family = Family::gauge(out, "monodon_edge_upstream_requests_in_flight", help);
    for part in all {
        for address in &part.list.all {
            family.sample(&[("upstream", part.name), ("address", &address.label)], address.busy());
        }
    }
}

fn connections(all: &[Part<'_>], out: &mut String) {
    // What was closed meanwhile has been opened before.
    let count = |part: &Part<'_>| {
        let of = &part.shared.live.metrics.connections;
        let closed = of.closed.load(Ordering::Relaxed);
        (of.opened.load(Ordering::Relaxed), closed)
    };
    let help = "Open connections to the upstream, idle ones too.";
    let mut family = Family::gauge(out, "monodon_edge_upstream_connections", help);
    for part in all {
        let (opened, closed) = count(part);
        family.sample(&[("upstream", part.name)], opened.saturating_sub(closed));
    }
    let help = "Connections to the upstream that were opened.";
    let mut family = Family::counter(out, "monodon_edge_upstream_connections_opened_total", help);
    for part in all {
        family.sample(&[("upstream", part.name)], count(part).0);
    }
}

fn queue(all: &[Part<'_>], out: &mut String) {
    let mut family = Family::gauge(out, "monodon_edge_queue_depth", "Requests that wait for a slot.");
    for part in all {
        family.sample(&[("upstream", part.name)], part.shared.live.queue.waiting());
    }
    let mut family = Family::histogram(out, "monodon_edge_queue_wait_seconds", "Wait for a slot.");
    for part in all {
        part.histogram(&mut family, |shard| &shard.queue);
    }
    let mut family = Family::counter(out, "monodon_edge_queue_rejected_total", "Requests that got no slot.");
    for part in all {
        family.sample(&[("upstream", part.name), ("reason", "full")], part.sum(|shard| Some(&shard.full)));
        family.sample(&[("upstream", part.name), ("reason", "timeout")], part.sum(|shard| Some(&shard.timeout)));
    }
}

fn answers(all: &[Part<'_>], out: &mut String) {
    let help = "From sending a request to the first byte of its answer.";
    let mut family = Family::histogram(out, "monodon_edge_upstream_first_byte_seconds", help);
    for part in all {
        part.histogram(&mut family, |shard| &shard.first_byte);
    }
    let mut family = Family::counter(out, "monodon_edge_upstream_requests_total", "Answers of the upstream.");
    for part in all {
        for (class, label) in (1usize..).zip(["1xx", "2xx", "3xx", "4xx", "5xx"]) {
            let count = part.sum(|shard| shard.classes.get(class));
            family.sample(&[("upstream", part.name), ("code_class", label)], count);
        }
    }
    let mut family = Family::counter(out, "monodon_edge_upstream_failures_total", "Sendings without a proper answer.");
    for part in all {
        for (at, reason) in FAILURES.iter().enumerate() {
            let count = part.sum(|shard| shard.failures.get(at));
            family.sample(&[("upstream", part.name), ("reason", reason)], count);
        }
    }
    let mut family = Family::counter(out, "monodon_edge_upstream_retries_total", "Requests sent a second time.");
    for part in all {
        family.sample(&[("upstream", part.name), ("reason", "reset")], part.sum(|shard| Some(&shard.retries)));
    }
}

#[allow(clippy::cast_precision_loss)]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_go_below_a_millisecond() {
        let named = crate::config::Named {
            name: "node".into(),
            upstream: crate::config::Upstream::default(),
            timeouts: crate::config::Timeouts::default(),
        };
        let folder = tempfile::tempdir().unwrap();
        let spool = crate::config::Spool { dir: folder.path().to_owned(), limit: 1 << 20, ..Default::default() };
        let spool = Arc::new(crate::buffer::Spool::open(&spool).unwrap());
        let shared = Shared::new(&named, spool, &crate::upstream::Memory::default());
        let shard = shared.live.metrics.shard();
        shard.waited(Duration::ZERO);
        shard.waited(Duration::from_micros(80));
        shard.waited(Duration::from_secs(60));
        let mut out = String::new();
        render(std::slice::from_ref(&shared), &mut out);
        for line in [
            "monodon_edge_queue_wait_seconds_bucket{upstream=\"node\",le=\"0.00005\"} 1",
            "monodon_edge_queue_wait_seconds_bucket{upstream=\"node\",le=\"0.0001\"} 2",
            "monodon_edge_queue_wait_seconds_bucket{upstream=\"node\",le=\"10\"} 2",
            "monodon_edge_queue_wait_seconds_bucket{upstream=\"node\",le=\"+Inf\"} 3",
            "monodon_edge_queue_wait_seconds_count{upstream=\"node\"} 3",
        ] {
            assert!(out.contains(line), "{line} in:\n{out}");
        }
    }
}
