//! Requests: by site, by route, by what went wrong.

use super::{Sum, histogram, name};
use crate::metrics::{CLASSES, METHODS, PROTOCOLS, PerSite, Reason};
use monodon_admin::text::Family;

pub fn render(sum: &Sum<'_>, out: &mut String) {
    let requests = sum.table(|shard| shard.requests.entries());
    // Sites that ever had a request, and the first.
    let mut sites: Vec<u64> = requests.keys().map(|key| key >> 32).chain([0]).collect();
    sites.sort_unstable();
    sites.dedup();

    let mut family = Family::counter(out, "monodon_edge_http_requests_total", "Requests answered.");
    for (key, value) in &requests {
        let code = (key & 0xffff).to_string();
        let labels = [
            ("site", sum.site(key >> 32)),
            ("method", name(&METHODS, key >> 24 & 0xff)),
            ("code", code.as_str()),
            ("protocol", name(&PROTOCOLS, key >> 16 & 0xff)),
        ];
        family.sample(&labels, *value);
    }
    let help = "From the request's head to the end of its answer.";
    let mut family = Family::histogram(out, "monodon_edge_http_request_duration_seconds", help);
    for &index in &sites {
        for (class, word) in CLASSES.iter().enumerate() {
            let parts = sum.histograms(|shard| shard.sites.get(index as usize)?.seconds.get(class));
            // A class that never happened is no series; one stands so that the family is there.
            if (index, class) == (0, 1) || !parts.iter().all(|part| part.is_empty()) {
                histogram(&mut family, &[("site", sum.site(index)), ("code_class", word)], &parts);
            }
        }
    }
    let per_site = |mut family: Family<'_>, of: fn(&PerSite) -> u64| {
        for &index in &sites {
            family.sample(&[("site", sum.site(index))], sum.of(|shard| shard.sites.get(index as usize).map_or(0, of)));
        }
    };
    let help = "Requests that are being answered.";
    per_site(Family::gauge(out, "monodon_edge_http_requests_in_flight", help), |site| site.in_flight.get());
    let help = "Bytes of request bodies.";
    per_site(Family::counter(out, "monodon_edge_http_request_bytes_total", help), |site| site.bytes_in.get());
    let help = "Bytes of answers' bodies.";
    per_site(Family::counter(out, "monodon_edge_http_response_bytes_total", help), |site| site.bytes_out.get());

    let help = "Requests that failed, by the reason.";
    let mut family = Family::counter(out, "monodon_edge_http_request_errors_total", help);
    for (key, value) in sum.table(|shard| shard.errors.entries()) {
        let reason = Reason::ALL.get((key & 0xff) as usize).map_or("_other", |reason| reason.word());
        family.sample(&[("site", sum.site(key >> 8)), ("reason", reason)], value);
    }
    let help = "Names of request headers that did not go to an upstream because they have `_` or `.`.";
    let mut family = Family::counter(out, "monodon_edge_http_request_headers_dropped_total", help);
    family.sample(&[], sum.of(|shard| shard.headers_folded.get()));
    routes(sum, out);
}

/// Those that ever took a request.
fn routes(sum: &Sum<'_>, out: &mut String) {
    let label = |index: usize| match index.checked_sub(1).and_then(|index| sum.process.routes.get(index)) {
        Some(route) => [("site", route.site.as_str()), ("route", route.route.as_str())],
        None => [("site", "_other"), ("route", "_other")],
    };
    let used: Vec<(usize, _)> = (0..=sum.process.routes.len())
        .map(|index| (index, sum.histograms(|shard| shard.routes.get(index).map(|route| &route.seconds))))
        .filter(|(_, parts)| !parts.iter().all(|part| part.is_empty()))
        .collect();
    let help = "Requests that a route took, by the class of the answer.";
    let mut family = Family::counter(out, "monodon_edge_route_requests_total", help);
    for (index, _) in &used {
        let [site, route] = label(*index);
        for (class, word) in CLASSES.iter().enumerate() {
            let of = |route: &crate::metrics::PerRoute| route.classes.get(class).map_or(0, crate::metrics::Cell64::get);
            let count = sum.of(|shard| shard.routes.get(*index).map_or(0, of));
            if count > 0 {
                family.sample(&[site, route, ("code_class", word)], count);
            }
        }
    }
    let help = "From the head of a request that a route took to the end of its answer.";
    let mut family = Family::histogram(out, "monodon_edge_route_duration_seconds", help);
    for (index, parts) in &used {
        histogram(&mut family, &label(*index), parts);
    }
}
