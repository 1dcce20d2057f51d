use crate::{Chunk, Chunks, Reject};

/// The data, and what follows the body.
type Body = (Vec<u8>, Vec<u8>);

/// Decodes all of it, with `step` new bytes at a time; returns the data and what follows the body, or None if it is incomplete.
fn decode(bytes: &[u8], step: usize, limit: u64) -> Result<Option<Body>, Reject> {
    let mut chunks = Chunks::new(limit);
    let (mut data, mut buf, mut fed) = (Vec::new(), Vec::new(), 0);
    loop {
        match chunks.next(&buf)? {
            Chunk::Data { start, end } => {
                assert!(start < end);
                data.extend_from_slice(&buf[start..end]);
                buf.drain(..end);
            }
            Chunk::End { consume } => {
                assert!(chunks.is_done());
                assert_eq!(chunks.total(), data.len() as u64);
                buf.drain(..consume);
                buf.extend_from_slice(&bytes[fed..]);
                return Ok(Some((data, buf)));
            }
            Chunk::More { consume } => {
                buf.drain(..consume);
                if fed == bytes.len() {
                    return Ok(None);
                }
                let end = (fed + step).min(bytes.len());
                buf.extend_from_slice(&bytes[fed..end]);
                fed = end;
            }
        }
    }
}

#[track_caller]
fn good(text: &str, data: &str, rest: &str) {
    for step in [1, 2, 3, 7, usize::MAX / 2] {
        assert_eq!(decode(text.as_bytes(), step, 1000), Ok(Some((data.into(), rest.into()))), "step {step}");
    }
}

#[track_caller]
fn bad(text: &[u8]) -> Reject {
    let whole = decode(text, text.len(), 1000);
    for step in [1, 2, 5] {
        assert_eq!(decode(text, step, 1000).is_err(), whole.is_err(), "step {step}");
    }
    whole.expect_err(&format!("{:?}", String::from_utf8_lossy(text)))
}

#[test]
fn good_bodies() {
    good("0\r\n\r\n", "", "");
    good("5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1", "hello", "GET / HTTP/1.1");
    good("5\r\nhello\r\nA\r\n0123456789\r\n00\r\n\r\n", "hello0123456789", "");
    good("0005\r\nhello\r\n0\r\n\r\n", "hello", "");
    good("5;a=b\r\nhello\r\n0;c=\"d e\"\r\n\r\n", "hello", "");
    good("2\r\n\r\n\r\n0\r\n\r\n", "\r\n", "");
    good("1\r\nx\r\n0\r\nX-Sum: 1\r\nContent-MD5: 5\r\n\r\nrest", "x", "rest");
}

#[test]
fn sizes_are_hex_digits() {
    for size in [
        "", " 5", "5 ", "\t5", "+5", "-5", "_5", "5_0", "0_2e", "0x5", "x", "g", "5.", "5 ;x", "\u{ff15}", "5,",
        "5\u{b}", "\0", "5\0",
    ] {
        let reject = bad(format!("{size}\r\nhello\r\n0\r\n\r\n").as_bytes());
        assert_eq!(reject, Reject::ChunkSize, "{size:?}");
    }
    assert_eq!(bad(b"10000000000000000\r\n"), Reject::ChunkSize, "17 digits");
    assert_eq!(bad(b"00000000000000005\r\nhello\r\n0\r\n\r\n"), Reject::ChunkSize);
    assert_eq!(bad(b"ffffffffffffffff\r\n"), Reject::BodyTooLarge);
    assert_eq!(decode(b"1\r\nx\r\nffffffffffffffff\r\n", 99, u64::MAX), Err(Reject::ChunkSize), "the sum overflows");
    assert_eq!(bad(b"5\n"), Reject::ChunkSize);
    assert_eq!(bad(b"5\rx"), Reject::BareCr);
    assert_eq!(bad(b"5\r\r\n"), Reject::BareCr);
}

#[test]
fn extensions_are_bounded_and_clean() {
    assert_eq!(bad(b"5;a\nhello\r\n0\r\n\r\n"), Reject::BareLf);
    assert_eq!(bad(b"5;a\rb\r\nhello\r\n0\r\n\r\n"), Reject::BareCr);
    assert_eq!(bad(b"5;a\0\r\nhello\r\n0\r\n\r\n"), Reject::ChunkExtension);
    assert_eq!(bad(b"5;\x0b\r\nhello\r\n0\r\n\r\n"), Reject::ChunkExtension);
    let long = format!("1;{}", "x".repeat(2000));
    assert_eq!(bad(long.as_bytes()), Reject::ChunkExtension, "without waiting for its end");
    let many = format!("1;{}\r\nx\r\n", "x".repeat(1000)).repeat(20);
    assert_eq!(bad(many.as_bytes()), Reject::ChunkExtension, "over all chunks");
}

#[test]
fn data_ends_with_crlf() {
    for text in [
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\rX",
        "5\r\nhello\r0",
        "4\r\nhello\r\n0\r\n\r\n",
    ] {
        assert_eq!(bad(text.as_bytes()), Reject::ChunkEnd, "{text:?}");
    }
}

#[test]
fn a_body_without_its_end_is_incomplete() {
    for text in [
        "",
        "5",
        "5\r",
        "5\r\n",
        "5\r\nhel",
        "5\r\nhello",
        "5\r\nhello\r",
        "5\r\nhello\r\n",
        "0",
        "0\r\n",
        "0\r\n\r",
        "0\r\nX: y\r\n",
        "5;a",
    ] {
        assert_eq!(decode(text.as_bytes(), 1, 1000), Ok(None), "{text:?}");
        assert_eq!(decode(text.as_bytes(), 99, 1000), Ok(None), "{text:?}");
    }
}

#[test]
fn extensions_are_names_and_values() {
    for extension in ["a", "a=b", "a;b", " a = b ; c", "a=\"\"", "a=\"b;\\\"c\"", "a=\"b\";c=d", "!#$%&'*+-.^_`|~=1"] {
        good(&format!("1;{extension}\r\nx\r\n0;{extension}\r\n\r\n"), "x", "");
    }
    let none = [
        "",
        " ",
        ";a",
        "=b",
        "a=",
        "a= ",
        "a b",
        "a;",
        "a;;b",
        "a=b=c",
        "a=\"b",
        "a=\"b\"c",
        "a=\"b\\\"",
        "(",
        "a=(",
        "a ",
    ];
    for extension in none {
        assert_eq!(bad(format!("1;{extension}\r\nx\r\n").as_bytes()), Reject::ChunkExtension, "{extension:?}");
    }
}

#[test]
fn trailers_that_speak_of_the_message_are_refused() {
    for name in ["Host", "content-length", "Transfer-Encoding", "TRAILER", "Authorization", "te"] {
        assert_eq!(bad(format!("0\r\nX: 1\r\n{name}: 1\r\n").as_bytes()), Reject::Trailer, "{name}");
    }
}

#[test]
fn trailers_are_bounded_and_strict() {
    for trailer in ["X", " X: y", "X : y", ": y", "X: y\0", "X: y\rz", "X: y\n", "X\u{e9}: y"] {
        let text = format!("0\r\n{trailer}\r\n\r\n");
        assert_eq!(bad(text.as_bytes()).status(), 400, "{trailer:?}");
    }
    assert_eq!(bad(b"0\r\n\n"), Reject::BareLf);
    assert_eq!(bad(format!("0\r\n{}\r\n", "X: y\r\n".repeat(33)).as_bytes()), Reject::TrailersTooLong);
    assert_eq!(bad(format!("0\r\nX: {}", "y".repeat(9000)).as_bytes()), Reject::TrailersTooLong);
    assert_eq!(
        bad(format!("0\r\nX: {}\r\nX: {}\r\n\r\n", "y".repeat(5000), "y".repeat(5000)).as_bytes()),
        Reject::TrailersTooLong
    );
}

#[test]
fn the_limit_holds_before_the_data_is_there() {
    assert_eq!(decode(b"a\r\n0123456789\r\n0\r\n\r\n", 99, 10).map(|body| body.is_some()), Ok(true));
    assert_eq!(decode(b"b\r\n", 99, 10), Err(Reject::BodyTooLarge));
    assert_eq!(decode(b"a\r\n0123456789\r\n1\r\n", 99, 10), Err(Reject::BodyTooLarge));
    assert_eq!(Reject::BodyTooLarge.status(), 413);
    let mut done = Chunks::new(0);
    assert_eq!(done.next(b"0\r\n\r\nabc"), Ok(Chunk::End { consume: 5 }));
    assert_eq!(done.next(b"abc"), Ok(Chunk::End { consume: 0 }), "the end stays the end");
}
