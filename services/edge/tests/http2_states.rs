//! What `http2_frames` leaves: streams that are closed on one side or both, sizes at their bounds, windows that are kept, and HPACK
//! (RFC 9113, sections 4 to 6; RFC 7541).
#![allow(clippy::unwrap_used)]

mod common;

use common::frames::*;
use common::house::Takes::{Connection, Status};
use common::house::{House, get, post};
use common::upstream::reply;
use common::{Setup, Upstream};
use std::sync::{Arc, Mutex};

fn setting(id: u16, value: u32) -> Vec<u8> {
    [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

#[test]
fn what_no_connection_may_go_on_after() {
    let mut house = House::new(&["--body-timeout", "60s"]);
    let half = frame(HEADERS, 0, 1, &block(&GET)[..10]);
    let ends = Connection(PROTOCOL_ERROR);
    let size = Connection(FRAME_SIZE_ERROR);
    for (what, takes, bytes) in [
        ("an unknown frame in a head", ends, [half.clone(), frame(200, 0, 0, b"")].concat()),
        ("PRIORITY in a head", ends, [half.clone(), frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 16])].concat()),
        ("WINDOW_UPDATE in a head", ends, [half.clone(), frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])].concat()),
        ("another request in a head", ends, [half.clone(), get(3)].concat()),
        ("the same request again in a head", ends, [half.clone(), get(1)].concat()),
        ("CONTINUATION behind a head's end", ends, [post(1), frame(CONTINUATION, END_HEADERS, 1, b"")].concat()),
        (
            "CONTINUATION behind a body's part",
            ends,
            [post(1), frame(DATA, 0, 1, b"x"), frame(CONTINUATION, END_HEADERS, 1, b"")].concat(),
        ),
        ("CONTINUATION on 0", ends, [half, frame(CONTINUATION, END_HEADERS, 0, &block(&GET)[10..])].concat()),
        ("padding that is all there is", ends, [post(1), frame(DATA, PADDED, 1, &[1])].concat()),
        ("DATA too short for its padding", size, [post(1), frame(DATA, PADDED, 1, b"")].concat()),
        ("HEADERS too short for their padding", size, frame(HEADERS, WHOLE | PADDED, 1, b"")),
        ("HEADERS too short for their priority", size, frame(HEADERS, WHOLE | WITH_PRIORITY, 1, &[0; 3])),
        ("PING too long", size, frame(PING, 0, 0, &[0; 9])),
        ("GOAWAY too short", size, frame(GOAWAY, 0, 0, &[0; 7])),
        ("RST_STREAM too long", size, [post(1), frame(RST_STREAM, 0, 1, &[0; 5])].concat()),
        ("WINDOW_UPDATE too long", size, frame(WINDOW_UPDATE, 0, 0, &[0; 5])),
        ("SETTINGS of seven bytes", size, frame(SETTINGS, 0, 0, &[0; 7])),
        (
            "a window that SETTINGS make too large",
            Connection(FLOW_CONTROL_ERROR),
            [post(1), frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0, 0]), frame(SETTINGS, 0, 0, &setting(4, 65536))]
                .concat(),
        ),
    ] {
        house.takes(what, takes, &bytes);
    }
}

#[test]
fn heads_that_cannot_be_unpacked() {
    let mut house = House::new(&[]);
    let fields = block(&GET);
    let behind = |bytes: &[u8]| [&fields[..], bytes].concat();
    for (what, head) in [
        ("index 0", behind(&[0x80])),
        ("an index beyond the table", behind(&[0xbe])),
        ("a name beyond the table", behind(&[0x7e, 1, b'x'])),
        ("a new table size behind a field", behind(&[0x20])),
        ("an integer without end", behind(&[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])),
        ("a text longer than the block", behind(&[0x00, 0x7f, 0x20, b'x'])),
        ("a length alone", behind(&[0x00, 0x01])),
        ("Huffman's padding of a whole byte", behind(&[0x00, 0x82, 0x1f, 0xff, 0x01, b'x'])),
        ("Huffman's padding of zeros", behind(&[0x00, 0x81, 0x18, 0x01, b'x'])),
    ] {
        house.takes(what, Connection(COMPRESSION_ERROR), &frame(HEADERS, WHOLE, 1, &head));
    }
}

#[test]
fn heads_too_large_are_answered() {
    let mut house = House::new(&[]);
    let many: Vec<_> = (0..200).map(|number| (format!("x-{number}"), "y".to_owned())).collect();
    let fields = [block(&GET), block(&many)].concat();
    house.takes("too many fields", Status(431), &frame(HEADERS, WHOLE, 1, &fields));
    let large = [block(&GET), block(&[("x", "y".repeat(60_000))])].concat();
    let mut parts = large.chunks(16_000);
    let mut bytes = frame(HEADERS, END_STREAM, 1, parts.next().unwrap());
    let parts: Vec<_> = parts.collect();
    for (number, part) in parts.iter().enumerate() {
        let last = if number + 1 == parts.len() { END_HEADERS } else { 0 };
        bytes.extend(frame(CONTINUATION, last, 1, part));
    }
    house.takes("one field too large", Status(431), &bytes);
}

/// What comes for a stream that the client has ended, or reset, while its answer is still being made: nothing more reaches anybody.
#[test]
fn streams_closed_on_the_client_s_side() {
    let upstream = Upstream::start(|_, _| {
        loop {
            std::thread::park();
        }
    });
    let edge = Setup::default().args(upstream.flag()).args(["--body-timeout", "60s"]).start();
    let ca = edge.ca();
    let reset = frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    let data = frame(DATA, END_STREAM, 1, b"smuggled");
    let stray = frame(CONTINUATION, END_HEADERS, 1, b"");
    for (what, open, late, must_end) in [
        ("DATA after the end", get(1), data.clone(), true),
        ("HEADERS after the end", get(1), get(1), true),
        ("CONTINUATION after the end", get(1), stray.clone(), true),
        ("DATA after the reset", [post(1), reset.clone()].concat(), data, false),
        ("HEADERS after the reset", [post(1), reset.clone()].concat(), get(1), false),
        ("CONTINUATION after the reset", [post(1), reset].concat(), stray, true),
    ] {
        let before = upstream.seen().len();
        let mut client = Frames::open(&edge, &ca);
        let _ = client.send(&[open, late, frame(PING, 0, 0, &[7; 8])].concat());
        // An error of the stream, of the connection, or none at all: RFC 9113 leaves it open for a stream that was reset (section 5.1).
        let found = client.until(|frame| {
            frame.kind == RST_STREAM || frame.kind == GOAWAY && frame.code() != NO_ERROR || frame.kind == PING
        });
        match found {
            Some(frame) if frame.kind == PING => assert!(!must_end, "{what}: it went on"),
            Some(frame) => assert!([STREAM_CLOSED, PROTOCOL_ERROR].contains(&frame.code()), "{what}: {frame:?}"),
            None => {}
        }
        assert!(upstream.seen().len() <= before + 1, "{what}: asked twice");
        assert!(upstream.seen().iter().all(|seen| !seen.line.starts_with("POST")), "{what}: a reset body was sent on");
    }
}

/// The client's words on windows and sizes are kept.
#[test]
fn answers_keep_to_the_client_s_windows() {
    let upstream = Upstream::start(|seen, stream| match seen.path() {
        "/large" => reply(stream, 200, &[], vec![7; 60_000]),
        _ => reply(stream, 200, &[], "hello"),
    });
    let edge = Setup::default().args(upstream.flag()).start();
    let ca = edge.ca();
    let data = |frame: &Frame| frame.kind == DATA && !frame.payload.is_empty();
    let mut client = Frames::connect(&edge, &ca);
    client.send(PREFACE).unwrap();
    client.write(SETTINGS, 0, 0, &setting(4, 0));
    assert_eq!(client.ask(1, &block(&GET)), 200);
    // With nothing of a window its head alone came; each of these lets some of the body follow.
    client.write(PING, 0, 0, &[1; 8]);
    let next = client.until(|frame| data(frame) || frame.kind == PING).unwrap();
    assert_eq!(next.kind, PING, "{next:?}");
    client.write(SETTINGS, 0, 0, &setting(4, 3));
    assert_eq!(client.until(data).unwrap().payload, b"hel");
    // Below nothing, and out of it again.
    client.write(SETTINGS, 0, 0, &setting(4, 1));
    client.write(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 3]);
    assert_eq!(client.until(data).unwrap().payload, b"l");
    client.write(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 9]);
    assert_eq!(client.until(data).unwrap().payload, b"o");
    let mut client = Frames::open(&edge, &ca);
    let [method, scheme, authority, _] = GET;
    client.write(HEADERS, WHOLE, 1, &block(&[method, scheme, authority, (":path", "/large")]));
    let mut taken = 0;
    while taken < 60_000 {
        let part = client.until(data).expect("the whole answer").payload.len();
        assert!(part <= 16_384, "a frame of {part} bytes");
        taken += part;
    }
}

/// Nobody asked for these, and they do no harm.
#[test]
fn words_that_answer_nothing() {
    let house = House::new(&[]);
    let mut client = house.open();
    client.write(SETTINGS, ACK, 0, b"");
    client.write(PING, ACK, 0, &[3; 8]);
    client.write(PING, 0xfe, 0, &[4; 8]);
    client.write(SETTINGS, 0, 0, &[setting(2, 0), setting(2, 1), setting(1, 0), setting(6, 1)].concat());
    // The bit that is kept free.
    let mut odd = get(1);
    odd[5] |= 0x80;
    client.send(&odd).unwrap();
    let answer = client.until(|frame| frame.kind == HEADERS).unwrap();
    assert_eq!((answer.stream, answer.status()), (1, 200));
    client.write(RST_STREAM, 0, 1, &[0; 4]);
    client.write(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]);
    client.write(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]);
    assert_eq!(client.ask(5, &block(&GET)), 200, "3 was left out, which closes it");
    client.write(GOAWAY, 0, 0, &[0; 8]);
    drop(client);
    assert_eq!(house.upstream.seen().len(), 2);
}

/// RFC 9113, section 6.9: who sends more than its window has room for. Nothing of the bodies is taken in while somebody is still asked
/// whether the requests may pass, so that the windows stay as they were said at the beginning.
#[test]
fn bodies_beyond_the_edge_s_windows_are_refused() {
    // What the edge says: of a stream, and of a connection.
    const STREAM: usize = 256 << 10;
    const STREAMS: u32 = 4;
    let gate = Arc::new(Mutex::new(()));
    let shared = gate.clone();
    let sso = Upstream::start(move |_, stream| {
        drop(shared.lock());
        reply(stream, 204, &[], "")
    });
    let upstream = Upstream::saying("hello");
    let edge = Setup::default()
        .file(&format!(
            "[upstreams.app]\nservers = ['{}']\n[upstreams.sso]\nservers = ['{}']\n[[site]]\n\
             [[site.route]]\npath = '/'\nupstream = 'app'\n\
             [[site.route]]\npath = '/held'\nupstream = 'app'\nforward_auth = 'sso/verify'\nforward_auth_timeout = '60s'\n",
            upstream.address, sso.address
        ))
        .start();
    let ca = edge.ca();
    let held = [POST[0], POST[1], POST[2], (":path", "/held")];
    let begin = |stream: u32| frame(HEADERS, END_HEADERS, stream, &block(&held));
    let full = |stream: u32| frame(DATA, 0, stream, &[b'x'; 16 << 10]).repeat(STREAM / (16 << 10));
    // The windows that the edge sets count from when its SETTINGS are known to be taken, and its word on the connection's is there.
    let open = || {
        let mut client = Frames::open(&edge, &ca);
        client.until(|frame| frame.kind == SETTINGS && frame.flags & ACK == 0).expect("SETTINGS");
        client.write(SETTINGS, ACK, 0, b"");
        client.until(|frame| frame.kind == WINDOW_UPDATE && frame.stream == 0).expect("WINDOW_UPDATE");
        client
    };
    let closed = gate.lock().unwrap();

    let mut client = open();
    client.send(&[begin(1), full(1)].concat()).unwrap();
    // It is at its bound, and the connection serves others.
    assert_eq!(client.ask(3, &block(&GET)), 200);
    client.write(DATA, 0, 1, b"x");
    let end = client.until(|frame| matches!(frame.kind, RST_STREAM | GOAWAY)).expect("a word");
    assert_eq!((end.kind, end.stream, end.code()), (RST_STREAM, 1, FLOW_CONTROL_ERROR));
    assert_eq!(client.ask(5, &block(&GET)), 200, "the connection goes on");

    let mut client = open();
    for stream in (0..STREAMS).map(|number| 2 * number + 1) {
        client.send(&[begin(stream), full(stream)].concat()).unwrap();
    }
    assert_eq!(client.ask(9, &block(&GET)), 200);
    client.send(&[begin(11), frame(DATA, 0, 11, b"x")].concat()).unwrap();
    assert_eq!(client.goaway(), Some(FLOW_CONTROL_ERROR));
    drop(closed);
    let held = [GET[0], held[1], held[2], held[3]];
    assert_eq!(Frames::open(&edge, &ca).ask(1, &block(&held)), 200, "who waited at the gate goes through");
}
