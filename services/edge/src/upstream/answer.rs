//! Reading an answer's head: what the worker tells the edge alone, and what may go on to the client.

use super::Killed;
use super::address::ProcessHeader;
use super::headers;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, TRANSFER_ENCODING};

static PROCESS: HeaderName = HeaderName::from_static("x-monodon-process");
static KILLED: HeaderName = HeaderName::from_static("x-monodon-killed");
static BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

pub fn process(headers: &HeaderMap) -> Option<ProcessHeader> {
    headers.get(&PROCESS).and_then(|value| ProcessHeader::parse(value.as_bytes()))
}

/// The answer stands for a request whose process was killed.
pub fn killed(headers: &HeaderMap) -> Option<Killed> {
    match headers.get(&KILLED)?.as_bytes() {
        b"timeout" => Some(Killed::Timeout),
        b"memory" => Some(Killed::Memory),
        _ => None,
    }
}

/// Strips what must not pass. True when the body is to be streamed, not buffered.
pub fn clean(headers: &mut HeaderMap) -> Result<bool, &'static str> {
    if headers.contains_key(TRANSFER_ENCODING) {
        // RFC 9112 section 6.3: such an answer is framed by its coding; a length beside it is a trap for the next hop.
        if headers.contains_key(CONTENT_LENGTH) {
            return Err("length_and_encoding");
        }
        // The coding is taken off on the way: of another than chunked nobody would know.
        let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
        if !codings.next().is_some_and(|coding| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"))
            || codings.next().is_some()
        {
            return Err("transfer_coding");
        }
    } else if headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some() {
        return Err("two_lengths");
    }
    let streams = headers.get(CONTENT_TYPE).is_some_and(|value| is_stream(value.as_bytes()))
        || headers.get(&BUFFERING).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"no"));
    headers.remove(&PROCESS);
    headers::strip_response(headers);
    Ok(streams)
}

fn is_stream(content_type: &[u8]) -> bool {
    [&b"text/event-stream"[..], b"application/grpc"]
        .iter()
        .any(|prefix| content_type.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, http::HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn event_streams_grpc_and_the_application_s_word_are_streamed() {
        for (name, value) in [
            ("content-type", "text/event-stream; charset=utf-8"),
            ("content-type", "application/grpc+proto"),
            ("x-accel-buffering", "No"),
        ] {
            assert_eq!(clean(&mut headers(&[(name, value)])), Ok(true), "{value}");
        }
        assert_eq!(clean(&mut headers(&[("content-type", "text/html")])), Ok(false));
        assert_eq!(clean(&mut headers(&[("x-accel-buffering", "yes")])), Ok(false));
    }

    #[test]
    fn doubtful_framing_is_refused() {
        assert!(clean(&mut headers(&[("content-length", "1"), ("transfer-encoding", "chunked")])).is_err());
        assert!(clean(&mut headers(&[("content-length", "1"), ("content-length", "1")])).is_err());
        assert_eq!(clean(&mut headers(&[("transfer-encoding", "Chunked")])), Ok(false));
        for coding in ["gzip", "gzip, chunked", "chunked, chunked", ""] {
            assert_eq!(clean(&mut headers(&[("transfer-encoding", coding)])), Err("transfer_coding"), "{coding}");
        }
    }

    #[test]
    fn what_is_between_us_and_the_worker_stays_there() {
        let mut map = headers(&[
            ("x-monodon-process", "1/1/2"),
            ("x-accel-redirect", "/secret"),
            ("connection", "keep-alive, x-private"),
            ("x-private", "1"),
            ("keep-alive", "timeout=5"),
            ("content-type", "text/html"),
        ]);
        assert_eq!(process(&map).map(|said| said.all), Some(2));
        clean(&mut map).unwrap();
        assert_eq!(map.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["content-type"]);
    }
}
