//! What happens on a connection over time: slow, pipelined, half-closed, kept, given up.

use crate::support::Edge;

#[test]
fn heads_that_do_not_come() {
    let edge = Edge::start(&["--head-timeout", "300ms", "--idle-timeout", "600ms"]);
    for begin in ["G", "GET /bad HTTP/1.1\r\n", "GET /bad HTTP/1.1\r\nHost: a\r\nX: y", "\r\n"] {
        let answer = edge.send(begin.as_bytes());
        assert!(answer.status == 408 && answer.closed, "{begin:?} got {answer:?}");
    }
    // A byte now and then does not help: the time is for the whole head.
    let mut client = edge.connect();
    let drip = client.0.try_clone().unwrap();
    let dripping = std::thread::spawn(move || {
        use std::io::Write;
        for byte in b"GET /bad HTTP/1.1\r\nHost: a\r\nX-Long: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy".iter() {
            if (&drip).write_all(&[*byte]).is_err() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    });
    let answer = client.read_all();
    assert!(answer.status == 408 && answer.closed, "{answer:?}");
    dripping.join().unwrap();
    // Nothing at all gets nothing, and so does an idle connection after an answer.
    let nothing = edge.send(b"");
    assert!(nothing.closed && nothing.text.is_empty(), "{nothing:?}");
    let kept = edge.send(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(kept.closed && kept.text.matches("HTTP/1.1").count() == 1 && kept.status == 200, "{kept:?}");
    edge.forwarded(&["/x"]);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let edge = Edge::start(&[]);
    let text = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n\
                POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\
                \r\nPOST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n\
                HEAD /4 HTTP/1.1\r\nHost: a\r\n\r\n\
                GET /5 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /6 HTTP/1.1\r\nHost: a\r\n\r\n";
    let answer = edge.send(text.as_bytes());
    assert_eq!(answer.text.matches("HTTP/1.1 200 OK\r\n").count(), 5, "{}", answer.text);
    assert_eq!(answer.text.matches("\r\n\r\nok").count(), 4, "HEAD has no body: {}", answer.text);
    assert!(answer.closed);
    edge.forwarded(&["/1", "/2", "/3", "/4", "/5"]);
}

#[test]
fn nothing_after_an_error_is_served() {
    let edge = Edge::start(&[]);
    let text =
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /bad HTTP/1.1\r\nHost : a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n";
    let answer = edge.send(text.as_bytes());
    assert!(answer.closed);
    assert_eq!(answer.text.matches("HTTP/1.1 ").count(), 2, "{}", answer.text);
    edge.forwarded(&["/1"]);
}

#[test]
fn half_closed_clients_get_their_answer() {
    let edge = Edge::start(&[]);
    let mut client = edge.connect();
    client.write(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    client.half_close();
    let answer = client.read_all();
    assert!(answer.status == 200 && answer.closed, "{answer:?}");
    // Half a head gets none, and nothing waits for its other half.
    let mut client = edge.connect();
    client.write(b"GET /bad HTTP/1.1\r\nHo");
    client.half_close();
    assert!(client.read_all().closed);
    edge.forwarded(&["/x"]);
}

#[test]
fn clients_that_go_at_once_harm_nobody() {
    let edge = Edge::start(&[]);
    for bytes in [&b""[..], b"GET", b"GET /gone HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n"] {
        for _ in 0..5 {
            let mut client = edge.connect();
            client.write(bytes);
            drop(client);
        }
    }
    assert_eq!(edge.send(crate::support::GOOD).status, 200);
}

#[test]
fn http_1_0() {
    let edge = Edge::start(&[]);
    let answer = edge.send(b"GET /chunked HTTP/1.0\r\nHost: a\r\n\r\n");
    assert!(answer.status == 200 && answer.closed && answer.body() == "hello", "{answer:?}");
    assert!(!answer.text.to_ascii_lowercase().contains("transfer-encoding"), "{answer:?}");
    let mut client = edge.connect();
    client.write(b"GET /1 HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
    assert!(client.until("ok").text.contains("connection: keep-alive\r\n"));
    client.write(b"GET /2 HTTP/1.0\r\n\r\n");
    let answer = client.read_all();
    assert!(answer.status == 200 && answer.closed, "{answer:?}");
    edge.forwarded(&["/chunked", "/1", "/2"]);
}

#[test]
fn answers_without_a_body_have_none() {
    let edge = Edge::start(&[]);
    for (request, status) in [("HEAD /x", 200), ("HEAD /chunked", 200), ("GET /nothing", 204), ("GET /same", 304)] {
        let answer = edge.send(format!("{request} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes());
        assert!(answer.status == status && answer.body().is_empty() && answer.closed, "{request}: {answer:?}");
    }
}

#[test]
fn an_answer_that_breaks_off_never_looks_whole() {
    let edge = Edge::start(&[]);
    let answer = edge.send(b"GET /broken HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.closed, "{answer:?}");
    assert!(answer.status == 502 || !answer.text.contains("0\r\n\r\n"), "{answer:?}");
    // Without chunks only a reset can tell.
    let answer = edge.send(b"GET /broken HTTP/1.0\r\nHost: a\r\n\r\n");
    assert!(answer.status == 502 || answer.reset, "{answer:?}");
}

#[test]
fn a_client_that_does_not_read_is_given_up() {
    let edge = Edge::start(&["--send-timeout", "300ms"]);
    let mut client = edge.connect();
    client.write(b"GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    // Standing still is the input here: many times the timeout, for a busy machine takes long to make the answer.
    std::thread::sleep(std::time::Duration::from_secs(5));
    let answer = client.read_all();
    assert!(answer.closed && answer.text.len() < 33_554_432, "got {} bytes", answer.text.len());
    edge.forwarded(&["/big"]);
}
