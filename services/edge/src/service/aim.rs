//! What an upstream or a file tree is asked for: the client's own target, one without its prefix, or one that a route writes.

use super::dispatch::Asked;
use super::{Failure, to_upstream};
use crate::access_log::Record;
use crate::body::Body;
use crate::config::Target;
use crate::template::{Scope, Template};
use crate::upstream::Upstream;
use crate::{escape, path, router};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Response, Uri};
use regex::Captures;
use std::borrow::Cow;

const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// The prefix that was taken away is told after the client's own word for it has been dropped.
pub async fn send_below(
    upstream: &Upstream,
    asked: &Asked<'_>,
    prefix: Option<HeaderValue>,
    parts: &mut Parts,
    body: Body,
    record: &mut Record,
) -> Result<Response<Body>, Failure> {
    if let Some(prefix) = prefix {
        parts.extensions.insert(ForwardedPrefix(prefix));
    }
    to_upstream(upstream, asked, parts, body, record).await
}

/// For the application, of a prefix that it does not see.
#[derive(Clone)]
struct ForwardedPrefix(HeaderValue);

/// To be called when the headers for the application stand.
pub fn tell_prefix(parts: &mut Parts) {
    if let Some(ForwardedPrefix(prefix)) = parts.extensions.remove() {
        parts.headers.insert(X_FORWARDED_PREFIX, prefix);
    }
}

/// Changes what the upstream is asked for; returns the prefix that was taken away.
pub fn aim(
    asked: &Asked<'_>,
    target: &Target,
    captures: Option<&Captures<'_>>,
    parts: &mut Parts,
) -> Result<Option<HeaderValue>, Failure> {
    let (text, prefix) = match target {
        Target::Same => return Ok(None),
        Target::Rewritten(template) => (fill(asked, template, captures, parts), None),
        Target::Without(prefix) => {
            let text = without(prefix, asked.path, &parts.uri);
            (text, HeaderValue::from_str(prefix).ok())
        }
    };
    parts.uri = elsewhere(&parts.uri, &text).ok_or(Failure::PATH)?;
    Ok(prefix)
}

/// The path that everything is decided by, and the target that means just that to whoever is asked, where it is another
/// than this one: what is sent on are the client's own bytes, but dot segments take back what stands before them.
pub fn decided(uri: &Uri) -> Result<(String, Option<Uri>), Failure> {
    let normal = path::normalise(uri.path()).map_err(|_| Failure::PATH)?;
    if matches!(normal, Cow::Borrowed(_)) || !path::has_dot_segments(uri.path()) {
        return Ok((normal.into_owned(), None));
    }
    let path = normal.into_owned();
    let mut target = String::with_capacity(path.len());
    escape::path(&path, &mut target);
    if let Some(query) = uri.query() {
        target.push('?');
        target.push_str(query);
    }
    let plain = elsewhere(uri, &target).ok_or(Failure::PATH)?;
    Ok((path, Some(plain)))
}

/// Another path and query of the same host: in HTTP/2 it stands here, and nowhere else.
pub fn elsewhere(uri: &Uri, target: &str) -> Option<Uri> {
    let target: PathAndQuery = target.parse().ok()?;
    if uri.authority().is_none() {
        return Some(Uri::from(target));
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target);
    Uri::from_parts(parts).ok()
}

/// The client's own bytes where the prefix stands in them as it is and the rest means what we decided by; else the rest
/// of the normalised path.
fn without(prefix: &str, path: &str, uri: &Uri) -> String {
    let slashed = |rest: &str| if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
    let rest = slashed(router::within(path, prefix).unwrap_or(path));
    let own = router::within(uri.path(), prefix).map(slashed);
    let own = own.filter(|own| path::normalise(own).is_ok_and(|normal| normal == rest));
    let mut text = own.unwrap_or_else(|| {
        let mut text = String::with_capacity(rest.len());
        escape::path(&rest, &mut text);
        text
    });
    if let Some(query) = uri.query() {
        text.push('?');
        text.push_str(query);
    }
    text
}

pub fn fill(asked: &Asked<'_>, template: &Template, captures: Option<&Captures<'_>>, parts: &Parts) -> String {
    template.fill(&scope(asked, captures, parts))
}

/// Where a client is sent.
pub fn fill_redirect(
    asked: &Asked<'_>,
    template: &Template,
    captures: Option<&Captures<'_>>,
    parts: &Parts,
) -> Result<String, Failure> {
    let scope = scope(asked, captures, parts);
    if asked.host.is_empty() && template.leads_to_host(&scope) {
        return Err(Failure::HOST);
    }
    Ok(template.fill(&scope))
}

/// A file's name: nothing is encoded.
pub fn fill_plain(asked: &Asked<'_>, template: &Template, captures: Option<&Captures<'_>>, parts: &Parts) -> String {
    template.plain(&scope(asked, captures, parts))
}

fn scope<'a>(asked: &'a Asked<'_>, captures: Option<&'a Captures<'a>>, parts: &'a Parts) -> Scope<'a> {
    Scope {
        host: asked.host,
        scheme: asked.scheme,
        path: asked.path,
        target: parts.uri.path_and_query().map_or("/", |target| target.as_str()),
        query: parts.uri.query(),
        captures,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_taken_away() {
        for (path, target, rest) in [
            ("/api/x", "/api/x?q=1", "/x?q=1"),
            ("/api/", "/api/", "/"),
            ("/api", "/api?q", "/?q"),
            ("/api/a b", "/api/a%20b", "/a%20b"),
            ("/api/b", "/api/../api/b", "/b"),
            ("/api/x/y", "/api/x%2fy", "/x%2fy"),
            ("/api/x y", "/%61pi/x%20y", "/x%20y"),
            ("/api/evil", "/api//evil", "//evil"),
        ] {
            assert_eq!(without("/api", path, &target.parse().unwrap()), rest, "{target}");
        }
    }
}
