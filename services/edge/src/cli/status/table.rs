//! Two looks at the edge as a table.

use super::Look;
use super::rates::{more, queues, seconds, sites};
use monodon_admin::terminal::{harmless, span};
use serde_json::Value;
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

pub fn table(before: &Look, now: &Look) -> String {
    let mut out = String::new();
    head(before, now, &mut out);
    let _ = writeln!(
        out,
        "\n{:28} {:>8} {:>6} {:>6} {:>7} {:>7} {:>9} {:>11}",
        "SITE", "req/s", "4xx", "5xx", "p50", "p99", "in flight", "requests"
    );
    let percent = |share: Option<f64>| share.map_or_else(|| "-".to_owned(), |share| format!("{share:.1}%"));
    for site in sites(before, now) {
        let (median, slowest) = (time(site.median), time(site.slowest));
        let (refused, failed) = (percent(site.refused), percent(site.failed));
        let _ = writeln!(
            out,
            "{:28} {:>8.1} {refused:>6} {failed:>6} {median:>7} {slowest:>7} {:>9} {:>11}",
            site.name, site.rate, site.in_flight, site.requests
        );
    }
    upstreams(before, now, &mut out);
    certificates(&now.certificates, &mut out);
    if let Some(problems) = text(&now.reloads, "problems") {
        let _ = writeln!(out, "\n! the last reload was refused; the configuration before it is in force:\n{problems}");
    }
    // What a file or an upstream says must not move a person's cursor.
    harmless(out.trim_end())
}

fn head(before: &Look, now: &Look, out: &mut String) {
    let number = |key: &str| now.reloads.get(key).and_then(Value::as_u64).unwrap_or(0);
    let draining = now.reloads.get("draining").and_then(Value::as_bool).unwrap_or(false);
    let _ = writeln!(
        out,
        "monodon-edge {}, up {}{}; configuration {} read {} ago, {} reloads taken, {} refused",
        text(&now.reloads, "version").unwrap_or("?"),
        span(number("uptime_seconds")),
        if draining { ", stopping" } else { "" },
        text(&now.reloads, "hash").unwrap_or("?"),
        span(clock().saturating_sub(number("in_force_since"))),
        number("taken"),
        number("refused"),
    );
    let accepted = more(before, now, "connections_accepted_total", &[]) / seconds(before, now);
    let _ = writeln!(
        out,
        "{} connections, of them {} with a request in hand, {accepted:.1} new a second; {:.1} requests a second; memory {:.0} MiB",
        now.page.sum("connections", &[]),
        now.page.sum("connections", &[("state", "active")]),
        more(before, now, "http_requests_total", &[]) / seconds(before, now),
        now.page.process("resident_memory_bytes") / 1_048_576.0,
    );
}

fn upstreams(before: &Look, now: &Look, out: &mut String) {
    let queues = queues(before, now);
    let all = now.upstreams.get("upstreams").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let shown = all.iter().filter(|one| !list(one, "addresses").is_empty());
    let mut shown = shown.peekable();
    if shown.peek().is_some() {
        let _ = writeln!(
            out,
            "\n{:28} {:>8} {:>8} {:>7} {:>8} {:>8} {:>8}",
            "UPSTREAM", "req/s", "busy", "waiting", "rejected", "failures", "retries"
        );
    }
    for upstream in shown {
        let name = text(upstream, "name").unwrap_or("?");
        match queues.iter().find(|queue| queue.name == name) {
            Some(queue) => {
                let _ = writeln!(
                    out,
                    "{name:28} {:>8.1} {:>8} {:>7} {:>8} {:>8} {:>8}",
                    queue.rate, "", queue.waiting, queue.rejected, queue.failures, queue.retries
                );
            }
            None => drop(writeln!(out, "{name}")),
        }
        for address in list(upstream, "addresses") {
            let label = text(address, "address").unwrap_or("?");
            let ours = [("upstream", name), ("address", label)];
            let busy = now.page.sum("upstream_requests_in_flight", &ours);
            let slots = now.page.sum("upstream_slots", &ours);
            let busy = if slots > 0.0 { format!("{busy}/{slots}") } else { busy.to_string() };
            let up = address.get("up").and_then(Value::as_bool).unwrap_or(false);
            let state = text(address, "state").unwrap_or(if up { "up" } else { "down" });
            let why = text(address, "reason").map_or_else(String::new, |why| format!(": {why}"));
            let _ = writeln!(out, "  {label:26} {:>8} {busy:>8} {state}{why}", "");
        }
    }
}

fn certificates(told: &Value, out: &mut String) {
    let all = list(told, "certificates");
    if !all.is_empty() {
        let _ = writeln!(out, "\n{:28} {:>10} {:>10}", "CERTIFICATE", "issuer", "days left");
    }
    for one in all {
        let ends = one.get("not_after").and_then(Value::as_u64).unwrap_or(0);
        let days = ends.saturating_sub(clock()) / 86_400;
        let why = text(one, "problem").map_or_else(String::new, |why| format!("  ! {why}"));
        let name = text(one, "name").unwrap_or("?");
        let _ = writeln!(out, "{name:28} {:>10} {days:>10}{why}", text(one, "issuer").unwrap_or("?"));
    }
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn time(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".into(),
        Some(time) if time < 0.001 => format!("{:.0}us", time * 1e6),
        Some(time) if time < 1.0 => format!("{:.0}ms", time * 1e3),
        Some(time) => format!("{time:.1}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::page::Page;
    use serde_json::json;
    use std::time::{Duration, Instant};

    fn look(at: Instant, count: u32, failed: u32) -> Look {
        let page = format!(
            "monodon_edge_http_requests_total{{site=\"a\",code=\"200\"}} {count}\n\
             monodon_edge_http_requests_total{{site=\"a\",code=\"502\"}} {failed}\n\
             monodon_edge_http_requests_in_flight{{site=\"a\"}} 2\n\
             monodon_edge_http_request_duration_seconds_bucket{{site=\"a\",le=\"0.01\"}} {}\n\
             monodon_edge_http_request_duration_seconds_bucket{{site=\"a\",le=\"0.1\"}} {count}\n\
             monodon_edge_http_request_duration_seconds_bucket{{site=\"a\",le=\"+Inf\"}} {count}\n\
             monodon_edge_queue_depth{{upstream=\"default\"}} 3\n\
             monodon_edge_upstream_requests_in_flight{{upstream=\"default\",address=\"w:1\"}} 2\n\
             monodon_edge_upstream_slots{{upstream=\"default\",address=\"w:1\",state=\"busy\"}} 2\n\
             monodon_edge_upstream_slots{{upstream=\"default\",address=\"w:1\",state=\"idle\"}} 6\n",
            count / 2,
        );
        let address = json!({"address": "w:1", "up": false, "reason": "no\u{1b}[2J answer"});
        Look {
            at,
            page: Page::read(&page),
            upstreams: json!({"upstreams": [{"name": "default", "addresses": [address]}]}),
            certificates: json!({"certificates": [{"name": "internal", "issuer": "internal", "not_after": clock() + 864_100}]}),
            reloads: json!({"version": "1.2.3", "uptime_seconds": 61, "hash": "abc", "in_force_since": clock(),
                "taken": 1, "refused": 2, "problems": "edge.toml:1: x"}),
        }
    }

    #[test]
    fn rates_between_two_looks() {
        let now = Instant::now();
        let (before, now) = (look(now, 100, 0), look(now + Duration::from_secs(2), 300, 50));
        let text = table(&before, &now);
        for line in [
            "monodon-edge 1.2.3, up 1m01; configuration abc read 0s ago, 1 reloads taken, 2 refused",
            "a                               125.0   0.0%  20.0%    10ms    98ms         2         350",
            "  w:1                                      2/8 down: no",
            "internal                       internal         10",
            "! the last reload was refused; the configuration before it is in force:\nedge.toml:1: x",
        ] {
            assert!(text.contains(line), "{line:?} is not in\n{text}");
        }
        assert!(!text.contains('\u{1b}'), "nothing of an answer reaches the terminal as it is");
        let idle = table(&before, &look(before.at, 100, 0));
        assert!(
            idle.contains("a                                 0.0      -      -       -       -         2         100"),
            "{idle}"
        );
    }
}
