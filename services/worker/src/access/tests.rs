use super::{Clock, Format, Record};

fn line(format: &str, fields: &[(&[u8], &[u8])], change: impl FnOnce(&mut Record<'_>)) -> String {
    let format = Format::parse(format).unwrap();
    let field =
        |name: &[u8]| fields.iter().rev().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
    let mut record = Record {
        client: b"192.0.2.1",
        method: b"GET",
        target: b"/caf%C3%A9?q=1",
        protocol: "HTTP/1.1",
        id: b"r-1",
        status: 200,
        received: 3,
        sent: 42,
        micros: 1_002_003,
        pid: 7,
        entry: 1,
        field: &field,
        response: b"HTTP/1.1 200 OK\r\nX-A: one\r\nContent-Type: text/plain\r\nx-a: two\r\n",
        length: Some(42),
        environ: &[Some("https".to_owned()), None],
    };
    change(&mut record);
    let mut line = Vec::new();
    format.write(&mut line, &record, &Clock::default());
    String::from_utf8(line).unwrap()
}

#[test]
fn every_atom() {
    let fields: &[(&[u8], &[u8])] = &[
        (b"Referer", b"http://a/"),
        (b"user-agent", b"curl/8"),
        (b"Authorization", b"Basic YWxpY2U6c2VjcmV0"),
        (b"X-Twice", b"1"),
        (b"x-twice", b"2"),
        (b"X-Empty", b""),
    ];
    for (format, expected) in [
        ("%(h)s %(l)s %(u)s", "192.0.2.1 - alice"),
        ("%(r)s", "GET /caf%C3%A9?q=1 HTTP/1.1"),
        ("%(m)s %(U)s %(q)s %(H)s", r"GET /caf\xc3\xa9 q=1 HTTP/1.1"),
        ("%(s)s %(st)s %(b)s %(B)s %(B)d", "200 - 42 42 42"),
        ("%(f)s %(a)s", "http://a/ curl/8"),
        ("%(T)s %(M)s %(D)s %(L)s %(p)s", "1 1002 1002003 1.002003 <7>"),
        ("%({X-Twice}i)s[%({x-empty}i)s]%({x-none}i)s", "2[]-"),
        ("%({x-a}o)s %({Content-Type}o)s %({content-length}o)s %({x}o)s", "two text/plain 42 -"),
        ("%({WSGI.url_scheme}e)s %({x}e)s", "https -"),
        ("100%% %(x)s %({x}y)s", "100% - -"),
        ("%(T)05d|%(m)6s|%(m)-6s|%(a).4s|%(B)-5d|%(T)ls", "00001|   GET|GET   |curl|42   |1"),
        ("", ""),
    ] {
        assert_eq!(line(format, fields, |_| ()), format!("{expected}\n"), "{format}");
    }
}

#[test]
fn what_was_never_read_is_a_dash() {
    let nothing = |record: &mut Record<'_>| {
        (record.method, record.target, record.client) = (b"", b"", b"");
    };
    assert_eq!(line("%(h)s \"%(r)s\" %(m)s %(H)s %(U)s|%(q)s %(f)s", &[], nothing), "- \"-\" - - | -\n");
}

#[test]
fn nothing_from_the_wire_ends_a_line_or_a_quote_or_reaches_a_terminal() {
    let fields: &[(&[u8], &[u8])] = &[
        (b"User-Agent", b"a\"b\\c\t\x1b[2J\x9b\xe9"),
        // `bob\n"` and a colon.
        (b"Authorization", b"Basic Ym9iCiI6eA=="),
    ];
    let forged = |record: &mut Record<'_>| record.target = b"/a%0a%22b%1B?q\"\\";
    assert_eq!(
        line("%(u)s \"%(a)s\" \"%(U)s\" \"%(r)s\"", fields, forged),
        "bob\\x0a\\\" \"a\\\"b\\\\c\\x09\\x1b[2J\\x9b\\xe9\" \"/a\\x0a\\\"b\\x1b\" \"GET /a%0a%22b%1B?q\\\"\\\\ HTTP/1.1\"\n"
    );
    let environ: &[Option<String>] = Box::leak(Box::new([Some("a\nb".to_owned())]));
    assert_eq!(line("%({x}e)s", &[], |record| record.environ = environ), "a\\x0ab\n");
    let mut json = Vec::new();
    super::escape::json(&mut json, b"a\"\\\r\n\x1b\xe9z");
    assert_eq!(json, br#"a\"\\\u000d\u000a\u001b\u00e9z"#);
}

#[test]
fn users_are_read_as_python_reads_them() {
    for (credentials, user) in [
        (&b"Basic YWxpY2U6c2VjcmV0"[..], "alice"),
        (b"basic   YWxp Y2U6c2VjcmV0", "alice"),
        (b"Basic YTpi", "a"),
        (b"Basic YTpiYw==", "a"),
        (b"Basic YWI6", "ab"),
        (b"Basic Om5vYm9keQ==", "-"),
        // Padding that is missing, bytes that are no UTF-8, other schemes, no credentials.
        (b"Basic YTpiYw", "-"),
        (b"Basic /zpi", "-"),
        (b"Bearer YWxpY2U6c2VjcmV0", "-"),
        (b"Basic", "-"),
        (b"", "-"),
    ] {
        assert_eq!(line("%(u)s", &[(b"authorization", credentials)], |_| ()), format!("{user}\n"), "{credentials:?}");
    }
}

#[test]
fn a_format_that_cannot_be_is_told_with_what_to_write() {
    for (format, part) in [
        ("100%", "`%` is no atom"),
        ("%h", "`%h` is no atom"),
        ("%(h", "is no atom"),
        ("%(h)", "ends in no conversion"),
        ("%(h)x", "ends in no conversion"),
        ("%(h)99999s", "ends in no conversion"),
        ("%(h)d", "only T, M, D and B are numbers"),
    ] {
        let words = Format::parse(format).unwrap_err();
        assert!(words.contains(part), "{format}: {words}");
    }
}
