//! What passes in each direction, and whose word counts.
#![allow(clippy::unwrap_used)]

mod common;

use common::upstream::reply;
use common::{Connection, Edge, Setup, Upstream, get};

#[test]
fn a_strangers_word_does_not_count() {
    let upstream = Upstream::saying("hello");
    let edge = Edge::plain(upstream.flag());
    let answer = get(
        edge.http,
        "/path?q=%2f",
        &[
            "Host: shop.example:8080",
            "X-Forwarded-For: 6.6.6.6",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Host: evil.example",
            "X-Real-IP: 6.6.6.6",
            "X-Request-ID: mine",
            "X-Forwarded-Prefix: /evil",
            "X-Accel-Redirect: /secret",
            "X-Monodon-Retry: 1",
            "X_Real_IP: 6.6.6.6",
            "Proxy: evil",
            "Keep-Alive: 5",
            "TE: trailers",
            "Accept-Language: en",
        ],
    );
    assert_eq!(answer.status, 200);
    let seen = upstream.last();
    assert_eq!(seen.path(), "/path?q=%2f", "the client's own bytes");
    assert_eq!(seen.header("host"), Some("shop.example:8080"));
    assert_eq!(seen.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.all("x-real-ip"), ["127.0.0.1"]);
    assert_eq!(seen.all("x-forwarded-proto"), ["http"]);
    assert_eq!(seen.all("x-forwarded-host"), ["shop.example:8080"]);
    assert_eq!(seen.all("x-forwarded-port"), [edge.http.port().to_string()]);
    assert_eq!(seen.header("x-request-id"), answer.header("x-request-id"), "one id for all");
    assert_ne!(seen.header("x-request-id"), Some("mine"));
    assert!(seen.header("x-request-start").unwrap().starts_with("t=1"));
    assert_eq!(seen.header("accept-language"), Some("en"));
    for gone in ["x-forwarded-prefix", "x-accel-redirect", "x-monodon-retry", "x_real_ip", "proxy", "keep-alive", "te"]
    {
        assert_eq!(seen.header(gone), None, "{gone}");
    }
    assert_eq!(edge.metric("monodon_edge_http_request_headers_dropped_total"), 1.0, "X_Real_IP");
}

#[test]
fn a_trusted_proxys_word_counts() {
    let upstream = Upstream::saying("hello");
    let edge = Edge::plain([&upstream.flag()[..], &["--trusted-proxies".into(), "127.0.0.0/8".into()]].concat());
    let fields = ["X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "X-Request-ID: theirs"];
    let answer = get(edge.http, "/", &fields);
    assert_eq!(answer.header("x-request-id"), Some("theirs"));
    let seen = upstream.last();
    assert_eq!(seen.all("x-forwarded-for"), ["6.6.6.6, 127.0.0.1"]);
    assert_eq!(seen.all("x-real-ip"), ["6.6.6.6"]);
    assert_eq!(seen.all("x-forwarded-proto"), ["https"]);
    let line = edge.access_line(|line| line["request_id"] == "theirs");
    assert_eq!(line["client"], "6.6.6.6");
}

/// Only a proxy that is trusted can have taken it over TLS.
#[test]
fn nobody_talks_himself_past_the_redirect_to_https() {
    let upstream = Upstream::saying("hello");
    let fields = ["Host: localhost", "X-Forwarded-Proto: https"];
    let edge = Edge::start(upstream.flag());
    assert_eq!(get(edge.http, "/", &fields).status, 307);
    assert!(upstream.seen().is_empty());
    let trusting = ["--trusted-proxies", "127.0.0.1"].map(str::to_owned);
    let edge = Edge::start([&upstream.flag()[..], &trusting].concat());
    assert_eq!(get(edge.http, "/", &fields).status, 200);
}

/// Where a container's ports are published under other numbers.
#[test]
fn the_port_that_is_told_is_the_published_one() {
    let upstream = Upstream::saying("hello");
    let ports = ["--public-http-port", "8080", "--public-https-port", "8443"].map(str::to_owned);
    let plain = Edge::plain([&upstream.flag()[..], &ports].concat());
    get(plain.http, "/", &[]);
    assert_eq!(upstream.last().all("x-forwarded-port"), ["8080"]);
    let edge = Edge::start([&upstream.flag()[..], &ports].concat());
    let mut connection = Connection::tls(edge.https, &edge.ca(), "localhost", &["http/1.1"]).unwrap();
    assert_eq!(connection.ask("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 200);
    assert_eq!(upstream.last().all("x-forwarded-port"), ["8443"]);
}

#[test]
fn what_connection_names_goes_but_not_what_we_set() {
    let upstream = Upstream::saying("hello");
    let edge = Edge::plain(upstream.flag());
    let mut connection = Connection::plain(edge.http).unwrap();
    let answer = connection.ask(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: x-forwarded-for, x-real-ip, x-hop, keep-alive\r\nX-Hop: 1\r\n\r\n",
    );
    assert_eq!(answer.status, 200);
    let seen = upstream.last();
    assert_eq!(seen.header("x-hop"), None);
    assert_eq!(seen.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.all("x-real-ip"), ["127.0.0.1"]);
}

#[test]
fn answers_get_ours_unless_they_have_their_own() {
    let upstream = Upstream::start(|seen, stream| match seen.path() {
        "/own" => reply(stream, 200, &[("X-Frame-Options", "SAMEORIGIN"), ("Referrer-Policy", "no-referrer")], "x"),
        "/id" => reply(stream, 200, &[("X-Request-ID", "the application's")], "x"),
        _ => reply(
            stream,
            200,
            &[
                ("X-Accel-Expires", "60"),
                ("X-Monodon-Process", "0/1/1"),
                ("Keep-Alive", "timeout=5"),
                ("Set-Cookie", "a=1"),
                ("Set-Cookie", "b=2"),
            ],
            "x",
        ),
    });
    let edge = Edge::plain(upstream.flag());
    let answer = get(edge.http, "/", &[]);
    for (name, value) in
        [("x-content-type-options", "nosniff"), ("x-frame-options", "DENY"), ("referrer-policy", "same-origin")]
    {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    assert!(answer.header("permissions-policy").is_some());
    for gone in ["x-accel-expires", "x-monodon-process", "keep-alive", "strict-transport-security"] {
        assert_eq!(answer.header(gone), None, "{gone}");
    }
    let cookies: Vec<_> = answer.headers.iter().filter(|(name, _)| name == "set-cookie").collect();
    assert_eq!(cookies.len(), 2);
    let own = get(edge.http, "/own", &[]);
    // And not ours beside it: of two, browsers take what they like.
    assert_eq!(own.all("x-frame-options"), ["SAMEORIGIN"]);
    assert_eq!(own.all("referrer-policy"), ["no-referrer"]);
    assert_eq!(own.all("x-content-type-options"), ["nosniff"]);
    let id = get(edge.http, "/id", &[]);
    assert_eq!(id.all("x-request-id").len(), 1);
    assert_ne!(id.header("x-request-id"), Some("the application's"), "it would not be found in any log");
    let off = Edge::plain([&upstream.flag()[..], &["--no-security-headers".into()]].concat());
    assert_eq!(get(off.http, "/", &[]).header("x-frame-options"), None);
}

#[test]
fn a_line_a_request_with_nothing_that_harms_a_terminal() {
    let upstream = Upstream::saying("hello");
    let edge = Edge::plain(upstream.flag());
    let answer = get(edge.http, "/a?token=secret", &["User-Agent: agent \u{1b}[31m\"", "Referer: http://r.example/"]);
    // A control character in a field is refused before anything else.
    assert_eq!(answer.status, 400);
    let answer = get(edge.http, "/a?token=secret", &["User-Agent: a \"quoted\" agent", "Referer: http://r.example/"]);
    let id = answer.header("x-request-id").unwrap();
    let line = edge.access_line(|line| line["request_id"] == id);
    assert_eq!(line["status"], 200);
    assert_eq!(line["path"], "/a");
    assert_eq!(line["method"], "GET");
    assert_eq!(line["bytes_out"], 5);
    assert_eq!(line["protocol"], "http/1.1");
    assert_eq!(line["user_agent"], "a \"quoted\" agent");
    assert!(line["duration"].is_f64() && line["upstream"].is_f64() && line["queue"].is_f64(), "{line}");
    assert!(edge.lines().iter().all(|line| !line.contains("token=secret")));
}

#[test]
fn hosts() {
    let upstream = Upstream::saying("hello");
    let edge =
        Setup::default().plain().args(upstream.flag()).args(["--domains", "shop.example,www.shop.example"]).start();
    for (host, status) in [
        ("shop.example", 200),
        ("WWW.Shop.Example:8080", 200),
        ("shop.example.", 200),
        ("other.example", 404),
        ("127.0.0.1", 404),
        ("shop.example.evil.example", 404),
        ("shop.example:0", 400),
    ] {
        assert_eq!(get(edge.http, "/", &[&format!("Host: {host}")]).status, status, "{host}");
    }
    let anyone = Edge::plain(upstream.flag());
    assert_eq!(get(anyone.http, "/", &["Host: what.ever"]).status, 200);
    for method in ["TRACE", "CONNECT"] {
        let target = if method == "CONNECT" { "a.example:443" } else { "/" };
        let mut connection = Connection::plain(anyone.http).unwrap();
        let answer = connection.ask(format!("{method} {target} HTTP/1.1\r\nHost: a.example:443\r\n\r\n"));
        assert_eq!(answer.status, 405, "{method}");
    }
}

#[test]
fn another_sites_connection_is_misdirected() {
    let upstream = Upstream::saying("hello");
    let edge = Setup::default().args(upstream.flag()).args(["--domains", "a.example,b.example"]).start();
    let ca = edge.ca();
    let ask = |sni: &str, host: &str| {
        let mut connection = Connection::tls(edge.https, &ca, sni, &["http/1.1"]).unwrap();
        connection.ask(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).status
    };
    assert_eq!(ask("a.example", "a.example"), 200);
    assert_eq!(ask("a.example", "b.example"), 421);
    assert_eq!(ask("a.example", "c.example"), 421);
}

#[test]
fn the_status_page_needs_its_password() {
    let sidecar = Upstream::saying("all is well");
    let edge = Edge::plain([
        "--status-page",
        "/status/",
        "--status-upstream",
        &sidecar.address.to_string(),
        "--status-password",
        "secret",
    ]);
    let refused = get(edge.http, "/status/", &[]);
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").unwrap().starts_with("Basic"));
    // monodon:secret
    let shown = get(edge.http, "/status/x?y", &["Authorization: Basic bW9ub2RvbjpzZWNyZXQ="]);
    assert_eq!((shown.status, shown.text().as_str()), (200, "all is well"));
    assert_eq!(sidecar.last().path(), "/x?y");
    assert_eq!(sidecar.last().header("authorization"), None);
    // The page's own links are relative: they lead astray without the slash.
    for (target, location) in [("/status", "/status/"), ("/status?a=b", "/status/?a=b")] {
        let moved = get(edge.http, target, &["Authorization: Basic bW9ub2RvbjpzZWNyZXQ="]);
        assert_eq!((moved.status, moved.header("location")), (307, Some(location)));
    }
    assert_eq!(get(edge.http, "/status", &[]).status, 401);
    assert_eq!(get(edge.http, "/", &[]).status, 404, "no upstream, nothing there");
}
