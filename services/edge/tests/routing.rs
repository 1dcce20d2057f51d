//! Sites and routes of `edge.toml`, over real sockets: whose request it is, and what becomes of it.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Connection, Edge, Setup, Upstream, get, until};

fn edge(text: &str) -> Edge {
    Setup::default().plain().file(text).start()
}

fn host(name: &str) -> String {
    format!("Host: {name}")
}

#[test]
fn several_sites_and_upstreams() {
    let (shop, node, rest) = (Upstream::saying("shop"), Upstream::saying("node"), Upstream::saying("rest"));
    let edge = edge(&format!(
        "upstream = ['{}']\n\
         [upstreams.shop]\nservers = ['{}']\n\
         [upstreams.node]\nservers = ['{}']\n\
         [[site]]\nhosts = ['shop.example', '*.shop.example']\n\
         [[site.route]]\npath = '/'\nupstream = 'shop'\n\
         [[site.route]]\npath = '/api/'\nupstream = 'node'\n\
         [[site]]\nhosts = ['blog.example']\n",
        rest.address, shop.address, node.address
    ));
    for (name, path, answer) in [
        ("shop.example", "/", "shop"),
        ("x.y.shop.example", "/", "shop"),
        ("shop.example", "/api/x", "node"),
        ("shop.example", "/api", "node"),
        ("shop.example", "/apis", "shop"),
        ("shop.example", "/%61pi/x", "node"),
        ("shop.example", "/x/../api/x", "node"),
        ("blog.example", "/api/x", "rest"),
    ] {
        assert_eq!(get(edge.http, path, &[&host(name)]).text(), answer, "{name}{path}");
    }
    assert_eq!(get(edge.http, "/", &[&host("other.example")]).status, 404);
    let line = edge.access_line(|line| line["path"] == "/api/x" && line["host"] == "shop.example");
    assert_eq!(line["route"], "/api/");
    let metrics = edge.admin("/metrics").text();
    for series in [
        "monodon_edge_upstream_requests_total{upstream=\"node\",code_class=\"2xx\"} 4",
        "monodon_edge_upstream_requests_total{upstream=\"default\",code_class=\"2xx\"} 1",
        "monodon_edge_http_requests_total{site=\"*.shop.example\",",
    ] {
        assert!(metrics.contains(series), "{series} in\n{metrics}");
    }
}

#[test]
fn one_site_may_have_the_hosts_that_no_other_has() {
    let site = |name: &str, more: &str| {
        format!("[[site]]\nhosts = ['{name}.example']\n{more}[[site.route]]\npath = '/'\nrespond = '{name}'\n")
    };
    for (default, stranger) in [("", (404, "")), ("default = true\n", (200, "blog"))] {
        let edge = edge(&format!("{}{}{}", site("shop", ""), site("blog", default), site("wiki", "")));
        for name in ["shop", "blog", "wiki"] {
            assert_eq!(get(edge.http, "/", &[&host(&format!("{name}.example"))]).text(), name);
        }
        for name in ["other.example", "a.shop.example", "127.0.0.1"] {
            let answer = get(edge.http, "/", &[&host(name)]);
            let text = if stranger.0 == 200 { answer.text() } else { String::new() };
            assert_eq!((answer.status, text.as_str()), stranger, "{default}{name}");
        }
    }
}

#[test]
fn what_the_upstream_is_asked_for() {
    let upstream = Upstream::saying("hello");
    let edge = edge(&format!(
        "[upstreams.app]\nservers = ['{}']\n[[site]]\n\
         [[site.route]]\npath = '/api'\nupstream = 'app'\nstrip_prefix = true\n\
         [[site.route]]\npattern = '^/old/(?<rest>.*)$'\nupstream = 'app'\nrewrite = '/new/$rest$is_args$args'\n\
         [[site.route]]\npattern = '^/moved(/.*)$'\nupstream = 'app'\nrewrite = '$1'\n\
         [[site.route]]\npath = '/'\nupstream = 'app'\n",
        upstream.address
    ));
    for (asked, seen, prefix) in [
        ("/api/x%2fy?q=1", "/x%2fy?q=1", Some("/api")),
        ("/api/x?q=1", "/x?q=1", Some("/api")),
        ("/api", "/", Some("/api")),
        ("/old/a%20b?q=%2f", "/new/a%20b?q=%2f", None),
        ("/moved/a%20b", "/a%20b", None),
        ("/x%2fy?q", "/x%2fy?q", None),
    ] {
        assert_eq!(get(edge.http, asked, &["X-Forwarded-Prefix: /evil"]).status, 200, "{asked}");
        let last = upstream.last();
        assert_eq!((last.path(), last.header("x-forwarded-prefix")), (seen, prefix), "{asked}");
    }
}

#[test]
fn methods_and_headers() {
    let (read, write) = (Upstream::saying("read"), Upstream::saying("write"));
    let edge = edge(&format!(
        "[upstreams.read]\nservers = ['{}']\n[upstreams.write]\nservers = ['{}']\n[[site]]\n\
         [[site.route]]\npath = '/'\nupstream = 'read'\n\
         [[site.route]]\npath = '/'\nmethods = ['POST', 'PUT']\nupstream = 'write'\n\
         [[site.route]]\npath = '/'\nheaders = ['x-beta=1', 'x-user']\nupstream = 'write'\n",
        read.address, write.address
    ));
    let ask = |method, fields: &[&str]| common::client::request(edge.http, method, "/", fields).text();
    assert_eq!(ask("GET", &[]), "read");
    assert_eq!(ask("POST", &["Content-Length: 0"]), "write");
    assert_eq!(ask("GET", &["X-Beta: 1", "X-User: me"]), "write");
    assert_eq!(ask("GET", &["X-Beta: 1"]), "read");
    assert_eq!(ask("GET", &["X-Beta: 2", "X-User: me"]), "read");
}

/// What a route asks of GET is asked of HEAD, which applications answer alike.
#[test]
fn a_route_for_get_takes_head() {
    let upstream = Upstream::saying("hello");
    let edge = edge(&format!(
        "upstream = ['{}']\n[[site]]\n[[site.route]]\npath = '/closed'\nmethods = ['GET']\nupstream = 'default'\ndeny = ['all']\n",
        upstream.address
    ));
    for (method, status) in [("GET", 403), ("HEAD", 403), ("POST", 200)] {
        let mut connection = common::Connection::plain(edge.http).unwrap();
        connection.send(format!("{method} /closed HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")).unwrap();
        assert_eq!(connection.answer_to(method == "HEAD").unwrap().status, status, "{method}");
    }
}

#[test]
fn a_minor_version_that_nobody_knows_is_as_the_last_that_is_known() {
    let upstream = Upstream::saying("hello");
    let edge = edge(&format!("upstream = ['{}']\n", upstream.address));
    let answer = Connection::plain(edge.http).unwrap().ask("GET /x HTTP/1.2\r\nHost: a\r\n\r\n");
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    assert_eq!(upstream.last().line, "GET /x HTTP/1.1");
}

/// What clients send although no URI holds it reaches the application encoded, and is routed as what it means.
#[test]
fn what_no_uri_holds_is_encoded() {
    let upstream = Upstream::saying("hello");
    let edge = edge(&format!(
        "upstream = ['{}']\n[[site]]\n[[site.route]]\npath = '/<a>/'\nupstream = 'default'\n\
         [[site.route]]\npath = '/x'\nupstream = 'default'\n",
        upstream.address
    ));
    for (target, told) in [
        (r#"/x?filter={"a":1}"#, "/x?filter={%22a%22:1}"),
        ("/x?a=<b>", "/x?a=%3Cb%3E"),
        ("/<a>/b`?c`", "/%3Ca%3E/b%60?c%60"),
        ("/%3ca%3e/%20", "/%3ca%3e/%20"),
    ] {
        assert_eq!(get(edge.http, target, &[]).status, 200, "{target}");
        assert_eq!(upstream.last().path(), told);
    }
}

#[test]
fn redirects_fixed_answers_files_and_closing() {
    let folder = tempfile::tempdir().unwrap();
    common::write(&folder.path().join("a.txt"), "file");
    let edge = edge(&format!(
        "[[site]]\n\
         [[site.route]]\nexact = '/moved'\nredirect = 'https://new.example$request_uri'\n\
         [[site.route]]\npattern = '^/p/(\\d+)$'\nredirect = '/product/$1'\nstatus = 301\n\
         [[site.route]]\nexact = '/robots.txt'\nrespond = 'User-agent: *'\n\
         [[site.route]]\nexact = '/app.json'\nrespond = '{{}}'\ncontent_type = 'application/json'\nstatus = 201\n\
         [[site.route]]\nexact = '/gone'\nstatus = 410\n\
         [[site.route]]\npath = '/downloads/'\nfiles = '{}'\n\
         [[site.route]]\npath = '/wp-login.php'\nclose = true\n",
        folder.path().display()
    ));
    let moved = get(edge.http, "/moved?a=b", &[]);
    assert_eq!((moved.status, moved.header("location")), (308, Some("https://new.example/moved?a=b")));
    let product = get(edge.http, "/p/7", &[]);
    assert_eq!((product.status, product.header("location")), (301, Some("/product/7")));
    let robots = get(edge.http, "/robots.txt", &[]);
    assert_eq!((robots.status, robots.text().as_str()), (200, "User-agent: *"));
    assert_eq!(robots.header("content-type"), Some("text/plain; charset=utf-8"));
    let json = get(edge.http, "/app.json", &[]);
    assert_eq!((json.status, json.header("content-type"), json.text().as_str()), (201, Some("application/json"), "{}"));
    assert_eq!(get(edge.http, "/gone", &[]).status, 410);
    assert_eq!(get(edge.http, "/downloads/a.txt", &[]).text(), "file");
    assert_eq!(get(edge.http, "/downloads/b.txt", &[]).status, 404);
    assert_eq!(get(edge.http, "/downloads", &[]).status, 404);
    assert_eq!(get(edge.http, "/else", &[]).status, 404);
    let mut scanner = Connection::plain(edge.http).unwrap();
    scanner.send("GET /wp-login.php HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(scanner.read_to_end(), b"");
    assert_eq!(edge.access_line(|line| line["path"] == "/wp-login.php")["status"], 444);
}

#[test]
fn the_canonical_host() {
    let upstream = Upstream::saying("hello");
    let edge = edge(&format!(
        "upstream = ['{}']\n[[site]]\nhosts = ['shop.example', 'www.shop.example']\ncanonical = 'shop.example'\n",
        upstream.address
    ));
    assert_eq!(get(edge.http, "/", &[&host("shop.example")]).status, 200);
    let moved = get(edge.http, "/a?b", &[&host("WWW.shop.example")]);
    let wanted = format!("http://shop.example:{}/a?b", edge.http.port());
    assert_eq!((moved.status, moved.header("location")), (307, Some(wanted.as_str())));
}

/// The certificate that clients see is the proxy's.
#[test]
fn the_canonical_host_behind_a_proxy_with_tls() {
    let edge = edge(
        "trusted_proxies = ['127.0.0.1']\n[[site]]\nhosts = ['shop.example', 'www.shop.example']\ncanonical = 'shop.example'\n\
         [[site.route]]\npath = '/'\nrespond = 'hello'\n",
    );
    for (method, scheme, status, location) in [
        ("GET", "https", 301, "https://shop.example/a?b".to_owned()),
        ("POST", "https", 308, "https://shop.example/a?b".to_owned()),
        ("GET", "http", 307, format!("http://shop.example:{}/a?b", edge.http.port())),
    ] {
        let proto = format!("X-Forwarded-Proto: {scheme}");
        let fields = [&*host("www.shop.example"), &proto, "Content-Length: 0"];
        let moved = common::client::request(edge.http, method, "/a?b", &fields);
        assert_eq!((moved.status, moved.header("location")), (status, Some(location.as_str())), "{method} {scheme}");
    }
}

#[test]
fn certificates_are_kept_for_the_sites_names() {
    let upstream = Upstream::saying("hello");
    let text = format!("upstream = ['{}']\n[[site]]\nhosts = ['shop.example', '*.shop.example']\n", upstream.address);
    let edge = Setup::default().file(&text).start();
    let ca = edge.ca();
    let mut connection = Connection::tls(edge.https, &ca, "shop.example", &["http/1.1"]).unwrap();
    assert_eq!(connection.ask("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").status, 200);
    assert_eq!(connection.ask("GET / HTTP/1.1\r\nHost: a.shop.example\r\n\r\n").status, 421);
}

#[test]
fn a_reload_changes_routes_and_keeps_upstreams() {
    let (one, two) = (Upstream::saying("one"), Upstream::saying("two"));
    let text = |upstream: &str| {
        format!(
            "[upstreams.one]\nservers = ['{}']\n[upstreams.two]\nservers = ['{}']\n\
             [[site]]\n[[site.route]]\npath = '/'\nupstream = '{upstream}'\n",
            one.address, two.address
        )
    };
    let edge = edge(&text("one"));
    assert_eq!(get(edge.http, "/", &[]).text(), "one");
    edge.rewrite(&text("two"));
    edge.signal("HUP");
    until("the new route", || get(edge.http, "/", &[]).text() == "two");
    edge.rewrite(&text("three"));
    edge.signal("HUP");
    until("the refusal", || edge.metric("monodon_edge_config_last_reload_successful") == 0.0);
    assert_eq!(get(edge.http, "/", &[]).text(), "two");
}

#[test]
fn a_route_may_have_its_own_options() {
    let upstream = Upstream::saying("hello");
    let edge = edge(&format!(
        "upstream = ['{}']\nbody_limit = '10'\n[[site]]\nsecurity_headers = false\n\
         [[site.route]]\npath = '/upload'\nupstream = 'default'\nbody_limit = '1MB'\nsecurity_headers = true\n\
         [[site.route]]\npath = '/health'\nupstream = 'default'\nlog_requests = false\n",
        upstream.address
    ));
    let post = |path: &str, size: usize| {
        let mut connection = Connection::plain(edge.http).unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n");
        connection.ask([head.as_bytes(), &vec![b'x'; size]].concat())
    };
    assert_eq!(post("/", 10).status, 200);
    assert_eq!(post("/", 11).status, 413);
    assert_eq!(post("/upload", 100_000).status, 200);
    assert_eq!(post("/upload", (1 << 20) + 1).status, 413);
    assert_eq!(get(edge.http, "/", &[]).header("x-frame-options"), None);
    assert_eq!(get(edge.http, "/upload", &[]).header("x-frame-options"), Some("DENY"));
    assert_eq!(get(edge.http, "/health", &[]).status, 200);
    assert_eq!(get(edge.http, "/last", &[]).status, 200);
    edge.access_line(|line| line["path"] == "/last");
    assert!(!edge.lines().iter().any(|line| line.contains("\"/health\"")));
}
