//! The shards added up, as Prometheus text.

mod answers;
mod connections;
mod requests;

use super::cell::BUCKETS;
use super::{Cell64, Histogram, Shard};
use crate::router::RouteName;
use monodon_admin::text::Family;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the process as a whole knows.
#[derive(Default)]
pub struct Process<'a> {
    /// Names by site index, from 1.
    pub sites: &'a [String],
    /// The same for routes.
    pub routes: &'a [RouteName],
    pub draining: bool,
    pub reload_successful: bool,
    pub reload_timestamp: u64,
    pub log_lines_lost: u64,
}

/// All families that this module owns.
pub fn render(shards: &[Arc<Shard>], process: &Process<'_>, out: &mut String) {
    let sum = Sum { shards, process };
    requests::render(&sum, out);
    connections::render(&sum, out);
    answers::render(&sum, out);
    let mut gauge = |name: &str, help: &str, value: u64| {
        Family::gauge(out, name, help).sample(&[], value);
    };
    gauge("monodon_edge_draining", "1 while the edge is about to stop.", u64::from(process.draining));
    let successful = u64::from(process.reload_successful);
    gauge("monodon_edge_config_last_reload_successful", "1 unless the last reload was refused.", successful);
    let help = "When the configuration in force was read.";
    gauge("monodon_edge_config_last_reload_success_timestamp_seconds", help, process.reload_timestamp);
    let help = "Access log lines lost because the log could not be written.";
    Family::counter(out, "monodon_edge_access_log_lines_dropped_total", help).sample(&[], process.log_lines_lost);
    let help = "Counts that found no place in a full table.";
    let mut family = Family::counter(out, "monodon_edge_metrics_series_dropped_total", help);
    let requests = sum.of(|shard| shard.requests.dropped.get());
    family.sample(&[("family", "http_requests_total")], requests);
    let errors = sum.of(|shard| shard.errors.dropped.get());
    family.sample(&[("family", "http_request_errors_total")], errors);
}

/// All shards together.
struct Sum<'a> {
    shards: &'a [Arc<Shard>],
    process: &'a Process<'a>,
}

impl<'a> Sum<'a> {
    fn of(&self, cell: impl Fn(&Shard) -> u64) -> u64 {
        self.shards.iter().map(|shard| cell(shard)).fold(0, u64::wrapping_add)
    }

    /// One of several cells, if there are as many.
    fn at(&self, cells: impl Fn(&Shard) -> &[Cell64], at: usize) -> u64 {
        self.of(|shard| cells(shard).get(at).map_or(0, Cell64::get))
    }

    fn table<I: Iterator<Item = (u64, u64)>>(&self, entries: impl Fn(&'a Shard) -> I) -> BTreeMap<u64, u64> {
        let mut sum = BTreeMap::<u64, u64>::new();
        for (key, value) in self.shards.iter().flat_map(|shard| entries(shard)) {
            *sum.entry(key).or_default() += value;
        }
        sum
    }

    fn histograms(&self, of: impl Fn(&'a Shard) -> Option<&'a Histogram>) -> Vec<&'a Histogram> {
        self.shards.iter().filter_map(|shard| of(shard)).collect()
    }

    fn site(&self, index: u64) -> &'a str {
        let none = if self.process.sites.is_empty() { "_default" } else { "_other" };
        let name = (index as usize).checked_sub(1).and_then(|index| self.process.sites.get(index));
        name.map_or(none, String::as_str)
    }
}

fn name(names: &[&'static str], index: u64) -> &'static str {
    names.get(index as usize).copied().unwrap_or("_other")
}

fn histogram(family: &mut Family<'_>, labels: &[(&str, &str)], parts: &[&Histogram]) {
    let mut counts = [0u64; BUCKETS.len() + 1];
    for (index, count) in counts.iter_mut().enumerate() {
        *count = parts.iter().filter_map(|part| part.buckets.get(index)).map(Cell64::get).sum();
    }
    let microseconds = parts.iter().map(|part| part.microseconds.get()).sum::<u64>();
    family.buckets(labels, &BUCKETS.map(|(_, bound)| bound), &counts, microseconds as f64 / 1e6);
}
