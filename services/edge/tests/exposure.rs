//! What the public side says to nobody: the admin port's pages, secrets, files of our own, and answers to a CA that has not asked.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Connection, Setup, Upstream, get};

/// Whatever the admin port has is, on the public one, the application's path like any other.
#[test]
fn the_admin_port_s_pages_are_not_there() {
    let upstream = Upstream::saying("the application");
    let edge = Setup::default().plain().args(upstream.flag()).start();
    for path in ["/metrics", "/healthz", "/readyz", "/ca.pem", "/config", "/upstreams", "/reload", "/drain"] {
        assert_eq!(get(edge.http, path, &[]).text(), "the application", "{path}");
        assert_eq!(upstream.last().path(), path);
        let mut client = Connection::plain(edge.http).unwrap();
        let answer = client.ask(format!("POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\n\r\n", edge.admin));
        assert_eq!(answer.text(), "the application", "{path}");
    }
}

/// Only a token that a CA is about to ask for is answered; nothing becomes a file's name.
#[test]
fn answers_to_a_ca_that_has_not_asked() {
    let upstream = Upstream::saying("the application");
    // Nobody is there: the order hangs, with nothing to answer yet.
    let edge = Setup::default()
        .plain()
        .args(upstream.flag())
        .args(["--domains", "a.example", "--acme-email", "a@a.example", "--acme-directory", "https://127.0.0.1:1/dir"])
        .start();
    let token = "x".repeat(43);
    let long = "x".repeat(129);
    for (method, token) in [
        ("GET", ""),
        ("GET", token.as_str()),
        ("HEAD", token.as_str()),
        ("POST", token.as_str()),
        ("GET", long.as_str()),
        ("GET", "../../../etc/passwd"),
        ("GET", "..%2f..%2fetc%2fpasswd"),
        ("GET", "%2e%2e/account.key"),
        ("GET", "x/../../../state/account.key"),
        ("GET", "x%00"),
        ("GET", "//etc/passwd"),
    ] {
        let mut client = Connection::plain(edge.http).unwrap();
        let answer = client.ask(format!(
            "{method} /.well-known/acme-challenge/{token} HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n"
        ));
        let text = answer.text();
        let fine = answer.status == 400 || (answer.status == 200 && (method == "HEAD" || text == "the application"));
        assert!(fine, "{method} {token}: {} {text}", answer.status);
    }
}

/// Secrets that requests bring get into no line, whatever becomes of the request.
#[test]
fn secrets_of_requests_are_in_no_line() {
    let upstream = Upstream::saying("hello");
    let edge = Setup::default()
        .plain()
        .file(&format!(
            "upstream = ['{}']\nlog_level = 'trace'\nslow_log = '1ms'\n[[site]]\n[[site.route]]\npath = '/closed'\nclose = true\n\
             [[site.route]]\npath = '/down'\nupstream = 'down'\n[upstreams.down]\nservers = ['127.0.0.1:{}']\n",
            upstream.address,
            common::free_port()
        ))
        .start();
    for path in ["/", "/down", "/..%2f", "/closed"] {
        let mut client = Connection::plain(edge.http).unwrap();
        let request = format!(
            "GET {path}?key=SECRET HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer SECRET\r\nCookie: id=SECRET\r\n\
             Referer: https://b.example/?SECRET\r\nX-Api-Key: SECRET\r\n\r\n"
        );
        client.send(request).unwrap();
        let _ = client.answer();
        edge.access_line(|line| line["path"] == path);
    }
    // One that cannot be read, too.
    let mut client = Connection::plain(edge.http).unwrap();
    client.send("GET /bad?SECRET HTTP/1.1\r\nHost: a\r\nCookie: SECRET\r\nX : SECRET\r\n\r\n").unwrap();
    assert_eq!(client.answer().unwrap().status, 400);
    edge.access_line(|line| line["status"] == 400 && line["path"] != "/..%2f");
    for line in edge.lines() {
        assert!(!line.contains("SECRET"), "{line}");
    }
}
