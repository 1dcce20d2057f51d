//! What the application is told of the client, and what the client may not tell it.

use super::identity::{Identity, acceptable_id, acceptable_traceparent};
use super::{X_REQUEST_ID, line};
use crate::config::Config;
use crate::connection::{ConnInfo, address_value};
use crate::upgrade::OnUpgrade;
use http::header::{self, HeaderName};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const X_REQUEST_START: HeaderName = HeaderName::from_static("x-request-start");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Who is on the other end, and what the request is called.
pub struct Origin {
    pub trusted: bool,
    pub identity: Identity,
    /// The client's own address: of the connection, or the rightmost that no trusted proxy has. IPv4 where it is mapped
    /// into IPv6. What access rules, limits and logs go by.
    pub client_ip: IpAddr,
    /// The same as a header's value, where it is not the connection's.
    pub client: Option<HeaderValue>,
}

/// Looks at the connection and, if a trusted proxy holds it, at what that says.
pub fn origin(config: &Config, conn: &ConnInfo, headers: &HeaderMap) -> Origin {
    let proxies = &config.proxies;
    let mut origin = Origin {
        trusted: proxies.trusted.allows(conn.peer.ip()),
        identity: Identity::generate(),
        client_ip: conn.peer.ip(),
        client: None,
    };
    if !origin.trusted {
        return origin;
    }
    if let Some(id) = headers.get(X_REQUEST_ID).filter(|id| acceptable_id(id)) {
        origin.identity.id = id.clone();
    }
    let mut parents = headers.get_all(TRACEPARENT).iter();
    if let (Some(parent), None) = (parents.next().filter(|parent| acceptable_traceparent(parent)), parents.next()) {
        origin.identity.continues(parent.clone());
    }
    if let Some(client) = proxies.real_ip.client(headers, &proxies.trusted) {
        origin.client_ip = client;
        origin.client = Some(address_value(client));
    }
    origin
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Keep,
    Drop,
    /// For how it is written alone.
    DropFolded,
    /// Only a trusted proxy may say it.
    Believe,
}

/// By its name alone.
fn fate(name: &str) -> Fate {
    // WSGI folds `-`, `_` and in some servers `.` to one: `X_Real_IP` would overwrite what we say.
    if memchr::memchr2(b'_', b'.', name.as_bytes()).is_some() {
        return Fate::DropFolded;
    }
    match name {
        // RFC 9110, section 7.6.1; `proxy` is HTTP_PROXY in CGI's world (CVE-2016-5385).
        "keep-alive"
        | "proxy-connection"
        | "te"
        | "trailer"
        | "transfer-encoding"
        | "http2-settings"
        | "proxy"
        | "proxy-authenticate"
        | "proxy-authorization"
        | "expect"
        | "connection" => Fate::Drop,
        "forwarded" | "traceparent" | "tracestate" | "true-client-ip" | "cf-connecting-ip" | "cf-connecting-ipv6"
        | "fastly-client-ip" | "client-ip" => Fate::Believe,
        name => match name.strip_prefix("x-") {
            None => Fate::Keep,
            Some(
                "real-ip"
                | "request-id"
                | "request-start"
                | "client-ip"
                | "cluster-client-ip"
                | "original-url"
                | "original-host"
                | "original-forwarded-for"
                | "rewrite-url"
                | "http-method-override"
                | "forwarded"
                | "host"
                | "scheme"
                | "url-scheme",
            ) => Fate::Believe,
            Some(rest) if rest.starts_with("forwarded-") => Fate::Believe,
            Some(rest) if rest.starts_with("accel-") || rest.starts_with("monodon-") || rest == "sendfile" => {
                Fate::Drop
            }
            Some(_) => Fate::Keep,
        },
    }
}

/// What we tell the application of a request, beside what its client may say: as fields of a map ([`Self::insert`]) or as text
/// ([`Self::write`]). To fill a map costs several times as much as to write lines.
pub struct Told<'a> {
    config: &'a Config,
    conn: &'a ConnInfo,
    origin: &'a Origin,
    started: SystemTime,
    /// `X-Forwarded-For` where trusted proxies have begun it.
    chain: Option<Vec<u8>>,
    /// Names that were dropped because an application could take them for others.
    pub folded: u64,
}

/// Takes away what the client may not say: a name listed in `Connection` cannot reach what we say behind it, and of the names
/// that we say ourselves only those are left that a trusted proxy may have said in our place.
pub fn prepare<'a>(
    parts: &mut Parts,
    config: &'a Config,
    conn: &'a ConnInfo,
    origin: &'a Origin,
    started: SystemTime,
) -> Told<'a> {
    let headers = &mut parts.headers;
    let (mut connection, mut upgrade, mut folded) = (false, false, 0);
    let mut goes = |name: &&HeaderName| match **name {
        header::CONNECTION => {
            connection = true;
            false
        }
        header::UPGRADE => {
            upgrade = true;
            false
        }
        _ => match fate(name.as_str()) {
            Fate::Keep => {
                (**name == config.proxies.real_ip.field() && !origin.trusted) || config.reserved.contains(*name)
            }
            Fate::Drop => true,
            Fate::DropFolded => {
                folded += 1;
                true
            }
            Fate::Believe => !origin.trusted,
        },
    };
    let gone: Vec<HeaderName> = headers.keys().filter(&mut goes).cloned().collect();
    if connection {
        drop_listed(headers);
    }
    for name in gone {
        headers.remove(name);
    }
    // Only a protocol that offers the hand-over may be asked for it.
    if upgrade && parts.extensions.get::<OnUpgrade>().is_none() {
        headers.remove(header::UPGRADE);
    }
    // HTTP/2 and absolute targets name the host in the target; the application knows only the field.
    if let Some(authority) = parts.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        headers.insert(header::HOST, host);
    }
    let chain = if origin.trusted { continued(headers, conn, origin) } else { None };
    Told { config, conn, origin, started, chain, folded }
}

/// Takes out of a trusted proxy's headers what we say anew; gives the chain of addresses that it has begun, with its own behind it.
fn continued(headers: &mut HeaderMap, conn: &ConnInfo, origin: &Origin) -> Option<Vec<u8>> {
    let mut chain = Vec::new();
    for list in headers.get_all(X_FORWARDED_FOR) {
        chain.extend_from_slice(list.as_bytes());
        chain.extend_from_slice(b", ");
    }
    let begun = !chain.is_empty();
    chain.extend_from_slice(conn.address.as_bytes());
    // The state of a trace that is not continued means nothing.
    if headers.get(TRACEPARENT).is_none_or(|parent| parent.as_bytes() != origin.identity.traceparent()) {
        headers.remove(TRACESTATE);
    }
    for name in [X_FORWARDED_FOR, X_REAL_IP, X_REQUEST_ID, TRACEPARENT] {
        headers.remove(name);
    }
    begun.then_some(chain)
}

impl Told<'_> {
    fn each(&self, headers: &HeaderMap, mut say: impl FnMut(HeaderName, &[u8])) {
        let Self { config, conn, origin, .. } = self;
        // From nobody else is such a field left.
        let believed = |name: &HeaderName| origin.trusted && headers.contains_key(name);
        say(X_FORWARDED_FOR, self.chain.as_deref().unwrap_or(conn.address.as_bytes()));
        say(X_REAL_IP, origin.client.as_ref().unwrap_or(&conn.address).as_bytes());
        if !believed(&X_FORWARDED_PROTO) {
            say(X_FORWARDED_PROTO, conn.scheme().as_bytes());
        }
        let host = headers.iter().find(|(name, _)| **name == header::HOST);
        if let Some((_, host)) = host.filter(|_| !believed(&X_FORWARDED_HOST)) {
            say(X_FORWARDED_HOST, host.as_bytes());
        }
        if !believed(&X_FORWARDED_PORT) {
            let listen = &config.listen;
            let public = if conn.is_secure() { listen.public_https_port } else { listen.public_http_port };
            say(X_FORWARDED_PORT, itoa::Buffer::new().format(public.unwrap_or(conn.local.port())).as_bytes());
        }
        say(X_REQUEST_ID, origin.identity.id.as_bytes());
        say(TRACEPARENT, origin.identity.traceparent());
        if !believed(&X_REQUEST_START) {
            let microseconds = self.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64;
            let mut start = Vec::with_capacity(24);
            start.extend_from_slice(b"t=");
            start.extend_from_slice(itoa::Buffer::new().format(microseconds).as_bytes());
            say(X_REQUEST_START, &start);
        }
    }

    /// Among the request's other fields.
    pub fn insert(&self, headers: &mut HeaderMap) {
        let mut told = Vec::with_capacity(8);
        self.each(headers, |name, value| told.extend(HeaderValue::from_bytes(value).ok().map(|value| (name, value))));
        headers.extend(told);
    }

    /// As lines, to stand behind the request's other fields.
    pub fn write(&self, out: &mut Vec<u8>, headers: &HeaderMap) {
        self.each(headers, |name, value| line(out, &name, value));
    }
}

/// The fields that `Connection` names, and it itself. `Upgrade` has its own rule.
fn drop_listed(headers: &mut HeaderMap) {
    let mut listed: Vec<HeaderName> = Vec::new();
    for value in headers.get_all(header::CONNECTION) {
        for token in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if token.eq_ignore_ascii_case(b"keep-alive") || token.eq_ignore_ascii_case(b"close") {
                continue;
            }
            // `Host` and what frames the body are never one connection's own.
            if let Ok(name) = HeaderName::from_bytes(token)
                && !matches!(name, header::UPGRADE | header::HOST | header::CONTENT_LENGTH)
            {
                listed.push(name);
            }
        }
    }
    headers.remove(header::CONNECTION);
    for name in listed {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fates() {
        for (name, expected) in [
            ("accept", Fate::Keep),
            ("x-csrftoken", Fate::Keep),
            ("x_real_ip", Fate::DropFolded),
            ("x.real.ip", Fate::DropFolded),
            ("x-forwarded-for", Fate::Believe),
            ("x-forwarded-prefix", Fate::Believe),
            ("x-accel-redirect", Fate::Drop),
            ("x-monodon-retry", Fate::Drop),
            ("proxy", Fate::Drop),
            ("upgrade", Fate::Keep),
        ] {
            assert_eq!(fate(name), expected, "{name}");
        }
    }
}
