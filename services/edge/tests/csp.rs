//! Content security policies and what browsers report of them.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Answer, Connection, Edge, Setup, Upstream, get, until};

const PATH: &str = "/.monodon/csp-report";
const REPORT: &str = r#"{"csp-report":{"document-uri":"https://shop.example/p?token=secret","effective-directive":"img-src","blocked-uri":"https://evil.example/\u001b[31mx.png","disposition":"report"}}"#;

fn edge(upstream: &Upstream, text: &str) -> Edge {
    Setup::default().plain().args(upstream.flag()).file(text).start()
}

fn post(edge: &Edge, path: &str, kind: &str, body: &str) -> Answer {
    let mut connection = Connection::plain(edge.http).unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n", body.len());
    connection.ask(format!("{head}Connection: close\r\n\r\n{body}"))
}

#[test]
fn policies_say_where_to_report_to() {
    let upstream = Upstream::saying("hello");
    let edge = edge(
        &upstream,
        "csp_report_only = \"default-src 'self'; img-src *\"\n\
         [[site]]\n\
         [[site.route]]\npath = '/strict'\nupstream = 'default'\ncsp = \"default-src 'none'\"\n\
         [[site.route]]\npath = '/elsewhere'\nupstream = 'default'\ncsp_report_only = \"default-src 'none'; report-uri /mine\"\n",
    );
    let tail = format!("; report-uri {PATH}; report-to monodon-csp");
    let answer = get(edge.http, "/", &[]);
    assert_eq!(answer.header("content-security-policy"), None);
    let policy = format!("default-src 'self'; img-src *{tail}");
    assert_eq!(answer.header("content-security-policy-report-only"), Some(policy.as_str()));
    assert_eq!(answer.header("reporting-endpoints"), Some(format!("monodon-csp=\"{PATH}\"").as_str()));
    let strict = get(edge.http, "/strict", &[]);
    assert_eq!(strict.header("content-security-policy"), Some(format!("default-src 'none'{tail}").as_str()));
    assert_eq!(strict.header("content-security-policy-report-only"), Some(policy.as_str()));
    let elsewhere = get(edge.http, "/elsewhere", &[]);
    assert_eq!(elsewhere.header("content-security-policy-report-only"), Some("default-src 'none'; report-uri /mine"));
    assert_eq!(elsewhere.header("reporting-endpoints"), None);
}

#[test]
fn reports_are_counted_and_logged() {
    let upstream = Upstream::saying("the application");
    let edge = edge(&upstream, "csp_report_only = \"default-src 'self'\"\n");
    let taken = post(&edge, PATH, "application/csp-report", REPORT);
    assert_eq!((taken.status, taken.body.len()), (204, 0));
    let batch = format!(
        "[{}]",
        vec![r#"{"type":"csp-violation","body":{"effectiveDirective":"made-up","disposition":"enforce"}}"#; 100]
            .join(",")
    );
    assert_eq!(post(&edge, PATH, "application/reports+json; charset=utf-8", &batch).status, 204);
    assert_eq!(edge.metric("monodon_edge_csp_reports_total{directive=\"img-src\",disposition=\"report\"}"), 1.0);
    let others = edge.metric("monodon_edge_csp_reports_total{directive=\"_other\",disposition=\"enforce\"}");
    assert_eq!(others, 20.0, "of a batch, so many and no more");
    let mut line = String::new();
    until("the report's line", || {
        line = edge
            .lines()
            .into_iter()
            .find(|line| line.contains("img-src") && !line.contains("\"access\""))
            .unwrap_or_default();
        !line.is_empty()
    });
    assert!(!line.contains("secret") && !line.contains('\u{1b}') && line.contains("evil.example"), "{line}");
    assert_eq!(upstream.seen().len(), 0, "none of it is the application's");
}

#[test]
fn what_is_not_taken() {
    let upstream = Upstream::saying("the application");
    let edge = edge(&upstream, "csp = \"default-src 'self'\"\n");
    let kind = "application/csp-report";
    for (answer, status) in [
        (get(edge.http, PATH, &[]), 405),
        (post(&edge, PATH, "text/plain", REPORT), 415),
        (post(&edge, PATH, kind, "{"), 400),
        (post(&edge, PATH, kind, ""), 400),
        (post(&edge, PATH, kind, &"[".repeat(60_000)), 400),
        (post(&edge, PATH, kind, &" ".repeat(70_000)), 413),
    ] {
        assert_eq!(answer.status, status);
    }
    for (reason, count) in [("media_type", 1.0), ("malformed", 3.0), ("size", 1.0)] {
        assert_eq!(
            edge.metric(&format!("monodon_edge_csp_reports_rejected_total{{reason=\"{reason}\"}}")),
            count,
            "{reason}"
        );
    }
    // The next path is the application's.
    assert_eq!(post(&edge, "/.monodon/csp-reports", kind, REPORT).text(), "the application");
    let mut statuses = (0..200).map(|_| post(&edge, PATH, kind, REPORT).status);
    assert!(statuses.any(|status| status == 429), "there is a rate");
    assert!(edge.metric("monodon_edge_csp_reports_rejected_total{reason=\"rate\"}") >= 1.0);
}

#[test]
fn without_a_policy_there_is_no_endpoint() {
    let upstream = Upstream::saying("the application");
    for text in ["", "csp = \"default-src 'self'\"\ncsp_report_path = 'off'\n"] {
        let edge = edge(&upstream, text);
        assert_eq!(post(&edge, PATH, "application/csp-report", REPORT).text(), "the application", "{text}");
    }
    let edge =
        edge(&upstream, "csp = \"default-src 'self'\"\ncsp_report_path = '/csp'\n[[site]]\ndeny = ['127.0.0.1']\n");
    assert_eq!(post(&edge, "/csp", "application/csp-report", REPORT).status, 403, "the site's rules hold there, too");
}
