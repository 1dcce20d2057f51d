use crate::{Answer, AnswerLimits, Chunk, Chunks, Ending, Reject, Version};

/// Parses a whole head, and the same byte by byte: both must say the same.
fn parse_for(bytes: &[u8], to_head: bool) -> Result<Answer, Reject> {
    let limits = AnswerLimits { head: 4096, fields: 20 };
    let mut whole = Answer::new();
    let result = whole.parse(bytes, to_head, &limits);
    let mut pieces = Answer::new();
    let mut stepped = Ok(false);
    for end in 1..=bytes.len() {
        stepped = pieces.parse(&bytes[..end], to_head, &limits);
        if stepped != Ok(false) {
            break;
        }
    }
    assert_eq!(result.is_err(), stepped.is_err(), "whole {result:?}, in pieces {stepped:?}");
    if result == Ok(true) {
        assert_eq!((whole.len, &whole.fields, whole.ending), (pieces.len, &pieces.fields, pieces.ending));
    }
    assert_ne!(result, Ok(false), "incomplete: {:?}", String::from_utf8_lossy(bytes));
    result.map(|_| whole)
}

fn parse(text: &str) -> Result<Answer, Reject> {
    parse_for(text.as_bytes(), false)
}

/// 200 with these lines.
fn with(lines: &str) -> Result<Answer, Reject> {
    parse(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n"))
}

#[test]
fn an_ordinary_answer() {
    let text = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nX-Empty:\r\ncontent-length:  5 \r\n\r\nhello";
    let answer = parse(text).unwrap();
    assert_eq!((answer.status, answer.version, answer.ending), (200, Version::Http11, Ending::Length(5)));
    assert!(answer.keep_alive);
    assert_eq!(&text[answer.len..], "hello");
    assert_eq!(answer.value(text.as_bytes(), b"content-type"), Some(&b"text/html"[..]));
    assert_eq!(answer.value(text.as_bytes(), b"x-empty"), Some(&b""[..]));
    assert_eq!(answer.value(text.as_bytes(), b"Content-Length"), Some(&b"5"[..]));
}

#[test]
fn status_lines() {
    for (line, status) in [
        ("HTTP/1.1 200 OK", 200),
        ("HTTP/1.0 404 Not here at all", 404),
        ("HTTP/1.1 200 ", 200),
        ("HTTP/1.1 200", 200),
        ("HTTP/1.1 500 \u{fc}bel", 500),
        ("HTTP/1.1 999 odd", 999),
    ] {
        assert_eq!(parse(&format!("{line}\r\nContent-Length: 0\r\n\r\n")).unwrap().status, status, "{line}");
    }
    for (line, reject) in [
        ("HTTP/1.1  200 OK", Reject::StatusLine),
        ("HTTP/1.1\t200 OK", Reject::StatusLine),
        ("HTTP/1.1 2000 OK", Reject::StatusLine),
        ("HTTP/1.1 20 OK", Reject::StatusLine),
        ("HTTP/1.1 099 OK", Reject::StatusLine),
        ("HTTP/1.1 +20 OK", Reject::StatusLine),
        ("HTTP/1.2 200 OK", Reject::Version),
        ("HTTP/2.0 200 OK", Reject::StatusLine),
        ("http/1.1 200 OK", Reject::StatusLine),
        ("ICY 200 OK", Reject::StatusLine),
        ("", Reject::StatusLine),
        (" HTTP/1.1 200 OK", Reject::StatusLine),
        ("SMTP ready", Reject::StatusLine),
        ("HTTP/1.1 200 O\0K", Reject::Nul),
        ("HTTP/1.1 200 O\rK", Reject::BareCr),
    ] {
        assert_eq!(parse(&format!("{line}\r\nContent-Length: 0\r\n\r\n")).err(), Some(reject), "{line:?}");
    }
}

#[test]
fn noise_is_refused_at_its_first_byte() {
    for noise in ["S", "H\u{7f}", "HTTX", "HTTP/2"] {
        let limits = AnswerLimits::default();
        assert_eq!(Answer::new().parse(noise.as_bytes(), false, &limits), Err(Reject::StatusLine), "{noise}");
    }
    assert_eq!(Answer::new().parse(b"HTTP/1", false, &AnswerLimits::default()), Ok(false));
}

#[test]
fn fields_that_hide_something() {
    for (lines, reject) in [
        ("A: b\n", Reject::BareLf),
        ("A: b\rc\r\n", Reject::BareCr),
        ("A: b\r\n folded\r\n", Reject::ObsFold),
        ("\tA: b\r\n", Reject::ObsFold),
        ("A : b\r\n", Reject::SpaceInName),
        ("A\r\n", Reject::NoColon),
        (": b\r\n", Reject::FieldName),
        ("A\u{e4}: b\r\n", Reject::FieldName),
        ("A: \0\r\n", Reject::Nul),
        ("A: \u{1}\r\n", Reject::Control),
    ] {
        assert_eq!(with(lines).err(), Some(reject), "{lines:?}");
    }
    assert_eq!(parse("HTTP/1.1 200 OK\nA: b\n\n").err(), Some(Reject::BareLf));
}

#[test]
fn framing_that_can_be_read_in_two_ways_is_refused() {
    for (lines, reject) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Reject::LengthAndEncoding),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", Reject::LengthAndEncoding),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", Reject::ContentLengthTwice),
        ("Content-Length: 5, 5\r\n", Reject::ContentLength),
        ("Content-Length: +5\r\n", Reject::ContentLength),
        ("Content-Length: 0x5\r\n", Reject::ContentLength),
        ("Content-Length:\r\n", Reject::ContentLength),
        ("Content-Length: 18446744073709551616\r\n", Reject::ContentLength),
        ("Transfer-Encoding: gzip\r\n", Reject::TransferCoding),
        ("Transfer-Encoding: gzip, chunked\r\n", Reject::TransferEncoding),
        ("Transfer-Encoding: chunked, chunked\r\n", Reject::TransferEncoding),
        ("Transfer-Encoding:\r\n", Reject::TransferEncoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Reject::TransferEncodingTwice),
    ] {
        assert_eq!(with(lines).err(), Some(reject), "{lines:?}");
    }
    let old = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(parse(old).err(), Some(Reject::TransferEncodingVersion));
}

#[test]
fn where_the_body_ends() {
    for (text, to_head, ending, keep) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, Ending::Length(5), true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, Ending::None, true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", false, Ending::Chunked, true),
        ("HTTP/1.1 200 OK\r\n\r\n", false, Ending::Close, false),
        ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", false, Ending::Close, false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", false, Ending::Length(1), false),
        ("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\n", false, Ending::Length(1), true),
        ("HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 1\r\n\r\n", false, Ending::Length(1), false),
        // To a HEAD the fields tell of the GET.
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true, Ending::None, true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true, Ending::None, true),
        ("HTTP/1.1 200 OK\r\n\r\n", true, Ending::None, true),
        ("HTTP/1.1 304 Same\r\nContent-Length: 5\r\n\r\n", false, Ending::None, true),
        ("HTTP/1.1 204 None\r\n\r\n", false, Ending::None, true),
        ("HTTP/1.1 204 None\r\nContent-Length: 0\r\n\r\n", false, Ending::None, true),
        // What follows such a 204 is anybody's guess: never used again.
        ("HTTP/1.1 204 None\r\nContent-Length: 5\r\n\r\n", false, Ending::None, false),
        ("HTTP/1.1 204 None\r\nTransfer-Encoding: chunked\r\n\r\n", false, Ending::None, false),
    ] {
        let answer = parse_for(text.as_bytes(), to_head).unwrap();
        assert_eq!((answer.ending, answer.keep_alive), (ending, keep), "{text:?}");
    }
}

#[test]
fn interim_answers_and_upgrades() {
    let hints = parse("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n").unwrap();
    assert!(hints.is_interim() && hints.ending == Ending::None);
    for lines in ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
        for status in [100, 101, 103, 199] {
            let text = format!("HTTP/1.1 {status} x\r\n{lines}\r\n");
            assert_eq!(parse(&text).err(), Some(Reject::InterimBody), "{text:?}");
        }
    }
    let text = "HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x01\x02";
    let switch = parse(text).unwrap();
    assert!(!switch.is_interim());
    assert_eq!(switch.upgrade.unwrap().of(text.as_bytes()), b"websocket");
    assert_eq!(parse("HTTP/1.1 101 Go\r\nUpgrade: websocket\r\n\r\n").unwrap().upgrade, None);
    let offered = "HTTP/1.1 200 OK\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(parse(offered).unwrap().upgrade, None);
    let twice = "HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n\r\n";
    assert_eq!(parse(twice).err(), Some(Reject::UpgradeTwice));
}

#[test]
fn heads_have_bounds() {
    let long = format!("X: {}\r\n", "a".repeat(5000));
    assert_eq!(with(&long).err(), Some(Reject::HeadTooLong));
    assert_eq!(with(&"A: b\r\n".repeat(21)).err(), Some(Reject::TooManyFields));
    let mut answer = Answer::new();
    let limits = AnswerLimits { head: 100, fields: 5 };
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "a".repeat(100));
    assert_eq!(answer.parse(endless.as_bytes(), false, &limits), Err(Reject::HeadTooLong));
}

#[test]
fn a_head_is_used_again() {
    let mut answer = Answer::new();
    let limits = AnswerLimits::default();
    let first = b"HTTP/1.1 101 Go\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(answer.parse(first, false, &limits), Ok(true));
    answer.clear();
    assert_eq!(answer.parse(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", false, &limits), Ok(true));
    assert_eq!(
        (answer.ending, answer.keep_alive, answer.upgrade, answer.fields.len()),
        (Ending::Length(3), true, None, 1)
    );
}

#[test]
fn trailers_are_kept_when_they_are_wanted() {
    let body = b"3\r\nabc\r\n0\r\nGrpc-Status: 0\r\nX-Two:  b \r\n\r\n";
    for wanted in [false, true] {
        let mut chunks = Chunks::new(u64::MAX);
        if wanted {
            chunks = chunks.with_trailers();
        }
        assert_eq!(chunks.next(body), Ok(Chunk::Data { start: 3, end: 6 }));
        assert_eq!(chunks.next(&body[6..]), Ok(Chunk::End { consume: body.len() - 6 }));
        let trailers: Vec<_> = chunks.trailers().collect();
        let expected: &[(&[u8], &[u8])] = &[(b"Grpc-Status", b"0"), (b"X-Two", b"b")];
        assert_eq!(trailers, if wanted { expected } else { &[] });
    }
}
