//! Error pages, answers of the upstream that are intercepted, maintenance: over real sockets.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Answer, Connection, Setup, Upstream, get, until};
use std::fs;
use std::path::Path;

const HTML: &str = "Accept: text/html";

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn dead() -> String {
    format!("127.0.0.1:{}", common::free_port())
}

/// What the edge says of such a file, without the folders.
fn refused(text: &str) -> String {
    common::problems_in(folder(&[("page.html", "x"), ("page.php", "x")]).path(), text)
}

#[test]
fn in_the_form_that_is_asked_for() {
    let edge = Setup::default().plain().args(["--upstream", &dead()]).start();
    for (accept, media, begins) in [
        ("Accept: text/html,*/*;q=0.8", "text/html; charset=utf-8", "<!doctype html>"),
        (
            "Accept: application/json",
            "application/json",
            "{\"type\":\"about:blank\",\"title\":\"Bad gateway\",\"status\":502,",
        ),
        ("Accept: application/problem+json", "application/problem+json", "{\"type\":"),
        ("Accept: */*", "text/plain; charset=utf-8", "502 Bad gateway\n"),
        ("X-Nothing: 1", "text/plain; charset=utf-8", "502 Bad gateway\n"),
    ] {
        let answer = get(edge.http, "/", &[accept]);
        assert_eq!((answer.status, answer.header("content-type")), (502, Some(media)), "{accept}");
        assert!(answer.text().starts_with(begins), "{accept}: {}", answer.text());
        assert!(answer.text().contains(answer.header("x-request-id").unwrap()), "{accept}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("vary"), Some("accept"));
        let policy = answer.header("content-security-policy");
        assert_eq!(policy.is_some_and(|policy| policy.contains("default-src 'none'")), begins.starts_with("<!"));
    }
    // Before there is a request nobody knows what is asked for.
    let answer = get(edge.http, "/", &["Bad Name: x", HTML]);
    assert_eq!((answer.status, answer.header("content-type")), (400, Some("text/plain; charset=utf-8")));
}

/// Where the configuration names a page, who sends what is no request gets it, too: of the site that answers for any host.
#[test]
fn what_is_no_request_gets_the_default_site_s_page() {
    let pages =
        folder(&[("any.html", "any's {{status}}"), ("shop.html", "the shop's"), ("flat.html", "flat {{status}}")]);
    let path = |name: &str| pages.path().join(name).display().to_string();
    let site = |host: &str, page: &str, more: &str| {
        format!("[[site]]\nhosts = ['{host}']\nerror_pages = ['400={page}', '408={page}', '414={page}']\n{more}")
    };
    let two = |more: &str| site("shop.example", &path("shop.html"), "") + &site("any.example", &path("any.html"), more);
    let flat = format!("error_pages = ['400={0}', '4xx={0}']\n", path("flat.html"));
    let long = format!("GET /{} HTTP/1.1\r\nHost: shop.example\r\n\r\n", "x".repeat(10_000));
    let doubled = "GET / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n";
    let late = "GET / HTTP/1.1\r\nHost: shop.exa";
    let version = "GET / HTTP/3.7\r\nHost: shop.example\r\n\r\n";
    let texts = [(400, doubled), (408, late), (414, long.as_str()), (505, version)];
    for (text, told) in [
        (two("default = true\n"), ["any's 400", "any's 408", "any's 414", "505 "]),
        (site("shop.example", &path("shop.html"), ""), ["the shop's", "the shop's", "the shop's", "505 "]),
        (flat, ["flat 400", "flat 408", "flat 414", "505 "]),
        // Of two that are both named nobody knows whose it was.
        (two(""), ["400 ", "408 ", "414 ", "505 "]),
    ] {
        let file = format!("upstream = ['{}']\nhead_timeout = '500ms'\n{text}", dead());
        let edge = Setup::default().plain().file(&file).start();
        for ((status, request), told) in texts.iter().zip(told) {
            let mut client = Connection::plain(edge.http).unwrap();
            client.send(*request).unwrap();
            let answer = client.answer().unwrap();
            assert_eq!(answer.status, *status, "{request}");
            assert!(answer.text().starts_with(told), "{told}: {}", answer.text());
            let media = if told.ends_with(' ') { "text/plain; charset=utf-8" } else { "text/html; charset=utf-8" };
            assert_eq!(answer.header("content-type"), Some(media), "{told}");
        }
    }
}

#[test]
fn pages_from_files_by_status_class_site_and_route() {
    let pages = folder(&[
        ("404.html", "<p>{{status}} on {{host}}, {{request_id}}: {{ title }}, {{detail}} {{other}}</p>"),
        ("404.json", "{\"code\": {{status}}, \"host\": \"{{host}}\"}"),
        ("5xx.html", "ours"),
        ("502.html", "the route's"),
    ]);
    let path = |name: &str| pages.path().join(name).display().to_string();
    let edge = Setup::default()
        .plain()
        .file(&format!(
            "upstream = ['{}']\nerror_pages = ['404={}', '404={}', '5xx={}']\n\
             [[site]]\n[[site.route]]\npath = '/r/'\nupstream = 'default'\nerror_pages = ['502={}']\n\
             [[site.route]]\npath = '/f/'\nfiles = '{}'\n",
            dead(),
            path("404.html"),
            path("404.json"),
            path("5xx.html"),
            path("502.html"),
            pages.path().display(),
        ))
        .start();
    let html = get(edge.http, "/f/none", &[HTML, "Host: a\"<b"]);
    assert_eq!(html.status, 400, "such a host is none");
    let html = get(edge.http, "/f/none", &[HTML, "Host: shop.example"]);
    assert_eq!((html.status, html.header("content-type")), (404, Some("text/html; charset=utf-8")));
    let id = html.header("x-request-id").unwrap();
    let expected =
        format!("<p>404 on shop.example, {id}: Not found, There is nothing at this address. {{{{other}}}}</p>");
    assert_eq!(html.text(), expected);
    assert_eq!(html.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(html.header("content-security-policy"), None, "ours would forbid its styles and pictures");
    let json = get(edge.http, "/f/none", &["Accept: application/json", "Host: shop.example"]);
    assert_eq!(json.text(), "{\"code\": 404, \"host\": \"shop.example\"}");
    assert!(get(edge.http, "/f/none", &["Accept: text/plain"]).text().starts_with("404 Not found"));
    assert_eq!(get(edge.http, "/x", &[HTML]).text(), "ours", "the class's page; the application is down");
    assert_eq!(get(edge.http, "/r/x", &[HTML]).text(), "the route's");
    assert_eq!(get(edge.http, "/f/404.html", &[]).status, 200, "files are served while the application is down");
    let head = common::client::request(edge.http, "HEAD", "/x", &[HTML]);
    assert_eq!((head.status, head.header("content-length")), (502, Some("4")));

    // A page that changes is read again; one that vanishes stays.
    fs::write(path("5xx.html"), "ours, again").unwrap();
    until("the page is read again", || get(edge.http, "/x", &[HTML]).text() == "ours, again");
    fs::remove_file(path("502.html")).unwrap();
    fs::write(path("5xx.html"), "ours, for the third time").unwrap();
    until("the page is read again", || get(edge.http, "/x", &[HTML]).text() == "ours, for the third time");
    assert_eq!(get(edge.http, "/r/x", &[HTML]).text(), "the route's");
}

#[test]
fn answers_of_the_upstream_are_intercepted_where_that_is_wanted() {
    let pages = folder(&[("404.html", "ours")]);
    let upstream = Upstream::start(|seen, stream| {
        let status = seen.path().rsplit('/').next().unwrap().parse().unwrap_or(200);
        let headers = [
            ("Content-Type", "text/html"),
            ("Set-Cookie", "a=b"),
            ("Retry-After", "77"),
            ("WWW-Authenticate", "Basic"),
            ("Content-Encoding", "gzip"),
        ];
        common::upstream::reply(stream, status, &headers, "the application's")
    });
    let edge = Setup::default()
        .plain()
        .file(&format!(
            "upstream = ['{}']\nerror_pages = ['404={}/404.html']\n[[site]]\n\
             [[site.route]]\npath = '/some/'\nupstream = 'default'\nintercept_errors = ['5xx', '404']\n\
             [[site.route]]\npath = '/named/'\nupstream = 'default'\nintercept_errors = ['on']\n\
             [[site.route]]\npath = '/fixed/'\nrespond = 'fixed'\nstatus = 404\nintercept_errors = ['404']\n",
            upstream.address,
            pages.path().display()
        ))
        .start();
    let ask = |path: &str| -> Answer { get(edge.http, path, &[HTML]) };
    for (path, text) in [
        ("/404", "the application's"),
        ("/some/404", "ours"),
        ("/some/200", "the application's"),
        ("/some/403", "the application's"),
        ("/named/404", "ours"),
        ("/named/500", "the application's"),
        ("/fixed/", "fixed"),
    ] {
        assert_eq!(ask(path).text(), text, "{path}");
    }
    let page = ask("/some/503");
    assert_eq!(page.status, 503);
    assert!(page.text().contains("<h1>Busy</h1>"));
    assert_eq!(page.all("retry-after"), ["77"], "instead of ours");
    assert_eq!(page.header("www-authenticate"), Some("Basic"));
    assert_eq!((page.header("set-cookie"), page.header("content-encoding")), (None, None));
    assert_eq!(ask("/503").header("set-cookie"), Some("a=b"), "passed as it is");
}

#[test]
fn maintenance() {
    let pages = folder(&[("m.html", "back soon: {{status}}"), ("style.css", "p{}")]);
    let upstream = Upstream::saying("the application");
    let flag = pages.path().join("closed");
    let text = |first: &str| {
        format!(
            "upstream = ['{}']\n{first}error_pages = ['maintenance={}/m.html']\nmaintenance_retry_after = '2m'\n\
             [[site]]\n[[site.route]]\npath = '/static/'\nfiles = '{}'\nmaintenance = false\n\
             [[site.route]]\npath = '/own/'\nupstream = 'default'\nmaintenance_allow = ['127.0.0.0/8']\n",
            upstream.address,
            pages.path().display(),
            pages.path().display(),
        )
    };
    let edge = Setup::default().plain().file(&text(&format!("maintenance_file = '{}'\n", flag.display()))).start();
    let closed = || {
        let answer = get(edge.http, "/", &[HTML]);
        assert_eq!((answer.status, answer.text().as_str()), (503, "back soon: 503"));
        assert_eq!(answer.header("retry-after"), Some("120"));
        let answer = get(edge.http, "/", &["Accept: application/json"]);
        assert!(answer.text().contains("\"title\":\"Back soon\""));
        assert_eq!(get(edge.http, "/static/style.css", &[]).text(), "p{}", "the route keeps it open");
        assert_eq!(get(edge.http, "/own/", &[]).text(), "the application", "for our own network");
        assert_eq!(edge.admin("/readyz").status, 200);
        assert_eq!(edge.admin("/healthz").status, 200);
    };
    assert_eq!(get(edge.http, "/", &[]).text(), "the application");
    fs::write(&flag, "").unwrap();
    until("the flag is seen", || get(edge.http, "/", &[]).status == 503);
    closed();
    assert_eq!(edge.access_line(|line| line["status"] == 503)["reason"], "maintenance");
    let metrics = edge.admin("/metrics").text();
    assert!(metrics.contains("reason=\"maintenance\""), "{metrics}");
    fs::remove_file(&flag).unwrap();
    until("the flag is gone", || get(edge.http, "/", &[]).status == 200);
    edge.rewrite(&text("maintenance = true\n"));
    edge.signal("HUP");
    until("it is closed", || get(edge.http, "/", &[]).status == 503);
    closed();
}

#[test]
fn a_network_of_a_trusted_proxys_clients_is_let_in() {
    let upstream = Upstream::saying("the application");
    let edge = Setup::default()
        .plain()
        .file(&format!(
            "upstream = ['{}']\nmaintenance = true\nmaintenance_allow = ['203.0.113.7']\ntrusted_proxies = ['127.0.0.1']\n",
            upstream.address
        ))
        .start();
    assert_eq!(get(edge.http, "/", &["X-Forwarded-For: 203.0.113.7"]).status, 200);
    assert_eq!(get(edge.http, "/", &["X-Forwarded-For: 203.0.113.8"]).status, 503);
    assert_eq!(get(edge.http, "/", &[]).status, 503);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    assert!(Path::new(env!("CARGO_BIN_EXE_monodon-edge")).exists());
    for (text, told) in [
        (
            "error_pages = ['404']",
            "edge.toml:1: error_pages: expected STATUS=FILE such as 404=/srv/errors/404.html or 5xx=..., got \"404\"",
        ),
        ("error_pages = ['200=page.html']", "edge.toml:1: error_pages: expected STATUS=FILE"),
        ("\nerror_pages = ['404=none.html']", "edge.toml:2: error_pages: none.html: No such file or directory"),
        (
            "error_pages = ['404=page.php']",
            "edge.toml:1: error_pages: page.php: expected a file that ends in .html, .json or .txt",
        ),
        (
            "error_pages = ['404=page.html', '404=page.html']",
            "edge.toml:1: error_pages: \"404=page.html\": there is a page for that already",
        ),
        (
            "intercept_errors = ['200']",
            "edge.toml:1: intercept_errors: expected on, 4xx, 5xx or a status from 400 to 599, got \"200\"",
        ),
        ("intercept_errors = ['maintenance']", "edge.toml:1: intercept_errors: expected on"),
        ("maintenance = 'perhaps'", "edge.toml:1: maintenance: expected true or false"),
        (
            "[[site]]\n[[site.route]]\npath = '/'\nclose = true\nmaintenance_allow = ['10.0.0.0/99']",
            "edge.toml:5: maintenance_allow: expected an address or a network such as 10.0.0.0/8, got \"10.0.0.0/99\"",
        ),
        ("maintenance_retry_after = 'soon'", "edge.toml:1: maintenance_retry_after: expected a duration"),
    ] {
        let said = refused(&format!("{text}\n"));
        assert!(said.contains(told), "{told:?} is not in {said}");
    }
}
