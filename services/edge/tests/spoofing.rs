//! What clients say of themselves, and what they hope that others read into it.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Connection, Edge, Setup, Upstream, get};

fn edge(text: &str) -> Edge {
    Setup::default().plain().file(text).start()
}

#[test]
fn the_field_that_proxies_tell_the_address_in() {
    for (field, value, client) in [
        ("X-Forwarded-For", "6.6.6.6, 203.0.113.9, 10.0.0.1", "203.0.113.9"),
        ("Forwarded", "for=6.6.6.6, For=\"[2001:db8::9]:4711\";proto=https, for=10.0.0.1", "2001:db8::9"),
        ("Forwarded", "for=\"6.6.6.6, for=203.0.113.9", "203.0.113.9"),
        ("Forwarded", "for=203.0.113.9, for=_hidden", "127.0.0.1"),
        ("Forwarded", "for=unknown", "127.0.0.1"),
        ("X-Real-IP", "203.0.113.9", "203.0.113.9"),
        ("CF-Connecting-IP", "2001:db8::9", "2001:db8::9"),
        ("True-Client-IP", "203.0.113.9", "203.0.113.9"),
        ("Fly-Client-IP", "203.0.113.9", "203.0.113.9"),
    ] {
        let upstream = Upstream::saying("hello");
        let text = |trusted: &str| {
            format!(
                "upstream = ['{}']\nreal_ip_header = '{field}'\ntrusted_proxies = ['{trusted}', '10.0.0.0/8']\n",
                upstream.address
            )
        };
        let edge = edge(&text("127.0.0.1"));
        let others = "X-Client-IP: 7.7.7.7";
        assert_eq!(get(edge.http, "/", &[&format!("{field}: {value}"), others]).status, 200);
        let seen = upstream.last();
        assert_eq!(seen.header("x-real-ip"), Some(client), "{field}: {value}");
        edge.access_line(|line| line["client"] == client);
        // From somebody who is not trusted it does not even reach the application.
        edge.rewrite(&text("192.0.2.1"));
        edge.signal("HUP");
        common::until("the new configuration", || {
            get(edge.http, "/", &[&format!("{field}: {value}"), others]);
            upstream.last().header("x-client-ip").is_none()
        });
        let seen = upstream.last();
        assert_eq!(seen.header("x-real-ip"), Some("127.0.0.1"), "{field}");
        assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"), "{field}");
        if !matches!(field, "X-Real-IP" | "X-Forwarded-For") {
            assert_eq!(seen.header(&field.to_ascii_lowercase()), None);
        }
    }
}

/// Section 7.6.1 of RFC 9110 lets `Connection` name fields for the next hop only: not those that we set.
#[test]
fn connection_cannot_take_away_what_we_say() {
    let upstream = Upstream::saying("hello");
    let edge = Setup::default().plain().args(upstream.flag()).start();
    let listed = "X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, X-Forwarded-Port, X-Real-IP, X-Request-ID, \
                  traceparent, X-Request-Start, Host, Content-Length, X-Hop, close";
    let mut connection = Connection::plain(edge.http).unwrap();
    let answer = connection.ask(format!(
        "POST / HTTP/1.1\r\nHost: a.example\r\nConnection: {listed}\r\nX-Hop: 1\r\nX-Forwarded-For: 6.6.6.6\r\nContent-Length: 3\r\n\r\nabc"
    ));
    assert_eq!(answer.status, 200);
    let seen = upstream.last();
    for (name, value) in [
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-real-ip", Some("127.0.0.1")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-host", Some("a.example")),
        ("host", Some("a.example")),
        ("content-length", Some("3")),
        ("x-hop", None),
        ("connection", None),
    ] {
        assert_eq!(seen.header(name), value, "{name}");
    }
    assert!(
        ["x-forwarded-port", "x-request-id", "traceparent", "x-request-start"]
            .iter()
            .all(|name| seen.header(name).is_some())
    );
}

#[test]
fn aliases_of_what_we_say_are_dropped() {
    let upstream = Upstream::saying("hello");
    let edge = Setup::default().plain().args(upstream.flag()).start();
    let fields = [
        "X_Forwarded_For: 6.6.6.6",
        "X-Forwarded_For: 6.6.6.6",
        "X.Forwarded.For: 6.6.6.6",
        "X_Real_IP: 6.6.6.6",
        "Remote_Addr: 6.6.6.6",
        "Proxy: http://evil.example",
        "X-Original-URL: /admin",
        "X-Rewrite-URL: /admin",
        "X-HTTP-Method-Override: DELETE",
        "X-Accel-Redirect: /secret",
        "X-Sendfile: /etc/passwd",
        "X-Monodon-Retry: 1",
        "X-Forwarded-Prefix: /evil",
        "X-Forwarded-Uri: /evil",
        "X-Forwarded-Scheme: https",
        "X-Forwarded-Ssl: on",
        "Forwarded: for=6.6.6.6",
        "True-Client-IP: 6.6.6.6",
        "CF-Connecting-IP: 6.6.6.6",
    ];
    assert_eq!(get(edge.http, "/", &fields).status, 200);
    let seen = upstream.last();
    for field in fields {
        let (name, value) = field.split_once(": ").unwrap();
        assert!(!seen.headers.iter().any(|(known, _)| *known == name.to_ascii_lowercase()), "{name}: {seen:?}");
        assert!(seen.headers.iter().all(|(_, known)| known != value), "{value}: {seen:?}");
    }
}

/// One path for rules, routes and the application.
#[test]
fn the_application_is_asked_for_what_was_decided_by() {
    let (open, closed) = (Upstream::saying("open"), Upstream::saying("closed"));
    let edge = edge(&format!(
        "upstream = ['{}']\n[upstreams.closed]\nservers = ['{}']\n[[site]]\n\
         [[site.route]]\npath = '/admin'\nupstream = 'closed'\ndeny = ['all']\n",
        open.address, closed.address
    ));
    for (asked, seen) in [
        // Dot segments take back what stands before them: the application gets what is left.
        ("/admin/../public", Some("/public")),
        ("/admin/..%2fpublic?a=..", Some("/public?a=..")),
        ("/admin%2f..%2fpublic", Some("/public")),
        ("/admin\\..\\public", Some("/public")),
        ("/admin/%2e%2e/public%20x", Some("/public%20x")),
        ("/./x", Some("/x")),
        // The rest is the client's own.
        ("/x//y", Some("/x//y")),
        ("/x%2fy", Some("/x%2fy")),
        ("/admin;/../x", Some("/x")),
        ("/%61dminx", Some("/%61dminx")),
        ("/admin;x", Some("/admin;x")),
        ("/ADMIN", Some("/ADMIN")),
        ("/admin.", Some("/admin.")),
        ("/%252e%252e/admin", Some("/%252e%252e/admin")),
        ("/public/../admin", None),
        ("/public/..%2fadmin", None),
        ("/public\\..\\admin", None),
        ("//admin", None),
        ("/%61dmin", None),
        ("/admin%2fx", None),
        ("/admin\\x", None),
        ("/admin/;x", None),
        ("http://other.example//admin/x", None),
    ] {
        let before = open.seen().len();
        let status = get(edge.http, asked, &[]).status;
        match seen {
            Some(seen) => assert_eq!((status, open.last().path()), (200, seen), "{asked}"),
            None => assert_eq!((status, open.seen().len()), (403, before), "{asked}"),
        }
    }
    for asked in ["/..", "/../admin", "/x%00", "/%zz", "/x%0d%0aSet-Cookie:a", "admin", "?x", "/%2e%2e/"] {
        assert_eq!(get(edge.http, asked, &[]).status, 400, "{asked}");
    }
    assert_eq!(closed.seen().len(), 0);
}

#[test]
fn hosts_that_are_nobodys() {
    let upstream = Upstream::saying("hello");
    let edge = edge(&format!("upstream = ['{}']\ndomains = ['shop.example']\n", upstream.address));
    for (host, status) in [
        ("shop.example", 200),
        ("SHOP.example.:80", 200),
        ("evil.example", 404),
        ("shop.example.evil.example", 404),
        ("evilshop.example", 404),
        ("shop.example:65536", 400),
        ("shop.example:0", 400),
        ("shop.example:80:80", 400),
        ("user@shop.example", 400),
        ("shop.example/x", 400),
        ("[::1", 400),
        ("[::1]", 404),
        ("shop example", 400),
        ("", 400),
    ] {
        let mut connection = Connection::plain(edge.http).unwrap();
        let answer = connection.ask(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(answer.status, status, "{host}");
    }
    let mut connection = Connection::plain(edge.http).unwrap();
    assert_eq!(connection.ask("GET / HTTP/1.1\r\nHost: shop.example\r\nHost: shop.example\r\n\r\n").status, 400);
    let mut connection = Connection::plain(edge.http).unwrap();
    assert_eq!(connection.ask("GET / HTTP/1.1\r\n\r\n").status, 400);
}

/// What a redirect says comes from a name that is ours, and cannot begin a field of its own.
#[test]
fn redirects_repeat_nothing_foreign() {
    let edge = edge(
        "[[site]]\nhosts = ['shop.example']\n[[site.route]]\npattern = '^/go/(.*)$'\nredirect = '/to/$1'\n\
         [[site.route]]\nexact = '/host'\nredirect = 'https://$host/x'\n",
    );
    let ask = |target: &str, host: &str| {
        let mut connection = Connection::plain(edge.http).unwrap();
        connection.ask(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    };
    let answer = ask("/host", "SHOP.example:9999");
    assert_eq!((answer.status, answer.header("location")), (308, Some("https://shop.example/x")));
    assert_eq!(ask("/host", "evil.example").status, 404);
    let answer = ask("/go/caf%C3%A9%20%22x", "shop.example");
    assert_eq!(answer.header("location"), Some("/to/caf%C3%A9%20%22x"));
    assert_eq!(ask("/go/x%0d%0aSet-Cookie:%20a=b", "shop.example").status, 400);
}
