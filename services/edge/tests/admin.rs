//! The admin port: health, readiness with reasons, metrics that promtool accepts, the CA's certificate.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Edge, Upstream, get};
use std::io::Write;
use std::process::{Command, Stdio};

#[test]
fn tells_and_changes_nothing() {
    let upstream = Upstream::saying("hello");
    let edge = Edge::plain(upstream.flag());
    assert_eq!(edge.admin("/healthz").status, 200);
    let ready: serde_json::Value = serde_json::from_slice(&edge.admin("/readyz").body).unwrap();
    assert_ne!(ready["status"], "fail", "{ready}");
    assert!(edge.admin("/ca.pem").text().contains("BEGIN CERTIFICATE"));
    assert_eq!(edge.admin("/reload").status, 404);
}

#[test]
fn metrics_are_clean() {
    let upstream = Upstream::saying("hello");
    let edge = Edge::plain(upstream.flag());
    assert_eq!(get(edge.http, "/", &[]).status, 200);
    assert_eq!(get(edge.http, "/%", &[]).status, 400);
    let series = r#"monodon_edge_http_requests_total{site="_default",method="GET",code="200",protocol="http/1.1"}"#;
    common::until("the request is counted", || edge.metric(series) == 1.0);
    assert_eq!(edge.metric(r#"monodon_edge_http_request_errors_total{site="_default",reason="bad_request"}"#), 1.0);
    let page = edge.admin("/metrics");
    assert_eq!(page.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let Ok(mut promtool) = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    else {
        return eprintln!("promtool is not installed; its check is left out");
    };
    promtool.stdin.take().unwrap().write_all(&page.body).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && told.is_empty(), "{told}");
}

#[test]
fn healthcheck_asks_readyz() {
    let upstream = Upstream::saying("hello");
    let edge = Edge::plain(upstream.flag());
    let check = |admin: &str| {
        let args = ["healthcheck", "--http", "127.0.0.1:1", "--admin", admin];
        common::binary().args(args).output().unwrap()
    };
    assert_eq!(check(&edge.admin.to_string()).status.code(), Some(0));
    assert_eq!(check(&format!("127.0.0.1:{}", common::free_port())).status.code(), Some(1));
}
