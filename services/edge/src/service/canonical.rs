//! From plain HTTP to HTTPS, and from a site's other names to its own.

use super::Failure;
use super::dispatch::Asked;
use crate::access_log::Record;
use crate::body::Body;
use crate::redirect;
use http::Response;

/// Where the site is to be asked instead, if this is not how.
pub fn redirect(asked: &Asked<'_>, record: &Record) -> Result<Option<Response<Body>>, Failure> {
    let listen = &asked.view.snapshot.config.listen;
    let secure = asked.scheme == "https";
    let canonical = asked.site.canonical.as_deref().filter(|canonical| *canonical != asked.host);
    if canonical.is_none() && (secure || listen.https.is_empty()) {
        return Ok(None);
    }
    let Some(host) = Some(canonical.unwrap_or(asked.host)).filter(|host| !host.is_empty()) else {
        // HTTP/1.0 may name no host; then there is nowhere to send it.
        return Err(Failure::HOST);
    };
    let tls = secure || !listen.https.is_empty();
    let target = record.uri.path_and_query().map_or("/", |target| target.as_str());
    if let Some(trace) = &record.thread.trace {
        trace.moved();
        trace.filter(if canonical.is_some() { "canonical" } else { "https" }, "redirects it");
    }
    // Of a trusted proxy that speaks TLS to clients the certificate is its own.
    let proxied = secure && !asked.conn.is_secure();
    let public = tls && (proxied || record.thread.certificates.is_public(host));
    let method = &record.method;
    Ok(Some(redirect::to_host(method, tls, (host, listen.public_port(tls)), target, public)))
}
