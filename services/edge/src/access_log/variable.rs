//! nginx's variables, as far as the edge knows them.

use super::Record;
use super::clock::Clock;
use super::remote_user::basic_user;
use super::text::{digits, millis, number};
use crate::headers::cookie;
use http::{HeaderName, HeaderValue, header};
use std::time::{Duration, Instant};

#[derive(Clone, Debug, PartialEq)]
pub enum Variable {
    Plain(Plain),
    /// Place among the request's headers that the format keeps.
    Request(usize),
    /// The same among the answer's.
    Answer(usize),
    Cookie(usize, String),
    Argument(String),
    RemoteUser(usize),
}

macro_rules! plain {
    ($($variable:ident $name:literal,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Plain {
            $($variable,)*
        }

        impl Plain {
            pub const NAMES: &[&str] = &[$($name,)*];

            pub fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variable),)*
                    _ => None,
                }
            }
        }
    };
}

plain! {
    RemoteAddr "remote_addr",
    RemotePort "remote_port",
    RealPeer "realip_remote_addr",
    TimeLocal "time_local",
    TimeIso "time_iso8601",
    Msec "msec",
    Request "request",
    RequestMethod "request_method",
    RequestUri "request_uri",
    Uri "uri",
    Args "args",
    QueryString "query_string",
    Status "status",
    BodyBytesSent "body_bytes_sent",
    RequestLength "request_length",
    ContentLength "request_body_bytes",
    RequestTime "request_time",
    QueueTime "queue_time",
    UpstreamConnect "upstream_connect_time",
    UpstreamHeader "upstream_header_time",
    UpstreamResponse "upstream_response_time",
    UpstreamAddr "upstream_addr",
    UpstreamStatus "upstream_status",
    Agent "http_user_agent",
    Referer "http_referer",
    Host "host",
    Scheme "scheme",
    Protocol "server_protocol",
    ServerAddr "server_addr",
    ServerPort "server_port",
    ServerName "server_name",
    RequestId "request_id",
    TraceId "trace_id",
    Route "route",
    Site "site",
    SslProtocol "ssl_protocol",
    SslCipher "ssl_cipher",
    SslServerName "ssl_server_name",
    Connection "connection",
    ConnectionRequests "connection_requests",
    LimitStatus "limit_req_status",
    Reason "reason",
    Completion "request_completion",
}

/// What would write a password or a session into the log.
const SECRETS: &[&str] = &["authorization", "cookie", "proxy-authorization", "set-cookie"];

/// A header's name, from a variable's.
pub fn header_name(name: &str) -> Result<HeaderName, String> {
    let dashed = name.replace('_', "-").to_ascii_lowercase();
    if SECRETS.contains(&dashed.as_str()) {
        return Err(format!("{dashed} holds secrets, which do not belong in a log"));
    }
    HeaderName::from_bytes(dashed.as_bytes()).map_err(|_| format!("{dashed:?} is no header's name"))
}

/// What a variable writes; text is handed to `escaped`.
pub fn write(
    variable: &Variable,
    out: &mut Vec<u8>,
    (clock, record, ended): (&mut Clock, &Record, Instant),
    escaped: fn(&mut Vec<u8>, Option<&[u8]>),
) {
    let header = |values: &[Option<HeaderValue>], at: usize, out: &mut Vec<u8>| {
        let value = values.get(at).and_then(Option::as_ref);
        escaped(out, value.map(HeaderValue::as_bytes));
    };
    match variable {
        Variable::Plain(plain) => plain.write(out, (clock, record, ended), escaped),
        Variable::Request(at) => header(&record.asked, *at, out),
        Variable::Answer(at) => header(&record.answered, *at, out),
        Variable::Cookie(at, name) => {
            let cookies = record.asked.get(*at).and_then(Option::as_ref);
            escaped(out, cookies.and_then(|cookies| cookie::within(cookies.as_bytes(), name.as_bytes())));
        }
        Variable::Argument(name) => {
            let query = record.uri.query().filter(|_| record.log_query).unwrap_or_default();
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let value = pairs.filter(|(known, _)| known == name).map(|(_, value)| value.as_bytes()).next();
            escaped(out, value);
        }
        Variable::RemoteUser(at) => {
            let user = record.asked.get(*at).and_then(Option::as_ref).and_then(basic_user);
            escaped(out, user.as_deref());
        }
    }
}

impl Plain {
    fn write(
        self,
        out: &mut Vec<u8>,
        (clock, record, ended): (&mut Clock, &Record, Instant),
        escaped: fn(&mut Vec<u8>, Option<&[u8]>),
    ) {
        let timing = record.timing.as_ref();
        let time = |out: &mut Vec<u8>, value: Option<Duration>| match value {
            Some(value) => millis(out, value),
            None => escaped(out, None),
        };
        let query = record.uri.query().filter(|_| record.log_query);
        match self {
            Self::RemoteAddr => escaped(out, Some(record.client())),
            Self::RealPeer => escaped(out, Some(record.conn.address.as_bytes())),
            Self::RemotePort => number(out, "", u64::from(record.conn.peer.port())),
            Self::TimeLocal => {
                clock.set(record.started);
                out.extend_from_slice(clock.local());
            }
            Self::TimeIso => {
                clock.set(record.started);
                out.extend_from_slice(clock.rfc3339());
                out.extend_from_slice(b"+00:00");
            }
            Self::Msec => {
                let beyond = clock.set(record.started);
                number(out, "", clock.second());
                out.push(b'.');
                digits(out, beyond.subsec_millis(), 1000);
            }
            Self::Request => {
                escaped(out, Some(record.method.as_str().as_bytes()));
                out.push(b' ');
                target(out, record, query, escaped);
                out.push(b' ');
                out.extend_from_slice(protocol(record));
            }
            Self::RequestMethod => escaped(out, Some(record.method.as_str().as_bytes())),
            Self::RequestUri => target(out, record, query, escaped),
            Self::Uri => escaped(out, Some(record.uri.path().as_bytes())),
            Self::Args | Self::QueryString => escaped(out, query.map(str::as_bytes)),
            Self::Status => number(out, "", u64::from(record.status)),
            Self::BodyBytesSent => number(out, "", record.bytes_out),
            Self::RequestLength => number(out, "", record.bytes_in + u64::from(record.head_in)),
            Self::ContentLength => number(out, "", record.bytes_in),
            Self::RequestTime => millis(out, ended.saturating_duration_since(record.begun)),
            Self::QueueTime => time(out, timing.map(|timing| timing.queue)),
            Self::UpstreamConnect => time(out, timing.map(|timing| timing.connect)),
            Self::UpstreamHeader => time(out, answered(record).map(|timing| timing.first_byte)),
            Self::UpstreamResponse => time(out, answered(record).map(|timing| timing.connect + timing.first_byte)),
            Self::UpstreamAddr => escaped(out, record.upstream.as_deref().map(str::as_bytes)),
            Self::UpstreamStatus => match answered(record) {
                Some(timing) => number(out, "", u64::from(timing.status)),
                None => escaped(out, None),
            },
            Self::Agent => escaped(out, record.agent.as_ref().map(HeaderValue::as_bytes)),
            Self::Referer => escaped(out, record.referer()),
            Self::Host => escaped(out, record.host.as_ref().map(HeaderValue::as_bytes)),
            Self::Scheme => out.extend_from_slice(if record.conn.is_secure() { b"https" } else { b"http" }),
            Self::Protocol => out.extend_from_slice(protocol(record)),
            Self::ServerAddr => {
                let address = record.conn.local.ip().to_canonical();
                escaped(out, Some(address.to_string().as_bytes()));
            }
            Self::ServerPort => number(out, "", u64::from(record.conn.local.port())),
            Self::RequestId => escaped(out, Some(record.id.as_bytes())),
            Self::TraceId => escaped(out, Some(record.trace_id())),
            Self::Route => escaped(out, record.route().map(|route| route.name.as_bytes())),
            Self::Site | Self::ServerName => escaped(out, record.site_name().map(str::as_bytes)),
            Self::SslProtocol => escaped(out, record.conn.tls.as_ref().map(|tls| tls.version.as_bytes())),
            Self::SslCipher => escaped(out, record.conn.tls.as_ref().map(|tls| tls.cipher.as_bytes())),
            Self::SslServerName => {
                let sni = record.conn.tls.as_ref().and_then(|tls| tls.sni.as_deref());
                escaped(out, sni.map(str::as_bytes));
            }
            Self::Connection => number(out, "", record.conn.serial),
            Self::ConnectionRequests => number(out, "", record.conn.requests.get()),
            Self::LimitStatus => escaped(out, record.verdict.name().map(str::as_bytes)),
            Self::Reason => escaped(out, record.reason.map(str::as_bytes)),
            Self::Completion => out.extend_from_slice(if record.complete { b"OK" } else { b"" }),
        }
    }
}

/// Only what the upstream has answered.
fn answered(record: &Record) -> Option<&crate::upstream::Timing> {
    record.timing.as_ref().filter(|timing| timing.status != 0)
}

fn target(out: &mut Vec<u8>, record: &Record, query: Option<&str>, escaped: fn(&mut Vec<u8>, Option<&[u8]>)) {
    escaped(out, Some(record.uri.path().as_bytes()));
    if let Some(query) = query {
        out.push(b'?');
        escaped(out, Some(query.as_bytes()));
    }
}

/// As nginx writes them.
fn protocol(record: &Record) -> &'static [u8] {
    match record.protocol() {
        "h2" => b"HTTP/2.0",
        "http/1.0" => b"HTTP/1.0",
        _ => b"HTTP/1.1",
    }
}

/// The header that `$remote_user` needs.
pub const AUTHORIZATION: HeaderName = header::AUTHORIZATION;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(header_name("x_forwarded_for").unwrap(), "x-forwarded-for");
        for name in ["authorization", "cookie", "Set_Cookie", "a b"] {
            assert!(header_name(name).is_err(), "{name}");
        }
        assert!(Plain::NAMES.iter().all(|name| Plain::named(name).is_some()));
    }
}
