//! `spoofing` and `smuggling` once more, over HTTP/2: what clients say of themselves, and of where one message ends.
#![allow(clippy::unwrap_used)]

mod common;

use common::frames::*;
use common::house::House;
use common::upstream::reply;
use common::{Setup, Upstream, write};

type Field = (&'static str, &'static str);
const METHOD: Field = GET[0];
const SCHEME: Field = GET[1];
const AUTHORITY: Field = GET[2];
const PATH: Field = GET[3];

#[test]
fn names_that_are_ours_alone() {
    let upstream =
        Upstream::start(|_, stream| reply(stream, 200, &[("X-Monodon-Slots", "4"), ("X-Accel-Expires", "1")], "hello"));
    let dir = tempfile::tempdir().unwrap();
    let users = dir.path().join("users");
    write(&users, format!("alice:{}\n", bcrypt::hash("one", 4).unwrap()));
    let edge = Setup::default()
        .file(&format!(
            "upstream = ['{}']\n[[site]]\nremote_user_header = 'X-Remote-User'\nbasic_auth = 'x'\nbasic_auth_users = '{}'\n\
             [[site.route]]\npath = '/open'\nupstream = 'default'\nbasic_auth = 'off'\n",
            upstream.address,
            users.display()
        ))
        .start();
    let names = [
        "x_forwarded_for",
        "x-forwarded_for",
        "x.forwarded.for",
        "x_real_ip",
        "remote_addr",
        "x_remote_user",
        "x-remote-user",
        "content_length",
        "transfer_encoding",
        "proxy",
        "x-original-url",
        "x-rewrite-url",
        "x-http-method-override",
        "x-accel-redirect",
        "x-accel-buffering",
        "x-sendfile",
        "x-monodon-retry",
        "x-monodon-slots",
        "x-monodon-anything",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-forwarded-uri",
        "x-real-ip",
        "x-request-id",
        "x-request-start",
        "forwarded",
        "true-client-ip",
        "cf-connecting-ip",
        "http2-settings",
        "trailer",
    ];
    let spoofed: Vec<(&str, &str)> = names.iter().map(|name| (*name, "smuggled")).collect();
    let mut client = Frames::open(&edge, &edge.ca());
    let password = ("authorization", "Basic YWxpY2U6b25l");
    let open = [METHOD, SCHEME, AUTHORITY, (":path", "/open")];
    for (stream, base, user) in [(1, &[&GET[..], &[password]].concat()[..], Some("alice")), (3, &open, None)] {
        client.write(HEADERS, WHOLE, stream, &with(base, &spoofed));
        let answer = client.until(|frame| frame.kind == HEADERS && frame.stream == stream).unwrap();
        assert_eq!(answer.status(), 200);
        assert!(!String::from_utf8_lossy(&answer.payload).contains("monodon"), "{answer:?}");
        let seen = upstream.last();
        assert!(seen.headers.iter().all(|(_, value)| value != "smuggled"), "{seen:?}");
        assert!(seen.headers.iter().all(|(name, _)| !name.contains(['_', '.'])), "{seen:?}");
        assert_eq!(seen.header("x-remote-user"), user);
        for (name, value) in [
            ("x-forwarded-for", "127.0.0.1"),
            ("x-real-ip", "127.0.0.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "localhost"),
            ("host", "localhost"),
        ] {
            assert_eq!(seen.all(name), [value], "{name}");
        }
    }
    assert_eq!(client.ask(5, &with(&GET, &spoofed)), 401);
}

/// The host stands in the target, in the field, or in both, and is one.
#[test]
fn one_host_and_one_cookie() {
    let house = House::new(&[]);
    let mut client = house.open();
    let seen = |fields: &[(&str, &str)], client: &mut Frames, stream: u32| {
        assert_eq!(client.ask(stream, &block(fields)), 200, "{fields:?}");
        house.upstream.last()
    };
    let both = [METHOD, SCHEME, AUTHORITY, PATH, ("host", "localhost")];
    let field = [METHOD, SCHEME, PATH, ("host", "localhost")];
    let upper = [METHOD, SCHEME, (":authority", "LOCALHOST"), PATH, ("host", "localhost")];
    for (stream, fields) in [(1, &both[..]), (3, &field), (5, &upper)] {
        let seen = seen(fields, &mut client, stream);
        assert_eq!((seen.all("host").len(), seen.all("x-forwarded-host").len()), (1, 1), "{seen:?}");
        assert!(seen.header("host").unwrap().eq_ignore_ascii_case("localhost"));
    }
    for (stream, fields) in [
        (7, &[METHOD, SCHEME, PATH][..]),
        (9, &[METHOD, SCHEME, (":authority", "localhost:443"), PATH, ("host", "localhost:8443")]),
        (11, &[METHOD, SCHEME, AUTHORITY, PATH, ("host", "")]),
        (13, &[METHOD, SCHEME, AUTHORITY, PATH, ("host", "localhost, other")]),
    ] {
        assert_eq!(client.ask(stream, &block(fields)), 400, "{fields:?}");
    }
    assert_eq!(house.upstream.seen().len(), 3);
    // RFC 9113, section 8.2.3: browsers split cookies over fields, applications know one.
    let crumbs = [&GET[..], &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("cookie", "c=3")]].concat();
    assert_eq!(seen(&crumbs, &mut client, 15).all("cookie"), ["a=1; b=2; c=3"]);
}

/// There is no way through the edge to elsewhere, nor to another protocol than was asked for.
#[test]
fn no_tunnels() {
    let house = House::new(&[]);
    for (what, fields, statuses) in [
        ("CONNECT", &[(":method", "CONNECT"), (":authority", "localhost:443")][..], &[405][..]),
        ("CONNECT elsewhere", &[(":method", "CONNECT"), (":authority", "127.0.0.1:22")], &[405, 421]),
        ("CONNECT with a path", &[(":method", "CONNECT"), SCHEME, AUTHORITY, PATH], &[405, 400]),
        (
            "CONNECT to a protocol",
            &[(":method", "CONNECT"), (":protocol", "websocket"), SCHEME, AUTHORITY, PATH],
            &[405, 400],
        ),
        ("a protocol of GET", &[METHOD, (":protocol", "websocket"), SCHEME, AUTHORITY, PATH], &[400]),
        ("TRACE", &[(":method", "TRACE"), SCHEME, AUTHORITY, PATH], &[405]),
        ("PRI", &[(":method", "PRI"), SCHEME, AUTHORITY, (":path", "*")], &[400]),
        ("OPTIONS without a star", &[(":method", "OPTIONS"), SCHEME, AUTHORITY, (":path", "x")], &[400]),
        ("a star of GET", &[METHOD, SCHEME, AUTHORITY, (":path", "*")], &[400]),
    ] {
        let mut client = house.open();
        let _ = client.send(&frame(HEADERS, WHOLE, 1, &block(fields)));
        match client.until(|frame| [HEADERS, RST_STREAM, GOAWAY].contains(&frame.kind)) {
            Some(frame) if frame.kind == HEADERS => {
                assert!(statuses.contains(&frame.status()), "{what}: {}", frame.status());
            }
            Some(frame) => assert_ne!(frame.code(), NO_ERROR, "{what}"),
            None => {}
        }
    }
    assert!(house.upstream.seen().is_empty());
    let mut client = house.open();
    let star = [(":method", "OPTIONS"), SCHEME, AUTHORITY, (":path", "*")];
    assert_eq!(client.ask(1, &block(&star)), 204);
}

/// What stands behind a body is not read as what stands before it.
#[test]
fn trailers_say_nothing() {
    let house = House::new(&[]);
    let mut client = house.open();
    for (stream, kind) in [(1, "text/plain"), (3, "application/grpc")] {
        client.write(HEADERS, END_HEADERS, stream, &with(&POST, &[("content-type", kind), ("content-length", "5")]));
        client.write(DATA, 0, stream, b"hello");
        let trailers = [
            ("x-forwarded-for", "6.6.6.6"),
            ("x-real-ip", "6.6.6.6"),
            ("x_real_ip", "6.6.6.6"),
            ("host", "other"),
            ("content-length", "9"),
            ("authorization", "Basic 6.6.6.6"),
            ("cookie", "6.6.6.6"),
            ("x-monodon-retry", "6.6.6.6"),
            ("x-plain", "6.6.6.6"),
        ];
        client.write(HEADERS, WHOLE, stream, &block(&trailers));
        assert_eq!(client.until(|frame| frame.kind == HEADERS && frame.stream == stream).unwrap().status(), 200);
        let seen = house.upstream.last();
        assert_eq!(
            (&seen.body[..], seen.all("host"), seen.all("content-length")),
            (&b"hello"[..], vec!["localhost"], vec!["5"])
        );
        assert!(seen.headers.iter().all(|(_, value)| !value.contains("6.6.6.6")), "{kind}: {seen:?}");
    }
    for (stream, name, value) in
        [(5, "connection", "x"), (7, "transfer-encoding", "chunked"), (9, "te", "gzip"), (11, "upgrade", "h2c")]
    {
        let mut client = house.open();
        client.write(HEADERS, END_HEADERS, stream, &block(&POST));
        client.write(DATA, 0, stream, b"hello");
        client.write(HEADERS, WHOLE, stream, &block(&[(name, value)]));
        match client.until(|frame| [HEADERS, RST_STREAM, GOAWAY].contains(&frame.kind)) {
            Some(frame) if frame.kind == HEADERS => assert!([200, 400].contains(&frame.status()), "{name}"),
            Some(frame) => assert_ne!(frame.code(), NO_ERROR, "{name}"),
            None => {}
        }
        let last = house.upstream.last();
        assert_eq!((last.header(name), last.header("connection")), (None, None), "{last:?}");
    }
}

/// One path for rules, routes and the application, however it is written, and through every detour within the site.
#[test]
fn one_path_by_every_way() {
    let (open, closed) = (Upstream::saying("open"), Upstream::saying("closed"));
    let edge = Setup::default()
        .file(&format!(
            "upstream = ['{}']\n[upstreams.closed]\nservers = ['{}']\n[[site]]\ndeny_paths = ['^/secret']\n\
             [[site.route]]\npath = '/admin'\nupstream = 'closed'\ndeny = ['all']\n",
            open.address, closed.address
        ))
        .start();
    let ca = edge.ca();
    let paths = [
        ("/admin", 403),
        ("//admin", 403),
        ("/./admin", 403),
        ("/x/../admin", 403),
        ("/x/%2e%2e/admin", 403),
        ("/x%2f..%2fadmin", 403),
        ("/x\\..\\admin", 403),
        ("/x%5c..%5cadmin", 403),
        ("/%61dmin/", 403),
        ("/admin%2fx", 403),
        ("/secret", 403),
        ("/%2573ecret", 200),
        ("/%252e%252e/admin", 200),
        ("/admin%00", 400),
        ("/x%00/../admin", 400),
        ("/%2e%2e/admin", 400),
        ("/admin%", 400),
        ("/%0d%0aX: y", 400),
    ];
    for (path, status) in paths {
        let mut client = Frames::open(&edge, &ca);
        client.write(HEADERS, WHOLE, 1, &block(&[METHOD, SCHEME, AUTHORITY, (":path", path)]));
        let found = client.until(|frame| [HEADERS, RST_STREAM].contains(&frame.kind)).unwrap();
        // A path that the h2 crate's types do not take ends its stream.
        let fine = if found.kind == HEADERS { found.status() == status } else { status != 200 };
        assert!(fine, "{path}: {found:?}");
    }
    assert!(closed.seen().is_empty());
    for seen in open.seen() {
        assert!(!seen.path().contains("..") && !seen.path().contains("%2e%2e/"), "{seen:?}");
    }
}
