//! Writing an answer (RFC 9112 4 to 7): status line, fields, date, chunks, all appended to a buffer of the caller's.

use std::cell::RefCell;
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::Version;
use crate::bytes::{all_value, is_tchar};

/// What ends a chunked body, without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// What cannot be written as a field, because it would be read as something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// The name is not a token.
    Name,
    /// The value holds CR, LF, NUL or another control byte.
    Value,
}

impl std::fmt::Display for Bad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Name => "the name of a header is not a token",
            Self::Value => "the value of a header holds a line break or another control byte",
        })
    }
}

impl std::error::Error for Bad {}

/// The status line with its CRLF. A reason with bytes that may not stand there is replaced by the usual one; check with [`is_value`] first
/// where that is to be an error. RFC 9112 4: the space after the code stays when there is no reason.
pub fn status_line(out: &mut Vec<u8>, version: Version, status: u16, reason: Option<&[u8]>) {
    out.extend_from_slice(match version {
        Version::Http10 => b"HTTP/1.0 ",
        Version::Http11 => b"HTTP/1.1 ",
    });
    out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
    out.push(b' ');
    let reason = reason.filter(|reason| is_value(reason)).unwrap_or_else(|| phrase(status).as_bytes());
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// `name: value` and CRLF, or nothing at all when it cannot be written safely.
pub fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) -> Result<(), Bad> {
    if !is_token(name) {
        return Err(Bad::Name);
    }
    if !is_value(value) {
        return Err(Bad::Value);
    }
    out.reserve(name.len().saturating_add(value.len()).saturating_add(4));
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// `content-length: N` and CRLF.
pub fn content_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"content-length: ");
    out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The whole line `date: Sun, 06 Nov 1994 08:49:37 GMT` and CRLF (RFC 9110 6.6.1), formatted once a second and thread.
pub fn date(out: &mut Vec<u8>) {
    thread_local! {
        static LINE: RefCell<(u64, Vec<u8>)> = const { RefCell::new((u64::MAX, Vec::new())) };
    }
    let second = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    LINE.with_borrow_mut(|(cached, line)| {
        if *cached != second {
            *cached = second;
            line.clear();
            // httpdate stops at the year 9999, with a panic.
            let time = UNIX_EPOCH.checked_add(Duration::from_secs(second.min(253_402_300_799))).unwrap_or(UNIX_EPOCH);
            // Writing into a Vec does not fail.
            let _ = write!(line, "date: {}\r\n", httpdate::HttpDate::from(time));
        }
        out.extend_from_slice(line);
    });
}

/// The line before a chunk's data; after the data goes CRLF. Nothing for a length of 0, which would end the body.
pub fn chunk(out: &mut Vec<u8>, len: usize) {
    if len > 0 {
        // Writing into a Vec does not fail.
        let _ = write!(out, "{len:x}\r\n");
    }
}

/// RFC 9110 5.6.2.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&b| is_tchar(b))
}

/// RFC 9110 5.5; may be empty.
pub fn is_value(bytes: &[u8]) -> bool {
    all_value(bytes)
}

/// RFC 9110 15 and its registry.
pub fn phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        418 => "I'm a teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        511 => "Network Authentication Required",
        _ => "",
    }
}
