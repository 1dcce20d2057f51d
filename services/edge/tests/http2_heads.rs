//! Heads of HTTP/2 that are too long, too large or too slow get what they get over HTTP/1.1: an answer of ours with an id, a line in the
//! log with the same id and the reason, a count by reason.
#![allow(clippy::unwrap_used)]

mod common;

use bytes::Bytes;
use common::{Connection, Edge, Setup, Upstream, until};
use h2::client::SendRequest;
use std::path::{Path, PathBuf};

struct House {
    edge: Edge,
    ca: PathBuf,
    upstream: Upstream,
}

impl House {
    fn new(args: &[&str]) -> Self {
        let upstream = Upstream::saying("hello");
        let edge = Setup::default().args(upstream.flag()).args(args).start();
        let ca = edge.ca();
        Self { edge, ca, upstream }
    }

    /// What HTTP/1.1 says to the same.
    fn http1(&self, asked: &str) -> u16 {
        let mut client = Connection::tls(self.edge.https, &self.ca, "localhost", &["http/1.1"]).unwrap();
        client.send(asked).unwrap();
        client.answer().unwrap().status
    }

    /// Page, line and count.
    async fn refused(&self, response: http::Response<h2::RecvStream>, status: u16, reason: &str) -> serde_json::Value {
        let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        assert_eq!(response.status(), status);
        let mut page = Vec::new();
        let mut body = response.into_body();
        while let Some(part) = body.data().await {
            page.extend_from_slice(&part.unwrap());
        }
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains(&id), "no page of ours: {page:?}");
        let line = self.edge.access_line(|line| line["request_id"] == id.as_str());
        assert_eq!((&line["status"], &line["reason"]), (&status.into(), &reason.into()), "{line}");
        assert_eq!(line["protocol"], "h2", "{line}");
        line
    }

    /// A request is counted when its answer has ended, and by then the client has it.
    fn counts(&self, reason: &str, value: f64) {
        let label = format!("reason=\"{reason}\"}} {value}");
        until(&label, || {
            let page = self.edge.admin("/metrics").text();
            page.lines()
                .any(|line| line.starts_with("monodon_edge_http_request_errors_total{") && line.ends_with(&label))
        });
    }
}

async fn connect(edge: &Edge, ca: &Path) -> SendRequest<Bytes> {
    let connector = tokio_rustls::TlsConnector::from(common::client::client_config(ca, &["h2"]));
    let stream = tokio::net::TcpStream::connect(edge.https).await.unwrap();
    let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    client
}

/// On a connection that goes on.
async fn ask(client: &mut SendRequest<Bytes>, path: &str, fields: &[(&str, &str)]) -> http::Response<h2::RecvStream> {
    let mut request = http::Request::get(format!("https://localhost{path}"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let mut ready = client.clone().ready().await.unwrap();
    let (response, _) = ready.send_request(request.body(()).unwrap(), true).unwrap();
    response.await.unwrap()
}

#[tokio::test]
async fn a_line_over_its_limit() {
    let house = House::new(&[]);
    let mut client = connect(&house.edge, &house.ca).await;
    // `GET `, ` HTTP/1.1`: 13 bytes beside the path.
    let path = |length: usize| format!("/{}", "x".repeat(length - 14));
    for (length, status) in [(8 << 10, 200), ((8 << 10) + 1, 414)] {
        let asked = format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", path(length));
        assert_eq!(house.http1(&asked), status);
        assert_eq!(ask(&mut client, &path(length), &[]).await.status(), status, "{length}");
    }
    let large = format!("/?{}", "x".repeat(20_000));
    let response = ask(&mut client, &large, &[]).await;
    let line = house.refused(response, 414, "line_too_long").await;
    assert_eq!((&line["method"], &line["path"]), (&"GET".into(), &"/".into()), "{line}");
    house.counts("too_large", 3.0);
    assert_eq!(ask(&mut client, "/", &[]).await.status(), 200);
    assert_eq!(house.upstream.seen().len(), 3);
}

#[tokio::test]
async fn a_head_over_its_limit() {
    let house = House::new(&[]);
    let mut client = connect(&house.edge, &house.ca).await;
    let head = |value: &str| format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {value}\r\n\r\n");
    let most = (32 << 10) - head("").len();
    for (length, status) in [(most, 200), (most + 1, 431)] {
        let value = "y".repeat(length);
        assert_eq!(house.http1(&head(&value)), status);
        assert_eq!(ask(&mut client, "/", &[("x", &value)]).await.status(), status, "{length}");
    }
    let large = "y".repeat(16_000);
    let response = ask(&mut client, "/large?a", &[("x", &large), ("y", &large), ("z", &large)]).await;
    let line = house.refused(response, 431, "head_too_long").await;
    assert_eq!((&line["method"], &line["path"]), (&"GET".into(), &"/large".into()), "{line}");
    // Written as one field they are within the limit.
    let crumbs: Vec<_> = (0..600).map(|number| format!("name{number}=value")).collect();
    let crumbs: Vec<_> = crumbs.iter().map(|crumb| ("cookie", crumb.as_str())).collect();
    assert_eq!(ask(&mut client, "/", &crumbs).await.status(), 200);
    house.counts("too_large", 3.0);
    assert_eq!(house.upstream.seen().len(), 3);
}
