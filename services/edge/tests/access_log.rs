//! What is told of requests: formats, sampling, what is slow, what is kept out; trace context. Over real sockets.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Connection, Edge, Setup, Upstream, get, until};
use std::time::Duration;

fn edge(text: &str) -> Edge {
    Setup::default().plain().file(text).start()
}

/// The first line of the access log with this in it.
fn line(edge: &Edge, wanted: &str) -> String {
    let mut found = None;
    until("a line", || {
        found = edge.lines().into_iter().find(|line| line.contains(wanted) && !line.starts_with("{\"time\""));
        found.is_some()
    });
    found.unwrap()
}

fn upstream() -> Upstream {
    Upstream::start(|seen, stream| {
        if seen.path().contains("slow") {
            std::thread::sleep(Duration::from_millis(1200));
        }
        let status = if seen.path().contains("fails") { 500 } else { 201 };
        common::upstream::reply(stream, status, &[("X-Answer", "yes\"no")], "hello")
    })
}

#[test]
fn combined_as_other_programs_read_it() {
    let upstream = upstream();
    let edge = edge(&format!("upstream = ['{}']\naccess_log_format = 'combined'\n", upstream.address));
    let fields = [
        "User-Agent: cur\"l\\ \u{202e}",
        "Referer: https://a.example/reset?token=secret",
        "Authorization: Basic YW5uYTpzZWNyZXQ=",
    ];
    get(edge.http, "/a/b?token=secret", &fields);
    let line = line(&edge, "/a/b");
    let (before, after) = line.split_once('[').unwrap();
    assert_eq!(before, "127.0.0.1 - anna ");
    let (time, after) = after.split_once("] ").unwrap();
    assert!(time.len() == 26 && time.ends_with(" +0000"), "{time}");
    assert_eq!(after, "\"GET /a/b HTTP/1.1\" 201 5 \"https://a.example/reset\" \"cur\\x22l\\x5C \\xE2\\x80\\xAE\"");
    get(edge.http, "/plain", &[]);
    assert!(self::line(&edge, "/plain").ends_with("\"GET /plain HTTP/1.1\" 201 5 \"-\" \"-\""));
    // What is no request.
    let mut connection = Connection::plain(edge.http).unwrap();
    connection.send("GET /bad HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").unwrap();
    assert_eq!(connection.answer().unwrap().status, 400);
    assert!(self::line(&edge, "\" 400 ").contains("127.0.0.1 - - ["));
}

#[test]
fn variables() {
    let upstream = upstream();
    let edge = edge(&format!(
        "access_log_format = '$request_method|$uri|$args|$request_uri|$status|$host|$scheme|$server_protocol|$route|$site|\
         $http_x_one|$sent_http_x_answer|$sent_http_x_none|$cookie_sid|$arg_q|$upstream_addr|$upstream_status|$request_id|\
         $trace_id|$ssl_protocol|$connection_requests|$body_bytes_sent|$request_body_bytes|${{reason}}|$request_completion'\n\
         access_log_query = true\n\
         [upstreams.app]\nservers = ['{}']\n\
         [[site]]\nname = 'shop'\n[[site.route]]\npath = '/'\nname = 'all'\nupstream = 'app'\n\
         [[site.route]]\npath = '/closed'\nrespond = ''\nstatus = 403\n",
        upstream.address
    ));
    let fields = ["X-One: \u{1b}[31m", "Cookie: a=b; sid=42", "Host: shop.example", "Content-Length: 3"];
    let mut connection = Connection::plain(edge.http).unwrap();
    let fields = fields.join("\r\n");
    assert_eq!(
        connection.ask(format!("POST /x%20y?q=1&r HTTP/1.1\r\n{fields}\r\n\r\nabc")).status,
        400,
        "a control character never gets that far"
    );
    let mut connection = Connection::plain(edge.http).unwrap();
    let fields = fields.replace('\u{1b}', "\\");
    let answer = connection.ask(format!("POST /x%20y?q=1&r HTTP/1.1\r\n{fields}\r\n\r\nabc"));
    let id = answer.header("x-request-id").unwrap();
    let address = upstream.address.to_string();
    let expected = [
        "POST",
        "/x%20y",
        "q=1&r",
        "/x%20y?q=1&r",
        "201",
        "shop.example",
        "http",
        "HTTP/1.1",
        "all",
        "shop",
        "\\x5C[31m",
        "yes\\x22no",
        "-",
        "42",
        "1",
        &address,
        "201",
        id,
        id,
        "-",
        "1",
        "5",
        "3",
        "-",
        "OK",
    ];
    assert_eq!(line(&edge, "|201|").split('|').collect::<Vec<_>>(), expected);
    get(edge.http, "/closed", &[]);
    let closed = line(&edge, "/closed");
    let closed: Vec<_> = closed.split('|').collect();
    assert_eq!((closed[4], closed[15], closed[16]), ("403", "-", "-"), "no upstream was asked");
}

/// As many bytes as the client has sent; what was agreed on, and who answered.
#[test]
fn sizes_with_heads_and_what_the_connection_is() {
    let upstream = Upstream::start(|_, stream| common::upstream::reply(stream, 404, &[("X-A", "b")], "nothing"));
    let edge = Setup::default()
        .file(&format!(
            "upstream = ['{}']\naccess_log_format = 'L|$request_length|$ssl_cipher|$server_addr|$content_type|\
             $content_length|$server_name|$limit_req_status'\n[[site]]\nname = 'shop'\n[[site.route]]\npath = '/'\nupstream = 'default'\n",
            upstream.address
        ))
        .start();
    let mut connection = Connection::tls(edge.https, &edge.ca(), "localhost", &["http/1.1"]).unwrap();
    let asked = "POST /a?b=c HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";
    connection.send(asked).unwrap();
    assert_eq!(connection.answer().unwrap().text(), "nothing");
    let expected = format!("L|{}|", asked.len());
    let line = line(&edge, "L|");
    assert!(line.starts_with(&expected), "{expected:?} is not in {line:?}");
    let rest: Vec<&str> = line.split('|').skip(2).collect();
    assert!(rest[0].starts_with("TLS_"), "{rest:?}");
    assert_eq!(rest[1..], ["127.0.0.1", "text/plain", "5", "shop", "-"]);
}

#[test]
fn another_format_from_a_reload_on_and_json_values() {
    let upstream = upstream();
    let text = |format: &str, escape: &str| {
        format!("upstream = ['{}']\naccess_log_format = '{format}'\naccess_log_escape = '{escape}'\n", upstream.address)
    };
    let edge = edge(&text("first $uri", "default"));
    get(edge.http, "/a", &[]);
    assert_eq!(line(&edge, "/a"), "first /a");
    edge.rewrite(&text("{\"agent\": \"$http_user_agent\", \"none\": \"$http_x_none\", \"status\": $status}", "json"));
    edge.signal("HUP");
    until("the other format", || {
        get(edge.http, "/b", &["User-Agent: a\"\u{202e}b"]);
        edge.lines().iter().any(|line| line.starts_with("{\"agent\""))
    });
    assert_eq!(line(&edge, "{\"agent\""), "{\"agent\": \"a\\\"\\u202eb\", \"none\": \"\", \"status\": 201}");
}

#[test]
fn samples_keep_what_fails() {
    let upstream = upstream();
    let edge = edge(&format!(
        "upstream = ['{}']\nlog_sample = '0%'\n[[site]]\n[[site.route]]\npath = '/all/'\nupstream = 'default'\nlog_sample = '100%'\n",
        upstream.address
    ));
    for path in ["/none", "/fails", "/all/x", "/none/again"] {
        get(edge.http, path, &[]);
    }
    get(edge.http, "/last", &["Host: a b"]);
    edge.access_line(|line| line["status"] == 400);
    let paths: Vec<String> = edge
        .lines()
        .iter()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|line| line["log"] == "access")
        .map(|line| line["path"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(paths, ["/fails", "/all/x", "/last"]);
}

#[test]
fn what_is_slow_is_told_with_where_the_time_went() {
    let upstream = upstream();
    let edge = edge(&format!(
        "upstream = ['{}']\nslow_log = '1s'\nlog_requests = false\n[[site]]\n[[site.route]]\npath = '/never/'\n\
         upstream = 'default'\nslow_log = '0s'\n[[site.route]]\npath = '/quick'\nupstream = 'default'\nslow_log = '10s'\n\
         [[site.route]]\npath = '/'\nname = 'rest'\nupstream = 'default'\n",
        upstream.address
    ));
    for path in ["/never/slow", "/quick", "/slow"] {
        get(edge.http, path, &[]);
    }
    let access = edge.access_line(|line| line["path"] == "/slow");
    assert_eq!(access["slow"], true);
    assert!(access["upstream"].as_f64().unwrap() >= 1.0);
    let mut told = None;
    until("the warning", || {
        let lines = edge.lines();
        let mut lines = lines.iter().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        told = lines.find(|line| line["message"] == "a slow request");
        told.is_some()
    });
    let told = told.unwrap();
    assert_eq!((told["path"].as_str(), told["route"].as_str()), (Some("/slow"), Some("rest")));
    assert_eq!(told["upstream"], upstream.address.to_string());
    for part in ["queue", "connect", "first_byte", "whole"] {
        assert!(told[part].is_number(), "{part} in {told}");
    }
    assert_eq!(told["request_id"], access["request_id"]);
    let all = edge.lines().join("\n");
    assert!(!all.contains("/never/slow") && !all.contains("/quick"), "{all}");
}

#[test]
fn traces_are_continued_for_trusted_proxies_alone() {
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let parent = format!("traceparent: {PARENT}");
    let state = "tracestate: a=1";
    let upstream = Upstream::saying("hello");
    let trusting = Edge::plain(upstream.flag().into_iter().chain(["--trusted-proxies".into(), "127.0.0.1".into()]));
    get(trusting.http, "/continued", &[&parent, state, "X-Request-ID: mine"]);
    let seen = upstream.last();
    assert_eq!((seen.header("traceparent"), seen.header("tracestate")), (Some(PARENT), Some("a=1")));
    let line = trusting.access_line(|line| line["path"] == "/continued");
    assert_eq!((line["trace_id"].as_str(), line["request_id"].as_str()), (Some(&PARENT[3..35]), Some("mine")));

    // One that is wrong, or two, begin a trace anew, and the state of the other ends.
    for (path, fields) in [
        ("/wrong", vec!["traceparent: 00-0-0-0", state]),
        ("/two", vec![&parent, &parent, state]),
        ("/none", vec![state]),
    ] {
        get(trusting.http, path, &fields);
        let seen = upstream.last();
        let own = seen.header("traceparent").unwrap();
        assert!(own.len() == 55 && own != PARENT, "{path}: {own}");
        assert_eq!((seen.all("traceparent").len(), seen.header("tracestate")), (1, None), "{path}");
    }

    let strict = Edge::plain(upstream.flag());
    let answer = get(strict.http, "/strict", &[&parent, state]);
    let seen = upstream.last();
    let id = answer.header("x-request-id").unwrap();
    assert_eq!((&seen.header("traceparent").unwrap()[3..35], seen.header("tracestate")), (id, None));
    assert!(strict.access_line(|line| line["path"] == "/strict").get("trace_id").is_none(), "it is the request's id");
}

#[test]
fn a_file_that_was_moved_away_is_opened_anew() {
    let upstream = upstream();
    let folder = tempfile::tempdir().unwrap();
    let (log, moved) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let edge = edge(&format!(
        "upstream = ['{}']\naccess_log = '{}'\naccess_log_format = '$uri'\n",
        upstream.address,
        log.display()
    ));
    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default();
    get(edge.http, "/before", &[]);
    until("the line", || read(&log) == "/before\n");
    std::fs::rename(&log, &moved).unwrap();
    edge.signal("USR1");
    until("another file", || log.exists());
    get(edge.http, "/after", &[]);
    until("the line", || read(&log) == "/after\n");
    assert_eq!(read(&moved), "/before\n");
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (text, told) in [
        (
            "access_log_format = 'plain'",
            "edge.toml:1: access_log_format: expected json, combined, or a format with variables such as $status, got \"plain\"",
        ),
        (
            "access_log_format = '$nothing'",
            "edge.toml:1: access_log_format: $nothing is no variable; there are remote_addr,",
        ),
        ("access_log_format = '$http_cookie'", "edge.toml:1: access_log_format: $http_cookie: cookie holds secrets"),
        ("access_log_escape = 'none'", "edge.toml:1: access_log_escape: expected one of default, json"),
        ("log_sample = '10'", "edge.toml:1: log_sample: expected a percentage such as 10% or 0.5%, got \"10\""),
        ("[[site]]\nlog_sample = '200%'", "edge.toml:2: log_sample: expected a percentage"),
        ("slow_log = 'late'", "edge.toml:1: slow_log: expected a duration"),
    ] {
        let said = common::problems(&format!("{text}\n"));
        assert!(said.contains(told), "{told:?} is not in {said}");
    }
}

#[test]
fn a_disk_that_is_full_is_told_until_lines_are_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let (path, room) = (folder.path().join("log"), folder.path().join("room"));
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let edge = Setup::default().plain().args(["--access-log", path.to_str().unwrap()]).start();
    assert_eq!(get(edge.http, "/static/none", &[]).status, 404);
    let ready = || {
        let checks = edge.admin("/readyz");
        assert_eq!(checks.status, 200, "requests are served all the same");
        let said: serde_json::Value = serde_json::from_str(&checks.text()).unwrap();
        said["checks"]["edge:access_log"][0].clone()
    };
    until("it is told by /readyz", || ready()["status"] == "warn");
    assert!(ready()["output"].as_str().unwrap().contains("No space left"), "{}", ready());
    until("it is in the log", || edge.lines().iter().any(|line| line.contains("its lines are lost, and counted")));
    assert!(edge.metric("monodon_edge_access_log_lines_dropped_total") >= 1.0);
    // Somebody makes room.
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&room, &path).unwrap();
    edge.signal("USR1");
    until("it is well", || {
        get(edge.http, "/static/none", &[]);
        ready()["status"] == "pass"
    });
    until("it is in the log", || edge.lines().iter().any(|line| line.contains("can be written again")));
    assert!(std::fs::read_to_string(room).unwrap().contains("/static/none"));
}
