//! The access log: one JSON object a line.

use std::time::SystemTime;

use super::{Shared, request::Request};

/// What became of a request.
pub struct Outcome {
    pub status: u16,
    /// Bytes of the request's body.
    pub received: u64,
    /// Bytes of the response's body.
    pub sent: u64,
    /// The time with the application.
    pub micros: u64,
}

/// Writes the line of a finished request.
pub fn write(shared: &Shared, request: &Request, outcome: &Outcome) {
    let Some(lines) = &shared.log else { return };
    let mut line = Vec::with_capacity(256);
    line.extend_from_slice(b"{\"time\":\"");
    line.extend_from_slice(monodon_logging::rfc3339(SystemTime::now()).as_bytes());
    line.extend_from_slice(b"\",\"service\":\"worker\",\"log\":\"access\"");
    text(&mut line, "request_id", request.id());
    match client(shared, request) {
        Some(client) => text(&mut line, "client", client.to_string().as_bytes()),
        None => text(&mut line, "client", b"unix"),
    }
    text(&mut line, "method", request.method());
    text(&mut line, "path", request.target());
    number(&mut line, "status", u64::from(outcome.status));
    number(&mut line, "bytes_in", outcome.received);
    number(&mut line, "bytes_out", outcome.sent);
    number(&mut line, "duration_us", outcome.micros);
    number(&mut line, "process", shared.entry.index() as u64);
    if let Some(agent) = request.field(b"user-agent") {
        text(&mut line, "user_agent", agent);
    }
    line.extend_from_slice(b"}\n");
    lines.write(line);
}

fn client(shared: &Shared, request: &Request) -> Option<std::net::IpAddr> {
    let direct = request.peer.remote.map(|remote| remote.ip().to_canonical());
    if !request.peer.trusted {
        return direct;
    }
    let fields = request.head.fields.iter();
    let chain = fields.filter(|field| request.of(field.name).eq_ignore_ascii_case(b"x-forwarded-for"));
    shared.trust.client(chain.map(|field| request.of(field.value))).or(direct)
}

fn number(line: &mut Vec<u8>, name: &str, value: u64) {
    key(line, name);
    line.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn text(line: &mut Vec<u8>, name: &str, value: &[u8]) {
    key(line, name);
    line.push(b'"');
    escape(line, value);
    line.push(b'"');
}

fn key(line: &mut Vec<u8>, name: &str) {
    line.extend_from_slice(b",\"");
    line.extend_from_slice(name.as_bytes());
    line.extend_from_slice(b"\":");
}

/// Bytes outside of printable ASCII come as `\u00XX`, so that nothing from the wire reaches a terminal as it is.
fn escape(line: &mut Vec<u8>, value: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for &byte in value {
        match byte {
            b'"' | b'\\' => line.extend_from_slice(&[b'\\', byte]),
            0x20..=0x7e => line.push(byte),
            _ => {
                let digit = |value: u8| HEX.get(usize::from(value)).copied().unwrap_or(b'0');
                line.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_from_the_wire_can_end_a_line_or_reach_a_terminal() {
        let mut line = Vec::new();
        super::escape(&mut line, b"a\"\\\r\n\x1b\xe9z");
        assert_eq!(line, br#"a\"\\\u000d\u000a\u001b\u00e9z"#);
    }
}
