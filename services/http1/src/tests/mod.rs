mod answer;
mod chunks;
mod encode;
mod framing;
mod head;
mod mutation;
mod target;

use crate::{Head, Limits, Reject};

/// Parses a whole head, and the same head byte by byte: both must say the same.
pub(crate) fn parse(bytes: &[u8]) -> Result<Head, Reject> {
    let limits = Limits::default();
    let mut whole = Head::new();
    let result = whole.parse(bytes, &limits);
    let mut pieces = Head::new();
    let mut stepped = Ok(false);
    for end in 1..=bytes.len() {
        stepped = pieces.parse(&bytes[..end], &limits);
        if stepped != Ok(false) {
            break;
        }
    }
    assert_eq!(result.is_err(), stepped.is_err(), "whole {result:?}, in pieces {stepped:?}");
    if result == Ok(true) {
        assert_eq!((whole.len, &whole.fields, whole.framing), (pieces.len, &pieces.fields, pieces.framing));
    }
    assert_ne!(result, Ok(false), "incomplete: {:?}", String::from_utf8_lossy(bytes));
    result.map(|_| whole)
}

/// GET with a Host and these lines.
pub(crate) fn with(lines: &str) -> Result<Head, Reject> {
    parse(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").as_bytes())
}

#[track_caller]
pub(crate) fn refused(bytes: &[u8], status: u16) -> Reject {
    match parse(bytes) {
        Ok(head) => panic!("accepted {:?} as {head:?}", String::from_utf8_lossy(bytes)),
        Err(reject) => {
            assert_eq!(reject.status(), status, "{reject:?} for {:?}", String::from_utf8_lossy(bytes));
            reject
        }
    }
}
