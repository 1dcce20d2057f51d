//! What was counted, as Prometheus text.

use super::Limits;
use monodon_admin::text::Family;
use std::sync::atomic::Ordering::Relaxed;

pub fn render(limits: &Limits, out: &mut String) {
    if limits.zones.is_empty() {
        return;
    }
    let zones = || limits.zones.iter().map(|zone| (zone.rule.name.as_str(), zone));
    let mut refused = Family::counter(
        out,
        "monodon_edge_limit_refused_total",
        "Requests beyond a limit; dry_run ones were let pass.",
    );
    for (name, zone) in zones() {
        refused.sample(&[("limit", name), ("dry_run", "false")], zone.refused.load(Relaxed));
        refused.sample(&[("limit", name), ("dry_run", "true")], zone.spared.load(Relaxed));
    }
    drop(refused);
    let mut delayed =
        Family::counter(out, "monodon_edge_limit_delayed_total", "Requests that had to wait for their turn.");
    for (name, zone) in zones() {
        delayed.sample(&[("limit", name)], zone.delayed.load(Relaxed));
    }
    drop(delayed);
    let mut waiting = Family::gauge(out, "monodon_edge_limit_waiting", "Requests that wait for their turn now.");
    for (name, zone) in zones() {
        waiting.sample(&[("limit", name)], zone.waiting.load(Relaxed));
    }
    drop(waiting);
    let mut keys = Family::gauge(out, "monodon_edge_limit_keys", "Keys that a limit has something counted of.");
    for (name, zone) in zones() {
        keys.sample(&[("limit", name)], zone.table.as_ref().map_or(0, super::Table::live));
    }
    drop(keys);
    let mut evicted = Family::counter(
        out,
        "monodon_edge_limit_evictions_total",
        "Keys forgotten early because the limit's table was full.",
    );
    for (name, zone) in zones() {
        let evictions = zone.table.as_ref().map_or(0, |table| table.evicted.load(Relaxed));
        let uncounted = zone.counts.as_ref().map_or(0, |counts| counts.uncounted.load(Relaxed));
        evicted.sample(&[("limit", name)], evictions + uncounted);
    }
}
