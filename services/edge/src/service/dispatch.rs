//! From a site's request to what answers it: challenge, redirects, status page, route, folder, upstream.

use super::{Failure, View, filters, status_page, to_upstream, trace};
use crate::access_log::Record;
use crate::body::Body;
use crate::config::{Action, Route, Site, StatusPage, Target};
use crate::connection::ConnInfo;
use crate::headers::forward::Origin;
use crate::router;
use crate::template::{self, Scope, Template};
use crate::upstream::Upstream;
use crate::{path, redirect};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Response, Uri, header};
use regex::Captures;
use std::rc::Rc;

const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// What is known of a request once its site and its path are.
pub struct Asked<'a> {
    pub view: &'a Rc<View>,
    pub conn: &'a Rc<ConnInfo>,
    pub origin: &'a Origin,
    pub site: &'a Site,
    /// Lower case, without port.
    pub host: &'a str,
    pub scheme: &'static str,
    /// Normalised: what everything is decided by.
    pub path: &'a str,
}

/// What answers a request.
enum Place<'a> {
    StatusPage { page: &'a StatusPage, upstream: &'a Rc<Upstream>, rest: &'a str },
    Route { place: usize, route: &'a Route, captures: Option<Captures<'a>> },
    Folder { index: usize, name: &'a str },
    Upstream(&'a Rc<Upstream>),
    Nothing,
}

impl Place<'_> {
    fn told(&self) -> trace::Place {
        match self {
            Self::StatusPage { .. } => trace::Place::StatusPage,
            Self::Route { place, .. } => trace::Place::Route(*place),
            Self::Folder { index, name } => trace::Place::Folder(*index, (*name).to_owned()),
            Self::Upstream(_) => trace::Place::Upstream,
            Self::Nothing => trace::Place::Nothing,
        }
    }
}

/// The status page, the first route that takes the request, else the folders and the upstream of the flat settings.
fn place<'a>(asked: &'a Asked<'_>, parts: &Parts) -> Place<'a> {
    let Asked { view, path, .. } = asked;
    if let (Some(page), Some(upstream)) = (&view.snapshot.config.status_page, &view.status)
        && let Some(rest) = status_page::matches(page, path)
    {
        return Place::StatusPage { page, upstream, rest };
    }
    if let Some((place, route, captures)) = router::route(asked.site, path, &parts.method, &parts.headers) {
        return Place::Route { place, route, captures };
    }
    if let Some((index, name)) = view.files.find(path) {
        return Place::Folder { index, name };
    }
    match view.upstreams.first().filter(|upstream| upstream.has_addresses()) {
        Some(upstream) => Place::Upstream(upstream),
        None => Place::Nothing,
    }
}

/// Finds what answers, asks the filters whether it may, has it answer, and gives the filters the answer.
pub async fn dispatch(
    asked: &Asked<'_>,
    parts: &mut Parts,
    body: Body,
    record: &mut Record,
) -> Result<Response<Body>, Failure> {
    let place = place(asked, parts);
    if let Some(trace) = &record.thread.trace {
        trace.place(asked.path, place.told());
    }
    if let Place::Route { place, .. } = &place {
        // From here on its options hold.
        record.route = Some(*place);
    }
    // The status page is for those who do the work.
    if record.options().errors.maintenance.stops(asked.origin.client_ip) && !matches!(place, Place::StatusPage { .. }) {
        return Err(Failure::MAINTENANCE);
    }
    if let Some(answer) = filters::before(asked, parts, record).await? {
        return Ok(answer);
    }
    let seen = filters::Seen::of(parts, record);
    let response = act(asked, place, parts, body, record).await?;
    Ok(filters::after(asked, &seen, record, response))
}

async fn act(
    asked: &Asked<'_>,
    place: Place<'_>,
    parts: &mut Parts,
    body: Body,
    record: &mut Record,
) -> Result<Response<Body>, Failure> {
    match place {
        Place::StatusPage { page, upstream, rest } => {
            status_page::authorise(page, &parts.headers)?;
            if rest.is_empty() {
                return Ok(status_page::with_slash(page, parts.uri.query()));
            }
            status_page::rewrite(parts, rest);
            to_upstream(upstream, asked, parts, body, record).await
        }
        Place::Route { route, captures, .. } => {
            act_of_route(asked, &route.action, captures.as_ref(), parts, body, record).await
        }
        Place::Folder { index, name } => asked.view.files.answer(index, name, parts).await,
        Place::Upstream(upstream) => to_upstream(upstream, asked, parts, body, record).await,
        Place::Nothing => Err(Failure::NOTHING_THERE),
    }
}

async fn act_of_route(
    asked: &Asked<'_>,
    action: &Action,
    captures: Option<&Captures<'_>>,
    parts: &mut Parts,
    body: Body,
    record: &mut Record,
) -> Result<Response<Body>, Failure> {
    match action {
        Action::Upstream { place, target } => {
            let upstream = asked.view.upstreams.get(*place).ok_or(Failure::NOTHING_THERE)?;
            let prefix = aim(asked, target, captures, parts)?;
            let upstream: &Upstream = upstream;
            send_below(upstream, asked, prefix, parts, body, record).await
        }
        Action::Files(place) => match asked.view.files.within(*place, asked.path) {
            Some(name) => asked.view.files.answer(*place, name, parts).await,
            // The folder itself, without its slash.
            None => Err(Failure::NO_FILE),
        },
        Action::Redirect { to, status } => {
            let to = fill(asked, to, captures, parts);
            redirect::to(*status, &to).ok_or(Failure::PATH)
        }
        Action::Respond { status, content_type, text } => {
            let mut response = Response::new(Body::full(text.clone()));
            *response.status_mut() = *status;
            response.headers_mut().insert(header::CONTENT_TYPE, content_type.clone());
            Ok(response)
        }
        Action::Close => Err(Failure::CLOSED),
    }
}

/// The prefix that was taken away is told after the client's own word for it has been dropped.
async fn send_below(
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
fn aim(
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
    let aimed: PathAndQuery = text.parse().map_err(|_| Failure::PATH)?;
    parts.uri = Uri::from(aimed);
    Ok(prefix)
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
        template::encode(&rest, &mut text);
        text
    });
    if let Some(query) = uri.query() {
        text.push('?');
        text.push_str(query);
    }
    text
}

fn fill(asked: &Asked<'_>, template: &Template, captures: Option<&Captures<'_>>, parts: &Parts) -> String {
    template.fill(&Scope {
        host: asked.host,
        scheme: asked.scheme,
        path: asked.path,
        target: parts.uri.path_and_query().map_or("/", |target| target.as_str()),
        query: parts.uri.query(),
        captures,
    })
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
