//! The sidecar's page under a path of ours: only for who knows the password.

use super::Failure;
use super::aim::elsewhere;
use crate::access::credentials;
use crate::body::Body;
use crate::config::StatusPage;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header};

const USER: &[u8] = b"monodon";

/// What follows the prefix, with a leading slash; nothing where the path is the prefix without its own.
pub fn matches<'p>(page: &StatusPage, path: &'p str) -> Option<&'p str> {
    let rest = path.strip_prefix(page.prefix.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// To the page with its slash: its own links are relative.
pub fn with_slash(page: &StatusPage, query: Option<&str>) -> Response<Body> {
    let location = match query {
        Some(query) => [page.prefix.as_str(), "?", query].concat(),
        None => page.prefix.clone(),
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

pub fn authorise(page: &StatusPage, headers: &HeaderMap) -> Result<(), Failure> {
    let given = credentials::basic(headers);
    let mut wanted = USER.to_vec();
    wanted.push(b':');
    wanted.extend_from_slice(page.password.as_bytes());
    if credentials::same(&given.unwrap_or_default(), &wanted) { Ok(()) } else { Err(Failure::UNAUTHORIZED) }
}

/// The sidecar knows nothing of our prefix, nor of the password.
pub fn rewrite(parts: &mut Parts, rest: &str) {
    let query = parts.uri.query();
    let target = match query {
        Some(query) => [rest, "?", query].concat(),
        None => rest.to_owned(),
    };
    // The normalised path may hold what a target may not; the sidecar has no such page.
    parts.uri = elsewhere(&parts.uri, &target).unwrap_or_else(|| Uri::from_static("/not-found"));
    parts.headers.remove(header::AUTHORIZATION);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::UpstreamAddress;

    fn page() -> StatusPage {
        StatusPage {
            prefix: "/status/".into(),
            upstream: UpstreamAddress::Tcp { host: "sidecar".into(), port: 9100 },
            password: "secret".into(),
        }
    }

    fn with(value: &'static str) -> HeaderMap {
        [(header::AUTHORIZATION, value.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn only_with_the_password() {
        // monodon:secret, monodon:secre, monodon:secrets
        assert_eq!(authorise(&page(), &with("Basic bW9ub2RvbjpzZWNyZXQ=")), Ok(()));
        for wrong in ["Basic bW9ub2RvbjpzZWNyZQ==", "Basic bW9ub2RvbjpzZWNyZXRz", "Bearer x", "Basic !", "Basic "] {
            assert_eq!(authorise(&page(), &with(wrong)), Err(Failure::UNAUTHORIZED), "{wrong}");
        }
        assert_eq!(authorise(&page(), &HeaderMap::new()), Err(Failure::UNAUTHORIZED));
    }

    #[test]
    fn at_a_segments_boundary() {
        assert_eq!(matches(&page(), "/status"), Some(""));
        assert_eq!(matches(&page(), "/status/a"), Some("/a"));
        assert_eq!(matches(&page(), "/statuses"), None);
    }
}
