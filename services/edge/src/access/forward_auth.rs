//! Forward authentication: somebody else is asked whether a request may pass (nginx: `auth_request`, Traefik:
//! `forwardAuth`). He gets its head, without its body; 2xx lets it pass, 401, 403 and redirects are the answer.

use crate::access_log::Record;
use crate::body::Body;
use crate::buffer::Buffered;
use crate::headers::forward;
use crate::metrics::Reason;
use crate::service::{Asked, Failure, decided};
use crate::upstream::{Buffering, Ends, Meta, Waits};
use http::header::{self, HeaderMap, HeaderName};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use std::cell::Cell;
use std::time::Duration;

const X_FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const X_FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
const X_ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");
const X_ORIGINAL_URL: HeaderName = HeaderName::from_static("x-original-url");

/// The most of a refusal's page that is passed on.
const LARGEST: usize = 64 << 10;

#[derive(Clone, Debug, PartialEq)]
pub struct ForwardAuth {
    /// Place in the configuration's upstreams.
    pub upstream: usize,
    pub target: PathAndQuery,
    /// Of a URL; else the client's.
    pub host: Option<HeaderValue>,
    /// Fields of its answer that the application is told.
    pub headers: Vec<HeaderName>,
    pub timeout: Duration,
}

/// Lets the request pass with what the application is to be told, or has the answer.
pub async fn ask(
    auth: &ForwardAuth,
    asked: &Asked<'_>,
    parts: &Parts,
    record: &mut Record,
) -> Result<Result<Told, Response<Body>>, Failure> {
    // To explain a request, nobody is asked.
    if let Some(trace) = &record.thread.trace {
        let upstream = asked.view.snapshot.config.upstreams.get(auth.upstream).map_or("", |named| &named.name);
        trace.filter("forward_auth", format!("would ask http://{upstream}{}; taken for a yes here", auth.target));
        return Ok(Ok(Vec::new()));
    }
    let upstream = asked.view.upstreams.get(auth.upstream).ok_or(Failure::AUTH_SERVICE)?;
    let mut question = question(auth, asked, parts, record);
    let meta = Meta {
        told: Vec::new(),
        idempotent: true,
        client: Some(asked.origin.client_ip),
        secure: asked.scheme == "https",
        lane: None,
        waits: Waits::default(),
        buffering: Buffering { on: true, memory: LARGEST },
        ends: Ends { source: asked.conn.peer, destination: asked.conn.local },
        timing: Cell::default(),
    };
    let answer = async {
        let response = upstream.send(&mut question, Buffered::empty().into(), &meta).await.map_err(|error| {
            let failure = Failure::from(error);
            Failure { reason: Reason::AuthService, ..failure }
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(Ok(told(&auth.headers, response.headers())));
        }
        if !passed_on(status) {
            tracing::warn!(%status, "forward_auth: an answer that is neither yes nor no");
            return Err(Failure::AUTH_SERVICE);
        }
        let (mut head, body) = response.into_parts();
        let body = Limited::new(body, LARGEST).collect().await.map_err(|_| Failure::AUTH_SERVICE)?;
        head.headers.remove(header::CONTENT_LENGTH);
        head.headers.remove(header::TRANSFER_ENCODING);
        // What belongs to one client is nobody else's.
        head.headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        Ok(Err(Response::from_parts(head, Body::full(body.to_bytes()))))
    };
    let answer = tokio::time::timeout(auth.timeout, answer).await.unwrap_or(Err(Failure::AUTH_LATE))?;
    if answer.is_err() {
        record.fail(Reason::Unauthorized, "forward_auth");
    }
    Ok(answer)
}

/// The fields of his answer that the application is told.
type Told = Vec<(HeaderName, HeaderValue)>;

fn told(names: &[HeaderName], headers: &HeaderMap) -> Told {
    let of = |name| headers.get_all(name).iter().map(move |value| (HeaderName::clone(name), value.clone()));
    names.iter().flat_map(of).collect()
}

fn passed_on(status: StatusCode) -> bool {
    matches!(status.as_u16(), 401 | 403 | 301 | 302 | 303 | 307 | 308)
}

/// The client's head as the application would see it, and what it asks for: also where the request has been sent on
/// within the site since.
fn question(auth: &ForwardAuth, asked: &Asked<'_>, parts: &Parts, record: &Record) -> Parts {
    let (mut question, ()) = Request::new(()).into_parts();
    question.headers = parts.headers.clone();
    for name in [
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::CONTENT_ENCODING,
        header::RANGE,
        header::IF_RANGE,
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_UNMODIFIED_SINCE,
        // A refusal's page is passed on as it comes.
        header::ACCEPT_ENCODING,
    ] {
        question.headers.remove(name);
    }
    question.method = Method::GET;
    question.uri = Uri::from(auth.target.clone());
    if let Some(host) = parts.uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok()) {
        question.headers.insert(header::HOST, host);
    }
    let config = &asked.view.snapshot.config;
    let told = forward::prepare(&mut question, config, asked.conn, asked.origin, record.started);
    told.insert(&mut question.headers);
    let (_, plain) = decided(&record.uri).unwrap_or_default();
    let uri = plain.as_ref().unwrap_or(&record.uri);
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let method = || HeaderValue::from_str(record.method.as_str());
    let url = [asked.scheme, "://", asked.host, target].concat();
    let own = [
        (X_FORWARDED_METHOD, method()),
        (X_ORIGINAL_METHOD, method()),
        (X_FORWARDED_URI, HeaderValue::from_str(target)),
        (X_ORIGINAL_URL, HeaderValue::from_str(&url)),
    ];
    for (name, value) in own {
        match value {
            Ok(value) => drop(question.headers.insert(name, value)),
            Err(_) => drop(question.headers.remove(name)),
        }
    }
    if let Some(host) = &auth.host {
        question.headers.insert(header::HOST, host.clone());
    }
    question
}
