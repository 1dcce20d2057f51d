//! Request lines, fields, targets and hosts.

use crate::support::Edge;

#[test]
fn framing_that_two_servers_may_read_differently() {
    let edge = Edge::start(&[]);
    let post = |lines: &str| format!("POST /bad HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    for lines in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: chunked\r\nContent-Length: 0",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: ,chunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked;x",
        "Transfer-Encoding: chunked\u{b}",
        "Transfer-Encoding:",
        "Transfer-Encoding: \t,",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        " Transfer-Encoding: chunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: -0",
        "Content-Length: 0x5",
        "Content-Length: 5_0",
        "Content-Length: 5 0",
        "Content-Length: \u{ff15}",
        "Content-Length:",
        "Content-Length: 18446744073709551616",
        "Content-Length : 5",
        "Content-Length: 5\r\nUpgrade: websocket\r\nConnection: upgrade",
        "Transfer-Encoding: chunked\r\nUpgrade: h2c\r\nConnection: upgrade",
    ] {
        edge.refuses(post(lines).as_bytes(), 400);
    }
    for (lines, status) in [
        ("Transfer-Encoding: xchunked", 501),
        ("Transfer-Encoding: identity", 501),
        ("Expect: something\r\nContent-Length: 5", 417),
        ("Expect: 100-continue, x\r\nContent-Length: 5", 417),
        ("Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 5", 417),
    ] {
        edge.refuses(post(lines).as_bytes(), status);
    }
    // Bytes that some languages take for white space: Latin-1's and Unicode's no-break space, next line, form feed.
    for space in [&b"\xa0"[..], b"\x85", b"\xc2\xa0", b"\x0c"] {
        for (before, after) in [
            ("Content-Length:", "5"),
            ("Content-Length: 5", ""),
            ("Transfer-Encoding:", "chunked"),
            ("Transfer-Encoding: chunked", ""),
        ] {
            let field = [before.as_bytes(), space, after.as_bytes()].concat();
            edge.refuses(
                &[b"POST /bad HTTP/1.1\r\nHost: a\r\n", &field[..], b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n"].concat(),
                400,
            );
        }
    }
    edge.refuses(b"POST /bad HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400);
    edge.forwarded(&[]);
}

#[test]
fn lines_and_fields() {
    let edge = Edge::start(&[]);
    for text in [
        "GET /bad HTTP/1.1\nHost: a\n\n",
        "GET /bad HTTP/1.1\r\nHost: a\n\r\n",
        "GET /bad HTTP/1.1\r\nHost: a\r\n\n",
        "GET /bad HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
        "GET /bad HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
        "GET /bad HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        "GET /bad HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n",
        "GET /bad HTTP/1.1\r\nHost: a\r\nX: b\r\n folded\r\n\r\n",
        "GET /bad HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET /bad HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n",
        "GET /bad HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
        "GET /bad HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
        "GET /bad HTTP/1.1\r\nHost: a\r\nX(: b\r\n\r\n",
        "GET /bad HTTP/1.1\r\nHost: a\r\n\u{e9}: b\r\n\r\n",
        "\r\n\r\nGET /bad HTTP/1.1\r\nHost: a\r\n\r\n",
        " GET /bad HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET  /bad HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /bad  HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET\t/bad HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /bad HTTP/1.1 \r\nHost: a\r\n\r\n",
        "G(T /bad HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /bad http/1.1\r\nHost: a\r\n\r\n",
        "GET /bad HTTP/1.10\r\nHost: a\r\n\r\n",
        "GET /bad\r\n\r\n",
        "GET\r\n\r\n",
    ] {
        edge.refuses(text.as_bytes(), 400);
    }
    for control in (1u8..0x20).filter(|b| !matches!(b, b'\t' | b'\n')).chain([0x7f]) {
        edge.refuses(&[&b"GET /bad HTTP/1.1\r\nHost: a\r\nX: a"[..], &[control], b"b\r\n\r\n"].concat(), 400);
    }
    edge.refuses(b"GET /bad HTTP/2.0\r\nHost: a\r\n\r\n", 505);
    edge.refuses(b"GET /bad HTTP/0.9\r\nHost: a\r\n\r\n", 505);
    edge.forwarded(&[]);
}

#[test]
fn targets_and_hosts() {
    let edge = Edge::start(&[]);
    for target in [
        "/bad#x",
        "/b ad",
        "/b\tad",
        "/b\u{7f}ad",
        "/b\u{e9}ad",
        "bad",
        "*",
        "a:443",
        "http://",
        "http://u@a/bad",
        "http://a:x/bad",
        "ftp://a/bad",
    ] {
        edge.refuses(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(), 400);
    }
    edge.refuses(b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 405);
    edge.refuses(b"CONNECT /bad HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    edge.refuses(b"GET /bad HTTP/1.1\r\n\r\n", 400);
    edge.refuses(b"GET http://a/bad HTTP/1.1\r\n\r\n", 400);
    edge.refuses(b"GET /bad HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400);
    for host in
        ["", "a b", "a, b", "u@a", "a/b", "a:", "a:x", "a:65536", "[::1", "[a]", "::1", ".a", "a..b", "a\u{e9}", "a%41"]
    {
        edge.refuses(format!("GET /bad HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes(), 400);
    }
    edge.forwarded(&[]);
}

#[test]
fn the_absolute_form_overrides_host() {
    let edge = Edge::start(&[]);
    let answer = edge.send(b"GET http://real.example:81/x?y HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n");
    assert_eq!(answer.status, 200, "{}", answer.text);
    let head = edge.upstream.requests()[0].head.to_ascii_lowercase();
    assert!(head.starts_with("get /x?y http/1.1\r\n") && head.contains("\r\nhost: real.example:81\r\n"), "{head}");
    assert!(!head.contains("other"), "{head}");
}

#[test]
fn too_long() {
    let edge = Edge::start(&[]);
    edge.refuses(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(9000)).as_bytes(), 414);
    edge.refuses(format!("GET /{}", "x".repeat(9000)).as_bytes(), 414);
    edge.refuses(format!("GET /bad HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(33_000)).as_bytes(), 431);
    edge.refuses(format!("GET /bad HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: 0123456789\r\n".repeat(100)).as_bytes(), 431);
    let many = format!("X: {}\r\n", "y".repeat(1000)).repeat(40);
    edge.refuses(format!("GET /bad HTTP/1.1\r\nHost: a\r\n{many}\r\n").as_bytes(), 431);
    edge.forwarded(&[]);
    let narrow = Edge::start(&["--line-limit", "1KB", "--head-limit", "2KB", "--fields-limit", "5"]);
    narrow.refuses(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(1100)).as_bytes(), 414);
    narrow.refuses(format!("GET /bad HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(2100)).as_bytes(), 431);
    narrow.refuses(format!("GET /bad HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(5)).as_bytes(), 431);
    narrow.forwarded(&[]);
}

#[test]
fn noise_and_other_protocols() {
    let edge = Edge::start(&[]);
    edge.refuses(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400);
    edge.refuses(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
    edge.refuses(&[0xff; 64], 400);
    edge.refuses(&[0; 64], 400);
    let mut rng = fastrand::Rng::with_seed(3);
    for _ in 0..50 {
        let noise: Vec<u8> = (0..200).map(|_| rng.u8(..)).chain(*b"\r\n\r\n").collect();
        let answer = edge.send(&noise);
        assert!((400..600).contains(&answer.status) && answer.closed, "{noise:?} got {answer:?}");
    }
    edge.forwarded(&[]);
}

#[test]
fn an_upgrade_to_http2_is_ignored() {
    let edge = Edge::start(&[]);
    let answer = edge.send(b"GET /plain HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n");
    assert_eq!(answer.status, 200, "{}", answer.text);
    let head = edge.upstream.requests()[0].head.to_ascii_lowercase();
    assert!(!head.contains("upgrade") && !head.contains("http2-settings"), "{head}");
}
