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
        let secret = |name: &HeaderName| matches!(*name, header::COOKIE | header::AUTHORIZATION);
        let private = !compress.private && parts.headers.keys().any(secret);
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
    if compress.codings.is_empty() || seen.private || !has_whole_body(response.status()) {
        return response;
    }
    let said = Said::of(response.headers());
    if !said.may_be(compress, seen, method, &response) {
        return response;
    }
    let varies = said.varies;
    let coding = seen.accept.choose(&compress.codings);
    let mut response = response;
    if !varies {
        // A line of its own beside the application's: nothing has to be put together.
        response.headers_mut().append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    let Some(coding) = coding else { return response };
    let (mut head, body) = response.into_parts();
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

/// What an answer's fields say of compressing it: read in one pass, for every look-up by name would hash it.
#[derive(Default)]
struct Said<'a> {
    content_type: Option<&'a HeaderValue>,
    length: Option<u64>,
    /// In a coding already, a part, about exactly these bytes, or not to be touched.
    fixed: bool,
    sets_cookie: bool,
    /// That Accept-Encoding chooses.
    varies: bool,
}

impl<'a> Said<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        let mut said = Self::default();
        for (name, value) in headers {
            match *name {
                header::CONTENT_TYPE => said.content_type = said.content_type.or(Some(value)),
                header::CONTENT_LENGTH => said.length = value.to_str().ok().and_then(|text| text.parse().ok()),
                header::CONTENT_ENCODING | header::CONTENT_RANGE => said.fixed = true,
                header::CACHE_CONTROL => said.fixed |= forbids(value),
                header::SET_COOKIE => said.sets_cookie = true,
                header::VARY => said.varies |= lists(value, b"accept-encoding") || lists(value, b"*"),
                // RFC 9530, and its forerunners.
                _ => said.fixed |= matches!(name.as_str(), "content-digest" | "repr-digest" | "digest" | "content-md5"),
            }
        }
        said
    }

    /// By what the answer itself says, not by what this client takes: another client may get it otherwise.
    fn may_be(&self, compress: &Compress, seen: &Seen, method: &Method, response: &Response<Body>) -> bool {
        let length = response.body().size_hint().exact();
        // Of a HEAD's answer the body tells nothing, unless it is there to be left out.
        let length = if method == Method::HEAD { length.filter(|length| *length > 0).or(self.length) } else { length };
        let long = match length {
            // Where identity is refused, even the shortest is better compressed.
            Some(length) => length >= compress.min_length || (length > 0 && seen.accept.refuses_identity()),
            None => method != Method::HEAD,
        };
        long && !self.fixed
            && (compress.private || !self.sets_cookie)
            && self.content_type.is_some_and(|content_type| compress.types.has(content_type.as_bytes()))
    }
}

fn has_whole_body(status: StatusCode) -> bool {
    !status.is_informational() && !matches!(status.as_u16(), 204 | 205 | 206 | 304)
}

/// Whether an answer is to reach the client as it is.
pub fn forbidden(headers: &HeaderMap) -> bool {
    headers.get_all(header::CACHE_CONTROL).iter().any(forbids)
}

fn forbids(cache_control: &HeaderValue) -> bool {
    lists(cache_control, b"no-transform")
}

/// A comma-separated list's member, without its case.
pub(super) fn lists(value: &HeaderValue, member: &[u8]) -> bool {
    value.as_bytes().split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(member))
}

/// The headers of a compressed answer.
fn say(head: &mut Head, coding: Coding) {
    let headers = &mut head.headers;
    headers.insert(header::CONTENT_ENCODING, content_encoding(coding));
    headers.remove(header::CONTENT_LENGTH);
    without_fixed_bytes(headers);
}

/// Of a form whose bytes are not always the same: no ranges, and a tag that says only what it is about.
pub fn without_fixed_bytes(headers: &mut HeaderMap) {
    headers.remove(header::ACCEPT_RANGES);
    weaken(headers);
}

/// Another form of the same may have the same tag.
pub fn weaken(headers: &mut HeaderMap) {
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
