//! Counters by site, route and upstream; handshakes; names that are anything; bounds. Over real sockets.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Connection, Edge, Setup, Upstream, get, until};
use std::io::Write;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// `promtool check metrics`, where it is installed.
fn clean(page: &[u8]) {
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        return eprintln!("promtool is not installed; its check is left out");
    };
    child.stdin.take().unwrap().write_all(page).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && told.is_empty(), "{told}");
}

#[test]
fn routes_by_name_whatever_the_name() {
    let upstream = Upstream::start(|seen, stream| {
        let status = if seen.path().contains("fails") { 500 } else { 200 };
        common::upstream::reply(stream, status, &[], "hello")
    });
    let text = |first: &str| {
        format!(
            "upstream = ['{}']\n[[site]]\nname = \"the \\\"shop\\\"\"\n{first}\
             [[site.route]]\npattern = '^/\\w+\\.php$'\nrespond = 'no'\nstatus = 410\n\
             [[site.route]]\npath = '/api/'\nname = 'api'\nupstream = 'default'\n",
            upstream.address
        )
    };
    let edge = Setup::default().plain().file(&text("")).start();
    for path in ["/api/x", "/api/y", "/api/fails", "/a.php", "/elsewhere"] {
        get(edge.http, path, &[]);
    }
    let api = |class: &str| {
        format!(r#"monodon_edge_route_requests_total{{site="the \"shop\"",route="api",code_class="{class}"}}"#)
    };
    let php = r#"monodon_edge_route_requests_total{site="the \"shop\"",route="^/\\w+\\.php$",code_class="4xx"}"#;
    edge.counts(r#"monodon_edge_upstream_requests_total{upstream="default",code_class="2xx"}"#, 3.0);
    edge.counts(php, 1.0);
    edge.counts(&api("5xx"), 1.0);
    edge.counts(&api("2xx"), 2.0);
    edge.counts(r#"monodon_edge_route_duration_seconds_count{site="the \"shop\"",route="api"}"#, 3.0);
    clean(&edge.admin("/metrics").body);

    // A route more before it, and it counts on.
    edge.rewrite(&text("[[site.route]]\npath = '/new/'\nclose = true\n"));
    edge.signal("HUP");
    until("the reload", || {
        edge.admin("/metrics").text().contains("monodon_edge_config_reloads_total{result=\"taken\"} 1")
    });
    get(edge.http, "/api/z", &[]);
    until("it counts on", || edge.metric(&api("2xx")) == 3.0);
}

#[test]
fn what_clients_make_up_makes_no_series() {
    let upstream = Upstream::saying("hello");
    let edge = Edge::plain(upstream.flag());
    let ask = |index: usize| {
        let mut connection = Connection::plain(edge.http).unwrap();
        let host = format!("h{index}.example");
        connection.ask(format!("M{index} /{index} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {index}\r\n\r\n"));
        get(edge.http, &format!("/{index}?{index}"), &[&format!("Host: {host}")]);
    };
    let series = || edge.admin("/metrics").text().lines().filter(|line| !line.starts_with('#')).count();
    (0..3).for_each(&ask);
    let all = r#"monodon_edge_http_requests_total{site="_default",method="GET",code="200",protocol="http/1.1"}"#;
    until("all are counted", || edge.metric(all) == 3.0);
    let before = series();
    (3..100).for_each(&ask);
    until("all are counted", || edge.metric(all) == 100.0);
    assert!(series() <= before + 2, "{before} and then {}", series());
    assert!(series() < 1000);
}

#[test]
fn handshakes_by_kind_and_failure() {
    let upstream = Upstream::saying("hello");
    let edge = Edge::start(upstream.flag());
    let ca = edge.ca();
    let config = common::client::client_config(&ca, &["http/1.1"]);
    for _ in 0..2 {
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let mut session = rustls::ClientConnection::new(config.clone(), name).unwrap();
        let mut socket = TcpStream::connect(edge.https).unwrap();
        let mut stream = rustls::Stream::new(&mut session, &mut socket);
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        // The tickets come with the answer.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    }
    let kind =
        |kind: &str| format!(r#"monodon_edge_tls_handshakes_total{{result="ok",kind="{kind}",version="TLSv1.3"}}"#);
    until("both are counted", || edge.metric(&kind("resumed")) == 1.0);
    assert_eq!(edge.metric(&kind("full")), 1.0);

    let mut plain = TcpStream::connect(edge.https).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    drop(TcpStream::connect(edge.https).unwrap());
    let distrusting = {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
    };
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let mut session = rustls::ClientConnection::new(Arc::new(distrusting), name).unwrap();
    let mut socket = TcpStream::connect(edge.https).unwrap();
    assert!(session.complete_io(&mut socket).is_err());
    assert!(Connection::tls(edge.https, &ca, "localhost", &["smtp"]).is_err());
    for reason in ["not_tls", "closed", "certificate_refused", "nothing_in_common"] {
        let series = format!(r#"monodon_edge_tls_handshake_failures_total{{reason="{reason}"}}"#);
        until(reason, || edge.metric(&series) == 1.0);
    }
    clean(&edge.admin("/metrics").body);
}
