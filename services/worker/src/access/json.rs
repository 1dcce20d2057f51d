//! One line as a JSON object, under the names that all services share.

use super::line::number;
use super::{Clock, Record, escape};

/// Appends the object of a request, with the line's end.
pub fn write(line: &mut Vec<u8>, record: &Record<'_>, clock: &Clock) {
    line.extend_from_slice(b"{\"time\":\"");
    clock.rfc3339(line);
    line.extend_from_slice(b"\",\"service\":\"worker\",\"log\":\"access\",\"request_id\":\"");
    escape::json(line, record.id);
    line.push(b'"');
    text(line, "client", if record.client.is_empty() { b"unix" } else { record.client });
    text(line, "method", record.method);
    text(line, "path", record.target);
    figure(line, "status", u64::from(record.status));
    figure(line, "bytes_in", record.received);
    figure(line, "bytes_out", record.sent);
    figure(line, "duration_us", record.micros);
    figure(line, "process", record.entry as u64);
    for (name, field) in [("user_agent", b"user-agent".as_slice()), ("referer", b"referer")] {
        if let Some(value) = (record.field)(field) {
            text(line, name, value);
        }
    }
    line.extend_from_slice(b"}\n");
}

fn figure(line: &mut Vec<u8>, name: &str, value: u64) {
    key(line, name);
    number(line, value);
}

fn text(line: &mut Vec<u8>, name: &str, value: &[u8]) {
    key(line, name);
    line.push(b'"');
    escape::json(line, value);
    line.push(b'"');
}

fn key(line: &mut Vec<u8>, name: &str) {
    line.extend_from_slice(b",\"");
    line.extend_from_slice(name.as_bytes());
    line.extend_from_slice(b"\":");
}
