use super::{parse, refused, with};
use crate::Reject;
use crate::target::{Form, decoded, is_host, port_of, split};

fn request(method: &str, target: &str) -> Result<(), Reject> {
    parse(format!("{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).map(|_| ())
}

#[test]
fn forms_fit_methods() {
    assert!(request("GET", "/").is_ok());
    assert!(request("GET", "http://b/").is_ok());
    assert!(request("OPTIONS", "*").is_ok());
    assert!(request("OPTIONS", "/").is_ok());
    assert!(request("CONNECT", "b:443").is_ok(), "for the caller to refuse");
    for (method, target) in
        [("GET", "*"), ("GET", "b:443"), ("CONNECT", "/"), ("CONNECT", "http://b/"), ("CONNECT", "*"), ("POST", "*")]
    {
        assert_eq!(request(method, target), Err(Reject::TargetForm), "{method} {target}");
    }
    for target in ["", "a", "a/b", "b", "**", "?a", "//"] {
        let expected = if target == "//" { None } else { Some(400) };
        assert_eq!(request("GET", target).err().map(Reject::status), expected, "{target:?}");
    }
    assert!(request("CONNECT", "b").is_err(), "a port is needed");
    assert!(request("CONNECT", "u@b:1").is_err());
}

#[test]
fn bytes_of_a_target() {
    for target in ["/a#b", "/#", "/a b", "/a\tb", "/a\0b", "/a\u{b}b", "/\u{e9}", "/\u{7f}", "http://b/#c", "/a\rb"] {
        assert_eq!(request("GET", target).map_err(Reject::status), Err(400), "{target:?}");
    }
    for target in ["//", "//a", "/%2f", "/a%2fb", "/;a=b", "/../a", "/?", "/??", "/[a]|{b}^`\"<>\\", "/a?b=http://c/"] {
        assert!(request("GET", target).is_ok(), "{target:?}");
    }
    refused(b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400);
}

#[test]
fn parts() {
    let origin = split(b"//a/%2f?b?c").unwrap();
    assert_eq!(
        (origin.host, origin.path, origin.query, origin.form),
        (None, &b"//a/%2f"[..], Some(&b"b?c"[..]), Form::Origin)
    );
    let absolute = split(b"HTTPS://Example.com:8443?x").unwrap();
    assert_eq!((absolute.host, absolute.path), (Some(&b"Example.com:8443"[..]), &b"/"[..]));
    assert_eq!((absolute.query, absolute.form), (Some(&b"x"[..]), Form::Absolute));
    let absolute = split(b"http://[::1]/p").unwrap();
    assert_eq!((absolute.host, absolute.path, absolute.query), (Some(&b"[::1]"[..]), &b"/p"[..], None));
    assert_eq!(split(b"*").unwrap().form, Form::Asterisk);
    assert_eq!(split(b"/?").unwrap().query, Some(&b""[..]));
    for target in [
        "http://",
        "http:///x",
        "http://u@b/",
        "http://u:p@b/",
        "http://b:/",
        "http:b",
        "ftp://b/",
        "http://a,b/",
        "javascript:x",
    ] {
        assert!(split(target.as_bytes()).is_err(), "{target:?}");
    }
}

#[test]
fn absolute_form_goes_before_host() {
    let bytes = b"GET http://real.example:81/x HTTP/1.1\r\nHost: other\r\n\r\n";
    assert_eq!(parse(bytes).unwrap().host.unwrap().of(bytes), b"real.example:81");
    refused(b"GET http://real/x HTTP/1.1\r\n\r\n", 400);
    refused(b"GET http://real/x HTTP/1.1\r\nHost: a b\r\n\r\n", 400);
    refused(b"GET http://u@real/x HTTP/1.1\r\nHost: a\r\n\r\n", 400);
}

#[test]
fn host_once_and_valid() {
    assert_eq!(refused(b"GET / HTTP/1.1\r\n\r\n", 400), Reject::HostMissing);
    assert!(parse(b"GET / HTTP/1.0\r\n\r\n").is_ok());
    assert_eq!(with("Host: a\r\n").unwrap_err(), Reject::HostTwice, "twice, the same");
    assert_eq!(with("hOST: b\r\n").unwrap_err(), Reject::HostTwice);
    refused(b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400);
    for host in [
        "",
        "a b",
        "a, b",
        "a,b",
        "u@a",
        "a/",
        "a:",
        "a:b",
        "a:65536",
        "a:123456",
        "a:000080",
        "a:-1",
        "a:+1",
        "a:1:2",
        ":80",
        "http://a",
        "a?b",
        "a#b",
        "a\\b",
        "[::1",
        "::1",
        "[::1]x",
        "[]",
        "[a]",
        "[::1%eth0]",
        "[::1]:",
        "[::1]:x",
        "a%41",
        ".a",
        "a..b",
        "..",
        ".",
        "<a>",
        "a\"b",
        "\u{e9}",
        "a;b",
        "a=b",
        "(a)",
    ] {
        refused(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes(), 400);
    }
    for host in [
        "a",
        "A.example",
        "a.",
        "a_b",
        "xn--e1a",
        "1.2.3.4",
        "1.2.3.4:0",
        "[::1]",
        "[::ffff:1.2.3.4]:443",
        "a:65535",
        "localhost:8080",
    ] {
        assert!(is_host(host.as_bytes()), "{host}");
    }
    assert!(!is_host("a".repeat(254).as_bytes()));
    assert_eq!(
        (port_of(b"a:80"), port_of(b"a"), port_of(b"[::1]"), port_of(b"[::1]:8")),
        (Some(80), None, None, Some(8))
    );
}

#[test]
fn paths_are_decoded_once_and_bad_escapes_stay() {
    assert_eq!(*decoded(b"/a%20b"), *b"/a b");
    assert_eq!(*decoded(b"/%2541"), *b"/%41");
    assert_eq!(*decoded(b"/%zz%4"), *b"/%zz%4");
    assert_eq!(*decoded(b"/caf%C3%A9"), *b"/caf\xc3\xa9");
    assert_eq!(*decoded(b"/plain"), *b"/plain");
}

#[test]
fn names_without_ports() {
    for (host, name) in
        [("a", "a"), ("a.b:80", "a.b"), ("1.2.3.4:5", "1.2.3.4"), ("[::1]:8080", "::1"), ("[fe80::]", "fe80::")]
    {
        assert_eq!(crate::target::name_of(host.as_bytes()), name.as_bytes(), "{host}");
    }
}
