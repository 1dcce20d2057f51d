//! The one pipeline that both protocols call:
//! request id → host and site → path → redirect → route, folder or upstream → filters before → buffer → answer → filters behind → headers → line.

mod accel;
mod aim;
mod csp_report;
mod dispatch;
mod failure;
mod files;
mod filters;
mod status_page;
mod thread;
pub mod trace;

pub use accel::SAID;
pub use failure::Failure;
pub use thread::{Thread, View};

use crate::access_log::Record;
use crate::body::{Body, RequestBody, Sending};
use crate::buffer::{self, BodyLimits, Buffered, Outgoing, Passing};
use crate::connection::ConnInfo;
use crate::headers::forward::{self, Origin};
use crate::router::Entry;
use crate::streams;
use crate::template::{Scope, Template};
use crate::throttle::Throttle;
use crate::upstream::{Buffering, Ends, Meta, Upstream, Waits};
use crate::{access, error_pages, headers, host, limits, path, redirect, template};
pub use dispatch::Asked;
use dispatch::dispatch;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use std::borrow::Cow;
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Instant, SystemTime};

pub use crate::snapshot::Snapshot;

/// A request that a protocol could not read: what is known of it, for the page, the log line and the counters.
pub struct Refusal<'a> {
    pub status: StatusCode,
    /// `snake_case`, from the codec or one of `timeout_header`, `timeout_body`.
    pub reason: &'static str,
    pub method: Option<&'a str>,
    pub target: Option<&'a str>,
    pub host: Option<&'a str>,
}

/// The answer to a request that never became one. The connection closes after it.
pub fn refuse(thread: &Rc<Thread>, conn: &Rc<ConnInfo>, refusal: &Refusal<'_>) -> Response<Body> {
    let view = thread.view();
    // Only what can be read at all gets into the line.
    let mut request = Request::new(());
    if let Some(method) = refusal.method.and_then(|method| Method::from_bytes(method.as_bytes()).ok()) {
        *request.method_mut() = method;
    }
    if let Some(target) = refusal.target.and_then(|target| target.parse().ok()) {
        *request.uri_mut() = target;
    }
    if let Some(host) = refusal.host.and_then(|host| HeaderValue::from_str(host).ok()) {
        request.headers_mut().insert(header::HOST, host);
    }
    let (parts, ()) = request.into_parts();
    let origin = forward::origin(&view.snapshot.config, conn, &parts.headers);
    let mut record = begin(thread, conn, &view, &parts, &origin, None);
    let failure = Failure::unreadable(refusal.status, refusal.reason);
    record.fail(failure.reason, failure.exact);
    let response = error_pages::page(failure.status, &record, &parts.headers);
    finish(response, record, false, ("", conn.scheme()))
}

/// Answers one request.
pub async fn serve(thread: &Rc<Thread>, conn: &Rc<ConnInfo>, request: Request<RequestBody>) -> Response<Body> {
    let view = thread.view();
    let (mut parts, body) = request.into_parts();
    let origin = forward::origin(&view.snapshot.config, conn, &parts.headers);
    let site = site_of(&view, conn, &parts);
    let (known, public) = match &site {
        Ok((site, name)) => (Some(*site), conn.is_secure() && thread.certificates.is_public(name)),
        Err(_) => (None, false),
    };
    let mut record = begin(thread, conn, &view, &parts, &origin, known);
    if let Some(trace) = &thread.trace {
        trace.site(known);
    }
    let scheme = if origin_is_secure(&origin, &parts) { "https" } else { conn.scheme() };
    let mut name = String::new();
    let result = match site {
        Ok((site, host)) => {
            name = host.into_owned();
            answer(thread, conn, &view, &mut parts, body, &origin, (site, &name, scheme), &mut record).await
        }
        Err(failure) => Err(failure),
    };
    let response = result.unwrap_or_else(|failure| {
        record.fail(failure.reason, failure.exact);
        if let Some(trace) = &thread.trace {
            trace.failure(failure.exact);
        }
        if failure == Failure::CLOSED {
            return unanswered();
        }
        let mut response = error_pages::page(failure.status, &record, &parts.headers);
        failure.decorate(response.headers_mut(), record.options());
        response
    });
    finish(response, record, public, (&name, scheme))
}

fn begin(
    thread: &Rc<Thread>,
    conn: &Rc<ConnInfo>,
    view: &Rc<View>,
    parts: &Parts,
    origin: &Origin,
    entry: Option<Entry>,
) -> Box<Record> {
    Record {
        thread: thread.clone(),
        conn: conn.clone(),
        begun: Instant::now(),
        started: SystemTime::now(),
        id: origin.identity.id.clone(),
        client: origin.client.clone(),
        method: parts.method.clone(),
        uri: parts.uri.clone(),
        version: parts.version,
        host: parts
            .headers
            .get(header::HOST)
            .cloned()
            .or_else(|| parts.uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok())),
        agent: parts.headers.get(header::USER_AGENT).cloned(),
        referer: parts.headers.get(header::REFERER).cloned(),
        log_query: view.snapshot.config.log.query,
        traceparent: origin.identity.foreign_trace().cloned(),
        asked: view
            .snapshot
            .config
            .log
            .line
            .format()
            .map(|format| format.of_request(&parts.headers))
            .unwrap_or_default(),
        answered: Vec::new(),
        upstream: None,
        slow: false,
        site: entry.map_or(0, |entry| entry.index),
        view: view.clone(),
        entry,
        route: None,
        status: 499,
        reason: None,
        timing: None,
        bytes_in: 0,
        bytes_out: 0,
        complete: true,
        held: Vec::new(),
        counted: 0,
        quota: None,
    }
    .begin()
}

/// The last step of every answer: headers that all have, a bodiless HEAD, and the line when it has ended.
fn finish(
    mut response: Response<Body>,
    mut record: Box<Record>,
    public: bool,
    (host, scheme): (&str, &str),
) -> Response<Body> {
    record.status = response.status().as_u16();
    let options = record.options();
    headers::finish(response.headers_mut(), &record.id, public, options);
    if !options.headers.response.is_empty() {
        options.headers.response.apply(response.headers_mut(), |template| filled(template, &record, host, scheme));
    }
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
    let response = streams::ends_with_the_edge(response, &record);
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
fn filled(template: &Template, record: &Record, host: &str, scheme: &str) -> String {
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

/// Whose request it is, by its host.
fn site_of<'a>(view: &View, conn: &ConnInfo, parts: &'a Parts) -> Result<(Entry, Cow<'a, str>), Failure> {
    if matches!(parts.method, Method::CONNECT | Method::TRACE) {
        return Err(Failure::METHOD);
    }
    if parts.headers.len() > view.snapshot.config.limits.fields {
        return Err(Failure::FIELDS);
    }
    let http2 = conn.protocol == crate::connection::Protocol::Http2;
    let host = match host::of(&parts.uri, &parts.headers, http2) {
        Ok(host) => host.name,
        // HTTP/1.0 needs none, and gets the site only where any host does.
        Err(host::Wrong::Missing) if parts.version == http::Version::HTTP_10 => "".into(),
        Err(_) => return Err(Failure::HOST),
    };
    let site = view.snapshot.router.site(&host);
    let sni = conn.tls.as_ref().and_then(|tls| tls.sni.as_deref());
    // With names of its own, a connection opened for one of them carries only that one's requests.
    if !view.snapshot.config.tls.domains.is_empty() && sni.is_some_and(|sni| sni != host) {
        return Err(Failure::MISDIRECTED);
    }
    Ok((site.ok_or(Failure::NO_SITE)?, host))
}

#[allow(clippy::too_many_arguments)]
async fn answer(
    thread: &Rc<Thread>,
    conn: &Rc<ConnInfo>,
    view: &Rc<View>,
    parts: &mut Parts,
    body: Body,
    origin: &Origin,
    (entry, host, scheme): (Entry, &str, &'static str),
    record: &mut Record,
) -> Result<Response<Body>, Failure> {
    let config = &view.snapshot.config;
    if parts.uri.path() == "*" {
        // OPTIONS * asks the server itself (RFC 9110, section 9.3.7); there is nothing to tell.
        return if parts.method == Method::OPTIONS { Ok(no_content()) } else { Err(Failure::PATH) };
    }
    let normal = path::normalise(parts.uri.path()).map_err(|_| Failure::PATH)?;
    let dotted = matches!(normal, Cow::Owned(_)) && path::has_dot_segments(parts.uri.path());
    let path = normal.into_owned();
    if let Some(token) = path.strip_prefix("/.well-known/acme-challenge/")
        && matches!(parts.method, Method::GET | Method::HEAD)
        && let Some(answer) = thread.certificates.http_challenge(token)
    {
        let mut response = Response::new(Body::full(answer));
        let text = HeaderValue::from_static("application/octet-stream");
        response.headers_mut().insert(header::CONTENT_TYPE, text);
        return Ok(response);
    }
    let site = view.snapshot.router.get(entry).ok_or(Failure::NO_SITE)?;
    let secure = scheme == "https";
    let canonical = site.canonical.as_deref().filter(|canonical| *canonical != host);
    if canonical.is_some() || (!secure && !config.listen.https.is_empty()) {
        let Some(host) = Some(canonical.unwrap_or(host)).filter(|host| !host.is_empty()) else {
            // HTTP/1.0 may name no host; then there is nowhere to send it.
            return Err(Failure::HOST);
        };
        let tls = secure || !config.listen.https.is_empty();
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let public = tls && thread.certificates.is_public(host);
        return Ok(redirect::to_host(&parts.method, tls, (host, config.listen.public_port(tls)), target, public));
    }
    if dotted {
        parts.uri = with_path(&parts.uri, &path).ok_or(Failure::PATH)?;
    }
    let asked = Asked { view, conn, origin, site, host, scheme, path: &path };
    dispatch(&asked, parts, body, record).await
}

/// The target with this path, which is decoded.
fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let mut target = String::with_capacity(path.len());
    template::encode(path, &mut target);
    if let Some(query) = uri.query() {
        target.push('?');
        target.push_str(query);
    }
    aim::elsewhere(uri, &target)
}

/// A trusted proxy that took the request over TLS must not be sent round in a circle.
fn origin_is_secure(origin: &Origin, parts: &Parts) -> bool {
    origin.trusted && parts.headers.get("x-forwarded-proto").is_some_and(|proto| proto.as_bytes() == b"https")
}

async fn to_upstream(
    upstream: &Upstream,
    asked: &Asked<'_>,
    parts: &mut Parts,
    body: Body,
    record: &mut Record,
) -> Result<Response<Body>, Failure> {
    let Asked { view, conn, origin, .. } = asked;
    let config = &view.snapshot.config;
    let limit = record.options().requests.body_limit;
    let hint = http_body::Body::size_hint(&body);
    if hint.lower() > limit {
        return Err(Failure::TOO_LARGE);
    }
    let (outgoing, passed) = take_in(asked, parts, body, record).await?;
    forward::prepare(parts, config, conn, origin, record.started);
    aim::tell_prefix(parts);
    access::tell(parts, record.options());
    let changes = &record.options().headers.request;
    if !changes.is_empty() {
        changes.apply(&mut parts.headers, |template| filled(template, record, asked.host, asked.scheme));
    }
    let idempotent = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
    let times = &record.options().timeouts;
    let local = SocketAddr::new(conn.local.ip().to_canonical(), conn.local.port());
    let buffering = &record.options().buffering;
    let meta = Meta {
        request_id: record.id.clone(),
        idempotent,
        waits: Waits { first_byte: times.first_byte, read: times.read },
        client: Some(origin.client_ip),
        secure: asked.scheme == "https",
        lane: view.snapshot.lanes.get(record.entry.map(|entry| entry.place), record.route).cloned(),
        buffering: Buffering { on: buffering.answers, memory: buffering.memory },
        ends: Ends { source: SocketAddr::new(origin.client_ip, conn.peer.port()), destination: local },
        timing: Cell::default(),
    };
    let (mut sent, ()) = Request::new(()).into_parts();
    sent.method = parts.method.clone();
    sent.uri = std::mem::take(&mut parts.uri);
    sent.version = parts.version;
    sent.extensions = std::mem::take(&mut parts.extensions);
    // The error page still wants to know what the client accepts.
    let accept = parts.headers.get(header::ACCEPT).cloned();
    sent.headers = std::mem::take(&mut parts.headers);
    if let Some(accept) = accept {
        parts.headers.insert(header::ACCEPT, accept);
    }
    if let Some(trace) = &record.thread.trace {
        return Ok(trace.sent(upstream.name(), &sent));
    }
    let result = upstream.send(sent, outgoing, &meta).await;
    record.timing = Some(meta.timing.get());
    if let Some(passed) = passed {
        record.bytes_in += passed.get();
    }
    if record.wants_upstream() {
        record.upstream = upstream.label(meta.timing.get().address);
    }
    Ok(error_pages::intercept(result?, record, &parts.headers))
}

/// The request's body: in whole, or what passes it on as it comes and counts it.
async fn take_in(
    asked: &Asked<'_>,
    parts: &Parts,
    body: Body,
    record: &mut Record,
) -> Result<(Outgoing, Option<Rc<Cell<u64>>>), Failure> {
    if http_body::Body::is_end_stream(&body) {
        return Ok((Buffered::empty().into(), None));
    }
    let options = record.options();
    let limits = BodyLimits {
        total: options.requests.body_limit,
        memory: options.buffering.memory,
        wait: options.timeouts.body,
        min_rate: options.timeouts.min_rate,
    };
    // Client and server of gRPC may talk to each other for hours before the request ends.
    let kind = parts.headers.get(header::CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
    let grpc = kind.get(..GRPC.len()).is_some_and(|start| start.eq_ignore_ascii_case(GRPC));
    if grpc || !options.buffering.requests {
        let (body, passed) = Passing::on(body, limits, grpc);
        return Ok((Outgoing::live(body), Some(passed)));
    }
    let buffered = buffer::collect(body, &limits, &asked.view.snapshot.spool).await?;
    record.bytes_in += buffered.len();
    Ok((buffered.into(), None))
}

const GRPC: &[u8] = b"application/grpc";

/// Marks an answer that is not to be sent: the protocol closes the connection, or resets the stream.
#[derive(Clone, Copy)]
pub struct Unanswered;

/// nginx counts these as 444.
fn unanswered() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(444).unwrap_or(StatusCode::FORBIDDEN);
    response.extensions_mut().insert(Unanswered);
    response
}

fn no_content() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
