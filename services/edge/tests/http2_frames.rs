//! HTTP/2 by hand, in the order of RFC 9113 and of h2spec: what is against the rules ends its stream or its connection with the right word,
//! reaches no application, and harms nobody else.
#![allow(clippy::unwrap_used)]

mod common;

use common::frames::*;
use common::house::Takes::{Closed, Connection, Status, Stream};
use common::house::{House, Takes, get, post};
use common::{Setup, Upstream, until};

#[test]
fn what_is_fine() {
    let mut house = House::new(&[]);
    let mut client = house.open();
    client.write(200, 0xff, 7, b"a frame that nobody knows");
    client.write(SETTINGS, 0, 0, &[0xfe, 0xfe, 0, 0, 0, 1]);
    client.write(PING, 0, 0, b"12345678");
    let pong = client.until(|frame| frame.kind == PING).unwrap();
    assert_eq!((pong.flags, &pong.payload[..]), (ACK, &b"12345678"[..]));
    client.write(PRIORITY, 0, 9, &[0, 0, 0, 0, 16]);
    assert_eq!(client.ask(1, &with(&GET, &[("te", "trailers")])), 200);
    // A head in three parts, with priority and padding; a padded body; trailers.
    let head = with(&POST, &[("content-length", "5")]);
    let first = [&[3, 0, 0, 0, 0, 16][..], &head[..10], &[0; 3]].concat();
    client.write(HEADERS, PADDED | WITH_PRIORITY, 3, &first);
    client.write(CONTINUATION, 0, 3, &head[10..20]);
    client.write(CONTINUATION, END_HEADERS, 3, &head[20..]);
    client.write(DATA, PADDED, 3, b"\x02hello\0\0");
    client.write(HEADERS, WHOLE, 3, &block(&[("x-checksum", "1")]));
    let answer = client.until(|frame| frame.kind == HEADERS).unwrap();
    assert_eq!((answer.stream, answer.status()), (3, 200));
    let seen = house.upstream.last();
    assert_eq!((&seen.body[..], seen.header("x-checksum")), (&b"hello"[..], None));
    house.asked = 0;
    assert_eq!(house.neighbour.ask(1, &block(&GET)), 200);
}

#[test]
fn preface_and_frames() {
    let mut house = House::new(&[]);
    for (what, bytes) in
        [("another preface", &b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..]), ("no SETTINGS", PREFACE)]
    {
        let mut client = Frames::connect(&house.edge, &house.ca);
        let _ = client.send(&[bytes, &get(1)].concat());
        house.check(what, Closed, client);
    }
    let large = vec![0; 16385];
    for (what, takes, bytes) in [
        ("DATA too large", Connection(FRAME_SIZE_ERROR), [post(1), frame(DATA, 0, 1, &large)].concat()),
        ("HEADERS too large", Connection(FRAME_SIZE_ERROR), frame(HEADERS, WHOLE, 1, &large)),
        ("an unknown frame too large", Connection(FRAME_SIZE_ERROR), frame(200, 0, 0, &large)),
        ("no such index", Connection(COMPRESSION_ERROR), frame(HEADERS, WHOLE, 1, &[0xff, 0x80, 0x01])),
        (
            "a table larger than ours",
            Connection(COMPRESSION_ERROR),
            frame(HEADERS, WHOLE, 1, &[0x3f, 0xff, 0xff, 0x7f]),
        ),
        (
            "Huffman's code, broken",
            Connection(COMPRESSION_ERROR),
            frame(HEADERS, WHOLE, 1, &[0x00, 0x81, 0x00, 0x81, 0x00]),
        ),
    ] {
        house.takes(what, takes, &bytes);
    }
}

#[test]
fn streams_and_their_states() {
    let mut house = House::new(&["--body-timeout", "60s"]);
    let half = frame(HEADERS, 0, 1, &block(&GET)[..10]);
    for (what, takes, bytes) in [
        ("HEADERS on 0", Connection(PROTOCOL_ERROR), get(0)),
        ("DATA on 0", Connection(PROTOCOL_ERROR), frame(DATA, 0, 0, b"x")),
        ("an even stream", Connection(PROTOCOL_ERROR), get(2)),
        ("DATA before HEADERS", Connection(PROTOCOL_ERROR), frame(DATA, END_STREAM, 1, b"x")),
        ("RST_STREAM before HEADERS", Connection(PROTOCOL_ERROR), frame(RST_STREAM, 0, 1, &[0; 4])),
        ("WINDOW_UPDATE before HEADERS", Connection(PROTOCOL_ERROR), frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])),
        ("CONTINUATION before HEADERS", Connection(PROTOCOL_ERROR), frame(CONTINUATION, END_HEADERS, 1, b"")),
        ("another frame in a head", Connection(PROTOCOL_ERROR), [half.clone(), frame(PING, 0, 0, &[0; 8])].concat()),
        (
            "another stream's CONTINUATION",
            Connection(PROTOCOL_ERROR),
            [half.clone(), frame(CONTINUATION, END_HEADERS, 3, &block(&GET)[10..])].concat(),
        ),
        ("DATA in a head", Connection(PROTOCOL_ERROR), [half, frame(DATA, 0, 1, b"x")].concat()),
        ("padding beyond the frame", Connection(PROTOCOL_ERROR), [post(1), frame(DATA, PADDED, 1, &[9, 0])].concat()),
        (
            "padding beyond the head",
            Connection(PROTOCOL_ERROR),
            frame(HEADERS, WHOLE | PADDED, 1, &[&[250][..], &block(&GET)].concat()),
        ),
    ] {
        house.takes(what, takes, &bytes);
    }
}

#[test]
fn frames_of_the_wrong_size_or_stream() {
    let mut house = House::new(&["--body-timeout", "60s"]);
    let setting = |id: u16, value: u32| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    for (what, takes, bytes) in [
        ("PRIORITY on 0", Connection(PROTOCOL_ERROR), frame(PRIORITY, 0, 0, &[0; 5])),
        ("RST_STREAM on 0", Connection(PROTOCOL_ERROR), frame(RST_STREAM, 0, 0, &[0; 4])),
        ("RST_STREAM too short", Connection(FRAME_SIZE_ERROR), [post(1), frame(RST_STREAM, 0, 1, &[0; 3])].concat()),
        ("SETTINGS on a stream", Connection(PROTOCOL_ERROR), frame(SETTINGS, 0, 1, b"")),
        ("SETTINGS cut off", Connection(FRAME_SIZE_ERROR), frame(SETTINGS, 0, 0, &[0; 3])),
        ("SETTINGS acknowledged with words", Connection(FRAME_SIZE_ERROR), frame(SETTINGS, ACK, 0, &[0; 6])),
        ("ENABLE_PUSH 2", Connection(PROTOCOL_ERROR), frame(SETTINGS, 0, 0, &setting(2, 2))),
        ("INITIAL_WINDOW_SIZE", Connection(FLOW_CONTROL_ERROR), frame(SETTINGS, 0, 0, &setting(4, 0x8000_0000))),
        ("MAX_FRAME_SIZE small", Connection(PROTOCOL_ERROR), frame(SETTINGS, 0, 0, &setting(5, 16383))),
        ("MAX_FRAME_SIZE large", Connection(PROTOCOL_ERROR), frame(SETTINGS, 0, 0, &setting(5, 1 << 24))),
        (
            "PUSH_PROMISE",
            Connection(PROTOCOL_ERROR),
            [post(1), frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])].concat(),
        ),
        ("PING too short", Connection(FRAME_SIZE_ERROR), frame(PING, 0, 0, &[0; 7])),
        ("PING on a stream", Connection(PROTOCOL_ERROR), frame(PING, 0, 1, &[0; 8])),
        ("GOAWAY on a stream", Connection(PROTOCOL_ERROR), frame(GOAWAY, 0, 1, &[0; 8])),
        ("WINDOW_UPDATE too short", Connection(FRAME_SIZE_ERROR), frame(WINDOW_UPDATE, 0, 0, &[0; 3])),
        ("WINDOW_UPDATE 0", Connection(PROTOCOL_ERROR), frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        (
            "the connection's window",
            Connection(FLOW_CONTROL_ERROR),
            frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
        ),
        (
            "WINDOW_UPDATE 0 of a stream",
            Stream(PROTOCOL_ERROR),
            [post(1), frame(WINDOW_UPDATE, 0, 1, &[0; 4])].concat(),
        ),
        (
            "a stream's window",
            Stream(FLOW_CONTROL_ERROR),
            [post(1), frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff])].concat(),
        ),
        ("PRIORITY too short", Stream(FRAME_SIZE_ERROR), [post(1), frame(PRIORITY, 0, 1, &[0; 4])].concat()),
    ] {
        house.takes(what, takes, &bytes);
    }
}

/// On streams that have been answered: what comes too late.
#[test]
fn closed_streams() {
    let mut house = House::new(&[]);
    for (what, code, late) in [
        ("HEADERS after the end", STREAM_CLOSED, get(1)),
        ("DATA after the end", STREAM_CLOSED, frame(DATA, END_STREAM, 1, b"x")),
        ("an older stream", PROTOCOL_ERROR, get(3)),
    ] {
        let mut client = house.open();
        for stream in [1, 5] {
            assert_eq!(client.ask(stream, &block(&GET)), 200);
        }
        house.asked += 2;
        let _ = client.send(&late);
        let found = client.until(|frame| {
            frame.kind == RST_STREAM && frame.code() != NO_ERROR || frame.kind == GOAWAY && frame.code() != NO_ERROR
        });
        let found = found.map(|frame| frame.code());
        assert!(found.is_none() || found == Some(code) || found == Some(PROTOCOL_ERROR), "{what}: {found:?}");
        house.asked += 1;
        assert_eq!(house.neighbour.ask(house.asked * 2 - 1, &block(&GET)), 200, "{what}: the neighbour");
        assert_eq!(house.upstream.seen().len(), house.asked as usize, "{what}");
    }
}

/// RFC 9113, section 8: malformed requests, which HTTP/1.1 behind us might read as something else.
#[test]
fn malformed_requests() {
    let mut house = House::new(&[]);
    let mut refused = |what: &str, fields: &[(&str, &str)], takes: Takes| {
        house.takes(what, takes, &frame(HEADERS, WHOLE, 1, &block(fields)));
    };
    let bad = Stream(PROTOCOL_ERROR);
    for (name, value) in [
        ("X-Upper", "1"),
        ("connection", "close"),
        ("keep-alive", "1"),
        ("proxy-connection", "x"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
        ("", "empty"),
        (":path", "/late"),
        (":status", "200"),
        (":unknown", "x"),
        ("a b", "x"),
        ("a:b", "x"),
        ("a\r\nb", "x"),
        ("x", "a\r\nb: c"),
        ("x", "a\nb"),
        ("x", "a\0b"),
        ("content-length", "5"),
        ("content-length", "x"),
    ] {
        refused(&format!("{name:?}: {value:?}"), &[&GET[..], &[(name, value)]].concat(), bad);
    }
    for (name, value) in [("x", " a"), ("x", "a "), ("x", "\ta")] {
        refused(&format!("{name:?}: {value:?}"), &[&GET[..], &[(name, value)]].concat(), Status(400));
    }
    let [method, scheme, authority, path] = GET;
    let late = [method, scheme, ("x", "y"), authority, path];
    refused("a pseudo field behind others", &late, bad);
    refused("no :method", &[scheme, authority, path], bad);
    refused("no :scheme", &[method, authority, path], bad);
    refused("no :path", &[method, scheme, authority], bad);
    refused("two methods", &[method, method, scheme, authority, path], bad);
    refused("two paths", &[method, scheme, authority, path, path], bad);
    refused("two authorities", &[method, scheme, authority, authority, path], bad);
    let with_path = |path| [method, scheme, authority, (":path", path)];
    refused("an empty path", &with_path(""), bad);
    refused("an address", &with_path("http://localhost/"), bad);
    for path in ["x", "/a b", "/a\u{7f}", "/a\r\nb"] {
        let takes = found_either(path);
        refused(path, &with_path(path), takes);
    }
    for authority in ["user@localhost", "localhost:x", "a b", "localhost:99999", "local\0host"] {
        let takes = found_either(authority);
        refused(authority, &[method, scheme, (":authority", authority), path], takes);
    }
    let two = [&GET[..], &[("content-length", "0"), ("content-length", "0")]].concat();
    refused("two lengths", &two, Status(400));
    let hosts = [&GET[..], &[("host", "other")]].concat();
    refused("another host", &hosts, Status(400));
    refused("two hosts", &[&GET[..], &[("host", "localhost"), ("host", "localhost")]].concat(), Status(400));
}

/// What the http crate's types do not take ends the stream before it is a request of ours; the rest we answer.
fn found_either(text: &str) -> Takes {
    let plain = text.parse::<http::Uri>().is_ok() && !text.contains(['#', ' ']);
    if plain && (text.starts_with('/') || text.contains(':') || text.contains('@')) {
        Status(400)
    } else {
        Stream(PROTOCOL_ERROR)
    }
}

#[test]
fn lengths_and_trailers() {
    let mut house = House::new(&[]);
    let head = |length: &str| frame(HEADERS, END_HEADERS, 1, &with(&POST, &[("content-length", length)]));
    let bad = Stream(PROTOCOL_ERROR);
    for (what, takes, bytes) in [
        ("less than was said", bad, [head("6"), frame(DATA, END_STREAM, 1, b"hello")].concat()),
        ("more than was said", bad, [head("4"), frame(DATA, END_STREAM, 1, b"hello")].concat()),
        ("nothing of what was said", bad, [head("4"), frame(DATA, END_STREAM, 1, b"")].concat()),
        (
            "less, then trailers",
            bad,
            [head("6"), frame(DATA, 0, 1, b"hello"), frame(HEADERS, WHOLE, 1, &block(&[("x", "y")]))].concat(),
        ),
        ("trailers that do not end", bad, [post(1), frame(HEADERS, END_HEADERS, 1, &block(&[("x", "y")]))].concat()),
        ("trailers in capitals", bad, [post(1), frame(HEADERS, WHOLE, 1, &block(&[("X", "y")]))].concat()),
    ] {
        house.takes(what, takes, &bytes);
    }
}

/// What h2 reads over does not reach the application: a fragment, and trailers whatever they are.
#[test]
fn what_is_left_out() {
    let house = House::new(&[]);
    let mut client = house.open();
    let [method, scheme, authority, _] = GET;
    assert_eq!(client.ask(1, &block(&[method, scheme, authority, (":path", "/a#b")])), 200);
    assert_eq!(house.upstream.last().path(), "/a");
    client.write(HEADERS, END_HEADERS, 3, &block(&POST));
    client.write(DATA, 0, 3, b"hello");
    client.write(HEADERS, WHOLE, 3, &block(&[(":path", "/other"), ("content-length", "9"), ("host", "other")]));
    assert_eq!(client.until(|frame| frame.kind == HEADERS && frame.stream == 3).unwrap().status(), 200);
    let seen = house.upstream.last();
    assert_eq!((seen.line.as_str(), &seen.body[..]), ("POST / HTTP/1.1", &b"hello"[..]));
    assert_eq!((seen.all("host"), seen.all("content-length")), (vec!["localhost"], vec!["5"]));
}

/// RFC 9113, section 8.2.3: a client may split its cookies; HTTP/1.1 knows one field.
#[test]
fn cookies_in_parts_are_one() {
    let house = House::new(&[]);
    let mut client = house.open();
    assert_eq!(
        client.ask(1, &with(&GET, &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2; c=3"), ("cookie", "d=4")])),
        200
    );
    assert_eq!(house.upstream.last().all("cookie"), ["a=1; b=2; c=3; d=4"]);
}

/// Floods: each is cheap to send, and would be dear to take without end.
#[test]
fn floods_end_with_a_word() {
    let mut house = House::new(&["--body-timeout", "60s"]);
    let half = frame(HEADERS, 0, 1, b"");
    for (what, first, again) in [
        ("PING", Vec::new(), frame(PING, 0, 0, &[0; 8])),
        ("SETTINGS", Vec::new(), frame(SETTINGS, 0, 0, b"")),
        ("PRIORITY", Vec::new(), frame(PRIORITY, 0, 9, &[0, 0, 0, 0, 16])),
        ("frames that nobody knows", Vec::new(), frame(99, 0, 0, b"")),
        ("empty DATA", post(1), frame(DATA, 0, 1, b"")),
        ("empty CONTINUATION", half.clone(), frame(CONTINUATION, 0, 1, b"")),
        ("CONTINUATION without end", half, frame(CONTINUATION, 0, 1, &block(&[("x", "y".repeat(1000))]))),
        ("crumbs of a window", post(1), frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])),
    ] {
        let mut client = house.open();
        let _ = client.send(&first);
        let burst = again.repeat(100);
        for _ in 0..100 {
            if client.send(&burst).is_err() {
                break;
            }
        }
        let code = client.goaway();
        assert!(code.is_none() || code == Some(ENHANCE_YOUR_CALM), "{what}: {code:?}");
        house.unharmed(what);
    }
    let ended = |reason| format!("monodon_edge_http2_connections_ended_total{{reason=\"{reason}\"}}");
    until("they are counted", || {
        house.edge.metric(&ended("glitches")) >= 4.0 && house.edge.metric("monodon_edge_http2_glitches_total") >= 4000.0
    });
}

/// Nobody asks for anything, so nothing but the frames themselves makes the edge look.
#[test]
fn a_flood_on_a_connection_at_rest_is_seen_at_once() {
    let mut house = House::new(&["--http2-glitches", "100", "--idle-timeout", "300s"]);
    let mut client = house.open();
    assert_eq!(client.ask(1, &block(&GET)), 200);
    // Till it is not looked at any more.
    std::thread::sleep(std::time::Duration::from_millis(2500));
    client.send(&frame(PING, 0, 0, &[0; 8]).repeat(200)).unwrap();
    assert_eq!(client.goaway(), Some(ENHANCE_YOUR_CALM));
    assert_eq!(house.neighbour.ask(1, &block(&GET)), 200);
}

/// A reset without an error is no end: what came before it is not the whole body.
#[test]
fn a_body_that_is_reset_without_an_error_is_not_whole() {
    let mut house = House::new(&[]);
    let mut client = house.open();
    // With a connection to the application at hand it would be asked at once.
    assert_eq!(client.ask(1, &block(&GET)), 200);
    client.until(|frame| frame.kind == DATA && frame.flags & END_STREAM > 0);
    let reset = frame(RST_STREAM, 0, 3, &[0; 4]);
    client.send(&[post(3), frame(DATA, 0, 3, b"hel"), reset].concat()).unwrap();
    client.write(PING, 0, 0, &[1; 8]);
    client.until(|frame| frame.kind == PING);
    assert_eq!(house.neighbour.ask(1, &block(&GET)), 200);
    assert_eq!(house.upstream.seen().len(), 2);
}

/// CVE-2023-44487, CVE-2025-8671: streams opened and ended, by the client or by making us end them. What reaches the application is bounded.
#[test]
fn streams_that_are_opened_to_be_ended() {
    for (what, end) in [
        ("rapid reset", frame(RST_STREAM, 0, 0, &[0, 0, 0, 8])),
        ("made you reset: window", frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        ("made you reset: size", frame(PRIORITY, 0, 0, &[0; 4])),
        ("made you reset: overflow", frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])),
    ] {
        let house = House::new(&[]);
        let mut client = house.open();
        for number in 0..10_000u32 {
            let stream = number * 2 + 1;
            let mut end = end.clone();
            end[5..9].copy_from_slice(&stream.to_be_bytes());
            let bytes = if what == "rapid reset" { [get(stream), end].concat() } else { [post(stream), end].concat() };
            if client.send(&bytes).is_err() {
                break;
            }
        }
        let code = client.goaway();
        assert!(code.is_none() || code == Some(ENHANCE_YOUR_CALM), "{what}: {code:?}");
        assert!(house.upstream.seen().len() <= 500, "{what}: {} reached the application", house.upstream.seen().len());
        let mut house = house;
        assert_eq!(house.neighbour.ask(1, &block(&GET)), 200);
    }
}

/// A head of a few bytes that unpacks to megabytes: one large field in the table, named again and again.
#[test]
fn a_head_that_unpacks_to_much_more() {
    let mut house = House::new(&[]);
    let mut client = house.open();
    // Literal with incremental indexing: it becomes index 62.
    let mut head = block(&GET);
    let field = block(&[("x", "y".repeat(3000))]);
    head.push(0x40);
    head.extend_from_slice(&field[1..]);
    head.extend(std::iter::repeat_n(0xbe, 10_000));
    client.write(HEADERS, WHOLE, 1, &head[..]);
    let found = client.until(|frame| frame.kind == HEADERS || frame.kind == RST_STREAM || frame.kind == GOAWAY);
    match found {
        Some(frame) if frame.kind == HEADERS => assert_eq!(frame.status(), 431),
        Some(frame) => assert_ne!(frame.code(), NO_ERROR),
        None => {}
    }
    house.unharmed("the bomb");
}

#[test]
fn more_streams_than_allowed_are_refused() {
    let gate = std::sync::Arc::new((std::sync::Mutex::new(false), std::sync::Condvar::new()));
    let shared = gate.clone();
    let upstream = Upstream::start(move |_, stream| {
        let open = shared.0.lock().unwrap();
        drop(shared.1.wait_while(open, |open| !*open).unwrap());
        common::upstream::reply(stream, 200, &[], "hello")
    });
    let edge = Setup::default().args(upstream.flag()).args(["--http2-max-concurrent-streams", "3"]).start();
    let mut client = Frames::open(&edge, &edge.ca());
    let settings = client.until(|frame| frame.kind == SETTINGS).unwrap().payload;
    assert!(settings.chunks(6).any(|setting| setting == [0, 3, 0, 0, 0, 3]), "{settings:?}");
    client.until(|frame| frame.kind == SETTINGS && frame.flags == ACK).unwrap();
    for stream in [1, 3, 5, 7] {
        client.send(&get(stream)).unwrap();
    }
    let refused = client.until(|frame| frame.kind == RST_STREAM).unwrap();
    assert_eq!((refused.stream, refused.code()), (7, 7), "REFUSED_STREAM");
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    for _ in 0..3 {
        assert_eq!(client.until(|frame| frame.kind == HEADERS).unwrap().status(), 200);
    }
    assert_eq!(client.ask(9, &block(&GET)), 200);
}

#[test]
fn so_many_requests_a_connection() {
    let upstream = Upstream::saying("hello");
    let edge = Setup::default().args(upstream.flag()).args(["--keepalive-requests", "3"]).start();
    let ca = edge.ca();
    let mut client = Frames::open(&edge, &ca);
    for stream in [1, 3, 5] {
        assert_eq!(client.ask(stream, &block(&GET)), 200);
    }
    assert!(client.until(|frame| frame.kind == HEADERS).is_none(), "it ends in order");
    let mut client = common::Connection::tls(edge.https, &ca, "localhost", &["http/1.1"]).unwrap();
    for last in [None, None, Some("close")] {
        let answer = client.ask("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!((answer.status, answer.header("connection")), (200, last));
    }
    assert!(client.is_closed());
}

/// How a call went stands in the trailers of its answer (gRPC).
#[test]
fn an_answer_s_trailers() {
    let upstream = Upstream::start(|_, stream| {
        let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n\
                      5\r\nhello\r\n0\r\ngrpc-status: 0\r\n\r\n";
        std::io::Write::write_all(stream, answer.as_bytes()).is_ok()
    });
    let edge = Setup::default().args(upstream.flag()).start();
    let mut client = Frames::open(&edge, &edge.ca());
    assert_eq!(client.ask(1, &with(&POST, &[("te", "trailers"), ("content-type", "application/grpc")])), 200);
    let last = client.until(|frame| frame.stream == 1 && frame.flags & END_STREAM != 0).unwrap();
    assert_eq!(last.kind, HEADERS, "{last:?}");
}
