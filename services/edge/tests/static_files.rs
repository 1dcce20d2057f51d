//! Files: types, caching, conditions, ranges, and every way out of the folder that attackers try.
#![allow(clippy::unwrap_used)]

mod common;

use common::client::{request, try_get};
use common::{Connection, Edge, Upstream, get, write};
use std::path::Path;

/// A folder with a small, a hashed and a large file, and things that must not be served.
fn site() -> (tempfile::TempDir, Edge, Upstream) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("static");
    write(&root.join("site.css"), "body{}");
    write(&root.join("base.5af66c1b1797.css"), "body{color:red}");
    write(&root.join("large.bin"), large());
    write(&root.join("caf\u{e9}.txt"), "coffee");
    write(&root.join(".env"), "SECRET");
    write(&root.join(".git/config"), "SECRET");
    write(&root.join("sub/page.txt"), "page");
    write(&dir.path().join("secret.txt"), "SECRET");
    write(&dir.path().join("static-other/secret.txt"), "SECRET");
    std::os::unix::fs::symlink("../secret.txt", root.join("link.txt")).unwrap();
    std::os::unix::fs::symlink("/", root.join("rootlink")).unwrap();
    std::os::unix::fs::symlink("sub", root.join("inner")).unwrap();
    let media = dir.path().join("media");
    write(&media.join("evil.html"), "<script>alert(1)</script>");
    write(&media.join("evil.svg"), "<svg xmlns='http://www.w3.org/2000/svg'/>");
    let upstream = Upstream::saying("from the application");
    let edge = Edge::plain(
        [
            &upstream.flag()[..],
            &[flag("/static/", &root), flag("/media/", &media)].map(|value| ["--static".to_owned(), value]).concat(),
        ]
        .concat(),
    );
    (dir, edge, upstream)
}

fn flag(prefix: &str, dir: &Path) -> String {
    format!("{prefix}={}", dir.display())
}

/// Larger than what is kept in memory, no two chunks alike.
fn large() -> Vec<u8> {
    (0..1_000_000u32).map(|index| (index / 7 % 251) as u8).collect()
}

#[test]
fn types_and_caching() {
    let (_dir, edge, _) = site();
    let css = get(edge.http, "/static/site.css", &[]);
    assert_eq!((css.status, css.text().as_str()), (200, "body{}"));
    assert_eq!(css.header("content-type"), Some("text/css; charset=utf-8"));
    assert_eq!(css.header("cache-control"), Some("public, max-age=60"));
    assert_eq!(css.header("x-content-type-options"), Some("nosniff"));
    let hashed = get(edge.http, "/static/base.5af66c1b1797.css", &[]);
    assert_eq!(hashed.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(get(edge.http, "/static/caf%C3%A9.txt?v=1", &[]).text(), "coffee");
    let head = request(edge.http, "HEAD", "/static/site.css", &[]);
    assert_eq!((head.status, head.header("content-length")), (200, Some("6")));
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer = request(edge.http, method, "/static/site.css", &["Content-Length: 0"]);
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
}

#[test]
fn conditions() {
    let (dir, edge, _) = site();
    let first = get(edge.http, "/static/site.css", &[]);
    let (etag, modified) = (first.header("etag").unwrap(), first.header("last-modified").unwrap());
    assert!(etag.starts_with('"'), "a strong one");
    for field in [format!("If-None-Match: {etag}"), format!("If-Modified-Since: {modified}")] {
        let answer = get(edge.http, "/static/site.css", &[&field]);
        assert_eq!((answer.status, answer.body.len(), answer.header("etag")), (304, 0, Some(etag)), "{field}");
    }
    assert_eq!(get(edge.http, "/static/site.css", &["If-None-Match: \"other\""]).status, 200);
    assert_eq!(get(edge.http, "/static/site.css", &["If-Match: \"other\""]).status, 412);
    // A changed file is seen within seconds.
    write(&dir.path().join("static/site.css"), "body{margin:0}");
    common::until("the new file is served", || get(edge.http, "/static/site.css", &[]).text() == "body{margin:0}");
    assert_eq!(get(edge.http, "/static/site.css", &[&format!("If-None-Match: {etag}")]).status, 200);
    std::fs::remove_file(dir.path().join("static/site.css")).unwrap();
    common::until("the removed file is gone", || get(edge.http, "/static/site.css", &[]).status == 404);
}

#[test]
fn ranges() {
    let (_dir, edge, _) = site();
    let large = large();
    for (path, whole) in [("/static/large.bin", &large[..]), ("/static/sub/page.txt", b"page")] {
        let all = get(edge.http, path, &[]);
        assert_eq!((all.status, &all.body[..], all.header("accept-ranges")), (200, whole, Some("bytes")));
        let some = get(edge.http, path, &["Range: bytes=1-2"]);
        assert_eq!((some.status, &some.body[..]), (206, &whole[1..3]));
        let range = format!("bytes 1-2/{}", whole.len());
        assert_eq!(some.header("content-range"), Some(range.as_str()));
        assert_eq!(get(edge.http, path, &["Range: bytes=-3"]).body, &whole[whole.len() - 3..]);
        let beyond = get(edge.http, path, &["Range: bytes=2000000-"]);
        let range = format!("bytes */{}", whole.len());
        assert_eq!((beyond.status, beyond.header("content-range")), (416, Some(range.as_str())));
        assert_eq!(get(edge.http, path, &["Range: bytes=1-2", "If-Range: \"other\""]).body, whole);
        // RFC 9110, section 14.2: of GET alone, and which of two fields is meant nobody knows.
        let head = request(edge.http, "HEAD", path, &["Range: bytes=1-2"]);
        assert_eq!((head.status, head.header("content-length")), (200, Some(&*whole.len().to_string())));
        let twice = get(edge.http, path, &["Range: bytes=1-2", "Range: bytes=0-1"]);
        assert_eq!((twice.status, &twice.body[..]), (200, whole));
    }
    let middle = get(edge.http, "/static/large.bin", &["Range: bytes=100000-700000"]);
    assert_eq!(middle.body, &large[100_000..=700_000]);
    // What overlaps or touches is one: nobody gets the same bytes twice.
    for ranges in ["100-199,150-299", "150-299,100-199", "200-299,100-199", "100-299,150-160,100-299", "100-299,100-"] {
        let one = get(edge.http, "/static/large.bin", &[&format!("Range: bytes={ranges}")]);
        let end = if ranges.ends_with('-') { large.len() } else { 300 };
        let told = format!("bytes 100-{}/{}", end - 1, large.len());
        assert_eq!((one.status, one.header("content-range")), (206, Some(told.as_str())), "{ranges}");
        assert!(one.body == large[100..end], "{ranges}");
    }
    let several = get(edge.http, "/static/large.bin", &["Range: bytes=0-9,500000-500004,500003-500009"]);
    assert_eq!(several.status, 206);
    let media = several.header("content-type").unwrap();
    let boundary = media.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let mut expected = Vec::new();
    for start in [0, 500_000] {
        let end = start + 9;
        expected.extend(format!("\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\n").into_bytes());
        expected.extend(format!("Content-Range: bytes {start}-{end}/1000000\r\n\r\n").into_bytes());
        expected.extend(&large[start..=end]);
    }
    expected.extend(format!("\r\n--{boundary}--\r\n").into_bytes());
    assert_eq!(several.body, expected);
    let flood: Vec<String> = (0..100).map(|index| format!("{}-{}", index * 2, index * 2)).collect();
    let flood = get(edge.http, "/static/large.bin", &[&format!("Range: bytes={}", flood.join(","))]);
    assert_eq!((flood.status, flood.body.len()), (200, large.len()));
}

#[test]
fn no_way_out() {
    let (_dir, edge, upstream) = site();
    for path in [
        "/static/../secret.txt",
        "/static/%2e%2e/secret.txt",
        "/static/.%2e/secret.txt",
        "/static/sub/../../secret.txt",
        "/static/..%2fsecret.txt",
        "/static/%2e%2e%2fsecret.txt",
        "/static/..%5csecret.txt",
        "/static/..\\secret.txt",
        "/static/%252e%252e/secret.txt",
        "/static/%c0%ae%c0%ae/secret.txt",
        "/static/..;/secret.txt",
        "/static//../secret.txt",
        "/static/./../secret.txt",
        "/static/link.txt",
        "/static/rootlink/etc/passwd",
        "/static/inner/page.txt",
        "/static/.env",
        "/static/.git/config",
        "/static/%2egit/config",
        "/static/sub/",
        "/static/sub",
        "/static/",
        "/static//etc/passwd",
        "/static/site.css/",
        "/static/missing.css",
        "/static/site.css%00.png",
        "/static/%zz",
        "/static-other/secret.txt",
        "/staticsecret.txt",
        "/../../../../etc/passwd",
    ] {
        let answer = get(edge.http, path, &[]);
        let text = answer.text();
        assert!(!text.contains("SECRET") && !text.contains("root:") && !text.contains("page\n"), "{path}: {text}");
        let leaves = [
            "/static/..",
            "/static/%2e",
            "/static/.%2e",
            "/static/sub/..",
            "/static//..",
            "/static/./..",
            "/static-",
            "/staticsecret",
        ];
        if !leaves.iter().any(|start| path.starts_with(start)) {
            assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
        }
    }
    // What left the prefix by its dots was no request for a file: the application answered it.
    assert!(upstream.seen().iter().all(|seen| !seen.path().starts_with("/static/sub/page")));
}

#[test]
fn uploads_do_not_act_in_the_sites_name() {
    let (_dir, edge, _) = site();
    let html = get(edge.http, "/media/evil.html", &[]);
    assert_eq!(html.header("content-disposition"), Some("attachment"));
    assert_eq!(html.header("x-content-type-options"), Some("nosniff"));
    let svg = get(edge.http, "/media/evil.svg", &[]);
    assert_eq!(svg.header("content-type"), Some("image/svg+xml; charset=utf-8"));
    assert!(svg.header("content-security-policy").unwrap().contains("sandbox"));
}

#[test]
fn two_sites_with_the_same_folder_say_each_its_own() {
    let (dir, upstream) = (tempfile::tempdir().unwrap(), Upstream::saying("from the application"));
    write(&dir.path().join("site.css"), "body{}");
    let text = format!(
        "static = ['/static/={}']\nupstream = ['{}']\n\
         [[site]]\nhosts = ['a.example']\nexpires = '1h'\n[[site.route]]\npath = '/only/'\nfiles = '{}'\n\
         [[site]]\nhosts = ['b.example']\nexpires = '1d'\n",
        dir.path().display(),
        upstream.address,
        dir.path().display()
    );
    let edge = common::Setup::default().plain().file(&text).start();
    for (host, kept) in [("a", "max-age=3600"), ("b", "max-age=86400"), ("a", "max-age=3600")] {
        let answer = get(edge.http, "/static/site.css", &[&format!("Host: {host}.example")]);
        assert_eq!((answer.status, answer.header("cache-control")), (200, Some(kept)), "{host}");
    }
    for (host, text) in [("a", "body{}"), ("b", "from the application")] {
        let answer = get(edge.http, "/only/site.css", &[&format!("Host: {host}.example")]);
        assert_eq!(answer.text(), text, "a route's folder is its site's alone");
    }
}

#[test]
fn served_while_the_application_is_down() {
    let (dir, _edge, _) = site();
    let port = common::free_port().to_string();
    let root = flag("/static/", &dir.path().join("static"));
    let edge = Edge::plain(["--upstream", &format!("127.0.0.1:{port}"), "--static", &root]);
    assert_eq!(get(edge.http, "/static/site.css", &[]).status, 200);
    let down = get(edge.http, "/", &["Accept: text/html"]);
    assert_eq!(down.status, 502);
    assert!(down.text().contains(down.header("x-request-id").unwrap()));
    assert_eq!(try_get(edge.admin, "/readyz").unwrap().status, 200, "a warning, not a failure");
}

#[test]
fn many_on_one_connection() {
    let (_dir, edge, _) = site();
    let mut connection = Connection::plain(edge.http).unwrap();
    for _ in 0..20 {
        for (path, length) in [("/static/large.bin", 1_000_000), ("/static/site.css", 6)] {
            let answer = connection.ask(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
            assert_eq!((answer.status, answer.body.len()), (200, length));
        }
    }
}
