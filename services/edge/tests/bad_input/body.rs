//! Request bodies: malformed, too large, too slow, half there.

use crate::support::Edge;

const CHUNKED: &str = "POST /bad HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn malformed_chunks() {
    let edge = Edge::start(&[]);
    for body in [
        "+5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5_0\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5 ;x\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "10000000000000000\r\nhello",
        "5\nhello\r\n0\r\n\r\n",
        "5;x\nhello\r\n0\r\n\r\n",
        "5;x\ry\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\n",
        "5\r\nhello\r\n0\r\nX : y\r\n\r\n",
        "5\r\nhello\r\n0\r\nX\r\n\r\n",
        "5\r\nhello\r\n0\r\nHost: evil\r\n\r\n",
        "5;=\r\nhello\r\n0\r\n\r\n",
    ] {
        edge.refuses([CHUNKED, body].concat().as_bytes(), 400);
    }
    edge.refuses(format!("{CHUNKED}5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(20_000)).as_bytes(), 400);
    edge.refuses(format!("{CHUNKED}0\r\n{}\r\n", "X: y\r\n".repeat(5000)).as_bytes(), 400);
    edge.forwarded(&[]);
}

#[test]
fn good_chunks_are_sent_on_with_their_length() {
    let edge = Edge::start(&[]);
    let body = "5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nX-Evil: evil\r\nX-Trailer: 1\r\n\r\n";
    let text = CHUNKED.replace("/bad", "/x").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n") + body;
    assert_eq!(edge.send(text.as_bytes()).status, 200);
    let request = edge.upstream.requests().remove(0);
    let head = request.head.to_ascii_lowercase();
    assert_eq!(request.body, b"hello!");
    assert!(head.contains("content-length: 6\r\n") && !head.contains("trailer") && !head.contains("evil"), "{head}");
}

#[test]
fn bodies_over_the_limit() {
    let edge = Edge::start(&["--body-limit", "1KB"]);
    // Before a byte of it is there, and before it is asked for.
    for expect in ["", "Expect: 100-continue\r\n"] {
        let head = format!("POST /bad HTTP/1.1\r\nHost: a\r\n{expect}Content-Length: 1025\r\n\r\n");
        let answer = edge.send(head.as_bytes());
        assert!(answer.status == 413 && answer.closed, "{}", answer.text);
    }
    edge.refuses(format!("{CHUNKED}400\r\n{}\r\n1\r\n", "x".repeat(1024)).as_bytes(), 413);
    edge.refuses([CHUNKED, "401\r\n"].concat().as_bytes(), 413);
    let large = vec![b'x'; 3_000_000];
    let head = format!("POST /bad HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", large.len());
    let mut client = edge.connect();
    let written = std::io::Write::write_all(&mut client.0, &[head.as_bytes(), &large].concat());
    assert!(written.is_ok(), "a client that sends all first is not cut off: {written:?}");
    let answer = client.read_all();
    assert!(answer.status == 413 && answer.closed && !answer.reset, "and sees the answer: {answer:?}");
    let good =
        format!("POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1024\r\n\r\n{}", "x".repeat(1024));
    assert_eq!(edge.send(good.as_bytes()).status, 200);
    edge.forwarded(&["/x"]);
}

#[test]
fn continue_is_said_when_the_body_is_wanted() {
    let edge = Edge::start(&[]);
    let mut client = edge.connect();
    client.write(
        b"POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 5\r\n\r\n",
    );
    assert_eq!(client.until("\r\n\r\n").text, "HTTP/1.1 100 Continue\r\n\r\n");
    client.write(b"hello");
    assert_eq!(client.read_all().status, 200);
    // Not to who sends it unasked, and not in HTTP/1.0.
    let eager = edge.send(
        b"POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
    );
    assert_eq!(eager.status, 200, "{}", eager.text);
    let old = edge.send(b"POST /x HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(old.status, 200, "{}", old.text);
    assert!(edge.upstream.requests().iter().all(|request| request.body == b"hello"));
    edge.forwarded(&["/x", "/x", "/x"]);
}

#[test]
fn bodies_that_do_not_come() {
    let edge = Edge::start(&["--body-timeout", "300ms"]);
    for begin in [
        "Content-Length: 5\r\n\r\nhe",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhe",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ] {
        let answer = edge.send(format!("POST /bad HTTP/1.1\r\nHost: a\r\n{begin}").as_bytes());
        assert!(answer.status == 408 && answer.closed, "{begin:?} got {answer:?}");
        // The client closes in the middle.
        let mut client = edge.connect();
        client.write(format!("POST /bad HTTP/1.1\r\nHost: a\r\n{begin}").as_bytes());
        drop(client);
        let mut client = edge.connect();
        client.write(format!("POST /bad HTTP/1.1\r\nHost: a\r\n{begin}").as_bytes());
        client.half_close();
        assert!(client.read_all().closed);
    }
    edge.forwarded(&[]);
}

#[test]
fn a_body_is_never_a_request() {
    let edge = Edge::start(&[]);
    let hidden = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    // Answered by the edge without reading the body: a path that leaves the root.
    for method in ["GET", "POST", "DELETE", "OPTIONS"] {
        let text = format!("{method} /..%2f HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{hidden}", hidden.len());
        let mut client = edge.connect();
        client.write(text.as_bytes());
        client.write(b"GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(client.read_all().status, 400);
    }
    // A client that waits for 100 may send its body after the answer or not: the connection cannot go on.
    let waiting = "POST /..%2f HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 37\r\n\r\n";
    edge.refuses(waiting.as_bytes(), 400);
    // And a body on a method that seldom has one is sent on with its length.
    let text =
        format!("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{hidden}", hidden.len());
    assert_eq!(edge.send(text.as_bytes()).status, 200);
    let requests = edge.upstream.requests();
    assert!(requests.iter().all(|request| !request.head.contains("/smuggled")), "{requests:?}");
    assert_eq!(requests.last().unwrap().body, hidden.as_bytes());
}
