//! HTTP/2 over TLS: the same pipeline, its own rules.
#![allow(clippy::unwrap_used)]

mod common;

use bytes::Bytes;
use common::{Edge, Setup, Upstream};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::path::Path;

type Client = SendRequest<Full<Bytes>>;

async fn connect(edge: &Edge, ca: &Path, name: &'static str) -> Client {
    let connector = tokio_rustls::TlsConnector::from(common::client::client_config(ca, &["h2", "http/1.1"]));
    let stream = tokio::net::TcpStream::connect(edge.https).await.unwrap();
    let stream = connector.connect(name.try_into().unwrap(), stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn read(response: Response<Incoming>) -> (u16, Bytes) {
    (response.status().as_u16(), response.into_body().collect().await.unwrap().to_bytes())
}

fn request(uri: &str) -> http::request::Builder {
    Request::builder().uri(uri)
}

fn empty() -> Full<Bytes> {
    Full::default()
}

#[tokio::test]
async fn serves_the_application() {
    let upstream = Upstream::start(|seen, stream| common::upstream::reply(stream, 200, &[], seen.body.clone()));
    let edge = Setup::default().args(upstream.flag()).start();
    let mut client = connect(&edge, &edge.ca(), "localhost").await;
    let body = vec![7u8; 300_000];
    let send = request("https://localhost/upload?a=b")
        .method("POST")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("x-forwarded-for", "6.6.6.6")
        .body(Full::from(body.clone()))
        .unwrap();
    let response = client.send_request(send).await.unwrap();
    assert!(response.headers().contains_key("x-request-id"));
    let (status, echoed) = read(response).await;
    assert_eq!((status, &echoed[..]), (200, &body[..]));
    let seen = upstream.last();
    assert_eq!(seen.line, "POST /upload?a=b HTTP/1.1");
    assert_eq!(seen.all("cookie"), ["a=1; b=2"]);
    assert_eq!(seen.all("host"), ["localhost"]);
    assert_eq!(seen.all("x-forwarded-proto"), ["https"]);
    assert_eq!(seen.all("x-forwarded-for"), ["127.0.0.1"]);
    let line = edge.access_line(|line| line["path"] == "/upload");
    assert_eq!((line["protocol"].as_str(), line["bytes_in"].as_u64()), (Some("h2"), Some(300_000)));
}

#[tokio::test]
async fn compresses_answers() {
    let page = "<p>the same again and again</p>";
    let upstream = Upstream::start(move |seen, stream| {
        let times = if seen.path() == "/large" { 100_000 } else { 100 };
        let length = [("Content-Type", "text/html"), ("ETag", "\"v1\"")];
        common::upstream::reply(stream, 200, &length, page.repeat(times))
    });
    let edge = Setup::default().args(upstream.flag()).start();
    let mut client = connect(&edge, &edge.ca(), "localhost").await;
    for (path, times) in [("/small", 100), ("/large", 100_000)] {
        let asked =
            request(&format!("https://localhost{path}")).header("accept-encoding", "gzip").body(empty()).unwrap();
        let response = client.send_request(asked).await.unwrap();
        assert_eq!(response.headers()["content-encoding"], "gzip");
        assert_eq!(response.headers()["etag"], "W/\"v1\"");
        let length = response.headers().get("content-length").map(|length| length.to_str().unwrap().to_owned());
        let (_, bytes) = read(response).await;
        assert_eq!(length, (times == 100).then(|| bytes.len().to_string()), "only what was compressed at once has one");
        let text = std::io::read_to_string(flate2::read::GzDecoder::new(&bytes[..])).unwrap();
        assert!(text == page.repeat(times), "{path}");
    }
}

#[tokio::test]
async fn refuses_what_is_not_ours_or_not_sane() {
    let upstream = Upstream::saying("hello");
    let edge = Setup::default()
        .args(upstream.flag())
        .args(["--domains", "a.example,b.example", "--body-limit", "1KB", "--fields-limit", "20"])
        .start();
    let mut client = connect(&edge, &edge.ca(), "a.example").await;
    let mut status = async |request: Request<Full<Bytes>>| read(client.send_request(request).await.unwrap()).await.0;
    assert_eq!(status(request("https://a.example/").body(empty()).unwrap()).await, 200);
    assert_eq!(status(request("https://b.example/").body(empty()).unwrap()).await, 421);
    assert_eq!(status(request("https://a.example/").header("host", "b.example").body(empty()).unwrap()).await, 400);
    assert_eq!(status(request("https://a.example/%").body(empty()).unwrap()).await, 400);
    assert_eq!(status(request("https://a.example/").method("TRACE").body(empty()).unwrap()).await, 405);
    let large = request("https://a.example/").method("POST").body(Full::from(vec![0; 5000])).unwrap();
    assert_eq!(status(large).await, 413);
    let many = (0..30).fold(request("https://a.example/"), |request, index| request.header(format!("x-{index}"), "1"));
    assert_eq!(status(many.body(empty()).unwrap()).await, 431);
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn many_at_a_time_and_a_drain() {
    let upstream = Upstream::saying("hello");
    let mut edge = Setup::default().args(upstream.flag()).start();
    let client = connect(&edge, &edge.ca(), "localhost").await;
    let requests = (0..50).map(|index| {
        let mut client = client.clone();
        async move {
            let request = request(&format!("https://localhost/{index}")).body(empty()).unwrap();
            read(client.send_request(request).await.unwrap()).await
        }
    });
    for (status, body) in futures_util::future::join_all(requests).await {
        assert_eq!((status, &body[..]), (200, &b"hello"[..]));
    }
    edge.signal("TERM");
    let ended = tokio::task::spawn_blocking(move || edge.wait()).await.unwrap();
    assert_eq!(ended.code(), Some(0));
    assert!(client.is_closed(), "GOAWAY");
}

/// What HTTP/1.1 could not say is not said in its name to the application.
#[tokio::test]
async fn an_odd_path_is_not_forwarded() {
    let upstream = Upstream::saying("hello");
    let edge = Setup::default().args(upstream.flag()).start();
    let mut client = connect(&edge, &edge.ca(), "localhost").await;
    for path in ["/caf\u{e9}", "/a?\u{e9}"] {
        let mut send = Request::new(empty());
        *send.uri_mut() = format!("https://localhost{path}").parse().unwrap();
        let (status, _) = read(client.send_request(send).await.unwrap()).await;
        assert_eq!(status, 400, "{path}");
    }
    assert!(upstream.seen().is_empty());
    edge.access_line(|line| line["status"] == 400 && line["reason"] == "target");
}

/// The host stands in the target alone; a target of ours must not lose it.
#[tokio::test]
async fn the_application_is_told_the_host_whatever_it_is_asked_for() {
    let upstream = Upstream::start(|seen, stream| match seen.path() {
        "/points" => common::upstream::reply(stream, 200, &[("X-Accel-Redirect", "/inner/x")], ""),
        _ => common::upstream::reply(stream, 200, &[], "hello"),
    });
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "upstream = ['{}']\n[[site]]\n\
         [[site.route]]\npath = '/api'\nupstream = 'default'\nstrip_prefix = true\n\
         [[site.route]]\npattern = '^/old/(.*)$'\nupstream = 'default'\nrewrite = '/new/$1'\n\
         [[site.route]]\npath = '/files/'\nfiles = '{}'\ntry_files = ['$uri', '/api/tried']\n\
         [[site.route]]\npath = '/inner/'\nupstream = 'default'\ninternal = true\n",
        upstream.address,
        folder.path().display()
    );
    let edge = Setup::default().file(&text).start();
    let mut client = connect(&edge, &edge.ca(), "localhost").await;
    for (path, seen) in [
        ("/x", "/x"),
        ("/api/x", "/x"),
        ("/old/x", "/new/x"),
        ("/a/../x", "/x"),
        ("/files/none", "/tried"),
        ("/points", "/inner/x"),
    ] {
        let send = request(&format!("https://localhost{path}")).body(empty()).unwrap();
        assert_eq!(read(client.send_request(send).await.unwrap()).await.0, 200, "{path}");
        let last = upstream.last();
        assert_eq!((last.path(), last.all("host")), (seen, vec!["localhost"]), "{path}");
        assert_eq!(last.all("x-forwarded-host"), ["localhost"], "{path}");
    }
}
