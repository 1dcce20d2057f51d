//! Cookies of a request (RFC 6265, section 4.2), by their whole name: the first of that name counts.

use http::{HeaderMap, header};

/// In all fields of the request.
pub fn of<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    headers.get_all(header::COOKIE).iter().find_map(|value| within(value.as_bytes(), name.as_bytes()))
}

/// In one field's value.
pub fn within<'a>(cookies: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut pairs = cookies.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("xsid=1; sid=2;sid=3"));
        headers.append(header::COOKIE, HeaderValue::from_static("b=;c"));
        assert_eq!(of(&headers, "sid"), Some(&b"2"[..]));
        assert_eq!(of(&headers, "b"), Some(&b""[..]));
        assert_eq!(of(&headers, "c"), None);
        assert_eq!(of(&headers, "id"), None);
    }

    #[test]
    fn finds_the_cookie() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1;  ROUTE=xyz; XROUTE=no"));
        headers.append(header::COOKIE, HeaderValue::from_static("b=2"));
        assert_eq!(of(&headers, "ROUTE"), Some(&b"xyz"[..]));
        assert_eq!(of(&headers, "b"), Some(&b"2"[..]));
        assert_eq!(of(&headers, "ROUT"), None);
        assert_eq!(of(&headers, "c"), None);
    }

    #[test]
    fn in_one_field() {
        assert_eq!(within(b"a=1; bb=2;b=3", b"b"), Some(&b"3"[..]));
        assert_eq!(within(b"a=1; bb=2", b"b"), None);
    }
}
