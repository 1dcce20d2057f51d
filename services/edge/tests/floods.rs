//! What clients make up, in masses: log lines stay one line each, tables stay as large as they are.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Answer, Connection, Edge, Setup, Upstream, get, until};

fn edge(upstream: &Upstream, text: &str) -> Edge {
    Setup::default().plain().file(&format!("upstream = ['{}']\n{text}", upstream.address)).start()
}

fn ask(edge: &Edge, request: &[u8]) -> Option<Answer> {
    let mut connection = Connection::plain(edge.http).unwrap();
    // What is refused at its first bytes may not be read to its end.
    let _ = connection.send(request);
    connection.answer().ok()
}

/// Of clients who would write into the log: each with the status that it gets.
fn forgeries() -> Vec<(u16, Vec<u8>)> {
    let get = |target: &str, fields: &[u8]| {
        [format!("GET {target} HTTP/1.1\r\nHost: a\r\n").as_bytes(), fields, b"\r\n"].concat()
    };
    let field = |name: &str, value: &[u8]| [name.as_bytes(), b": ", value, b"\r\n"].concat();
    let forged = b"x\" 200 0 \"-\" \"-\"\\n\\r{\"log\":\"access\",\"status\":200,\"forged\":true}\\x0a\\";
    let high: Vec<u8> = (0x80..=0xffu8).cycle().take(20_000).collect();
    let tabs = b"a\tb\t\xe2\x80\xa8\xc2\x85c".to_vec();
    let mut all = vec![
        (400, get("/%0d%0a%22forged%22:true", b"")),
        (200, get("/%22forged%22:true?a=%0d%0aforged", b"")),
        (200, get("/", &field("User-Agent", forged))),
        (200, get("/", &field("Referer", forged))),
        (200, get("/", &field("User-Agent", &high))),
        (200, get("/", &field("Referer", &tabs))),
        (200, get(&format!("/?{}", "a=b&".repeat(1900)), b"")),
        (414, get(&format!("/{}", "x".repeat(9000)), b"")),
        (431, get("/", &field("User-Agent", &b"\xff".repeat(40_000)))),
        (431, get("/", &(0..200).flat_map(|n| field(&format!("x-{n}"), b"1")).collect::<Vec<u8>>())),
    ];
    // Control characters are in no field and in no target.
    for control in [0u8, 1, 8, 0x0b, 0x1b, 0x7f] {
        all.push((400, get("/", &field("User-Agent", &[b'a', control, b'b']))));
        all.push((400, [b"GET /a".as_slice(), &[control], b"forged HTTP/1.1\r\nHost: a\r\n\r\n"].concat()));
    }
    all.push((400, get("/", b"User-Agent: a\nforged: b\r\n")));
    all.push((400, get("/", b"Host: \"\\n{forged}\r\n")));
    all
}

#[test]
fn one_request_is_one_line_whatever_is_in_it() {
    for format in ["", "access_log_format = 'L $request \"$http_user_agent\" $http_referer $status E'\n"] {
        let site = "[[site]]\n[[site.route]]\npath = '/'\nrespond = 'hello'\n";
        let edge = Setup::default().plain().file(&format!("{format}{site}")).start();
        for (status, request) in forgeries() {
            let told = String::from_utf8_lossy(&request[..request.len().min(80)]).into_owned();
            assert_eq!(ask(&edge, &request).unwrap().status, status, "{told:?}");
        }
        let access = |line: &String| line.starts_with("L ") || line.contains("\"log\":\"access\"");
        let wanted = forgeries().len();
        until("a line each", || edge.lines().iter().filter(|line| access(line)).count() >= wanted);
        let lines: Vec<String> = edge.lines().into_iter().filter(access).collect();
        assert_eq!(lines.len(), wanted);
        for line in lines {
            assert!(!line.bytes().any(|byte| byte.is_ascii_control()), "{line:?}");
            assert!(line.len() < 150_000, "{} bytes", line.len());
            if format.is_empty() {
                let line: serde_json::Value = serde_json::from_str(&line).unwrap();
                assert!(line.get("forged").is_none(), "{line}");
            } else {
                assert!(line.ends_with(" E"), "{line:?}");
                assert_eq!(line.matches('"').count(), 2, "quotes of the format alone: {line:?}");
            }
        }
    }
}

/// A table of keys is as large as it was told to be, whoever fills it; those that were not forgotten are limited still.
#[test]
fn keys_that_a_client_makes_up_take_no_room() {
    let upstream = Upstream::saying("hello");
    let edge = edge(
        &upstream,
        "limit = ['made_up', 'client']\n[limits.made_up]\nrate = '1/h'\nkey = 'header:X-Key'\nkeys = 64\n\
         [limits.client]\nrate = '1/h'\nburst = 2000\n",
    );
    let resident = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", edge.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let mut connection = Connection::plain(edge.http).unwrap();
    let mut send = |key: usize| connection.ask(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Key: {key:0>1000}\r\n\r\n"));
    for key in 0..200 {
        assert_eq!(send(key).status, 200);
    }
    let before = resident();
    for key in 200..2000 {
        assert_eq!(send(key).status, 200);
    }
    assert_eq!(send(1999).status, 429, "the last is known");
    assert!(resident() < before + 8192, "{} kB, and {before} before", resident());
    assert!(edge.metric("monodon_edge_limit_keys{limit=\"made_up\"}") <= 64.0);
    assert!(edge.metric("monodon_edge_limit_evictions_total{limit=\"made_up\"}") >= 1900.0);
    // Another table, and another client's: theirs is where it was.
    assert_eq!(edge.metric("monodon_edge_limit_evictions_total{limit=\"client\"}"), 0.0);
    assert_eq!(get(edge.http, "/", &[]).status, 200);
    assert_eq!(get(edge.http, "/", &[]).status, 429);
}
