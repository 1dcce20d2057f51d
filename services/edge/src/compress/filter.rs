//! Whether an answer is compressed, and what its headers say then.

use super::body::{Compressed, Place};
use super::encoder::Encoder;
use super::{Accept, Coding, coding, content_encoding};
use crate::body::Body;
use crate::config::options::compress::Compress;
use crate::metrics::Shard;
use http::request::Parts;
use http::response::Parts as Head;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body::Body as _;
use std::sync::Arc;

/// Bodies up to this length that are there as a whole are compressed at once, so that their length can be told.
const AT_ONCE: u64 = 64 << 10;

/// Fields that are about exactly these bytes (RFC 9530, RFC 9110 section 8.8.3's like).
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

/// What has to be known of the request.
pub struct Seen {
    accept: Accept,
    private: bool,
}

impl Seen {
    /// Free of work where nothing is compressed, and nearly so for clients that take nothing.
    pub fn of(compress: &Compress, parts: &Parts) -> Self {
        if compress.codings.is_empty() {
            return Self { accept: Accept::NOTHING, private: false };
        }
        let has = |name: HeaderName| parts.headers.contains_key(name);
        let private = !compress.private && (has(header::COOKIE) || has(header::AUTHORIZATION));
        Self { accept: super::accepted(&parts.headers), private }
    }
}

/// Compresses an answer where its options, its headers and the client agree to that.
pub fn apply(
    compress: &Compress,
    seen: &Seen,
    method: &Method,
    response: Response<Body>,
    metrics: &Arc<Shard>,
) -> Response<Body> {
    if compress.codings.is_empty() || seen.private || !may_be(compress, seen, method, &response) {
        return response;
    }
    let (mut head, body) = response.into_parts();
    vary(&mut head.headers);
    let Some(coding) = seen.accept.choose(&compress.codings) else {
        return Response::from_parts(head, body);
    };
    if method == Method::HEAD {
        // As GET's, but for the length, which only the work would tell (RFC 9110, section 9.3.2).
        say(&mut head, coding);
        return Response::from_parts(head, Body::empty());
    }
    let level = compress.level(coding);
    if body.size_hint().exact().is_some_and(|length| length <= AT_ONCE) {
        at_once(head, body, coding, level, metrics)
    } else {
        in_parts(head, body, coding, level, metrics)
    }
}

/// By what the answer itself says, not by what this client takes: another client may get it otherwise.
fn may_be(compress: &Compress, seen: &Seen, method: &Method, response: &Response<Body>) -> bool {
    let headers = response.headers();
    let Some(content_type) = headers.get(header::CONTENT_TYPE) else { return false };
    if !compress.types.has(content_type.as_bytes()) || !has_whole_body(response.status()) {
        return false;
    }
    let told = || headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse::<u64>().ok();
    let length = response.body().size_hint().exact();
    // Of a HEAD's answer the body tells nothing, unless it is there to be left out.
    let length = if method == Method::HEAD { length.filter(|length| *length > 0).or_else(told) } else { length };
    let long = match length {
        // Where identity is refused, even the shortest is better compressed.
        Some(length) => length >= compress.min_length || (length > 0 && seen.accept.refuses_identity()),
        None => method != Method::HEAD,
    };
    long && !headers.contains_key(header::CONTENT_ENCODING)
        && !headers.contains_key(header::CONTENT_RANGE)
        && !DIGESTS.iter().any(|name| headers.contains_key(name))
        && !lists(headers, header::CACHE_CONTROL, "no-transform")
        && (compress.private || !headers.contains_key(header::SET_COOKIE))
}

fn has_whole_body(status: StatusCode) -> bool {
    !status.is_informational() && !matches!(status.as_u16(), 204 | 205 | 206 | 304)
}

/// A comma-separated list's member, without its case.
fn lists(headers: &HeaderMap, name: HeaderName, member: &str) -> bool {
    headers.get_all(name).iter().any(|value| {
        value
            .as_bytes()
            .split(|byte| *byte == b',')
            .any(|part| part.trim_ascii().eq_ignore_ascii_case(member.as_bytes()))
    })
}

/// Once, and a line of its own beside the application's: nothing has to be put together.
fn vary(headers: &mut HeaderMap) {
    if !lists(headers, header::VARY, "accept-encoding") && !lists(headers, header::VARY, "*") {
        headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
}

/// The headers of a compressed answer.
fn say(head: &mut Head, coding: Coding) {
    let headers = &mut head.headers;
    headers.insert(header::CONTENT_ENCODING, content_encoding(coding));
    headers.remove(header::CONTENT_LENGTH);
    // Ranges would be of bytes that are never the same twice.
    headers.remove(header::ACCEPT_RANGES);
    if let Some(tag) = headers.get(header::ETAG).filter(|tag| tag.as_bytes().starts_with(b"\""))
        && let Ok(weak) = HeaderValue::try_from([b"W/", tag.as_bytes()].concat())
    {
        headers.insert(header::ETAG, weak);
    }
}

fn at_once(mut head: Head, mut body: Body, coding: Coding, level: u8, metrics: &Arc<Shard>) -> Response<Body> {
    let Some(bytes) = body.take_full() else { return in_parts(head, body, coding, level, metrics) };
    match coding::compress(&bytes, coding, level) {
        Ok(small) if small.len() < bytes.len() => {
            say(&mut head, coding);
            metrics.compression.begun(coding);
            metrics.compression.taken(coding, bytes.len());
            metrics.compression.given(coding, small.len());
            Response::from_parts(head, Body::full(small))
        }
        // Nothing is gained.
        _ => Response::from_parts(head, Body::full(bytes)),
    }
}

fn in_parts(mut head: Head, body: Body, coding: Coding, level: u8, metrics: &Arc<Shard>) -> Response<Body> {
    let Some(place) = Place::take() else { return Response::from_parts(head, body) };
    let Ok(encoder) = Encoder::new(coding, level) else { return Response::from_parts(head, body) };
    say(&mut head, coding);
    metrics.compression.begun(coding);
    let body = Compressed::new(body, encoder, place, coding, metrics.clone());
    Response::from_parts(head, Body::stream(body))
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
