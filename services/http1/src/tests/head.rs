use super::{parse, refused, with};
use crate::{Framing, Head, Limits, Reject, Version};

#[test]
fn an_ordinary_request() {
    let bytes = b"POST /a/b?c=d HTTP/1.1\r\nHost: example.com:8443\r\nuser-agent:x\r\nX-Empty:\r\nAccept: \t a, b \t\r\nContent-Length: 5\r\n\r\nhello";
    let head = parse(bytes).unwrap();
    assert_eq!(head.method.of(bytes), b"POST");
    assert_eq!(head.target.of(bytes), b"/a/b?c=d");
    assert_eq!(head.version, Version::Http11);
    assert_eq!(head.host.unwrap().of(bytes), b"example.com:8443");
    assert_eq!(head.framing, Framing::Length(5));
    assert_eq!(&bytes[head.len..], b"hello");
    assert_eq!(head.fields.len(), 5);
    assert_eq!(head.value(bytes, b"accept"), Some(&b"a, b"[..]));
    assert_eq!(head.value(bytes, b"x-empty"), Some(&b""[..]));
    assert_eq!(head.value(bytes, b"User-Agent"), Some(&b"x"[..]));
    assert_eq!(head.value(bytes, b"cookie"), None);
    assert!(head.keep_alive && !head.expect_continue && head.upgrade.is_none());
}

#[test]
fn one_head_serves_many_requests() {
    let mut head = Head::new();
    let limits = Limits::default();
    let first = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(head.parse(first, &limits), Ok(true));
    assert!(head.expect_continue && !head.keep_alive);
    assert_eq!(head.parse(first, &limits), Ok(true), "asking again changes nothing");
    head.clear();
    let second = b"GET /x HTTP/1.0\r\n\r\n";
    assert_eq!(head.parse(second, &limits), Ok(true));
    assert_eq!((head.framing, head.fields.len(), head.host), (Framing::None, 0, None));
    assert!(!head.expect_continue && !head.keep_alive);
}

#[test]
fn persistence() {
    assert!(with("").unwrap().keep_alive);
    assert!(!with("Connection: close\r\n").unwrap().keep_alive);
    assert!(!with("Connection: close, x\r\n").unwrap().keep_alive);
    assert!(!with("Connection: x\r\nconnection: keep-alive ,\tCLOSE\r\n").unwrap().keep_alive);
    assert!(with("Connection: keep-alive\r\n").unwrap().keep_alive);
    assert!(!parse(b"GET / HTTP/1.0\r\n\r\n").unwrap().keep_alive);
    assert!(parse(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").unwrap().keep_alive);
    assert!(!parse(b"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n").unwrap().keep_alive);
}

#[test]
fn the_request_line_is_exact() {
    for (line, status) in [
        ("GET  / HTTP/1.1", 400),
        ("GET /  HTTP/1.1", 400),
        (" GET / HTTP/1.1", 400),
        ("GET / HTTP/1.1 ", 400),
        ("GET\t/ HTTP/1.1", 400),
        ("GET /\tHTTP/1.1", 400),
        ("GET /", 400),
        ("GET", 400),
        ("GET / ", 400),
        ("G(T / HTTP/1.1", 400),
        ("G\u{e9}T / HTTP/1.1", 400),
        ("GET / http/1.1", 400),
        ("GET / HTTP/1.", 400),
        ("GET / HTTP/11", 400),
        ("GET / HTTP/1.10", 400),
        ("GET / HTTP/+.1", 400),
        ("GET / HTTP/1,1", 400),
        ("GET / HTTP/2.0", 505),
        ("GET / HTTP/0.9", 505),
        ("PRI * HTTP/2.0", 505),
    ] {
        refused(format!("{line}\r\nHost: a\r\n\r\n").as_bytes(), status);
    }
    assert_eq!(refused(b"GET /\r\n", 400), Reject::RequestLine, "HTTP/0.9");
    assert_eq!(parse(b"GET / HTTP/1.2\r\nHost: a\r\n\r\n").unwrap().version, Version::Http11);
    assert!(parse(b"M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n").is_ok());
}

#[test]
fn line_ends_are_crlf() {
    assert_eq!(refused(b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400), Reject::BareLf);
    assert_eq!(refused(b"GET / HTTP/1.1\r\nHost: a\n\r\n", 400), Reject::BareLf);
    assert_eq!(refused(b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400), Reject::BareLf);
    assert_eq!(refused(b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400), Reject::BareLf);
    refused(b"GET / HTTP/1.1\rHost: a\r\n\r\n", 400);
    refused(b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    refused(b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", 400);
    for value in ["a\rb", "a\r", "\rX: y", "a\r\r"] {
        refused(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {value}\r\n\r\n").as_bytes(), 400);
    }
    refused(b"GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n", 400);
}

#[test]
fn one_empty_line_before_the_request_is_ignored() {
    let bytes = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let head = parse(bytes).unwrap();
    assert_eq!(head.method.of(bytes), b"GET");
    assert_eq!(head.len, bytes.len());
    assert_eq!(refused(b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400), Reject::EmptyLines);
}

#[test]
fn field_lines_are_exact() {
    for line in [
        " X: y",
        "\tX: y",
        "X : y",
        "X\t: y",
        "X",
        "X y",
        ": y",
        "X(: y",
        "X\u{e9}: y",
        "\"X\": y",
        "X;: y",
        "X/: y",
        "@: y",
        "[]: y",
        "X\0: y",
        "X\u{1}: y",
        "X\u{7f}: y",
    ] {
        assert_eq!(with(&format!("{line}\r\n")).map(|_| ()).map_err(Reject::status), Err(400), "{line:?}");
    }
    assert_eq!(with("A: b\r\n c\r\n").unwrap_err(), Reject::ObsFold);
    assert_eq!(with("A: b\r\n\tc: d\r\n").unwrap_err(), Reject::ObsFold);
    refused(b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400);
    for (line, reason) in [("X y: z", Reject::SpaceInName), ("X", Reject::NoColon), (": y", Reject::FieldName)] {
        assert_eq!(with(&format!("{line}\r\n")).unwrap_err(), reason);
    }
}

#[test]
fn values_hold_no_control_bytes() {
    for b in (0u8..0x20).chain([0x7f]).filter(|b| *b != b'\t' && *b != b'\n') {
        let mut bytes = b"GET / HTTP/1.1\r\nHost: a\r\nX: y".to_vec();
        bytes.push(b);
        bytes.extend_from_slice(b"z\r\n\r\n");
        refused(&bytes, 400);
        let before_colon = [&b"GET / HTTP/1.1\r\nHost: a\r\nX"[..], &[b], b": z\r\n\r\n"].concat();
        refused(&before_colon, 400);
        // Right after the colon and at the end, where trimming might hide it.
        refused(&[&b"GET / HTTP/1.1\r\nHost: a\r\nX:"[..], &[b], b"z\r\n\r\n"].concat(), 400);
        refused(&[&b"GET / HTTP/1.1\r\nHost: a\r\nX: z"[..], &[b], b"\r\n\r\n"].concat(), 400);
    }
    for b in [b'\t', b' ', 0x80, 0x85, 0xa0, 0xff] {
        assert!(
            parse(&[&b"GET / HTTP/1.1\r\nHost: a\r\nX: y"[..], &[b], b"z\r\n\r\n"].concat()).is_ok(),
            "{b:#x} is obs-text or whitespace"
        );
    }
}

#[test]
fn limits() {
    let limits = Limits { line: 40, head: 200, fields: 3, field: 60 };
    let run = |bytes: &str| {
        let mut whole = Head::new();
        let result = whole.parse(bytes.as_bytes(), &limits);
        let mut pieces = Head::new();
        let stepped =
            (1..=bytes.len()).map(|end| pieces.parse(&bytes.as_bytes()[..end], &limits)).find(|r| *r != Ok(false));
        assert_eq!(result, stepped.unwrap_or(Ok(false)), "whole and in pieces");
        result
    };
    let path = |n: usize| "x".repeat(n);
    // "GET /" and " HTTP/1.1" are 14 bytes.
    assert_eq!(run(&format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", path(26))), Ok(true));
    assert_eq!(run(&format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", path(27))), Err(Reject::LineTooLong));
    assert_eq!(run(&format!("GET /{}", path(400))), Err(Reject::LineTooLong), "without waiting for its end");
    assert_eq!(run(&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", path(57))), Ok(true));
    assert_eq!(run(&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", path(58))), Err(Reject::FieldTooLong));
    assert_eq!(run("GET / HTTP/1.1\r\nHost: a\r\nB: b\r\nC: c\r\n\r\n"), Ok(true));
    assert_eq!(run("GET / HTTP/1.1\r\nHost: a\r\nB: b\r\nC: c\r\nD: d\r\n\r\n"), Err(Reject::TooManyFields));
    let wide = Limits { fields: 100, ..limits };
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: 0123456789\r\n".repeat(12));
    assert_eq!(Head::new().parse(long.as_bytes(), &wide), Err(Reject::HeadTooLong));
    let exact = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}X: {}\r\n\r\n",
        "X: 0123456789\r\n".repeat(10),
        path(200 - 25 - 150 - 7)
    );
    assert_eq!(exact.len(), 200);
    assert_eq!(Head::new().parse(exact.as_bytes(), &wide), Ok(true));
    for (reject, status) in [
        (Reject::LineTooLong, 414),
        (Reject::HeadTooLong, 431),
        (Reject::FieldTooLong, 431),
        (Reject::TooManyFields, 431),
    ] {
        assert_eq!(reject.status(), status);
    }
}

#[test]
fn noise_is_refused_before_a_line_ends() {
    for noise in [&b"\x16\x03\x01\x02\x00"[..], b"\0", b"\xff\xff", b"GET /\x01", b"\r\r", b" ", b"{\"a\": 1"] {
        assert!(Head::new().parse(noise, &Limits::default()).is_err(), "{noise:?}");
    }
    assert_eq!(Head::new().parse(b"", &Limits::default()), Ok(false));
    assert_eq!(Head::new().parse(b"GET / HTTP/1.1\r\nHost: a\r", &Limits::default()), Ok(false));
}

#[test]
fn reasons_are_distinct_words() {
    let mut reasons: Vec<_> = Reject::ALL.iter().map(|reject| reject.reason()).collect();
    assert!(reasons.iter().all(|reason| reason.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
    reasons.sort_unstable();
    reasons.dedup();
    assert_eq!(reasons.len(), Reject::ALL.len());
}

#[test]
fn methods_are_capitals_of_three_to_twenty() {
    for method in ["GET", "PUT", "M-SEARCH", "VERSION-CONTROL", "UPDATEREDIRECTREF", "X!$%&'*+-.^_`|~9"] {
        parse(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
    }
    for method in ["get", "GEt", "A", "AB", "AAAAAAAAAAAAAAAAAAAAA", "G#T", "G@T", "G\u{c9}T"] {
        assert_eq!(
            refused(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(), 400),
            Reject::Method,
            "{method}"
        );
    }
}

#[test]
fn one_content_type() {
    let twice = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: a/b\r\ncontent-type: a/b\r\n\r\n";
    assert_eq!(refused(twice, 400), Reject::ContentTypeTwice);
}
