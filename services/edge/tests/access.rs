//! Who may ask what, over real sockets: addresses, methods, paths.
#![allow(clippy::unwrap_used)]

mod common;

use common::client::request;
use common::{Edge, Setup, Upstream, get};

fn edge(text: &str) -> Edge {
    Setup::default().plain().file(text).start()
}

fn counted(edge: &Edge, reason: &str, times: f64) {
    edge.counts(&format!("monodon_edge_http_request_errors_total{{site=\"_default\",reason=\"{reason}\"}}"), times);
}

#[test]
fn addresses_by_site_and_route() {
    let upstream = Upstream::saying("hello");
    let edge = edge(&format!(
        "upstream = ['{}']\ntrusted_proxies = ['127.0.0.1']\ndeny = ['203.0.113.66']\n[[site]]\n\
         [[site.route]]\npath = '/office'\nupstream = 'default'\nallow = ['203.0.113.0/24', '2001:db8::/32', '10.0.0.0/8']\n\
         [[site.route]]\npath = '/office/all'\nupstream = 'default'\nallow = ['all']\ndeny = []\n\
         [[site.route]]\npath = '/most'\nupstream = 'default'\ndeny = ['all']\nallow = ['203.0.113.9']\n",
        upstream.address
    ));
    for (client, path, status) in [
        ("203.0.113.9", "/", 200),
        ("203.0.113.66", "/", 403),
        ("::ffff:203.0.113.66", "/", 403),
        ("203.0.113.66:4711", "/", 403),
        ("203.0.113.9", "/office", 200),
        ("203.0.113.66", "/office", 403),
        ("203.0.113.66", "/office/all", 200),
        ("198.51.100.1", "/office", 403),
        ("198.51.100.1", "/%6fffice/", 403),
        ("198.51.100.1", "//office", 403),
        ("198.51.100.1", "/x/../office", 403),
        ("2001:db8::7", "/office", 200),
        ("2001:db9::7", "/office", 403),
        ("203.0.113.9", "/most", 200),
        ("203.0.113.8", "/most", 403),
    ] {
        let answer = get(edge.http, path, &[&format!("X-Forwarded-For: {client}")]);
        assert_eq!(answer.status, status, "{client} {path}");
    }
    // Nobody else is believed: the connection's own address counts.
    assert_eq!(get(edge.http, "/office", &[]).status, 403);
    counted(&edge, "denied", 11.0);
    assert_eq!(edge.access_line(|line| line["path"] == "/most" && line["status"] == 403)["reason"], "denied");
}

#[test]
fn a_stranger_cannot_choose_an_address() {
    let upstream = Upstream::saying("hello");
    let edge = edge(&format!("upstream = ['{}']\nallow = ['10.0.0.0/8']\n", upstream.address));
    for field in ["X-Forwarded-For", "X-Real-IP", "CF-Connecting-IP", "True-Client-IP", "X_Forwarded_For", "Client-IP"]
    {
        assert_eq!(get(edge.http, "/", &[&format!("{field}: 10.0.0.1")]).status, 403, "{field}");
    }
    assert_eq!(get(edge.http, "/", &["Forwarded: for=10.0.0.1"]).status, 403);
    assert_eq!(upstream.seen().len(), 0);
}

#[test]
fn methods() {
    let upstream = Upstream::saying("hello");
    let edge = edge(&format!(
        "upstream = ['{}']\n[[site]]\nallow_methods = ['GET', 'POST']\n\
         [[site.route]]\npath = '/dav'\nupstream = 'default'\nallow_methods = ['PROPFIND']\n",
        upstream.address
    ));
    for (method, path, status, allow) in [
        ("GET", "/", 200, None),
        ("HEAD", "/", 200, None),
        ("POST", "/", 200, None),
        ("PUT", "/", 405, Some("GET, POST, HEAD")),
        ("OPTIONS", "/", 405, Some("GET, POST, HEAD")),
        ("PATCH", "/", 405, Some("GET, POST, HEAD")),
        ("GET", "/dav", 405, Some("PROPFIND")),
        ("PROPFIND", "/dav", 200, None),
        ("TRACE", "/", 405, Some("GET, POST, HEAD")),
    ] {
        let mut connection = common::Connection::plain(edge.http).unwrap();
        connection.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")).unwrap();
        let answer = connection.answer_to(method == "HEAD").unwrap();
        assert_eq!((answer.status, answer.header("allow")), (status, allow), "{method} {path}");
    }
    counted(&edge, "method", 5.0);
}

#[test]
fn paths_and_scanners() {
    let upstream = Upstream::saying("hello");
    let edge = edge(&format!(
        "upstream = ['{}']\nblock_scanners = true\n[[site]]\ndeny_paths = ['^/internal(/|$)', '\\.(bak|sql)$']\n\
         [[site.route]]\npath = '/legacy'\nupstream = 'default'\nblock_scanners = false\n",
        upstream.address
    ));
    for (path, status) in [
        ("/", 200),
        ("/internals", 200),
        ("/internal", 403),
        ("/internal/x", 403),
        ("/%69nternal/x", 403),
        ("//internal/x", 403),
        ("/a/../internal", 403),
        ("/a%2f..%2finternal", 403),
        ("/a\\..\\internal", 403),
        ("/dump.sql", 403),
        ("/dump%2esql", 403),
        ("/.env", 403),
        ("/%2eenv", 403),
        ("/wp-login.php", 403),
        ("/.git/HEAD", 403),
        ("/legacy/index.php", 200),
        ("/legacy/dump.sql", 403),
        ("/.well-known/security.txt", 200),
    ] {
        assert_eq!(request(edge.http, "GET", path, &[]).status, status, "{path}");
    }
    counted(&edge, "scanner", 4.0);
    counted(&edge, "denied_path", 10.0);
    assert!(upstream.seen().iter().all(|seen| !seen.path().contains("intern") || seen.path() == "/internals"));
}

/// `try_files` may lead to another path of the same route, which has to be let in as any other.
#[test]
fn a_path_that_is_tried_meets_the_same_rules() {
    let upstream = Upstream::saying("hello");
    let folder = tempfile::tempdir().unwrap();
    common::write(&folder.path().join("secret.txt"), "secret");
    common::write(&folder.path().join("open.txt"), "open");
    let edge = edge(&format!(
        "upstream = ['{}']\n[[site]]\n[[site.route]]\npattern = '^(/from)?(?<name>/.*)$'\nroot = '{}'\n\
         try_files = ['$uri', '$name']\ndeny_paths = ['^/secret']\n",
        upstream.address,
        folder.path().display()
    ));
    for (path, status) in [("/open.txt", 200), ("/from/open.txt", 200), ("/secret.txt", 403), ("/from/secret.txt", 403)]
    {
        assert_eq!(get(edge.http, path, &[]).status, status, "{path}");
    }
}

#[test]
fn absolute_targets_meet_the_same_rules() {
    let upstream = Upstream::saying("hello");
    let edge = edge(&format!(
        "upstream = ['{}']\n[[site]]\nhosts = ['a.example']\ndeny_paths = ['^/internal']\n[[site]]\nhosts = ['b.example']\n",
        upstream.address
    ));
    for (target, host, status) in [
        ("http://a.example/internal", "b.example", 403),
        ("http://a.example//internal", "b.example", 403),
        ("http://b.example/internal", "a.example", 200),
        ("/internal", "A.EXAMPLE", 403),
        ("/internal", "a.example.", 403),
        ("/internal", "a.example:8443", 403),
        ("/internal;x=1", "a.example", 403),
        ("/;/internal", "a.example", 200),
    ] {
        let mut connection = common::Connection::plain(edge.http).unwrap();
        let answer = connection.ask(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(answer.status, status, "{target} {host}");
    }
    // What the application is asked is what was decided by.
    let last = upstream.last();
    assert_eq!((last.path(), last.header("host")), ("/;/internal", Some("a.example")));
}
