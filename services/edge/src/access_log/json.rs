//! The line as JSON, which is what it is unless another format is set.

use super::Record;
use super::clock::Clock;
use super::text::{digits, field, number, plain, seconds};
use std::time::Instant;

pub fn line(out: &mut Vec<u8>, clock: &mut Clock, record: &Record, ended: Instant) {
    out.extend_from_slice(b"{\"time\":\"");
    let beyond = clock.set(record.started);
    out.extend_from_slice(clock.rfc3339());
    out.push(b'.');
    digits(out, beyond.subsec_micros(), 1_000_000);
    out.extend_from_slice(b"Z\"");
    // From a trusted proxy, too, an id is of harmless characters.
    plain(out, r#","service":"edge","log":"access","request_id":"#, record.id.as_bytes());
    if record.traceparent.is_some() {
        plain(out, r#","trace_id":"#, record.trace_id());
    }
    plain(out, r#","client":"#, record.client());
    // A token.
    plain(out, r#","method":"#, record.method.as_str().as_bytes());
    if let Some(host) = &record.host {
        field(out, r#","host":"#, host.as_bytes());
    }
    field(out, r#","path":"#, record.uri.path().as_bytes());
    if record.log_query
        && let Some(query) = record.uri.query()
    {
        field(out, r#","query":"#, query.as_bytes());
    }
    if let Some(route) = record.route() {
        field(out, r#","route":"#, route.name.as_bytes());
    }
    number(out, r#","status":"#, u64::from(record.status));
    number(out, r#","bytes_in":"#, record.bytes_in);
    number(out, r#","bytes_out":"#, record.bytes_out);
    seconds(out, r#","duration":"#, ended.saturating_duration_since(record.begun));
    if let Some(timing) = &record.timing {
        seconds(out, r#","queue":"#, timing.queue);
        if !timing.connect.is_zero() {
            seconds(out, r#","connect":"#, timing.connect);
        }
        seconds(out, r#","upstream":"#, timing.first_byte);
    }
    plain(out, r#","protocol":"#, record.protocol().as_bytes());
    if let Some(tls) = &record.conn.tls {
        plain(out, r#","tls":"#, tls.version.as_bytes());
    }
    if let Some(reason) = record.reason {
        plain(out, r#","reason":"#, reason.as_bytes());
    }
    if record.slow {
        out.extend_from_slice(b",\"slow\":true");
    }
    if !record.complete {
        out.extend_from_slice(b",\"complete\":false");
    }
    if let Some(agent) = &record.agent {
        field(out, r#","user_agent":"#, agent.as_bytes());
    }
    if let Some(referer) = record.referer() {
        field(out, r#","referer":"#, referer);
    }
    out.extend_from_slice(b"}\n");
}
