use crate::Version;
use crate::encode::{Bad, LAST_CHUNK, chunk, content_length, date, field, is_token, is_value, status_line};

fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn status_lines() {
    assert_eq!(text(|out| status_line(out, Version::Http11, 200, None)), "HTTP/1.1 200 OK\r\n");
    assert_eq!(
        text(|out| status_line(out, Version::Http10, 404, Some(b"Gone fishing"))),
        "HTTP/1.0 404 Gone fishing\r\n"
    );
    assert_eq!(text(|out| status_line(out, Version::Http11, 299, None)), "HTTP/1.1 299 \r\n");
    assert_eq!(text(|out| status_line(out, Version::Http11, 200, Some(b"OK\r\nX: y"))), "HTTP/1.1 200 OK\r\n");
}

#[test]
fn fields_cannot_split_an_answer() {
    assert_eq!(text(|out| field(out, b"X-A", b"b c").unwrap()), "X-A: b c\r\n");
    for name in [&b""[..], b"a b", b"a:", b"a\r\n", b"\xc3\xa9", b"a\0"] {
        let mut out = Vec::new();
        assert_eq!(field(&mut out, name, b"v"), Err(Bad::Name));
        assert!(out.is_empty());
    }
    for value in [&b"a\r\nb: c"[..], b"a\n", b"\r", b"\0", b"\x0b", b"\x7f"] {
        let mut out = Vec::new();
        assert_eq!(field(&mut out, b"x", value), Err(Bad::Value));
        assert!(out.is_empty());
    }
    assert!(is_value(b"") && is_value(b"\xff\t ") && is_token(b"a!") && !is_token(b""));
}

#[test]
fn dates_and_lengths() {
    let line = text(date);
    let value = line.strip_prefix("date: ").and_then(|rest| rest.strip_suffix("\r\n")).unwrap();
    assert!(httpdate::parse_http_date(value).is_ok(), "{value:?}");
    assert_eq!(text(|out| content_length(out, 1234)), "content-length: 1234\r\n");
    assert_eq!(text(|out| chunk(out, 255)), "ff\r\n");
    assert_eq!(text(|out| chunk(out, 0)), "", "only LAST_CHUNK ends a body");
    assert_eq!(LAST_CHUNK, b"0\r\n\r\n");
}
