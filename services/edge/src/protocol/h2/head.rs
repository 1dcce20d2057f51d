//! A request's head, as far as HTTP/1.1, which the application is asked in, has a say in it.

use crate::config::Limits;
use crate::protocol::weight;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, header};
use monodon_http1::{Reject, target};

/// Method, scheme, authority and path.
const PSEUDO: usize = 4;
/// What a field weighs beside its name and value (RFC 9113, section 6.5.2).
const OVERHEAD: usize = 32;

/// How large a head the h2 crate may take in. It answers what is larger by itself, with a bare 431; so this is room for all that we take,
/// and for as much again to refuse.
pub fn room(limits: &Limits) -> u32 {
    let room = limits.head.saturating_mul(2).saturating_add((limits.fields + PSEUDO).saturating_mul(OVERHEAD));
    u32::try_from(room).unwrap_or(u32::MAX)
}

/// Makes one of a client's cookies. Status and reason of what HTTP/1.1 could not say, or not within its limits; and of what only an attack would.
pub fn check(parts: &mut Parts, limits: &Limits) -> Result<(), (u16, &'static str)> {
    let refused = |reject: Reject| Err((reject.status(), reject.reason()));
    if weight::line(parts) > limits.line {
        return refused(Reject::LineTooLong);
    }
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    if parts.method != Method::CONNECT
        && let Err(reject) = target::split(target.as_bytes())
    {
        return refused(reject);
    }
    // RFC 9113, section 8.2.1: a value begins and ends with what can be seen.
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    if parts.headers.values().any(|value| blank(value.as_bytes().first()) || blank(value.as_bytes().last())) {
        return Err((400, "field_value"));
    }
    if parts.headers.get_all(header::CONTENT_LENGTH).iter().nth(1).is_some() {
        return refused(Reject::ContentLength);
    }
    join_cookies(&mut parts.headers);
    if weight::head(parts) > limits.head {
        return refused(Reject::HeadTooLong);
    }
    Ok(())
}

/// A client may split its cookies over fields; applications know one. RFC 9113, section 8.2.3.
fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(header::COOKIE).iter();
    let (Some(first), Some(second)) = (cookies.next(), cookies.next()) else { return };
    let mut joined = first.as_bytes().to_vec();
    for cookie in std::iter::once(second).chain(cookies) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(cookie.as_bytes());
    }
    if let Ok(joined) = HeaderValue::from_maybe_shared(Bytes::from(joined)) {
        headers.insert(header::COOKIE, joined);
    }
}
