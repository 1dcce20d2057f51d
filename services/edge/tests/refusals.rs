//! What bad input gets, whatever it is: a clear answer that says its id, a line in the log with the same id and the reason, a counter
//! of that reason, and nobody else notices.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Connection, Edge, Setup, Upstream, free_port, get, until, write};
use std::sync::{Arc, Condvar, Mutex};

struct House {
    edge: Edge,
    gate: Arc<(Mutex<bool>, Condvar)>,
    _upstream: Upstream,
    _folder: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("files/site.css"), "body{}");
        write(&folder.path().join("page.html"), "<p>our page {{status}} {{request_id}}</p>");
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let shared = gate.clone();
        let upstream = Upstream::start(move |seen, stream| {
            if seen.path().starts_with("/held") || seen.path().starts_with("/silent") {
                let open = shared.0.lock().unwrap();
                drop(shared.1.wait_while(open, |open| !*open).unwrap());
            }
            common::upstream::reply(stream, 200, &[], "hello")
        });
        let route = |path: &str, rest: &str| format!("[[site.route]]\npath = '{path}'\n{rest}\n");
        let text = [
            format!(
                "upstream = ['{}']\nstatic = ['/static/={}']\nbody_limit = '1KB'\nhead_timeout = '500ms'\nbody_timeout = '500ms'\n",
                upstream.address,
                folder.path().join("files").display()
            ),
            format!("[upstreams.down]\nservers = ['127.0.0.1:{}']\n", free_port()),
            format!("[upstreams.busy]\nservers = ['{}']\nmax_connections = 1\nqueue_per_slot = 0\n", upstream.address),
            format!(
                "[upstreams.waiting]\nservers = ['{}']\nmax_connections = 1\nqueue_timeout = '300ms'\n",
                upstream.address
            ),
            "[limits.few]\nrate = '1/m'\n".into(),
            format!(
                "[[site]]\nhosts = ['a.example']\nname = 'shop'\nallow_methods = ['GET', 'POST']\ndeny_paths = ['^/private']\n\
                 block_scanners = true\nerror_pages = ['4xx={0}', '5xx={0}']\n",
                folder.path().join("page.html").display()
            ),
            route("/closed", "upstream = 'default'\ndeny = ['all']"),
            route("/limited", "upstream = 'default'\nlimit = ['few']"),
            route("/down", "upstream = 'down'"),
            route("/silent", "upstream = 'default'\nfirst_byte_timeout = '300ms'"),
            route("/held/busy", "upstream = 'busy'"),
            route("/held/waiting", "upstream = 'waiting'"),
        ]
        .concat();
        let edge = Setup::default().plain().file(&text).start();
        Self { edge, gate, _upstream: upstream, _folder: folder }
    }

    fn counted(&self, reason: &str) -> f64 {
        let page = self.edge.admin("/metrics").text();
        let label = format!("reason=\"{reason}\"}} ");
        let values = page
            .lines()
            .filter(|line| line.starts_with("monodon_edge_http_request_errors_total{"))
            .filter_map(|line| line.split_once(&label)?.1.parse::<f64>().ok());
        values.sum()
    }

    /// The answer to `text`; `words` are the counter's and the log's.
    fn refused(&self, text: &str, status: u16, words: (&str, &str)) -> common::Answer {
        let (reason, exact) = words;
        let shown = &text[..text.len().min(90)];
        let before = self.counted(reason);
        let mut client = Connection::plain(self.edge.http).unwrap();
        client.send(text).unwrap();
        let answer = client.answer().unwrap();
        assert_eq!(answer.status, status, "{shown:?}: {}", answer.text());
        let id = answer.header("x-request-id").unwrap_or_else(|| panic!("{shown:?}: no id in {}", answer.head));
        // Who asks for a host of ours sees our page, and so does who asks for nothing that can be read: there is one site.
        let ours = answer.text().contains(&format!("our page {status} {id}"));
        assert_eq!(ours, words.0 != "no_site", "{shown:?}: {}", answer.text());
        assert!(!ours || answer.header("content-type") == Some("text/html; charset=utf-8"), "{}", answer.head);
        let line = self.edge.access_line(|line| line["request_id"] == id);
        assert_eq!((&line["status"], &line["reason"]), (&status.into(), &exact.into()), "{shown:?}: {line}");
        until("it is counted", || self.counted(reason) > before);
        // And nobody else notices.
        assert_eq!(get(self.edge.http, "/", &["Host: a.example"]).status, 200, "{shown:?}");
        assert_eq!(get(self.edge.http, "/static/site.css", &["Host: a.example"]).text(), "body{}", "{shown:?}");
        answer
    }
}

impl Drop for House {
    fn drop(&mut self) {
        *self.gate.0.lock().unwrap() = true;
        self.gate.1.notify_all();
    }
}

fn ask(line: &str, fields: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: a.example\r\nAccept: text/html\r\n{fields}\r\n")
}

#[test]
fn what_clients_do_wrong() {
    let house = House::new();
    let long = "x".repeat(40_000);
    for (text, status, words) in [
        (
            ask("GET /", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
            400,
            ("bad_request", "length_and_encoding"),
        ),
        (ask("GET /..%2f", ""), 400, ("bad_request", "ambiguous_path")),
        (ask(&format!("GET /{}", &long[..9000]), ""), 414, ("too_large", "line_too_long")),
        (ask("GET /", &format!("X: {long}\r\n")), 431, ("too_large", "field_too_long")),
        (ask("POST /", "Content-Length: 1025\r\n"), 413, ("too_large", "body_too_large")),
        (ask("DELETE /", ""), 405, ("method", "method_not_allowed")),
        (ask("GET /closed", ""), 403, ("denied", "denied")),
        (ask("GET /private/x", ""), 403, ("denied_path", "denied_path")),
        (ask("GET /.env", ""), 403, ("scanner", "scanner")),
        (ask("GET /", "").replace("a.example", "b.example"), 404, ("no_site", "no_site")),
        // The rest of it never comes.
        ("GET / HTTP/1.1\r\nHost: a.ex".into(), 408, ("timeout_header", "timeout_header")),
        (ask("POST /", "Content-Length: 5\r\n") + "he", 408, ("timeout_body", "timeout_body")),
    ] {
        house.refused(&text, status, words);
    }
    // What was refused can be found in the log; of what is too long, its beginning.
    let line = house.edge.access_line(|line| line["reason"] == "line_too_long");
    let path = line["path"].as_str().unwrap();
    assert!(path.starts_with("/xxx") && (900..1025).contains(&path.len()), "{line}");
    let mut client = Connection::plain(house.edge.http).unwrap();
    client.send("PUT /what#ever HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
    assert_eq!(client.answer().unwrap().status, 400);
    let line = house.edge.access_line(|line| line["method"] == "PUT");
    assert_eq!(line["path"], "/what", "{line}");
    assert_eq!(get(house.edge.http, "/limited", &["Host: a.example"]).status, 200);
    let limited = house.refused(&ask("GET /limited", ""), 429, ("rate_limited", "rate_limited"));
    assert!(limited.header("retry-after").is_some(), "{}", limited.head);
}

#[test]
fn what_applications_do_wrong() {
    let house = House::new();
    house.refused(&ask("GET /down", ""), 502, ("upstream_connect", "upstream_connect"));
    house.refused(&ask("GET /silent", ""), 504, ("upstream_timeout", "upstream_timeout"));
    for (path, words) in
        [("/held/busy", ("queue_full", "queue_full")), ("/held/waiting", ("queue_timeout", "queue_timeout"))]
    {
        let mut held = Connection::plain(house.edge.http).unwrap();
        held.send(ask(&format!("GET {path}"), "")).unwrap();
        until("it is held", || house._upstream.seen().iter().any(|seen| seen.path() == path));
        let refused = house.refused(&ask(&format!("GET {path}"), ""), 503, words);
        assert!(refused.header("retry-after").is_some(), "{}", refused.head);
    }
}

/// On a connection for one site there is no other.
#[test]
fn another_site_over_tls() {
    let upstream = Upstream::saying("hello");
    let text = format!(
        "upstream = ['{}']\n[[site]]\nhosts = ['a.example']\n[[site]]\nhosts = ['b.example']\n",
        upstream.address
    );
    let edge = Setup::default().only_https().file(&text).start();
    let mut client = Connection::tls(edge.https, &edge.ca(), "a.example", &["http/1.1"]).unwrap();
    let answer = client.ask("GET / HTTP/1.1\r\nHost: b.example\r\n\r\n");
    let id = answer.header("x-request-id").unwrap();
    assert_eq!((answer.status, upstream.seen().len()), (421, 0));
    let line = edge.access_line(|line| line["request_id"] == id);
    assert_eq!((&line["status"], &line["reason"]), (&421.into(), &"misdirected".into()), "{line}");
    let mut other = Connection::tls(edge.https, &edge.ca(), "b.example", &["http/1.1"]).unwrap();
    assert_eq!(other.ask("GET / HTTP/1.1\r\nHost: b.example\r\n\r\n").status, 200);
}
