//! The page of every error: from a file where one is named for its status, else our own; in HTML, JSON or text as the
//! client asks. It names the request's id.

mod accept;
mod builtin;
mod file;
mod words;

pub use accept::Format;
pub use file::{MOST_BYTES, Page, Which};

use crate::access_log::Record;
use crate::body::Body;
use crate::config::options::errors::Errors;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use words::Words;

/// The reason of requests that meet a site under maintenance.
pub const MAINTENANCE: &str = "maintenance";

/// What there is to tell.
pub struct Told<'a> {
    pub status: StatusCode,
    pub maintenance: bool,
    pub method: &'a Method,
    pub host: Option<&'a HeaderValue>,
    pub id: &'a HeaderValue,
    words: Words,
}

impl<'a> Told<'a> {
    fn new(status: StatusCode, record: &'a Record) -> Self {
        let maintenance = record.reason == Some(MAINTENANCE);
        Self {
            status,
            maintenance,
            method: &record.method,
            host: record.host.as_ref(),
            id: &record.id,
            words: words::of(status, maintenance),
        }
    }

    fn id(&self) -> &str {
        self.id.to_str().unwrap_or_default()
    }
}

/// The whole answer. `headers` are the request's, for `Accept`.
pub fn page(status: StatusCode, record: &Record, headers: &HeaderMap) -> Response<Body> {
    render(&Told::new(status, record), &record.options().errors, Format::wanted(headers))
}

/// Of what is no request: nobody knows what its client reads. It gets the site's page where one is named for the status, else text.
pub fn of_no_request(status: StatusCode, record: &Record, errors: &Errors) -> Response<Body> {
    let page = errors.page(status, false, Format::Html);
    render(&Told::new(status, record), errors, page.map_or(Format::Text, |_| Format::Html))
}

fn render(told: &Told<'_>, errors: &Errors, format: Format) -> Response<Body> {
    let own = errors.page(told.status, told.maintenance, format.kind());
    let body = own.map_or_else(|| Bytes::from(builtin::body(told, format)), |page| page.fill(told));
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = told.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    if own.is_none() && format == Format::Html {
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(builtin::POLICY));
    }
    if told.maintenance {
        headers.insert(header::RETRY_AFTER, errors.maintenance.retry_after.clone());
    } else if matches!(told.status.as_u16(), 429 | 503) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}

/// An upstream's answer, or our page in its place where its status is one of `intercept_errors`. What tells the client
/// how to go on stays; the rest, cookies too, goes as in nginx.
pub fn intercept(answer: Response<Body>, record: &Record, headers: &HeaderMap) -> Response<Body> {
    if answer.status().as_u16() < 400 || !record.options().errors.intercepts(answer.status()) {
        return answer;
    }
    let mut response = page(answer.status(), record, headers);
    for name in [header::WWW_AUTHENTICATE, header::RETRY_AFTER, header::ALLOW] {
        if answer.headers().contains_key(&name) {
            response.headers_mut().remove(&name);
        }
        for value in answer.headers().get_all(&name) {
            response.headers_mut().append(&name, value.clone());
        }
    }
    response
}

#[cfg(test)]
mod tests;
