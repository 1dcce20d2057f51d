//! Plain HTTP: redirected where there is HTTPS, served where there is not.
#![allow(clippy::unwrap_used)]

mod common;

use common::client::request;
use common::{Connection, Edge, Setup, Upstream, get};

#[test]
fn to_https_by_the_internal_ca() {
    let upstream = Upstream::saying("hello");
    let edge = Edge::start(upstream.flag());
    let port = edge.https.port();
    for (method, status) in [("GET", 307), ("HEAD", 307), ("POST", 307)] {
        let answer = request(edge.http, method, "/a/b?c=d", &["Host: localhost:1234", "Content-Length: 0"]);
        assert_eq!(answer.status, status, "{method}");
        assert_eq!(answer.header("location"), Some(format!("https://localhost:{port}/a/b?c=d").as_str()));
        assert_eq!(answer.header("strict-transport-security"), None);
    }
    assert!(upstream.seen().is_empty());
    let mut connection = Connection::tls(edge.https, &edge.ca(), "localhost", &["http/1.1"]).unwrap();
    let answer = connection.ask("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    assert_eq!(answer.header("strict-transport-security"), None);
    assert_eq!(upstream.last().header("x-forwarded-proto"), Some("https"));
}

#[test]
fn the_published_port_and_no_other_host() {
    let edge = Edge::start(["--public-https-port", "443"]);
    let location = |fields: &[&str]| get(edge.http, "/", fields).header("location").map(str::to_owned);
    assert_eq!(location(&["Host: shop.example"]).as_deref(), Some("https://shop.example/"));
    for host in ["Host: a/b", "Host: a@b", "Host: a:99999", "Host: "] {
        assert_eq!((get(edge.http, "/", &[host]).status, location(&[host])), (400, None), "{host}");
    }
}

#[test]
fn nobody_is_sent_to_no_host() {
    let edge = Edge::start([""; 0]);
    let answer = Connection::plain(edge.http).unwrap().ask("GET /a HTTP/1.0\r\n\r\n");
    assert_eq!((answer.status, answer.header("location")), (400, None));
}

/// HTTP/1.0 may name no host.
#[test]
fn a_route_sends_nobody_to_no_host() {
    let edge = Setup::default()
        .plain()
        .file(
            "response_headers_set = ['X-Host: $host']\n[[site]]\n\
             [[site.route]]\npath = '/'\nredirect = 'https://$host$request_uri'\n\
             [[site.route]]\npath = '/port'\nredirect = 'https://www.${host}:8443/'\n\
             [[site.route]]\npath = '/other'\nredirect = 'https://other.example/?from=$host'\n\
             [[site.route]]\npath = '/here'\nredirect = '/there/$host'\n",
        )
        .start();
    let ask = |path: &str, host: &str| {
        let answer = Connection::plain(edge.http).unwrap().ask(format!("GET {path} HTTP/1.0\r\n{host}\r\n"));
        (answer.status, answer.header("location").map(str::to_owned))
    };
    for path in ["/a", "/port"] {
        assert_eq!(ask(path, ""), (400, None), "{path}");
    }
    let moved = |to: &str| (308, Some(to.to_owned()));
    assert_eq!(ask("/other", ""), moved("https://other.example/?from="));
    assert_eq!(ask("/here", ""), moved("/there/"));
    assert_eq!(ask("/a", "Host: shop.example\r\n"), moved("https://shop.example/a"));
    assert_eq!(ask("/port", "Host: shop.example\r\n"), moved("https://www.shop.example:8443/"));
}

#[test]
fn a_trusted_proxy_with_tls_is_not_sent_in_a_circle() {
    let upstream = Upstream::saying("hello");
    let edge = Edge::start([&upstream.flag()[..], &["--trusted-proxies".into(), "127.0.0.0/8".into()]].concat());
    assert_eq!(get(edge.http, "/", &["X-Forwarded-Proto: https"]).status, 200);
    assert_eq!(get(edge.http, "/", &[]).status, 307);
}

#[test]
fn alone_it_serves() {
    let upstream = Upstream::saying("hello");
    let edge = Edge::plain(upstream.flag());
    assert_eq!(get(edge.http, "/", &[]).text(), "hello");
    assert_eq!(upstream.last().header("x-forwarded-proto"), Some("http"));
}
