//! Counters of the way to the upstream: one shard a thread, written by that thread alone, added up at a scrape.

use super::Shared;
use super::address::Kind;
use super::queue::Refused;
use http::StatusCode;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds in microseconds: waits below a millisecond are what tells a good day from a bad one.
const BOUNDS: [u64; 17] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];
const FAILURES: [&str; 7] = ["connect", "reset", "timeout", "killed_timeout", "killed_memory", "bad_response", "other"];

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

#[derive(Default)]
pub struct Metrics(Mutex<Vec<Arc<Shard>>>);

impl Metrics {
    pub fn shard(&self) -> Arc<Shard> {
        let mut shards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One that a reload has left behind goes on counting for its successor.
        if let Some(free) = shards.iter().find(|shard| Arc::strong_count(shard) == 1) {
            return free.clone();
        }
        let shard = Arc::<Shard>::default();
        shards.push(shard.clone());
        shard
    }

    pub fn render(&self, shared: &Shared, out: &mut String) {
        let shards = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sum = |counter: &dyn Fn(&Shard) -> &AtomicU64| -> u64 {
            shards.iter().map(|shard| counter(shard).load(Ordering::Relaxed)).sum()
        };
        let mut family = Family { out };

        family.begin("upstream_up", "gauge", "1 where an address of the upstream is ready for requests.");
        for status in shared.status() {
            family.line("upstream_up", &format!("address=\"{}\"", escape(&status.address)), u64::from(status.up));
        }
        family.begin("upstream_slots", "gauge", "Slots of the upstream, as its answers announce them.");
        let list = shared.queue.list.load();
        for address in list.all.iter().filter(|address| address.kind() == Kind::Slotted) {
            let (limit, busy) = (u64::from(address.limit()), u64::from(address.busy()));
            let label = escape(&address.label);
            family.line("upstream_slots", &format!("address=\"{label}\",state=\"busy\""), busy.min(limit));
            let idle = limit.saturating_sub(busy);
            family.line("upstream_slots", &format!("address=\"{label}\",state=\"idle\""), idle);
        }
        family.begin("upstream_requests_in_flight", "gauge", "Requests an address of the upstream is working on.");
        for address in &list.all {
            let label = format!("address=\"{}\"", escape(&address.label));
            family.line("upstream_requests_in_flight", &label, u64::from(address.busy()));
        }
        family.begin("queue_depth", "gauge", "Requests that wait for a slot.");
        family.line("queue_depth", "", shared.queue.waiting() as u64);
        family.histogram("queue_wait_seconds", "Wait for a slot.", &shards, |shard| &shard.queue);
        family.begin("queue_rejected_total", "counter", "Requests that got no slot.");
        family.line("queue_rejected_total", "reason=\"full\"", sum(&|shard| &shard.full));
        family.line("queue_rejected_total", "reason=\"timeout\"", sum(&|shard| &shard.timeout));
        let help = "From sending a request to the first byte of its answer.";
        family.histogram("upstream_first_byte_seconds", help, &shards, |shard| &shard.first_byte);
        family.begin("upstream_requests_total", "counter", "Answers of the upstream.");
        for (class, label) in (1usize..).zip(["1xx", "2xx", "3xx", "4xx", "5xx"]) {
            let count = sum(&|shard| shard.classes.get(class).unwrap_or(&shard.retries));
            family.line("upstream_requests_total", &format!("code_class=\"{label}\""), count);
        }
        family.begin("upstream_failures_total", "counter", "Sendings without a proper answer.");
        for (at, reason) in FAILURES.iter().enumerate() {
            let count = sum(&|shard| shard.failures.get(at).unwrap_or(&shard.retries));
            family.line("upstream_failures_total", &format!("reason=\"{reason}\""), count);
        }
        family.begin("upstream_retries_total", "counter", "Requests sent a second time.");
        family.line("upstream_retries_total", "reason=\"reset\"", sum(&|shard| &shard.retries));
        family.begin("upstream_resolutions_total", "counter", "Look-ups of the upstream's names.");
        let (ok, failed) = (&shared.control.resolved, &shared.control.unresolved);
        family.line("upstream_resolutions_total", "result=\"ok\"", ok.load(Ordering::Relaxed));
        family.line("upstream_resolutions_total", "result=\"failed\"", failed.load(Ordering::Relaxed));
    }
}

struct Family<'a> {
    out: &'a mut String,
}

impl Family<'_> {
    fn begin(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.out, "# HELP monodon_edge_{name} {help}\n# TYPE monodon_edge_{name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: u64) {
        let _ = if labels.is_empty() {
            writeln!(self.out, "monodon_edge_{name} {value}")
        } else {
            writeln!(self.out, "monodon_edge_{name}{{{labels}}} {value}")
        };
    }

    fn histogram(&mut self, name: &str, help: &str, shards: &[Arc<Shard>], of: impl Fn(&Shard) -> &Histogram) {
        self.begin(name, "histogram", help);
        let mut total = 0;
        for at in 0..=BOUNDS.len() {
            let counts = shards.iter().filter_map(|shard| of(shard).counts.get(at));
            total += counts.map(|count| count.load(Ordering::Relaxed)).sum::<u64>();
            let bound = match BOUNDS.get(at) {
                Some(micros) => format!("le=\"{}\"", seconds(*micros)),
                None => "le=\"+Inf\"".to_owned(),
            };
            self.line(&format!("{name}_bucket"), &bound, total);
        }
        let micros = shards.iter().map(|shard| of(shard).micros.load(Ordering::Relaxed)).sum();
        let _ = writeln!(self.out, "monodon_edge_{name}_sum {}", seconds(micros));
        self.line(&format!("{name}_count"), "", total);
    }
}

#[allow(clippy::cast_precision_loss)]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn escape(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_go_below_a_millisecond() {
        let metrics = Metrics::default();
        let shard = metrics.shard();
        shard.waited(Duration::ZERO);
        shard.waited(Duration::from_micros(80));
        shard.waited(Duration::from_secs(60));
        let mut out = String::new();
        let shards = [shard];
        Family { out: &mut out }.histogram("queue_wait_seconds", "h", &shards, |shard| &shard.queue);
        for line in [
            "monodon_edge_queue_wait_seconds_bucket{le=\"0.00005\"} 1",
            "monodon_edge_queue_wait_seconds_bucket{le=\"0.0001\"} 2",
            "monodon_edge_queue_wait_seconds_bucket{le=\"10\"} 2",
            "monodon_edge_queue_wait_seconds_bucket{le=\"+Inf\"} 3",
            "monodon_edge_queue_wait_seconds_count 3",
        ] {
            assert!(out.contains(line), "{line} in:\n{out}");
        }
    }
}
