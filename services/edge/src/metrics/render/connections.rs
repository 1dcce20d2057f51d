//! Connections, HTTP/2 and TLS.

use super::{Sum, histogram, name};
use crate::metrics::{HANDSHAKES, KINDS, TLS_FAILURES, TLS_VERSIONS};
use monodon_admin::text::Family;

pub fn render(sum: &Sum<'_>, out: &mut String) {
    let mut family = Family::gauge(out, "monodon_edge_connections", "Open client connections.");
    for (index, protocol) in ["http/1", "h2"].into_iter().enumerate() {
        let open = sum.at(|shard| &shard.connections.open, index);
        let active = sum.at(|shard| &shard.connections.active, index);
        family.sample(&[("protocol", protocol), ("state", "active")], active);
        family.sample(&[("protocol", protocol), ("state", "idle")], open.saturating_sub(active));
    }
    let mut family = Family::counter(out, "monodon_edge_connections_accepted_total", "Connections accepted.");
    family.sample(&[("listener", "http")], sum.of(|shard| shard.connections.accepted_http.get()));
    family.sample(&[("listener", "https")], sum.of(|shard| shard.connections.accepted_https.get()));
    let help = "Connections whose client's own address is hidden.";
    let hidden = sum.of(|shard| shard.connections.from_gateway.get());
    Family::counter(out, "monodon_edge_connections_from_gateway_total", help).sample(&[], hidden);
    let help = "Connections closed before any request.";
    let mut family = Family::counter(out, "monodon_edge_connections_rejected_total", help);
    for (reason, count) in [
        ("limit", sum.of(|shard| shard.connections.refused_limit.get())),
        ("client_limit", sum.of(|shard| shard.connections.refused_client.get())),
        ("client_handshakes", sum.of(|shard| shard.connections.refused_client_handshake.get())),
        ("handshake", sum.of(|shard| shard.connections.refused_handshake.get())),
        ("proxy_protocol", sum.of(|shard| shard.connections.refused_introduction.get())),
    ] {
        family.sample(&[("reason", reason)], count);
    }
    http2(sum, out);
    tls(sum, out);
}

fn http2(sum: &Sum<'_>, out: &mut String) {
    let help = "HTTP/2 frames that did nothing, and five for each request given up.";
    let glitches = sum.of(|shard| shard.connections.h2_glitches.get());
    Family::counter(out, "monodon_edge_http2_glitches_total", help).sample(&[], glitches);
    let help = "HTTP/2 connections ended for what the client sent.";
    let mut family = Family::counter(out, "monodon_edge_http2_connections_ended_total", help);
    family.sample(&[("reason", "glitches")], sum.of(|shard| shard.connections.h2_calmed.get()));
    family.sample(&[("reason", "error")], sum.of(|shard| shard.connections.h2_errors.get()));
    let help = "Answers given up because their clients read them too slowly.";
    let stalled = sum.of(|shard| shard.connections.stalled.get());
    Family::counter(out, "monodon_edge_answers_stalled_total", help).sample(&[], stalled);
}

fn tls(sum: &Sum<'_>, out: &mut String) {
    let mut family = Family::counter(out, "monodon_edge_tls_handshakes_total", "TLS handshakes.");
    for (key, value) in sum.table(|shard| shard.handshakes.entries()) {
        let labels = [
            ("result", name(&HANDSHAKES, key >> 8 & 0xff)),
            ("kind", name(&KINDS, key >> 16)),
            ("version", name(&TLS_VERSIONS, key & 0xff)),
        ];
        family.sample(&labels, value);
    }
    let help = "TLS handshakes that failed, by the reason.";
    let mut family = Family::counter(out, "monodon_edge_tls_handshake_failures_total", help);
    for (index, reason) in TLS_FAILURES.iter().enumerate() {
        family.sample(&[("reason", reason)], sum.at(|shard| &shard.handshake_failures, index));
    }
    let mut family =
        Family::histogram(out, "monodon_edge_tls_handshake_duration_seconds", "Handshakes that succeeded.");
    histogram(&mut family, &[], &sum.histograms(|shard| Some(&shard.handshake_seconds)));
}
