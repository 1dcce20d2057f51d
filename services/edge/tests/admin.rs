//! The admin port: health, readiness with reasons, metrics that promtool accepts, the CA's certificate.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Edge, Setup, Upstream, binary, get};
use serde_json::Value;
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
fn a_token_guards_all_but_health() {
    let upstream = Upstream::saying("hello");
    let edge = Setup::default().plain().args(upstream.flag()).env("MONODON_EDGE_ADMIN_TOKEN", "open sesame").start();
    for path in ["/healthz", "/readyz"] {
        assert_eq!(edge.admin(path).status, 200, "{path}");
    }
    for path in ["/metrics", "/ca.pem", "/nothing", "//healthz", "/healthz/../metrics"] {
        let answer = edge.admin(path);
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer realm=\"admin\"")), "{path}");
    }
    for (token, status) in [("open sesame", 200), ("open sesam", 401), ("open sesame!", 401), ("", 401)] {
        assert_eq!(get(edge.admin, "/metrics", &[&format!("Authorization: Bearer {token}")]).status, status, "{token}");
    }
    assert_eq!(get(edge.admin, "/metrics", &["Authorization: Basic open sesame"]).status, 401);
    let args = ["healthcheck", "--http", "127.0.0.1:1", "--admin", &edge.admin.to_string()];
    assert_eq!(common::binary().args(args).output().unwrap().status.code(), Some(0));
}

#[test]
fn metrics_are_clean() {
    let upstream = Upstream::saying("hello");
    let edge = Edge::plain(upstream.flag());
    assert_eq!(get(edge.http, "/", &[]).status, 200);
    assert_eq!(get(edge.http, "/%", &[]).status, 400);
    let series = r#"monodon_edge_http_requests_total{site="_default",method="GET",code="200",protocol="http/1.1"}"#;
    common::until("the request is counted", || edge.metric(series) == 1.0);
    edge.counts(r#"monodon_edge_http_request_errors_total{site="_default",reason="bad_request"}"#, 1.0);
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

fn json(edge: &Edge, path: &str) -> Value {
    let answer = edge.admin(path);
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")), "{path}");
    serde_json::from_slice(&answer.body).unwrap()
}

#[test]
fn the_configuration_in_force_is_told_without_secrets() {
    let upstream = Upstream::saying("hello");
    let text = format!(
        "[upstreams.node]\nservers = [\"{0}\"]\n[[site]]\nhosts = [\"a.example\"]\n[[site.route]]\npath = \"/a/\"\n\
         upstream = \"node\"\nbody_limit = \"1KB\"\n\
         request_headers_set = [\"X-Api-Key: hidden-word\", \"X-Plain: shown-word\"]\n",
        upstream.address
    );
    let args = ["--status-page", "/status/", "--status-upstream", "127.0.0.1:1"];
    let setup = Setup::default().plain().args(args).file(&text);
    let edge = setup.env("MONODON_EDGE_STATUS_PASSWORD", "hidden-word").start();
    let told = json(&edge, "/config");
    let setting = |key: &str| {
        let all = told["settings"].as_array().unwrap();
        let one = all.iter().find(|one| one["key"] == key).unwrap();
        (one["value"].clone(), one["source"].as_str().unwrap().to_owned())
    };
    assert_eq!(setting("status_page"), ("/status/".into(), "--status-page".into()));
    assert_eq!(setting("status_password"), ("(hidden)".into(), "MONODON_EDGE_STATUS_PASSWORD".into()));
    assert_eq!(setting("body_limit"), ("32MB".into(), "default".into()));
    let site = told["tables"].as_array().unwrap().iter().find(|one| one["table"] == "site").unwrap();
    assert_eq!(site["tables"][0]["settings"]["body_limit"], "1KB");
    let headers = &site["tables"][0]["settings"]["request_headers_set"];
    assert_eq!(headers, &serde_json::json!(["X-Api-Key: (hidden)", "X-Plain: shown-word"]));
    let sites = json(&edge, "/sites");
    assert_eq!(sites["sites"][0]["hosts"][0], "a.example");
    assert_eq!(sites["sites"][0]["routes"][0]["when"], "path /a/");
    assert_eq!(sites["sites"][0]["routes"][0]["place"], "edge.toml:5: site.route");
    let upstreams = json(&edge, "/upstreams");
    let node = upstreams["upstreams"].as_array().unwrap().iter().find(|one| one["name"] == "node").unwrap();
    assert_eq!(node["addresses"][0]["address"], upstream.address.to_string());
    assert_eq!(json(&edge, "/certificates")["certificates"][0]["name"], "internal");
    assert_eq!(json(&edge, "/reloads")["refused"], 0);

    let output = binary().args(["config", "--state"]).arg(&edge.state).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "status_password = \"(hidden)\" # MONODON_EDGE_STATUS_PASSWORD\n",
        "[[site.route]] # edge.toml:5\npath = \"/a/\"\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    assert!(toml::from_str::<toml::Table>(&text).is_ok(), "{text}");
    let all = [text, told.to_string(), sites.to_string(), edge.admin("/metrics").text()].concat();
    assert!(!all.contains("hidden-word"));
}

/// Whatever is asked for there, in whatever way: only the socket changes something.
#[test]
fn the_port_changes_nothing() {
    let upstream = Upstream::saying("hello");
    let edge = Edge::plain(upstream.flag());
    for path in ["/reload", "/reopen", "/upstreams/default/drain", "/config", "/upstreams"] {
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            let answer = common::client::request(edge.admin, method, path, &["Content-Length: 0"]);
            assert!(matches!(answer.status, 404 | 405), "{method} {path}: {}", answer.status);
        }
    }
    assert_eq!(json(&edge, "/reloads")["taken"], 0);
}

#[test]
fn status_shows_what_is_going_on() {
    let upstream = Upstream::saying("hello");
    let edge = Edge::plain(upstream.flag());
    let status = |args: &[&str]| {
        let output = binary().arg("status").args(args).arg("--state").arg(&edge.state).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    for _ in 0..3 {
        assert_eq!(get(edge.http, "/", &[]).status, 200);
    }
    let text = status(&[]);
    assert!(text.contains("monodon-edge 0.1.0, up ") && text.contains("_default "), "{text}");
    assert!(text.contains(&format!("  {} ", upstream.address)) && text.contains(" up"), "{text}");
    let told: Value = serde_json::from_str(&status(&["--json"])).unwrap();
    assert_eq!((&told["sites"][0]["requests"], &told["queues"][0]["upstream"]), (&3.0.into(), &"default".into()));
    let nowhere = binary().args(["status", "--state", "nowhere"]).output().unwrap();
    let told = String::from_utf8_lossy(&nowhere.stderr).into_owned();
    assert!(nowhere.status.code() == Some(1) && told.contains("is the edge running here"), "{told}");
}

#[test]
fn a_server_is_drained_and_put_back() {
    let (one, two) = (Upstream::saying("one"), Upstream::saying("two"));
    let file = |more: &str| {
        format!(
            "[upstreams.node]\nservers = [\"{}\", \"{}\"]\n{more}[[site]]\n[[site.route]]\npath = \"/\"\nupstream = \"node\"\n",
            one.address, two.address
        )
    };
    let edge = Setup::default().plain().file(&file("")).start();
    let ask = |verb: &str, name: &str, address: &str| {
        let output = binary().args(["upstream", verb, name, address, "--state"]).arg(&edge.state).output().unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let both = || {
        let said: Vec<String> = (0..40).map(|_| get(edge.http, "/", &[]).text()).collect();
        (said.contains(&"one".to_owned()), said.contains(&"two".to_owned()))
    };
    let state = || {
        let told = json(&edge, "/upstreams");
        let node = told["upstreams"].as_array().unwrap().iter().find(|one| one["name"] == "node").unwrap().clone();
        node["addresses"][0]["state"].as_str().unwrap().to_owned()
    };
    common::until("both serve", || both() == (true, true));
    let address = one.address.to_string();
    // What readiness says of it.
    let ready = || {
        let told: Value = serde_json::from_slice(&edge.admin("/readyz").body).unwrap();
        let all = told["checks"]["upstream:address"].as_array().unwrap();
        all.iter().find(|one| one["componentId"] == address.as_str()).unwrap().clone()
    };
    let (code, text) = ask("drain", "node", &address);
    let of_its_own = format!("{address} is drained: from now on it gets only clients whose sticky cookie leads there");
    assert_eq!((code, text), (Some(0), format!("{of_its_own}\n")));
    assert_eq!((both(), state().as_str()), ((false, true), "draining"));
    // A reload that makes the upstream anew keeps the operator's word.
    edge.rewrite(&file("queue_per_slot = 7\n"));
    assert!(binary().arg("reload").arg("--state").arg(&edge.state).status().unwrap().success());
    assert_eq!((both(), state().as_str()), ((false, true), "draining"));
    // With all of them drained nothing is served, and at once.
    let up = format!("monodon_edge_upstream_up{{upstream=\"node\",address=\"{address}\"}}");
    assert_eq!((ready()["status"].as_str(), edge.metric(&up)), (Some("pass"), 1.0));
    let other = two.address.to_string();
    let (code, text) = ask("drain", "node", &other);
    assert!(code == Some(0) && text.ends_with("; no other takes requests: everybody else gets 503\n"), "{text}");
    let (_, again) = ask("drain", "node", &address);
    assert_eq!(again, format!("{of_its_own}; no other takes requests: everybody else gets 503\n"));
    let told = ready();
    assert!(told["status"] == "warn" && told["output"].as_str().unwrap().contains("every other server"), "{told}");
    assert_eq!(edge.metric(&up), 0.0);
    assert_eq!(get(edge.http, "/", &[]).status, 503);
    edge.counts("monodon_edge_http_request_errors_total{site=\"_default\",reason=\"upstream_drained\"}", 1.0);
    assert_eq!(ask("resume", "node", &other).0, Some(0));
    assert_eq!((both(), state().as_str()), ((false, true), "draining"));
    assert_eq!(ask("resume", "node", &address).0, Some(0));
    common::until("both serve again", || both() == (true, true));
    for (args, words) in [
        (["drain", "nobody", &address], "no upstream \"nobody\"; there is default, node"),
        (["drain", "node", "127.0.0.1:1"], "has no address \"127.0.0.1:1\"; it has"),
        (["empty", "node", &address], "expected drain or resume"),
    ] {
        let (code, text) = ask(args[0], args[1], args[2]);
        assert!(code != Some(0) && text.contains(words), "{args:?}: {text}");
    }
}
