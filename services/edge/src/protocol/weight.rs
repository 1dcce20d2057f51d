//! How many bytes a request's head has, for its limits over HTTP/2 and for `$request_length`.
//!
//! As HTTP/1.1 writes it, whatever the connection speaks: without what TLS, chunks and the frames of HTTP/2 add or save.

use http::HeaderMap;
use http::header::HOST;
use http::request::Parts;

/// `: ` and the line's end.
const AROUND: usize = 4;
/// `HTTP/1.1`
const VERSION: usize = 8;
const END: usize = 2;

/// The request line, without its end.
pub fn line(parts: &Parts) -> usize {
    let target = parts.uri.path_and_query().map_or(1, |target| target.as_str().len());
    parts.method.as_str().len() + 1 + target + 1 + VERSION
}

/// All of it, with the empty line behind it.
pub fn head(parts: &Parts) -> usize {
    // HTTP/2 says in `:authority` what HTTP/1.1 says in Host.
    let authority = parts.uri.authority().filter(|_| !parts.headers.contains_key(HOST));
    let host = authority.map_or(0, |authority| HOST.as_str().len() + authority.as_str().len() + AROUND);
    line(parts) + END + host + fields(&parts.headers) + END
}

fn fields(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + AROUND).sum()
}

pub fn short(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_they_are_written() {
        let written = "POST /a?b HTTP/1.1\r\nhost: x\r\naccept: */*\r\n\r\n";
        let of = |uri: &str, host: Option<&str>| {
            let (mut parts, ()) = http::Request::post(uri).body(()).unwrap().into_parts();
            parts.headers.extend(host.map(|host| (HOST, host.parse().unwrap())));
            parts.headers.append("accept", "*/*".parse().unwrap());
            (line(&parts), head(&parts))
        };
        let expected = ("POST /a?b HTTP/1.1".len(), written.len());
        assert_eq!(of("/a?b", Some("x")), expected);
        assert_eq!(of("https://x/a?b", None), expected);
        assert_eq!(of("https://x/a?b", Some("x")), expected);
    }
}
