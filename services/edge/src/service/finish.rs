//! The last step of every answer.

use crate::access_log::Record;
use crate::body::{self, Body, Sending};
use crate::connection::Protocol;
use crate::template::{Scope, Template};
use crate::throttle::Throttle;
use crate::{compress, headers, limits, path, streams};
use http::{HeaderValue, Method, Response, StatusCode, header};

/// Headers that all have, no body where there is none, and the line when it has ended.
pub(super) fn finish(
    mut response: Response<Body>,
    mut record: Box<Record>,
    public: bool,
    (host, scheme): (&str, &str),
) -> Response<Body> {
    record.status = response.status().as_u16();
    let options = record.options();
    let changes = &options.headers.response;
    // Where nothing looks at the fields any more, ours need not stand among them.
    let unseen = record.conn.protocol == Protocol::Http1
        && record.thread.trace.is_none()
        && changes.is_empty()
        && record.view.snapshot.config.log.line.format().is_none()
        && !headers::says_some(response.headers(), options);
    if unseen {
        headers::strip_answer(response.headers_mut());
    } else {
        headers::finish(response.headers_mut(), &record.id, public, options);
        let kept = (!changes.is_empty()).then(|| compress::Kept::of(response.headers()));
        changes.apply(response.headers_mut(), |template| filled(template, &record, host, scheme));
        if let Some(kept) = kept {
            kept.restore(response.headers_mut());
        }
    }
    record.unsaid = unseen.then_some(public);
    if let Some(quota) = record.quota.take() {
        limits::tell(&record.view.snapshot.limits, &quota, response.status(), response.headers_mut());
    }
    record.head(response.headers());
    if record.status == 101 {
        limits::keep(&mut record);
    }
    if record.method == Method::HEAD {
        let length = http_body::Body::size_hint(response.body()).exact();
        if let Some(length) = length.filter(|length| *length > 0)
            && !response.headers().contains_key(header::CONTENT_LENGTH)
        {
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        *response.body_mut() = Body::empty();
    }
    if body::goes_without(response.status()) {
        // A 304 tells the length that the page has.
        if response.status() != StatusCode::NOT_MODIFIED {
            response.headers_mut().remove(header::CONTENT_LENGTH);
        }
        *response.body_mut() = Body::empty();
    }
    streams::ends_with_the_edge(&mut response, &record);
    let times = &record.options().timeouts;
    let sending = Sending {
        stall: times.send,
        min_rate: times.min_send_rate,
        deadline: times.request.map(|limit| record.begun + limit),
    };
    let (rate, after) = (times.limit_rate, times.limit_rate_after);
    response.map(|body| {
        let slowed = rate > 0 && !http_body::Body::is_end_stream(&body);
        let body = if slowed { Body::stream(Throttle::new(body, rate).after(after)) } else { body };
        body.on_end(record).taken(sending)
    })
}

/// Of the request as the client sent it, whatever has become of it since.
pub(super) fn filled(template: &Template, record: &Record, host: &str, scheme: &str) -> String {
    let path = path::normalise(record.uri.path()).unwrap_or_default();
    template.fill(&Scope {
        host,
        scheme,
        path: &path,
        target: record.uri.path_and_query().map_or("/", |target| target.as_str()),
        query: record.uri.query(),
        captures: None,
    })
}
