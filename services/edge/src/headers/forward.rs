//! What the application is told of the client, and what the client may not tell it.

use super::X_REQUEST_ID;
use super::identity::{Identity, acceptable_id, acceptable_traceparent};
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
    /// The same as a header's value.
    pub client: HeaderValue,
}

/// Looks at the connection and, if a trusted proxy holds it, at what that says.
pub fn origin(config: &Config, conn: &ConnInfo, headers: &HeaderMap) -> Origin {
    let proxies = &config.proxies;
    let mut origin = Origin {
        trusted: proxies.trusted.allows(conn.peer.ip()),
        identity: Identity::generate(),
        client_ip: conn.peer.ip(),
        client: conn.address.clone(),
    };
    if !origin.trusted {
        return origin;
    }
    if let Some(id) = headers.get(X_REQUEST_ID).filter(|id| acceptable_id(id)) {
        origin.identity.id = id.clone();
    }
    let mut parents = headers.get_all(TRACEPARENT).iter();
    if let (Some(parent), None) = (parents.next().filter(|parent| acceptable_traceparent(parent)), parents.next()) {
        origin.identity.traceparent = parent.clone();
    }
    if let Some(client) = proxies.real_ip.client(headers, &proxies.trusted) {
        origin.client_ip = client;
        origin.client = address_value(client);
    }
    origin
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Keep,
    Drop,
    /// Only a trusted proxy may say it.
    Believe,
}

/// By its name alone.
fn fate(name: &str) -> Fate {
    // WSGI folds `-`, `_` and in some servers `.` to one: `X_Real_IP` would overwrite what we say.
    if memchr::memchr2(b'_', b'.', name.as_bytes()).is_some() {
        return Fate::Drop;
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

/// First takes away what the client may not say, then says what we know: a name listed in `Connection` cannot reach
/// what is set here.
pub fn prepare(parts: &mut Parts, config: &Config, conn: &ConnInfo, origin: &Origin, started: SystemTime) {
    let headers = &mut parts.headers;
    drop_listed(headers);
    let goes = |name: &HeaderName| match fate(name.as_str()) {
        Fate::Keep => (*name == config.proxies.real_ip.field() && !origin.trusted) || config.reserved.contains(name),
        Fate::Drop => true,
        Fate::Believe => !origin.trusted,
    };
    let mut gone: Vec<HeaderName> = Vec::new();
    gone.extend(headers.keys().filter(|name| goes(name)).cloned());
    for name in gone {
        headers.remove(name);
    }
    // Only a protocol that offers the hand-over may be asked for it.
    if parts.extensions.get::<OnUpgrade>().is_none() {
        headers.remove(header::UPGRADE);
    }

    // HTTP/2 and absolute targets name the host in the target; the application knows only the field.
    if let Some(authority) = parts.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        headers.insert(header::HOST, host);
    }
    let forwarded = match headers.get_all(X_FORWARDED_FOR).iter().collect::<Vec<_>>().as_slice() {
        [] => conn.address.clone(),
        lists => {
            let mut all = Vec::new();
            for list in lists {
                all.extend_from_slice(list.as_bytes());
                all.extend_from_slice(b", ");
            }
            all.extend_from_slice(conn.address.as_bytes());
            HeaderValue::try_from(all).unwrap_or_else(|_| conn.address.clone())
        }
    };
    headers.insert(X_FORWARDED_FOR, forwarded);
    headers.insert(X_REAL_IP, origin.client.clone());
    let proto = HeaderValue::from_static(if conn.is_secure() { "https" } else { "http" });
    or_believed(headers, X_FORWARDED_PROTO, || proto);
    if let Some(host) = headers.get(header::HOST).cloned() {
        or_believed(headers, X_FORWARDED_HOST, || host);
    }
    or_believed(headers, X_FORWARDED_PORT, || {
        let public = if conn.is_secure() { config.listen.public_https_port } else { config.listen.public_http_port };
        HeaderValue::from(public.unwrap_or(conn.local.port()))
    });
    headers.insert(X_REQUEST_ID, origin.identity.id.clone());
    // The state of a trace that is not continued means nothing.
    if headers.get(TRACEPARENT) != Some(&origin.identity.traceparent) {
        headers.remove(TRACESTATE);
    }
    headers.insert(TRACEPARENT, origin.identity.traceparent.clone());
    let microseconds = started.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64;
    let mut start = Vec::with_capacity(24);
    start.extend_from_slice(b"t=");
    start.extend_from_slice(itoa::Buffer::new().format(microseconds).as_bytes());
    if let Ok(start) = HeaderValue::from_maybe_shared(bytes::Bytes::from(start)) {
        or_believed(headers, X_REQUEST_START, || start);
    }
}

/// Set, unless a trusted proxy has said it (else it was taken away before).
fn or_believed(headers: &mut HeaderMap, name: HeaderName, value: impl FnOnce() -> HeaderValue) {
    headers.entry(name).or_insert_with(value);
}

/// The fields that `Connection` names, and it itself. `Upgrade` has its own rule.
fn drop_listed(headers: &mut HeaderMap) {
    if !headers.contains_key(header::CONNECTION) {
        return;
    }
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
            ("x_real_ip", Fate::Drop),
            ("x.real.ip", Fate::Drop),
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
