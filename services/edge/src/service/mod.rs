//! The one pipeline that both protocols call:
//! request id → host and site → path → route, folder or upstream → rules and limits → redirect to HTTPS → maintenance → who it is → buffer →
//! answer → filters behind → headers → line.

mod accel;
mod aim;
mod allow;
mod canonical;
mod csp_report;
mod dispatch;
mod failure;
mod files;
mod filters;
mod finish;
mod place;
mod proxy;
mod status_page;
mod thread;
pub mod trace;

pub use accel::SAID;
pub use aim::decided;
pub use failure::Failure;
pub use thread::{Thread, View};

use crate::access_log::Record;
use crate::body::{Body, RequestBody};
use crate::connection::{ConnInfo, Protocol};
use crate::headers::forward::{self, Origin};
use crate::router::Entry;
use crate::{error_pages, escape, host, limits};
pub use dispatch::Asked;
use dispatch::dispatch;
use finish::finish;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use proxy::to_upstream;
use std::borrow::Cow;
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

/// Bytes of a refused target in the log: one may be refused for its length.
const SHOWN: usize = 1 << 10;

/// The answer to a request that never became one. The connection closes after it.
pub fn refuse(thread: &Rc<Thread>, conn: &Rc<ConnInfo>, refusal: &Refusal<'_>) -> Response<Body> {
    let view = thread.view();
    // Only what can be read at all gets into the line.
    let mut request = Request::new(());
    if let Some(method) = refusal.method.and_then(|method| Method::from_bytes(method.as_bytes()).ok()) {
        *request.method_mut() = method;
    }
    if let Some(target) = refusal.target {
        let target = target.get(..SHOWN).unwrap_or(target);
        let encoded = || Uri::try_from(escape::target(target.as_bytes())).ok();
        *request.uri_mut() = target.parse().ok().or_else(encoded).unwrap_or_default();
    }
    if let Some(host) = refusal.host.and_then(|host| HeaderValue::from_str(host).ok()) {
        request.headers_mut().insert(header::HOST, host);
    }
    let (parts, ()) = request.into_parts();
    let origin = forward::origin(&view.snapshot.config, conn, &parts.headers);
    let mut record = begin(thread, conn, &view, &parts, &origin, None);
    let failure = Failure::unreadable(refusal.status, refusal.reason);
    record.fail(failure.reason, failure.exact);
    let site = view.snapshot.router.default_site();
    let errors = &site.map_or(record.options(), |site| &site.options).errors;
    let mut response = error_pages::of_no_request(failure.status, &record, errors);
    failure.decorate(response.headers_mut(), &parts, record.options());
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
        failure.decorate(response.headers_mut(), &parts, record.options());
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
    // In one pass: to reckon each one's place in the map takes longer.
    let (mut host, mut agent, mut referer) = (None, None, None);
    for (name, value) in &parts.headers {
        match *name {
            header::HOST => host = host.or(Some(value)),
            header::USER_AGENT => agent = agent.or(Some(value)),
            header::REFERER => referer = referer.or(Some(value)),
            _ => {}
        }
    }
    let format = view.snapshot.config.log.line.format();
    // Made where it stays.
    let room = Box::new_uninit();
    let record = Record {
        thread: thread.clone(),
        conn: conn.clone(),
        begun: Instant::now(),
        started: SystemTime::now(),
        id: origin.identity.id.clone(),
        client: origin.client.clone(),
        method: parts.method.clone(),
        uri: parts.uri.clone(),
        version: parts.version,
        host: host
            .cloned()
            .or_else(|| parts.uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok())),
        agent: agent.cloned(),
        referer: referer.cloned(),
        log_query: view.snapshot.config.log.query,
        traceparent: origin.identity.foreign_trace(),
        asked: format.map(|format| format.of_request(&parts.headers)).unwrap_or_default(),
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
        head_in: format.map_or(0, |format| format.size_of_request(parts)),
        complete: true,
        held: Vec::new(),
        counted: limits::Counted::default(),
        verdict: limits::Verdict::default(),
        quota: None,
        known: None,
        unsaid: None,
    };
    Box::write(room, record).begin()
}

/// Whose request it is, by its host.
fn site_of<'a>(view: &View, conn: &ConnInfo, parts: &'a Parts) -> Result<(Entry, Cow<'a, str>), Failure> {
    if parts.method == Method::CONNECT {
        return Err(Failure::METHOD);
    }
    if parts.headers.len() > view.snapshot.config.limits.fields {
        return Err(Failure::FIELDS);
    }
    let http2 = conn.protocol == Protocol::Http2;
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
    let site = view.snapshot.router.get(entry).ok_or(Failure::NO_SITE)?;
    let asked = |path| Asked { view, conn, origin, site, host, scheme, path };
    let Ok((path, plain)) = decided(&parts.uri) else {
        // Nowhere in the site: its own rules hold here, too.
        filters::rules(&asked("*"), parts, record, false).await?;
        // OPTIONS * asks the server itself (RFC 9110, section 9.3.7); there is nothing to tell.
        let server = parts.uri.path() == "*" && parts.method == Method::OPTIONS;
        return if server { Ok(no_content()) } else { Err(Failure::PATH) };
    };
    // Before all rules: a CA that nobody lets in could not issue any certificate.
    if let Some(token) = path.strip_prefix("/.well-known/acme-challenge/")
        && matches!(parts.method, Method::GET | Method::HEAD)
        && let Some(answer) = thread.certificates.http_challenge(token)
    {
        let mut response = Response::new(Body::full(answer));
        let text = HeaderValue::from_static("application/octet-stream");
        response.headers_mut().insert(header::CONTENT_TYPE, text);
        return Ok(response);
    }
    if let Some(plain) = plain {
        parts.uri = plain;
    }
    dispatch(&asked(&path), parts, body, record).await
}

/// A trusted proxy that took the request over TLS must not be sent round in a circle.
fn origin_is_secure(origin: &Origin, parts: &Parts) -> bool {
    origin.trusted && parts.headers.get("x-forwarded-proto").is_some_and(|proto| proto.as_bytes() == b"https")
}

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
