//! How many bytes a request's head has, for `$request_length`.
//!
//! As HTTP/1.1 writes it, whatever the connection speaks: without what TLS, chunks and the frames of HTTP/2 add or save.

use http::HeaderMap;
use http::request::Parts;

/// `: ` and the line's end.
const AROUND: usize = 4;
/// `HTTP/1.1`
const VERSION: usize = 8;
const END: usize = 2;

pub fn of_request(parts: &Parts) -> u32 {
    let target = parts.uri.path_and_query().map_or(1, |target| target.as_str().len());
    let line = parts.method.as_str().len() + 1 + target + 1 + VERSION + END;
    short(line + fields(&parts.headers) + END)
}

fn fields(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + AROUND).sum()
}

fn short(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_they_are_written() {
        let (mut parts, ()) = http::Request::post("/a?b").header("host", "x").body(()).unwrap().into_parts();
        parts.headers.append("accept", "*/*".parse().unwrap());
        assert_eq!(of_request(&parts) as usize, "POST /a?b HTTP/1.1\r\nhost: x\r\naccept: */*\r\n\r\n".len());
    }
}
