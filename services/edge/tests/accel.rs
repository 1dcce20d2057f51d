//! Downloads that the application delegates: `X-Accel-Redirect` and `X-Sendfile` to internal routes, which nobody else
//! gets to. Private media.
#![allow(clippy::unwrap_used)]

mod common;

use common::client::request;
use common::upstream::{Seen, reply};
use common::{Edge, Setup, Upstream, get, write};
use std::time::Instant;

/// The view of a Django project that authorises: who has the cookie gets the file.
fn view(seen: &Seen, stream: &mut std::net::TcpStream, dir: &str) -> bool {
    let file = seen.path().strip_prefix("/media/").map(str::to_owned);
    match (seen.path(), file) {
        (_, Some(_)) if seen.header("cookie") != Some("sessionid=alice") => reply(stream, 403, &[], "not for you"),
        (_, Some(file)) => reply(
            stream,
            200,
            &[
                ("X-Accel-Redirect", &format!("/protected/{file}")),
                ("Content-Type", "application/pdf"),
                ("Content-Disposition", "attachment; filename=\"a.pdf\""),
                ("Set-Cookie", "seen=1"),
                ("Set-Cookie", "more=2"),
                ("ETag", "\"the application's\""),
                ("X-Other", "dropped"),
            ],
            "nobody sees this",
        ),
        ("/own-type", _) => {
            reply(stream, 200, &[("X-Accel-Redirect", "/protected/a.txt"), ("Cache-Control", "max-age=5")], "")
        }
        ("/charset", _) => reply(
            stream,
            200,
            &[("X-Accel-Redirect", "/protected/a.txt"), ("Content-Type", "text/x-odd"), ("X-Accel-Charset", "latin1")],
            "",
        ),
        ("/sendfile", _) => reply(stream, 200, &[("X-Sendfile", &format!("{dir}/sub/b.txt"))], ""),
        ("/sendfile-out", _) => reply(stream, 200, &[("X-Sendfile", "/etc/passwd")], ""),
        ("/sendfile-dots", _) => reply(stream, 200, &[("X-Sendfile", &format!("{dir}/../secret.txt"))], ""),
        ("/open", _) => reply(stream, 200, &[("X-Accel-Redirect", "/open/a.txt")], ""),
        ("/dots", _) => reply(stream, 200, &[("X-Accel-Redirect", "/protected/../../secret.txt")], ""),
        ("/escaped-dots", _) => reply(stream, 200, &[("X-Accel-Redirect", "/protected/%2e%2e/secret.txt")], ""),
        ("/raw", _) => reply(stream, 200, &[("X-Accel-Redirect", "/protected/a b.txt")], ""),
        ("/absolute", _) => reply(stream, 200, &[("X-Accel-Redirect", "http://other.example/")], ""),
        ("/backend", _) => reply(stream, 200, &[("X-Accel-Redirect", "/store/x?y=1"), ("Content-Type", "a/b")], ""),
        ("/store/x?y=1", _) => {
            let said = format!("from the store, {}", seen.header("x-mine").unwrap_or_default());
            reply(stream, 200, &[("Content-Type", "image/png")], said)
        }
        ("/bare", _) => reply(stream, 200, &[("X-Accel-Redirect", "/store/bare"), ("Content-Type", "a/b")], ""),
        ("/store/bare", _) => reply(stream, 200, &[], "it does not say what"),
        ("/bare-missing", _) => {
            reply(stream, 200, &[("X-Accel-Redirect", "/store/missing"), ("Content-Type", "a/b")], "")
        }
        ("/store/missing", _) => reply(stream, 404, &[], "nothing here"),
        ("/round", _) => reply(stream, 200, &[("X-Accel-Redirect", "/store/round")], ""),
        ("/store/round", _) => reply(stream, 200, &[("X-Accel-Redirect", "/store/round")], ""),
        ("/slow", _) => {
            reply(stream, 200, &[("X-Accel-Redirect", "/protected/large"), ("X-Accel-Limit-Rate", "100000")], "")
        }
        ("/all", _) => {
            let names = ["Expires", "Limit-Rate", "Charset", "Buffering", "Unknown"];
            let names = names.map(|name| format!("X-Accel-{name}"));
            reply(stream, 200, &names.each_ref().map(|name| (name.as_str(), "1000000")), "all")
        }
        ("/slow-own", _) => reply(stream, 200, &[("X-Accel-Limit-Rate", "100000")], vec![7; 150_000]),
        _ => reply(stream, 200, &[("X-Accel-Expires", "5")], "hello"),
    }
}

fn site() -> (Edge, Upstream, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let media = dir.path().join("media");
    write(&media.join("a.txt"), "private");
    write(&media.join("a b.txt"), "spaced");
    write(&media.join("sub/b.txt"), "deeper");
    write(&media.join("large"), vec![7; 150_000]);
    write(&dir.path().join("open/a.txt"), "open");
    write(&dir.path().join("secret.txt"), "SECRET");
    let folder = media.to_str().unwrap().to_owned();
    let upstream = Upstream::start(move |seen, stream| view(seen, stream, &folder));
    let text = format!(
        "upstream = ['{}']\n[[site]]\n\
         [[site.route]]\npath = '/protected/'\nfiles = '{dir}/media'\ninternal = true\nuploads = true\n\
         [[site.route]]\npath = '/store/'\nupstream = 'default'\ninternal = true\n\
         [[site.route]]\npath = '/open/'\nfiles = '{dir}/open'\n",
        upstream.address,
        dir = dir.path().display()
    );
    (Setup::default().plain().file(&text).start(), upstream, dir)
}

const ALICE: &str = "Cookie: sessionid=alice";

#[test]
fn private_media() {
    let (edge, upstream, _dir) = site();
    assert_eq!(get(edge.http, "/media/a.txt", &[]).status, 403);
    let answer = get(edge.http, "/media/a.txt", &[ALICE]);
    assert_eq!((answer.status, answer.text().as_str()), (200, "private"));
    for (name, value) in [
        ("content-type", Some("application/pdf")),
        ("content-disposition", Some("attachment; filename=\"a.pdf\"")),
        ("cache-control", Some("private, no-cache")),
        ("content-length", Some("7")),
        ("x-accel-redirect", None),
        ("x-other", None),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
    let cookies: Vec<_> =
        answer.headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, value)| value).collect();
    assert_eq!(cookies, ["seen=1", "more=2"]);
    let etag = answer.header("etag").unwrap();
    assert!(!etag.contains("application"), "the file's own: {etag}");
    // Asked again, the application decides again, and the file need not be sent.
    let unchanged = get(edge.http, "/media/a.txt", &[ALICE, &format!("If-None-Match: {etag}")]);
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    assert_eq!(upstream.seen().len(), 3);
    let part = get(edge.http, "/media/a.txt", &[ALICE, "Range: bytes=1-3"]);
    assert_eq!((part.status, part.text().as_str()), (206, "riv"));
    let head = request(edge.http, "HEAD", "/media/a.txt", &[ALICE]);
    assert_eq!((head.status, head.header("content-length")), (200, Some("7")));
    let posted = request(edge.http, "POST", "/media/a.txt", &[ALICE, "Content-Length: 0"]);
    assert_eq!((posted.status, posted.text().as_str()), (200, "private"));
    assert_eq!(get(edge.http, "/media/a%20b.txt", &[ALICE]).text(), "spaced");
    assert_eq!(get(edge.http, "/media/none.txt", &[ALICE]).status, 404);
}

#[test]
fn nobody_else_gets_there() {
    let (edge, upstream, _dir) = site();
    for path in
        ["/protected/a.txt", "/protected/", "/protected", "/%70rotected/a.txt", "/x/../protected/a.txt", "/store/x"]
    {
        let answer = get(edge.http, path, &["X-Accel-Redirect: /protected/a.txt", "X-Sendfile: /protected/a.txt"]);
        assert_eq!(answer.status, 404, "{path}");
    }
    assert!(upstream.seen().is_empty());
    let answer = get(edge.http, "/hello", &["X-Accel-Redirect: /protected/a.txt", "X-Sendfile: /etc/passwd"]);
    assert_eq!((answer.text().as_str(), answer.header("x-accel-expires")), ("hello", None));
    let seen = upstream.last();
    assert_eq!((seen.header("x-accel-redirect"), seen.header("x-sendfile")), (None, None));
}

#[test]
fn where_it_may_point() {
    let (edge, _upstream, _dir) = site();
    for (path, status, text) in [
        ("/own-type", 200, "private"),
        ("/sendfile", 200, "deeper"),
        ("/raw", 200, "spaced"),
        ("/backend", 200, "from the store, own"),
        ("/sendfile-out", 404, ""),
        ("/sendfile-dots", 404, ""),
        ("/open", 404, ""),
        ("/dots", 404, ""),
        ("/escaped-dots", 404, ""),
        ("/absolute", 404, ""),
        ("/round", 500, ""),
    ] {
        let answer = get(edge.http, path, &["X-Mine: own"]);
        assert_eq!(answer.status, status, "{path}");
        assert!(text.is_empty() || answer.text() == text, "{path}: {}", answer.text());
        assert!(!answer.text().contains("SECRET") && !answer.text().contains("root:"), "{path}");
    }
    let own = get(edge.http, "/own-type", &[]);
    assert_eq!(own.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(own.header("cache-control"), Some("max-age=5"));
    assert_eq!(get(edge.http, "/charset", &[]).header("content-type"), Some("text/x-odd; charset=latin1"));
}

/// An upstream knows better what it sends; only where it sends something and does not say, the application's word counts, as in nginx.
#[test]
fn the_type_of_what_another_upstream_has() {
    let (edge, _upstream, _dir) = site();
    for (path, status, media) in
        [("/backend", 200, Some("image/png")), ("/bare", 200, Some("a/b")), ("/bare-missing", 404, None)]
    {
        let answer = get(edge.http, path, &[]);
        assert_eq!((answer.status, answer.header("content-type")), (status, media), "{path}");
    }
}

/// Words for the edge are not for clients, whether it does anything with them or not.
#[test]
fn no_client_sees_any_of_it() {
    let (edge, _upstream, _dir) = site();
    let answer = get(edge.http, "/all", &[]);
    assert_eq!(answer.text(), "all");
    let told: Vec<_> = answer.headers.iter().filter(|(name, _)| name.starts_with("x-accel-")).collect();
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn as_fast_as_the_application_says() {
    let (edge, _upstream, _dir) = site();
    for path in ["/slow", "/slow-own"] {
        let begun = Instant::now();
        assert_eq!(get(edge.http, path, &[]).body, vec![7; 150_000]);
        // A second's worth at once, the rest at its rate: never sooner than that.
        assert!(begun.elapsed().as_millis() >= 450, "{path}: {:?}", begun.elapsed());
    }
}

#[test]
fn without_an_internal_route_nothing_is_followed() {
    let upstream = Upstream::start(|_, stream| reply(stream, 200, &[("X-Accel-Redirect", "/x")], "as it is"));
    let edge = Edge::plain(upstream.flag());
    let answer = get(edge.http, "/", &[]);
    assert_eq!((answer.text().as_str(), answer.header("x-accel-redirect")), ("as it is", None));
}
