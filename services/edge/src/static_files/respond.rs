//! The answer that a file gives: whole, in ranges, or only the word that it has not changed.

use super::condition::{self, Verdict};
use super::entity::Entity;
use super::fields::EPOCH;
use super::lookup::Form;
use super::range::{self, Ranges};
use super::stream::{Part, Parts as FileParts};
use super::{Files, Wanted};
use crate::body::Body;
use crate::config::options::files::Expires;
use crate::service::{Failure, SAID};
use crate::{compress, escape, redirect};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use std::rc::Rc;
use std::time::SystemTime;

pub async fn with_file(files: &Files, wanted: &Wanted<'_>, entity: &Rc<Entity>) -> Result<Response<Body>, Failure> {
    let Form { whole, varies, ours } = files.variant(wanted, entity).await;
    // What we compress comes and goes with our memory: parts are of the file, whose tag all our forms have, weakened.
    let fixed = if ours { entity } else { &whole };
    Ok(match condition::check(&wanted.parts.headers, fixed, ours) {
        Verdict::Failed => return Err(Failure::PRECONDITION),
        Verdict::NotModified => {
            let mut response = not_modified(fields(wanted, &whole, varies));
            if ours {
                compress::weaken(response.headers_mut());
            }
            response
        }
        Verdict::Send { ranges } => match ranges_of(wanted, ranges, fixed.length) {
            Ranges::Whole => {
                let mut response = Response::new(whole.body(0, whole.length));
                *response.headers_mut() = fields(wanted, &whole, varies);
                response
            }
            Ranges::None => unsatisfiable(fixed),
            Ranges::Some(ranges) => partial(fixed, fields(wanted, fixed, varies), &ranges),
        },
    })
}

/// To the folder's own address: links in its pages are relative to it.
pub fn with_slash(wanted: &Wanted<'_>) -> Result<Response<Body>, Failure> {
    let mut location = String::with_capacity(wanted.path.len() + 8);
    escape::path(wanted.path, &mut location);
    location.push('/');
    if let Some(query) = wanted.parts.uri.query() {
        location.push('?');
        location.push_str(query);
    }
    redirect::to(StatusCode::MOVED_PERMANENTLY, &location).ok_or(Failure::PATH)
}

fn ranges_of(wanted: &Wanted<'_>, fresh: bool, length: u64) -> Ranges {
    if !fresh || wanted.parts.method != Method::GET {
        return Ranges::Whole;
    }
    let mut fields = wanted.parts.headers.get_all(header::RANGE).iter();
    match (fields.next().and_then(|value| value.to_str().ok()), fields.next()) {
        (Some(value), None) => range::parse(value, length, wanted.options.max_ranges),
        _ => Ranges::Whole,
    }
}

/// What goes with its content.
fn fields(wanted: &Wanted<'_>, entity: &Entity, varies: bool) -> HeaderMap {
    let mut headers = entity.fields(varies).clone();
    match entity.expires {
        Expires::Off => {}
        Expires::Epoch => drop(headers.insert(header::EXPIRES, EPOCH)),
        Expires::In(time) => set(&mut headers, header::EXPIRES, &httpdate::fmt_http_date(SystemTime::now() + time)),
    }
    for name in wanted.said.iter().flat_map(|said| SAID.iter().filter(|name| said.contains_key(*name))) {
        if let Some(value) = wanted.said.and_then(|said| said.get(name)) {
            headers.insert(name, value.clone());
        }
    }
    headers
}

/// RFC 9110, section 15.4.5: what a 200 would have said of caching.
fn not_modified(mut headers: HeaderMap) -> Response<Body> {
    for name in [
        header::CONTENT_TYPE,
        header::CONTENT_ENCODING,
        header::CONTENT_DISPOSITION,
        header::CONTENT_SECURITY_POLICY,
        header::ACCEPT_RANGES,
    ] {
        headers.remove(name);
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    *response.headers_mut() = headers;
    response
}

fn unsatisfiable(entity: &Entity) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
    set(response.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{}", entity.length));
    response
}

fn partial(entity: &Entity, mut headers: HeaderMap, ranges: &[(u64, u64)]) -> Response<Body> {
    let length = entity.length;
    let body = match ranges {
        [(start, end)] => {
            set(&mut headers, header::CONTENT_RANGE, &format!("bytes {start}-{}/{length}", end - 1));
            entity.body(*start, *end)
        }
        ranges => {
            let boundary = format!("{:032x}", fastrand::u128(..));
            let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let mut parts = FileParts::default();
            for (start, end) in ranges {
                let head = format!(
                    "\r\n--{boundary}\r\nContent-Type: {media}\r\nContent-Range: bytes {start}-{}/{length}\r\n\r\n",
                    end - 1
                );
                parts.push(Part::Bytes(head.into()));
                parts.push(entity.part(*start, *end));
            }
            parts.push(Part::Bytes(format!("\r\n--{boundary}--\r\n").into()));
            set(&mut headers, header::CONTENT_TYPE, &format!("multipart/byteranges; boundary={boundary}"));
            Body::files(parts)
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    *response.headers_mut() = headers;
    response
}

pub fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
