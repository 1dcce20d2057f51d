//! The shards added up, as Prometheus text.

use super::cell::BUCKETS;
use super::{HANDSHAKES, Histogram, METHODS, PROTOCOLS, Reason, STATIC_RESULTS, Shard, TLS_VERSIONS, Table};
use crate::compress::Coding;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

/// What the process as a whole knows.
pub struct Process<'a> {
    /// Names by site index, from 1.
    pub sites: &'a [String],
    pub draining: bool,
    pub reload_successful: bool,
    pub reload_timestamp: u64,
    pub log_lines_lost: u64,
}

/// All families that this module owns.
pub fn render(shards: &[Arc<Shard>], process: &Process<'_>, out: &mut String) {
    let site = |index: u64| -> &str {
        let names = if process.sites.is_empty() { "_default" } else { "_other" };
        (index as usize).checked_sub(1).and_then(|index| process.sites.get(index)).map_or(names, String::as_str)
    };
    let tables = |of: &dyn Fn(&Shard) -> Vec<(u64, u64)>| {
        let mut sum = BTreeMap::<u64, u64>::new();
        for shard in shards {
            for (key, value) in of(shard) {
                *sum.entry(key).or_default() += value;
            }
        }
        sum
    };
    let name = |names: &[&'static str], index: u64| names.get(index as usize).copied().unwrap_or("_other");
    // Sites that ever had a request, and the first.
    let requests = tables(&|shard| shard.requests.entries().collect());
    let mut sites: Vec<u64> = requests.keys().map(|key| key >> 32).chain([0]).collect();
    sites.sort_unstable();
    sites.dedup();
    let cells = |of: &dyn Fn(&Shard) -> u64| shards.iter().map(|shard| of(shard)).fold(0u64, u64::wrapping_add);

    family(out, "http_requests_total", "counter", "Requests answered.");
    for (key, value) in &requests {
        let (at, method, protocol, code) = (site(key >> 32), key >> 24 & 0xff, key >> 16 & 0xff, key & 0xffff);
        let (method, protocol) = (name(&METHODS, method), name(&PROTOCOLS, protocol));
        let labels = format!("site=\"{at}\",method=\"{method}\",code=\"{code}\",protocol=\"{protocol}\"");
        sample(out, "http_requests_total", &labels, value);
    }
    family(out, "http_request_duration_seconds", "histogram", "From the request's head to the end of its answer.");
    for &index in &sites {
        for class in 0..5 {
            let parts: Vec<&Histogram> = shards
                .iter()
                .filter_map(|shard| shard.sites.get(index as usize).and_then(|site| site.seconds.get(class)))
                .collect();
            // A class that never happened is no series; one stands so that the family is there.
            if (index, class) != (0, 1) && parts.iter().all(|part| part.is_empty()) {
                continue;
            }
            let labels = format!("site=\"{}\",code_class=\"{}xx\"", site(index), class + 1);
            histogram(out, "http_request_duration_seconds", &labels, &parts);
        }
    }
    let per_site = |out: &mut String, metric: &str, of: &dyn Fn(&super::PerSite) -> u64| {
        for &index in &sites {
            let sum = cells(&|shard| shard.sites.get(index as usize).map_or(0, of));
            sample(out, metric, &format!("site=\"{}\"", site(index)), &sum);
        }
    };
    family(out, "http_requests_in_flight", "gauge", "Requests that are being answered.");
    per_site(out, "http_requests_in_flight", &|site| site.in_flight.get());
    family(out, "http_request_bytes_total", "counter", "Bytes of request bodies.");
    per_site(out, "http_request_bytes_total", &|site| site.bytes_in.get());
    family(out, "http_response_bytes_total", "counter", "Bytes of answers' bodies.");
    per_site(out, "http_response_bytes_total", &|site| site.bytes_out.get());

    family(out, "http_request_errors_total", "counter", "Requests that failed, by the reason.");
    for (key, value) in tables(&|shard| shard.errors.entries().collect()) {
        let reason = Reason::ALL.get((key & 0xff) as usize).map_or("_other", |reason| reason.word());
        sample(out, "http_request_errors_total", &format!("site=\"{}\",reason=\"{reason}\"", site(key >> 8)), &value);
    }

    family(out, "connections", "gauge", "Open client connections.");
    for (index, protocol) in ["http/1", "h2"].iter().enumerate() {
        let of = |cells: &[super::Cell64; 2]| cells.get(index).map_or(0, super::Cell64::get);
        let open = cells(&|shard| of(&shard.connections.open));
        let active = cells(&|shard| of(&shard.connections.active));
        sample(out, "connections", &format!("protocol=\"{protocol}\",state=\"active\""), &active);
        sample(out, "connections", &format!("protocol=\"{protocol}\",state=\"idle\""), &open.saturating_sub(active));
    }
    family(out, "connections_accepted_total", "counter", "Connections accepted.");
    sample(out, "connections_accepted_total", "listener=\"http\"", &cells(&|s| s.connections.accepted_http.get()));
    sample(out, "connections_accepted_total", "listener=\"https\"", &cells(&|s| s.connections.accepted_https.get()));
    family(out, "connections_from_gateway_total", "counter", "Connections whose client's own address is hidden.");
    sample(out, "connections_from_gateway_total", "", &cells(&|s| s.connections.from_gateway.get()));
    family(out, "connections_rejected_total", "counter", "Connections closed before any request.");
    sample(out, "connections_rejected_total", "reason=\"limit\"", &cells(&|s| s.connections.refused_limit.get()));
    let refused = cells(&|s| s.connections.refused_client.get());
    sample(out, "connections_rejected_total", "reason=\"client_limit\"", &refused);
    let refused = cells(&|s| s.connections.refused_client_handshake.get());
    sample(out, "connections_rejected_total", "reason=\"client_handshakes\"", &refused);
    let refused = cells(&|s| s.connections.refused_handshake.get());
    sample(out, "connections_rejected_total", "reason=\"handshake\"", &refused);
    let refused = cells(&|s| s.connections.refused_introduction.get());
    sample(out, "connections_rejected_total", "reason=\"proxy_protocol\"", &refused);

    family(
        out,
        "http2_glitches_total",
        "counter",
        "HTTP/2 frames that did nothing, and five for each request given up.",
    );
    sample(out, "http2_glitches_total", "", &cells(&|s| s.connections.h2_glitches.get()));
    family(out, "http2_connections_ended_total", "counter", "HTTP/2 connections ended for what the client sent.");
    sample(out, "http2_connections_ended_total", "reason=\"glitches\"", &cells(&|s| s.connections.h2_calmed.get()));
    sample(out, "http2_connections_ended_total", "reason=\"error\"", &cells(&|s| s.connections.h2_errors.get()));
    family(out, "answers_stalled_total", "counter", "Answers given up because their clients read them too slowly.");
    sample(out, "answers_stalled_total", "", &cells(&|s| s.connections.stalled.get()));

    family(out, "tls_handshakes_total", "counter", "TLS handshakes.");
    for (key, value) in tables(&|shard| shard.handshakes.entries().collect()) {
        let (result, version) = (name(&HANDSHAKES, key >> 8), name(&TLS_VERSIONS, key & 0xff));
        sample(out, "tls_handshakes_total", &format!("result=\"{result}\",version=\"{version}\""), &value);
    }
    family(out, "tls_handshake_duration_seconds", "histogram", "Handshakes that succeeded.");
    let parts: Vec<&Histogram> = shards.iter().map(|shard| &shard.handshake_seconds).collect();
    histogram(out, "tls_handshake_duration_seconds", "", &parts);

    family(out, "static_responses_total", "counter", "Answers from static folders.");
    for (key, value) in tables(&|shard| shard.statics.entries().collect()) {
        let labels = format!("result=\"{}\",encoding=\"identity\"", name(&STATIC_RESULTS, key));
        sample(out, "static_responses_total", &labels, &value);
    }
    family(out, "static_cache_bytes", "gauge", "Files kept in memory.");
    sample(out, "static_cache_bytes", "", &cells(&|shard| shard.static_cache_bytes.get()));

    let of_coding =
        |cells: &[super::Cell64; 3], coding: Coding| cells.get(coding as usize).map_or(0, super::Cell64::get);
    family(out, "compressed_responses_total", "counter", "Answers that were compressed.");
    for coding in Coding::ALL {
        let count = cells(&|shard| of_coding(&shard.compression.answers, coding));
        sample(out, "compressed_responses_total", &format!("encoding=\"{}\"", coding.name()), &count);
    }
    family(out, "compression_bytes_total", "counter", "Bytes of answers before (in) and after (out) compression.");
    for coding in Coding::ALL {
        let taken = cells(&|shard| of_coding(&shard.compression.bytes_in, coding));
        let given = cells(&|shard| of_coding(&shard.compression.bytes_out, coding));
        for (direction, count) in [("in", taken), ("out", given)] {
            let labels = format!("encoding=\"{}\",direction=\"{direction}\"", coding.name());
            sample(out, "compression_bytes_total", &labels, &count);
        }
    }

    family(out, "draining", "gauge", "1 while the edge is about to stop.");
    sample(out, "draining", "", &u64::from(process.draining));
    family(out, "config_last_reload_successful", "gauge", "1 unless the last reload was refused.");
    sample(out, "config_last_reload_successful", "", &u64::from(process.reload_successful));
    family(out, "config_last_reload_success_timestamp_seconds", "gauge", "When the configuration in force was read.");
    sample(out, "config_last_reload_success_timestamp_seconds", "", &process.reload_timestamp);
    family(
        out,
        "access_log_lines_dropped_total",
        "counter",
        "Access log lines lost because the log could not be written.",
    );
    sample(out, "access_log_lines_dropped_total", "", &process.log_lines_lost);
    family(out, "metrics_series_dropped_total", "counter", "Counts that found no place in a full table.");
    let dropped = |shard: &Shard| dropped(&shard.requests) + dropped(&shard.errors);
    sample(out, "metrics_series_dropped_total", "family=\"http_requests_total\"", &cells(&dropped));
}

fn dropped<const N: usize>(table: &Table<N>) -> u64 {
    table.dropped.get()
}

fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = write!(out, "# HELP monodon_edge_{name} {help}\n# TYPE monodon_edge_{name} {kind}\n");
}

fn sample(out: &mut String, name: &str, labels: &str, value: &u64) {
    let _ = match labels {
        "" => writeln!(out, "monodon_edge_{name} {value}"),
        labels => writeln!(out, "monodon_edge_{name}{{{labels}}} {value}"),
    };
}

fn histogram(out: &mut String, name: &str, labels: &str, parts: &[&Histogram]) {
    let comma = if labels.is_empty() { "" } else { "," };
    let mut sum = 0;
    let bounds = BUCKETS.iter().map(|(_, label)| *label).chain(["+Inf"]);
    for (index, bound) in bounds.enumerate() {
        sum += parts.iter().filter_map(|part| part.buckets.get(index)).map(super::Cell64::get).sum::<u64>();
        let _ = writeln!(out, "monodon_edge_{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {sum}");
    }
    let seconds = parts.iter().map(|part| part.microseconds.get()).sum::<u64>() as f64 / 1e6;
    let braces = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
    let _ = write!(out, "monodon_edge_{name}_sum{braces} {seconds}\nmonodon_edge_{name}_count{braces} {sum}\n");
}
