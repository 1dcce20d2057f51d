//! What happened between two looks at the edge: rate, errors, duration.

use super::Look;
use crate::cli::page::Page;
use serde_json::{Value, json};

/// Rate, errors, duration of a site between two looks.
pub struct Site {
    pub name: String,
    pub rate: f64,
    /// Of the answers, in percent; none where nothing was answered.
    pub refused: Option<f64>,
    pub failed: Option<f64>,
    pub median: Option<f64>,
    pub slowest: Option<f64>,
    pub in_flight: f64,
    pub requests: f64,
}

impl Site {
    pub fn json(&self) -> Value {
        json!({
            "name": self.name, "requests_per_second": self.rate, "percent_4xx": self.refused, "percent_5xx": self.failed,
            "p50_seconds": self.median, "p99_seconds": self.slowest, "in_flight": self.in_flight, "requests": self.requests,
        })
    }
}

/// What waits for an upstream, and what became of requests.
pub struct Queue {
    pub name: String,
    pub rate: f64,
    pub waiting: f64,
    pub rejected: f64,
    pub failures: f64,
    pub retries: f64,
}

impl Queue {
    pub fn json(&self) -> Value {
        json!({
            "upstream": self.name, "requests_per_second": self.rate, "waiting": self.waiting, "rejected": self.rejected,
            "failures": self.failures, "retries": self.retries,
        })
    }
}

/// How much more since the last look.
pub fn more(before: &Look, now: &Look, name: &str, labels: &[(&str, &str)]) -> f64 {
    (now.page.sum(name, labels) - before.page.sum(name, labels)).max(0.0)
}

pub fn seconds(before: &Look, now: &Look) -> f64 {
    now.at.duration_since(before.at).as_secs_f64().max(0.001)
}

pub fn sites(before: &Look, now: &Look) -> Vec<Site> {
    let names = now.page.values("http_requests_in_flight", "site");
    let site = |name: &str| {
        let answered = more(before, now, "http_requests_total", &[("site", name)]);
        let class = |class: char| {
            let of = |page: &Page| -> f64 {
                let all = page.all("http_requests_total").iter();
                let fits = all.filter(|one| one.label("site") == name && one.label("code").starts_with(class));
                fits.map(|one| one.value).sum()
            };
            (answered > 0.0).then(|| 100.0 * (of(&now.page) - of(&before.page)).max(0.0) / answered)
        };
        let buckets = buckets(before, now, name);
        Site {
            name: name.to_owned(),
            rate: answered / seconds(before, now),
            refused: class('4'),
            failed: class('5'),
            median: quantile(&buckets, 0.5),
            slowest: quantile(&buckets, 0.99),
            in_flight: now.page.sum("http_requests_in_flight", &[("site", name)]),
            requests: now.page.sum("http_requests_total", &[("site", name)]),
        }
    };
    names.into_iter().map(site).collect()
}

/// Upper bounds with how many answers took no longer, since the last look.
fn buckets(before: &Look, now: &Look, site: &str) -> Vec<(f64, f64)> {
    let name = "http_request_duration_seconds_bucket";
    let bound = |le: &str| le.parse::<f64>().unwrap_or(f64::INFINITY);
    let mut bounds: Vec<(f64, &str)> = now.page.values(name, "le").into_iter().map(|le| (bound(le), le)).collect();
    bounds.sort_by(|a, b| a.0.total_cmp(&b.0));
    bounds.into_iter().map(|(bound, le)| (bound, more(before, now, name, &[("site", site), ("le", le)]))).collect()
}

/// Between the bounds of the bucket in which it lies, as Prometheus reckons.
fn quantile(buckets: &[(f64, f64)], share: f64) -> Option<f64> {
    let all = buckets.last().map(|(_, count)| *count).filter(|count| *count > 0.0)?;
    let wanted = share * all;
    let mut below = (0.0, 0.0);
    for (bound, count) in buckets {
        if *count >= wanted {
            let (low, before) = below;
            let inside = (count - before).max(f64::MIN_POSITIVE);
            return Some(if bound.is_finite() { low + (bound - low) * (wanted - before) / inside } else { low });
        }
        below = (*bound, *count);
    }
    None
}

pub fn queues(before: &Look, now: &Look) -> Vec<Queue> {
    let queue = |name: &str| {
        let upstream = [("upstream", name)];
        Queue {
            name: name.to_owned(),
            rate: more(before, now, "upstream_requests_total", &upstream) / seconds(before, now),
            waiting: now.page.sum("queue_depth", &upstream),
            rejected: now.page.sum("queue_rejected_total", &upstream),
            failures: now.page.sum("upstream_failures_total", &upstream),
            retries: now.page.sum("upstream_retries_total", &upstream),
        }
    };
    now.page.values("queue_depth", "upstream").into_iter().map(queue).collect()
}
