//! The figures of the status page: request rate, errors and latency of the last minutes, busy slots, certificates; read
//! from the services' own metrics.

use std::collections::{BTreeMap, VecDeque};

use super::merge::{Sample, samples};
use super::probe::Page;

/// Points that are kept: ten minutes at one in five seconds.
const POINTS: usize = 120;

#[derive(Debug, Clone, Default)]
pub struct History {
    pub points: VecDeque<Point>,
    pub gauges: Gauges,
    counters: Counters,
}

/// What happened between two scrapes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Point {
    pub at: f64,
    pub rate: f64,
    /// Answers of 500 and above, as a ratio of all.
    pub errors: Option<f64>,
    pub p50: Option<f64>,
    pub p95: Option<f64>,
}

/// What is, as of the last scrape.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gauges {
    /// Worker processes by state, over all replicas.
    pub processes: BTreeMap<String, f64>,
    pub slots: Option<f64>,
    pub slots_busy: Option<f64>,
    pub queue: Option<f64>,
    pub in_flight: Option<f64>,
    /// (site, issuer) to when it ends.
    pub certificates: BTreeMap<(String, String), f64>,
}

#[derive(Debug, Clone, Default)]
struct Counters {
    at: f64,
    /// Replica and series to its value.
    requests: BTreeMap<String, f64>,
    failed: BTreeMap<String, f64>,
    /// Replica, upper bound's bits to its cumulative count.
    buckets: BTreeMap<(String, u64), f64>,
}

impl History {
    pub fn add(&mut self, at: f64, pages: &[Page]) {
        // What the edge counts is what clients see; without an edge, the worker's own figures.
        let text = |page: &Page| page.text.as_ref().ok().cloned();
        let texts: Vec<(&Page, _)> = pages.iter().filter_map(|page| Some((page, text(page)?))).collect();
        let has = |name: &str| texts.iter().any(|(_, text)| text.contains(name));
        let (total, seconds) = if has("monodon_edge_http_requests_total") {
            ("monodon_edge_http_requests_total", "monodon_edge_http_request_duration_seconds_bucket")
        } else {
            ("monodon_worker_requests_total", "monodon_worker_request_duration_seconds_bucket")
        };
        let mut counters = Counters { at, ..Counters::default() };
        let mut gauges = Gauges::default();
        for (page, text) in &texts {
            for sample in samples(text) {
                let value = sample.number();
                if !value.is_finite() && sample.label("le").is_none() {
                    continue;
                }
                let from = format!("{}|{}", page.component, page.instance);
                if sample.name == total {
                    *counters.requests.entry(from.clone()).or_default() += value;
                    if sample.label("code").is_some_and(|code| code.starts_with('5')) {
                        *counters.failed.entry(from).or_default() += value;
                    }
                } else if sample.name == seconds {
                    if let Some(bound) = sample.label("le").and_then(bound) {
                        *counters.buckets.entry((from, bound.to_bits())).or_default() += value;
                    }
                } else {
                    gauges.take(&sample, value);
                }
            }
        }
        self.gauges = gauges;
        let before = std::mem::replace(&mut self.counters, counters);
        let counters = &self.counters;
        let time = at - before.at;
        if before.at > 0.0 && time > 0.5 && !counters.requests.is_empty() {
            let requests = grown(&before.requests, &counters.requests);
            let failed = grown(&before.failed, &counters.failed);
            let buckets = per_bound(&before.buckets, &counters.buckets);
            self.points.push_back(Point {
                at,
                rate: requests / time,
                errors: (requests > 0.0).then(|| (failed / requests).min(1.0)),
                p50: quantile(&buckets, 0.5),
                p95: quantile(&buckets, 0.95),
            });
        }
        while self.points.len() > POINTS {
            self.points.pop_front();
        }
    }
}

impl Gauges {
    fn take(&mut self, sample: &Sample<'_>, value: f64) {
        let add = |gauge: &mut Option<f64>| *gauge = Some(gauge.unwrap_or(0.0) + value);
        match sample.name {
            "monodon_worker_processes" => {
                let state = sample.label("state").unwrap_or("unknown").to_owned();
                *self.processes.entry(state).or_default() += value;
            }
            "monodon_edge_upstream_slots" if sample.label("state") == Some("busy") => add(&mut self.slots_busy),
            "monodon_worker_slots" if sample.label("state").is_none() => add(&mut self.slots),
            "monodon_edge_queue_depth" => add(&mut self.queue),
            "monodon_edge_http_requests_in_flight" => add(&mut self.in_flight),
            "monodon_edge_certificate_not_after_timestamp_seconds" => {
                let label = |name: &str| sample.label(name).unwrap_or_default().to_owned();
                let end = self.certificates.entry((label("site"), label("issuer"))).or_insert(value);
                // Over several edges, the one that ends first.
                *end = end.min(value);
            }
            _ => {}
        }
    }
}

/// How much counters grew; one that fell began anew, one that is new was there before we looked.
fn grown<K: Ord>(before: &BTreeMap<K, f64>, now: &BTreeMap<K, f64>) -> f64 {
    let delta = |(key, value): (&K, &f64)| match before.get(key) {
        Some(old) if value >= old => value - old,
        Some(_) => *value,
        None => 0.0,
    };
    now.iter().map(delta).sum()
}

/// Cumulative counts of this interval by bound, all replicas together.
fn per_bound(before: &BTreeMap<(String, u64), f64>, now: &BTreeMap<(String, u64), f64>) -> Vec<(f64, f64)> {
    let mut sums: Vec<(f64, f64)> = Vec::new();
    for (key, value) in now {
        let old = before.get(key).copied().unwrap_or(*value);
        let delta = if *value >= old { value - old } else { *value };
        let bound = f64::from_bits(key.1);
        match sums.iter_mut().find(|(known, _)| known.to_bits() == key.1) {
            Some((_, sum)) => *sum += delta,
            None => sums.push((bound, delta)),
        }
    }
    sums.sort_by(|a, b| a.0.total_cmp(&b.0));
    sums
}

/// As Prometheus' `histogram_quantile`: linear within the bucket.
pub fn quantile(buckets: &[(f64, f64)], q: f64) -> Option<f64> {
    let total = buckets.last()?.1;
    if total <= 0.0 {
        return None;
    }
    let rank = q * total;
    let (mut low, mut below) = (0.0, 0.0);
    for (bound, count) in buckets {
        if *count >= rank {
            if bound.is_infinite() {
                return Some(low);
            }
            let within = count - below;
            return Some(if within > 0.0 { low + (bound - low) * (rank - below) / within } else { *bound });
        }
        (low, below) = (*bound, *count);
    }
    Some(low)
}

fn bound(text: &str) -> Option<f64> {
    if text == "+Inf" { Some(f64::INFINITY) } else { text.parse().ok() }
}
