//! Headers that are added, set and removed, and what no setting and no client can smuggle past.
#![allow(clippy::unwrap_used)]

mod common;

use common::upstream::reply;
use common::{Answer, Connection, Edge, Setup, Upstream, get};

fn application() -> Upstream {
    Upstream::start(|seen, stream| match seen.path() {
        "/own" => reply(
            stream,
            200,
            &[
                ("X-Frame-Options", "SAMEORIGIN"),
                ("Content-Security-Policy", "default-src 'none'"),
                ("Content-Security-Policy-Report-Only", "img-src 'none'"),
                ("Permissions-Policy", "usb=*"),
            ],
            "own",
        ),
        _ => reply(
            stream,
            200,
            &[
                ("Server", "application/1.0"),
                ("X-Powered-By", "Python"),
                ("X-Accel-Charset", "utf-8"),
                ("X-Accel-Limit-Rate", "0"),
                ("X-Monodon-Anything", "secret"),
                ("Connection", "keep-alive, x-hop, x-request-id, x-frame-options"),
                ("X-Hop", "1"),
            ],
            "hello",
        ),
    })
}

fn all<'a>(answer: &'a Answer, name: &str) -> Vec<&'a str> {
    answer.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
}

fn edge(upstream: &Upstream, text: &str) -> Edge {
    Setup::default().plain().args(upstream.flag()).file(text).start()
}

#[test]
fn requests_are_changed() {
    let upstream = application();
    let edge = edge(
        &upstream,
        "request_headers_set = ['X-Level: flat', 'X-Target: $scheme $host $uri $request_uri', 'Accept-Encoding:']\n\
         request_headers_add = ['X-Many: one, two']\n\
         request_headers_remove = ['X-Secret']\n\
         [[site]]\n\
         [[site.route]]\npath = '/inner/'\nupstream = 'default'\nstrip_prefix = true\n\
         request_headers_set = ['X-Level: route', 'Host: inner.example', 'X-Forwarded-Proto: https']\n\
         request_headers_remove = ['x-many']\n",
    );
    let fields = [
        "Host: shop.example:80",
        "X-Level: client",
        "X-Many: zero",
        "X-Secret: 1",
        "Accept-Encoding: gzip",
        "Connection: x-level, x-target, close",
    ];
    assert_eq!(get(edge.http, "/a%20b?q=1", &fields).status, 200);
    let seen = upstream.last();
    assert_eq!(seen.all("x-level"), ["flat"], "what Connection names cannot take away what we set");
    assert_eq!(seen.all("x-target"), ["http shop.example /a%20b /a%20b?q=1"]);
    assert_eq!(seen.all("x-many"), ["zero", "one, two"]);
    assert_eq!((seen.header("x-secret"), seen.header("accept-encoding")), (None, None));
    assert_eq!(seen.header("host"), Some("shop.example:80"));
    assert_eq!(get(edge.http, "/inner/x?q", &fields).status, 200);
    let seen = upstream.last();
    assert_eq!(seen.path(), "/x?q");
    assert_eq!((seen.all("x-level"), seen.all("x-many")), (vec!["route"], vec![]));
    assert_eq!(seen.all("x-target"), ["http shop.example /inner/x /inner/x?q"], "as the client asked");
    assert_eq!((seen.all("host"), seen.all("x-forwarded-proto")), (vec!["inner.example"], vec!["https"]));
}

#[test]
fn answers_are_changed_wherever_they_come_from() {
    let upstream = application();
    let folder = tempfile::tempdir().unwrap();
    common::write(&folder.path().join("a.txt"), "text");
    let edge = edge(
        &upstream,
        &format!(
            "static = ['/static/={}']\n\
             response_headers_set = ['Server: edge', 'X-Where: $host$request_uri', 'X-Frame-Options: SAMEORIGIN']\n\
             response_headers_add = ['Set-Cookie: a=1; Path=/', 'Set-Cookie: b=2']\n\
             response_headers_remove = ['X-Powered-By', 'Referrer-Policy']\n\
             [[site]]\n\
             [[site.route]]\npath = '/fixed'\nrespond = 'fixed'\nresponse_headers_remove = ['Set-Cookie']\n\
             [[site.route]]\npath = '/moved'\nredirect = '/fixed'\n\
             [[site.route]]\npath = '/gone'\nfiles = '{}'\n",
            folder.path().display(),
            folder.path().display()
        ),
    );
    for (path, status, cookies) in [
        ("/", 200, 2),
        ("/static/a.txt", 200, 2),
        ("/fixed", 200, 0),
        ("/moved", 308, 2),
        ("/gone/x", 404, 2),
        ("//..", 400, 2),
    ] {
        let answer = get(edge.http, path, &["Host: shop.example"]);
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(all(&answer, "server"), ["edge"], "{path}");
        assert_eq!(all(&answer, "x-where"), [format!("shop.example{path}")], "{path}");
        assert_eq!(all(&answer, "x-frame-options"), ["SAMEORIGIN"], "{path}");
        assert_eq!(all(&answer, "set-cookie").len(), cookies, "{path}");
        assert_eq!(all(&answer, "x-content-type-options"), ["nosniff"], "{path}");
        for gone in ["x-powered-by", "referrer-policy"] {
            assert_eq!(answer.header(gone), None, "{path}: {gone}");
        }
    }
    // What is not even a request gets them, too.
    let mut connection = Connection::plain(edge.http).unwrap();
    let answer = connection.ask("GET / HTTP/1.1\r\nHost: a\r\nX-A: b\u{7f}\r\n\r\n");
    assert_eq!((answer.status, answer.header("server")), (400, Some("edge")));
}

/// What a cache has to know, lest it gives a compressed form to those who cannot read it.
#[test]
fn no_change_takes_away_what_compression_needs() {
    let upstream = Upstream::start(|seen, stream| {
        let page = "the same again and again ".repeat(100);
        let fields = [("Content-Type", "text/html"), ("Vary", "Cookie, Accept-Encoding")];
        reply(stream, 200, if seen.path().ends_with("/own") { &fields } else { &fields[..1] }, page)
    });
    let folder = tempfile::tempdir().unwrap();
    common::write(&folder.path().join("a.css"), "body { color: red } ".repeat(100));
    common::write(&folder.path().join("b.css"), "plain");
    common::write(&folder.path().join("b.css.gz"), "packed");
    let route = |path: &str, change: &str| {
        format!(
            "[[site.route]]\npath = '{path}/'\nupstream = 'default'\n{change}\n\
             [[site.route]]\npath = '{path}/files/'\nfiles = '{}'\n{change}\n",
            folder.path().display()
        )
    };
    let edge = edge(
        &upstream,
        &format!(
            "[[site]]\n{}{}{}",
            route("/set", "response_headers_set = ['Vary: Cookie', 'ETag: \"v1\"']"),
            route("/removed", "response_headers_remove = ['Vary', 'ETag']"),
            route("/added", "response_headers_add = ['Vary: Origin']")
        ),
    );
    for (path, own) in [("/set", &["Cookie"][..]), ("/removed", &[]), ("/added", &["Origin"])] {
        for file in ["/page", "/own", "/files/a.css", "/files/b.css"] {
            for accept in ["gzip", "identity"] {
                let answer = get(edge.http, &format!("{path}{file}"), &[&format!("Accept-Encoding: {accept}")]);
                let told = format!("{path}{file} {accept}: {answer:?}");
                let coded = accept == "gzip";
                assert_eq!(answer.header("content-encoding").is_some(), coded, "{told}");
                let vary = all(&answer, "vary").join(", ").to_ascii_lowercase();
                assert_eq!(vary.matches("accept-encoding").count(), 1, "{told}");
                assert!(own.iter().all(|own| all(&answer, "vary").contains(own)), "{told}");
                match (path, coded) {
                    ("/set", true) => assert_eq!(all(&answer, "etag"), ["W/\"v1\""], "{told}"),
                    ("/set", false) => assert_eq!(all(&answer, "etag"), ["\"v1\""], "{told}"),
                    ("/removed", _) => assert_eq!(answer.header("etag"), None, "{told}"),
                    _ => {}
                }
            }
        }
    }
    // A file whose sibling has a tag of its own keeps it where nothing is said of it.
    let sibling = get(edge.http, "/added/files/b.css", &["Accept-Encoding: gzip"]);
    assert!(sibling.header("etag").unwrap().starts_with('"'), "{sibling:?}");
    // What only the application varies by is the configuration's to say.
    let plain = get(edge.http, "/set/files/b.css.gz", &[]);
    assert_eq!(all(&plain, "vary"), ["Cookie"]);
}

#[test]
fn nothing_inner_gets_out() {
    let upstream = application();
    let edge = Edge::plain(upstream.flag());
    let answer = get(edge.http, "/", &[]);
    for gone in ["x-accel-charset", "x-accel-limit-rate", "x-monodon-anything", "x-hop"] {
        assert_eq!(answer.header(gone), None, "{gone}");
    }
    assert_eq!(answer.header("server"), Some("application/1.0"));
    // The application's Connection cannot take ours away either.
    assert!(answer.header("x-request-id").is_some() && answer.header("x-frame-options").is_some());
}

#[test]
fn no_variable_breaks_a_line() {
    let upstream = application();
    let edge = edge(
        &upstream,
        "response_headers_set = ['X-Where: $uri|$args']\nrequest_headers_set = ['X-Where: $uri|$args']\n",
    );
    let answer = get(edge.http, "/a%0d%0aX-Evil:%201/%C3%BC?b%0d%0aX-Evil:1", &[]);
    assert_eq!(answer.header("x-evil"), None);
    if answer.status == 200 {
        assert_eq!(upstream.last().header("x-evil"), None);
    }
    let answer = get(edge.http, "/%C3%BC?b%0d%0aX-Evil:1", &[]);
    assert_eq!((answer.status, answer.header("x-where")), (200, Some("/%C3%BC|b%0d%0aX-Evil:1")));
    assert_eq!(upstream.last().all("x-where"), ["/%C3%BC|b%0d%0aX-Evil:1"]);
}

#[test]
fn security_headers_per_route_and_the_applications_own() {
    let upstream = application();
    let edge = edge(
        &upstream,
        "csp = \"default-src 'self'\"\ncsp_report_path = 'off'\n\
         [[site]]\nframe_options = 'SAMEORIGIN'\n\
         [[site.route]]\npath = '/embed'\nupstream = 'default'\nframe_options = 'off'\nreferrer_policy = 'no-referrer'\n\
         permissions_policy = 'off'\nnosniff = false\ncsp = 'off'\n\
         [[site.route]]\npath = '/bare'\nupstream = 'default'\nsecurity_headers = false\n",
    );
    let of = |path: &str, name: &str| get(edge.http, path, &[]).header(name).map(str::to_owned);
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(of("/", "x-frame-options"), some("SAMEORIGIN"));
    assert_eq!(of("/", "content-security-policy"), some("default-src 'self'"));
    assert_eq!(of("/", "reporting-endpoints"), None);
    assert_eq!(of("/own", "content-security-policy"), some("default-src 'none'"));
    assert_eq!(of("/own", "content-security-policy-report-only"), some("img-src 'none'"));
    assert_eq!(of("/own", "permissions-policy"), some("usb=*"));
    assert_eq!(of("/embed", "referrer-policy"), some("no-referrer"));
    for name in ["x-frame-options", "permissions-policy", "x-content-type-options", "content-security-policy"] {
        assert_eq!(of("/embed", name), None, "{name}");
    }
    for name in ["x-frame-options", "permissions-policy", "x-content-type-options", "referrer-policy"] {
        assert_eq!(of("/bare", name), None, "{name}");
    }
    assert_eq!(of("/bare", "content-security-policy"), some("default-src 'self'"));
}

/// A second word on a message's length or its connection is how requests are smuggled.
#[test]
fn what_the_edge_alone_may_say_cannot_be_set() {
    for name in [
        "Connection",
        "Transfer-Encoding",
        "Content-Length",
        "TE",
        "Trailer",
        "Upgrade",
        "Expect",
        "Keep-Alive",
        "Proxy-Connection",
        "HTTP2-Settings",
        "X-Monodon-Process",
        "X-Accel-Redirect",
    ] {
        for (key, value) in [
            ("request_headers_set", format!("{name}: x")),
            ("request_headers_add", format!("{name}: x")),
            ("response_headers_set", format!("{name}: x")),
            ("response_headers_remove", name.to_owned()),
        ] {
            let said = common::problems(&format!("{key} = ['{value}']\n"));
            let told = format!("edge.toml:1: {key}: {} is ", name.to_lowercase());
            assert!(said.contains(&told), "{told:?} is not in {said}");
        }
    }
}
