//! From http to https and to a site's own name: permanent where browsers may remember it, never where a developer's other projects share the host.

use crate::body::Body;
use http::{HeaderValue, Method, Response, StatusCode, header};

/// To another scheme or host of ours. `host` is validated already and has no port; `target` is the request's own path
/// and query.
pub fn to_host(method: &Method, tls: bool, (host, port): (&str, u16), target: &str, public: bool) -> Response<Body> {
    let status = match (public, method) {
        // The internal CA's world is one machine (decision 7): nothing is to be remembered for its names.
        (false, _) => StatusCode::TEMPORARY_REDIRECT,
        (true, &Method::GET | &Method::HEAD) => StatusCode::MOVED_PERMANENTLY,
        (true, _) => StatusCode::PERMANENT_REDIRECT,
    };
    let mut location = String::with_capacity(16 + host.len() + target.len());
    location.push_str(if tls { "https://" } else { "http://" });
    location.push_str(host);
    if port != if tls { 443 } else { 80 } {
        location.push(':');
        location.push_str(itoa::Buffer::new().format(port));
    }
    location.push_str(target);
    to(status, &location).unwrap_or_else(|| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response
    })
}

/// `None`: the address has bytes that no header may hold.
pub fn to(status: StatusCode, location: &str) -> Option<Response<Body>> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_str(location).ok()?);
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirect(method: &Method, port: u16, public: bool) -> (u16, String) {
        let response = to_host(method, true, ("shop.example", port), "/a?b=c", public);
        (response.status().as_u16(), response.headers()[header::LOCATION].to_str().unwrap().to_owned())
    }

    #[test]
    fn rules() {
        assert_eq!(redirect(&Method::GET, 443, true), (301, "https://shop.example/a?b=c".into()));
        assert_eq!(redirect(&Method::POST, 443, true), (308, "https://shop.example/a?b=c".into()));
        assert_eq!(redirect(&Method::GET, 8443, false), (307, "https://shop.example:8443/a?b=c".into()));
    }
}
