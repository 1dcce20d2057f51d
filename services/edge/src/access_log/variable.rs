//! nginx's variables, as far as the edge knows them.

use super::Record;
use super::clock::Clock;
use super::text::{digits, millis, number};
use crate::access::credentials::sextet;
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
    ServerPort "server_port",
    RequestId "request_id",
    TraceId "trace_id",
    Route "route",
    Site "site",
    SslProtocol "ssl_protocol",
    SslServerName "ssl_server_name",
    Connection "connection",
    ConnectionRequests "connection_requests",
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
            escaped(out, cookies.and_then(|cookies| cookie(cookies.as_bytes(), name.as_bytes())));
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
            Self::RemoteAddr => escaped(out, Some(record.client.as_bytes())),
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
            Self::ServerPort => number(out, "", u64::from(record.conn.local.port())),
            Self::RequestId => escaped(out, Some(record.id.as_bytes())),
            Self::TraceId => escaped(out, Some(record.trace_id())),
            Self::Route => escaped(out, record.route().map(|route| route.name.as_bytes())),
            Self::Site => escaped(out, record.site_name().map(str::as_bytes)),
            Self::SslProtocol => escaped(out, record.conn.tls.as_ref().map(|tls| tls.version.as_bytes())),
            Self::SslServerName => {
                let sni = record.conn.tls.as_ref().and_then(|tls| tls.sni.as_deref());
                escaped(out, sni.map(str::as_bytes));
            }
            Self::Connection => number(out, "", record.conn.serial),
            Self::ConnectionRequests => number(out, "", record.conn.requests.get()),
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

fn cookie<'a>(cookies: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut pairs = cookies.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))
}

/// The name in `Authorization: Basic`, believed or not.
fn basic_user(value: &HeaderValue) -> Option<Vec<u8>> {
    let bytes = value.as_bytes();
    let (scheme, encoded) = bytes.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let mut user = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for six in encoded.trim_ascii().iter().map_while(|letter| sextet(*letter)) {
        (bits, count) = (bits << 6 | u32::from(six), count + 6);
        if count >= 8 {
            count -= 8;
            match (bits >> count & 0xff) as u8 {
                // The password is not even decoded.
                b':' => return Some(user),
                letter => user.push(letter),
            }
        }
    }
    None
}

/// The header that `$remote_user` needs.
pub const AUTHORIZATION: HeaderName = header::AUTHORIZATION;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users() {
        for (value, user) in [
            ("Basic YW5uYTpzZWNyZXQ=", Some("anna")),
            ("basic YW5uYTo=", Some("anna")),
            ("Basic OnNlY3JldA==", Some("")),
            ("Basic YW5uYQ==", None),
            ("Basic ====", None),
            ("Bearer YW5uYTpzZWNyZXQ=", None),
            ("B", None),
        ] {
            let found = basic_user(&HeaderValue::from_static(value));
            assert_eq!(found.as_deref(), user.map(str::as_bytes), "{value}");
        }
    }

    /// What a client may write there.
    #[test]
    fn any_bytes() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..20_000 {
            let text: Vec<u8> =
                (0..random.usize(..40)).map(|_| random.choice(b"Basic =;:ab9+/\xff\t").copied().unwrap()).collect();
            cookie(&text, b"a");
            let Ok(value) = HeaderValue::from_bytes(&[b"basic ", text.as_slice()].concat()) else { continue };
            assert!(basic_user(&value).is_none_or(|user| !user.contains(&b':')));
        }
    }

    #[test]
    fn cookies() {
        assert_eq!(cookie(b"a=1; bb=2;b=3", b"b"), Some(&b"3"[..]));
        assert_eq!(cookie(b"a=1; bb=2", b"b"), None);
    }

    #[test]
    fn names() {
        assert_eq!(header_name("x_forwarded_for").unwrap(), "x-forwarded-for");
        for name in ["authorization", "cookie", "Set_Cookie", "a b"] {
            assert!(header_name(name).is_err(), "{name}");
        }
        assert!(Plain::NAMES.iter().all(|name| Plain::named(name).is_some()));
    }
}
