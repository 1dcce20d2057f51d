//! Answers that are compressed on their way, over real sockets.
#![allow(clippy::unwrap_used)]

mod common;

use common::upstream::reply;
use common::{Connection, Edge, Setup, Upstream, get, until};
use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

const HTML: (&str, &str) = ("Content-Type", "text/html; charset=utf-8");

fn page() -> String {
    "<p>the same again and again</p>\n".repeat(100)
}

fn gunzip(bytes: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    text
}

fn decoded(coding: &str, bytes: &[u8]) -> String {
    match coding {
        "gzip" => gunzip(bytes),
        "zstd" => String::from_utf8(zstd::stream::decode_all(bytes).unwrap()).unwrap(),
        "br" => {
            let mut text = String::new();
            brotli::Decompressor::new(bytes, 4096).read_to_string(&mut text).unwrap();
            text
        }
        _ => panic!("{coding}"),
    }
}

/// Pages of every kind, by their path.
fn application() -> Upstream {
    Upstream::start(|seen, stream| {
        let page = page();
        match seen.path() {
            "/page" if seen.header("if-none-match").is_some_and(|tags| tags.contains("\"v1\"")) => {
                let head = "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n";
                stream.write_all(head.as_bytes()).is_ok()
            }
            "/page" if seen.line.starts_with("HEAD") => {
                let head =
                    format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n", page.len());
                stream.write_all(head.as_bytes()).is_ok()
            }
            "/page" => {
                let fields = [HTML, ("ETag", "\"v1\""), ("Vary", "Cookie"), ("Accept-Ranges", "bytes")];
                reply(stream, 200, &fields, page)
            }
            "/gzipped" => reply(stream, 200, &[HTML, ("Content-Encoding", "gzip")], page),
            "/part" => reply(stream, 206, &[HTML], page),
            "/range" => reply(stream, 200, &[HTML, ("Content-Range", "bytes 0-3199/3200")], page),
            "/digest" => reply(stream, 200, &[HTML, ("Repr-Digest", "sha-256=:AAAA:")], page),
            "/fixed" => reply(stream, 200, &[HTML, ("Cache-Control", "no-transform")], page),
            "/image" => reply(stream, 200, &[("Content-Type", "image/png")], page),
            "/short" => reply(stream, 200, &[HTML], "short"),
            "/login" => reply(stream, 200, &[HTML, ("Set-Cookie", "session=1")], page),
            "/missing" => reply(stream, 404, &[HTML], page),
            "/large" => reply(stream, 200, &[HTML], page.repeat(1000)),
            _ => reply(stream, 404, &[], ""),
        }
    })
}

#[test]
fn the_client_gets_what_it_takes() {
    let upstream = application();
    let edge = Edge::plain(upstream.flag());
    for (asked, coding) in [
        ("gzip, deflate, br, zstd", Some("zstd")),
        ("gzip, deflate, br", Some("br")),
        ("gzip", Some("gzip")),
        ("br;q=0.5, gzip;q=0.9", Some("gzip")),
        ("deflate", None),
        ("gzip;q=0", None),
        ("gzip;q=nonsense", None),
        ("identity", None),
    ] {
        let answer = get(edge.http, "/page", &[&format!("Accept-Encoding: {asked}")]);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-encoding"), coding, "{asked}");
        let vary: Vec<_> = answer.headers.iter().filter(|(name, _)| name == "vary").map(|(_, value)| value).collect();
        assert_eq!(vary, ["Cookie", "Accept-Encoding"], "{asked}");
        match coding {
            None => assert_eq!((answer.text(), answer.header("etag")), (page(), Some("\"v1\""))),
            Some(coding) => {
                assert_eq!(decoded(coding, &answer.body), page(), "{asked}");
                assert!(answer.body.len() < 300);
                assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
                assert_eq!(answer.header("etag"), Some("W/\"v1\""));
                assert_eq!(answer.header("accept-ranges"), None, "of bytes that are never the same twice");
            }
        }
        assert_eq!(upstream.last().header("accept-encoding"), Some(asked), "the application may choose first");
    }
    let none = get(edge.http, "/page", &[]);
    assert_eq!((none.header("content-encoding"), none.text()), (None, page()));
    until("they are counted", || {
        edge.metric("monodon_edge_compressed_responses_total{encoding=\"gzip\"}") >= 2.0
            && edge.metric("monodon_edge_compression_bytes_total{encoding=\"gzip\",direction=\"in\"}") >= 6000.0
    });
}

#[test]
fn what_stays_as_it_is() {
    let upstream = application();
    let edge = Edge::plain(upstream.flag());
    let gzip = "Accept-Encoding: gzip";
    for path in ["/gzipped", "/fixed", "/image", "/part", "/range", "/digest"] {
        let answer = get(edge.http, path, &[gzip]);
        assert_eq!(answer.text(), page(), "{path}: the same bytes");
        assert_eq!(answer.header("vary"), None, "{path}");
    }
    assert_eq!(get(edge.http, "/gzipped", &[gzip]).header("content-encoding"), Some("gzip"));
    assert_eq!(get(edge.http, "/short", &[gzip]).header("content-encoding"), None);
    assert_eq!(get(edge.http, "/missing", &[gzip]).header("content-encoding"), Some("gzip"), "errors have pages, too");
}

#[test]
fn conditional_requests_and_head() {
    let upstream = application();
    let edge = Edge::plain(upstream.flag());
    let gzip = "Accept-Encoding: gzip";
    let again = get(edge.http, "/page", &[gzip, "If-None-Match: W/\"v1\""]);
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_eq!(again.header("content-encoding"), None);
    assert_eq!(upstream.last().header("if-none-match"), Some("W/\"v1\""));
    let mut connection = Connection::plain(edge.http).unwrap();
    connection.send(format!("HEAD /page HTTP/1.1\r\nHost: a\r\n{gzip}\r\nConnection: close\r\n\r\n")).unwrap();
    let all = String::from_utf8(connection.read_to_end()).unwrap().to_ascii_lowercase();
    assert!(all.contains("content-encoding: gzip\r\n") && all.contains("vary: accept-encoding\r\n"), "{all}");
    assert!(!all.contains("content-length") && all.ends_with("\r\n\r\n"), "{all}");
}

#[test]
fn files_are_compressed_and_revalidated() {
    let folder = tempfile::tempdir().unwrap();
    common::write(&folder.path().join("app.css"), "body { color: red }\n".repeat(50_000));
    common::write(&folder.path().join("photo.png"), "x".repeat(5000));
    let edge = Edge::plain(["--static".to_owned(), format!("/static/={}", folder.path().display())]);
    let answer = get(edge.http, "/static/app.css", &["Accept-Encoding: gzip"]);
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    assert_eq!(gunzip(&answer.body).len(), 1_000_000);
    let tag = answer.header("etag").unwrap().to_owned();
    let again = get(edge.http, "/static/app.css", &["Accept-Encoding: gzip", &format!("If-None-Match: {tag}")]);
    assert_eq!((again.status, again.header("vary")), (304, Some("Accept-Encoding")));
    let part = get(edge.http, "/static/app.css", &["Accept-Encoding: gzip", "Range: bytes=0-3"]);
    assert_eq!((part.status, part.text().as_str(), part.header("content-encoding")), (206, "body", None));
    let photo = get(edge.http, "/static/photo.png", &["Accept-Encoding: gzip"]);
    assert_eq!((photo.header("content-encoding"), photo.body.len()), (None, 5000));
}

/// Whether the edge has a compressed copy at hand is chance: another thread, or it after a reload, has none.
#[test]
fn a_file_has_one_tag_however_it_is_compressed() {
    let folder = tempfile::tempdir().unwrap();
    let text = "body { color: red }\n".repeat(5000);
    common::write(&folder.path().join("app.css"), &text);
    let edge = Edge::plain(["--static".to_owned(), format!("/static/={}", folder.path().display())]);
    let ask = |fields: &[&str]| get(edge.http, "/static/app.css", fields);
    let gzip = "Accept-Encoding: gzip";
    let strong = ask(&[]).header("etag").unwrap().to_owned();
    let weak = format!("W/{strong}");
    let is_as_ever = |answer: &common::Answer| {
        assert_eq!((answer.header("content-encoding"), answer.header("etag")), (Some("gzip"), Some(&*weak)));
        assert_eq!((answer.header("accept-ranges"), answer.header("vary")), (None, Some("Accept-Encoding")));
        assert_eq!(gunzip(&answer.body), text);
    };
    let check = |when: &str| {
        for tag in [&strong, &weak] {
            let unchanged = ask(&[gzip, &format!("If-None-Match: {tag}")]);
            assert_eq!((unchanged.status, unchanged.header("etag")), (304, Some(&*weak)), "{when}, {tag}");
            assert_eq!(unchanged.header("vary"), Some("Accept-Encoding"), "{when}, {tag}");
            assert_eq!(ask(&[&format!("If-None-Match: {tag}")]).header("etag"), Some(&*strong), "{when}, {tag}");
        }
        assert_eq!(ask(&[gzip, "If-None-Match: \"other\""]).status, 200, "{when}");
        let at = |range: &str, fields: &[&str]| ask(&[&[gzip, &format!("Range: bytes={range}")], fields].concat());
        let if_range = format!("If-Range: {strong}");
        for fields in [&[][..], &[&*if_range]] {
            let part = at("1000-1999", fields);
            assert_eq!((part.status, part.text().as_str()), (206, &text[1000..2000]), "{when}");
            assert_eq!((part.header("content-encoding"), part.header("etag")), (None, Some(&*strong)), "{when}");
        }
        let modified = ask(&[]).header("last-modified").unwrap().to_owned();
        for other in [&weak, &modified] {
            is_as_ever(&at("1000-1999", &[&format!("If-Range: {other}")]));
        }
        assert_eq!(ask(&["Range: bytes=0-3", &format!("If-Range: {modified}")]).status, 206, "{when}: it has one form");
    };
    let first = ask(&[gzip]);
    is_as_ever(&first);
    assert_eq!(first.header("content-length"), None, "on its way");
    check("at first");
    until("the copy is there", || ask(&[gzip]).header("content-length").is_some());
    is_as_ever(&ask(&[gzip]));
    check("from the copy");
}

#[test]
fn a_file_that_is_not_to_be_transformed_is_never_compressed() {
    let folder = tempfile::tempdir().unwrap();
    let text = "body { color: red }\n".repeat(5000);
    for name in ["fixed.css", "app.css"] {
        common::write(&folder.path().join(name), &text);
    }
    let file = format!("static = ['/static/={}']\ncache_control = ['fixed*=no-transform']\n", folder.path().display());
    let edge = Setup::default().plain().file(&file).start();
    let ask = |name: &str| get(edge.http, &format!("/static/{name}"), &["Accept-Encoding: gzip"]);
    let is_fixed = || {
        let answer = ask("fixed.css");
        assert_eq!(
            (answer.header("content-encoding"), answer.header("vary"), answer.text()),
            (None, None, text.clone())
        );
    };
    is_fixed();
    // By then a copy of this one would be there, too.
    until("the other's copy is there", || {
        is_fixed();
        ask("app.css").header("content-length").is_some()
    });
    is_fixed();
}

#[test]
fn off_per_route_and_secrets() {
    let upstream = application();
    let edge = Setup::default()
        .plain()
        .args(upstream.flag())
        .file(
            "compress = ['gzip']\ncompress_types = ['text/*']\n[[site]]\n\
             [[site.route]]\nexact = '/missing'\nupstream = 'default'\ncompress = 'off'\n\
             [[site.route]]\nexact = '/short'\nupstream = 'default'\ncompress_min_length = 0\ngzip_level = 9\n\
             [[site.route]]\nexact = '/login'\nupstream = 'default'\ncompress_private = false\n\
             [[site.route]]\npath = '/page'\nupstream = 'default'\ncompress_private = false\n\
             [[site.route]]\nexact = '/text'\nrespond = 'a text a text a text a text a text a text'\ncompress_min_length = 10\n",
        )
        .start();
    let coding = |path: &str, fields: &[&str]| {
        let answer = get(edge.http, path, &[&["Accept-Encoding: gzip, br, zstd"], fields].concat());
        answer.header("content-encoding").map(str::to_owned)
    };
    let gzip = Some("gzip".to_owned());
    assert_eq!(coding("/large", &["Cookie: a=1"]), gzip);
    assert_eq!(coding("/missing", &[]), None);
    assert_eq!(coding("/short", &[]), None, "nothing is gained");
    assert_eq!(coding("/login", &[]), None);
    assert_eq!(coding("/page", &[]), gzip);
    assert_eq!(coding("/page", &["Cookie: a=1"]), None);
    assert_eq!(coding("/page", &["Authorization: Bearer x"]), None);
    assert_eq!(coding("/text", &[]), gzip);
}

/// Large bodies go through in parts, and are whole at the end; a slow one is not held back.
#[test]
fn streams() {
    let (sender, receiver) = channel::<()>();
    let gate: Arc<Mutex<Receiver<()>>> = Arc::new(Mutex::new(receiver));
    let upstream = Upstream::start(move |seen, stream| {
        if seen.path() == "/large" {
            return reply(stream, 200, &[HTML], page().repeat(1000));
        }
        let kind = if seen.path() == "/events" { "text/event-stream" } else { "text/html" };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        for number in 0..3 {
            let text = format!("data: {number}\n\n");
            stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).unwrap();
            // The next comes only when the client has seen this one.
            if gate.lock().unwrap().recv_timeout(common::PATIENCE).is_err() {
                return false;
            }
        }
        stream.write_all(b"0\r\n\r\n").is_ok()
    });
    let edge = Setup::default()
        .plain()
        .args(upstream.flag())
        .file("compress_types = ['text/html', 'text/event-stream']\n")
        .start();
    for coding in ["gzip", "br", "zstd"] {
        let large = get(edge.http, "/large", &[&format!("Accept-Encoding: {coding}")]);
        assert_eq!(large.header("content-encoding"), Some(coding));
        assert_eq!(large.header("content-length"), None);
        assert!(decoded(coding, &large.body) == page().repeat(1000), "{coding}");
    }
    for path in ["/events", "/slow"] {
        let mut connection = Connection::plain(edge.http).unwrap();
        connection.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")).unwrap();
        let head = connection.head().unwrap().to_ascii_lowercase();
        assert!(head.contains("content-encoding: gzip"), "{head}");
        let mut decoder = flate2::write::GzDecoder::new(Vec::new());
        for number in 0..3 {
            let wanted = format!("data: {number}\n\n");
            while !String::from_utf8_lossy(decoder.get_ref()).contains(&wanted) {
                let chunk = connection.chunk().unwrap();
                assert!(!chunk.is_empty(), "{path}: the end before {wanted:?}");
                decoder.write_all(&chunk).unwrap();
                decoder.flush().unwrap();
            }
            sender.send(()).unwrap();
        }
        while let Some(chunk) = connection.chunk().ok().filter(|chunk| !chunk.is_empty()) {
            decoder.write_all(&chunk).unwrap();
        }
        assert_eq!(decoder.finish().unwrap(), b"data: 0\n\ndata: 1\n\ndata: 2\n\n", "{path}");
    }
}

/// What a level is worth shows in the size, on streams as on files of known length.
#[test]
fn levels_by_what_they_do() {
    let words = ["lorem", "ipsum", "dolor", "sit", "amet", "consectetur", "adipiscing", "elit"];
    let mut random = fastrand::Rng::with_seed(7);
    let text: String = (0..40_000).map(|_| format!("{} {} ", words[random.usize(..8)], random.u16(..900))).collect();
    let served = text.clone();
    let upstream = Upstream::start(move |_, stream| reply(stream, 200, &[HTML], &served));
    let edge = Setup::default()
        .plain()
        .file(&format!(
            "upstream = ['{}']\n[[site]]\n\
             [[site.route]]\npath = '/low'\nupstream = 'default'\ngzip_level = 1\nbrotli_level = 0\nzstd_level = 1\n\
             [[site.route]]\npath = '/high'\nupstream = 'default'\ngzip_level = 9\nbrotli_level = 9\nzstd_level = 15\n",
            upstream.address
        ))
        .start();
    for coding in ["gzip", "br", "zstd"] {
        let [low, high] = ["/low", "/high"].map(|path| {
            let answer = get(edge.http, path, &[&format!("Accept-Encoding: {coding}")]);
            assert_eq!(answer.header("content-encoding"), Some(coding));
            assert!(decoded(coding, &answer.body) == text, "{coding}");
            answer.body.len()
        });
        assert!(high < low, "{coding}: {high} bytes, and {low} of the lowest level");
    }
}
