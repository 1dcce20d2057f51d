//! Random changes to good and bad input, from a fixed seed: never a panic, the same answer however the bytes come in, and whatever is
//! accepted holds to rules that are checked here in another way than the parser checks them.

use crate::{Answer, AnswerLimits, Chunk, Chunks, Ending, Framing, Head, Limits, Version};

const HEADS: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\nCookie: a=b; c=d\r\n\r\n",
    b"POST /a?b HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 12\r\nExpect: 100-continue\r\n\r\nhello",
    b"PUT http://h/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close, te\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"\r\nOPTIONS * HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
];
const ANSWERS: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n",
    b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"HTTP/1.1 204 No\r\nServer: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
];
const BODIES: &[&[u8]] =
    &[b"5\r\nhello\r\n0\r\n\r\n", b"1;a=b\r\nx\r\nA\r\n0123456789\r\n0\r\nX-Trailer: y\r\n\r\nGET / HTTP/1.1\r\n"];
const PIECES: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Host: x\r\n",
    b"0\r\n\r\n",
    b"\x0b",
    b"\x85",
    b"\xff",
    b"#",
    b"*",
    b",",
    b";",
    b"chunked",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"ffffffffffffffff",
];

fn mutate(rng: &mut fastrand::Rng, seed: &[u8]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..rng.usize(1..6) {
        let at = rng.usize(..=bytes.len());
        match rng.u8(..5) {
            0 if at < bytes.len() => bytes[at] = rng.u8(..),
            1 if at < bytes.len() => {
                bytes.remove(at);
            }
            2 => bytes.insert(at, rng.u8(..)),
            3 => {
                let piece = PIECES[rng.usize(..PIECES.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
            _ => bytes.truncate(at.max(1)),
        }
    }
    bytes
}

/// Every CR is followed by LF and every LF follows a CR; no other control byte but HTAB.
fn lines_are_clean(head: &[u8]) -> bool {
    let mut before = 0u8;
    for (i, &b) in head.iter().enumerate() {
        let good = match b {
            b'\r' => head.get(i + 1) == Some(&b'\n'),
            b'\n' => before == b'\r',
            b'\t' => true,
            _ => b >= 0x20 && b != 0x7f,
        };
        if !good {
            return false;
        }
        before = b;
    }
    true
}

fn count(head: &[u8], name: &str) -> usize {
    String::from_utf8_lossy(head)
        .lines()
        .skip(1)
        .filter(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")))
        .count()
}

#[test]
fn heads() {
    let mut rng = fastrand::Rng::with_seed(9112);
    let limits = Limits { line: 200, head: 600, fields: 12, field: 200 };
    let (mut accepted, mut refused) = (0, 0);
    for round in 0..60_000 {
        let bytes = mutate(&mut rng, HEADS[round % HEADS.len()]);
        let mut whole = Head::new();
        let result = whole.parse(&bytes, &limits);
        let mut pieces = Head::new();
        let (mut end, mut stepped) = (0, Ok(false));
        while end < bytes.len() && stepped == Ok(false) {
            end = (end + rng.usize(1..40)).min(bytes.len());
            stepped = pieces.parse(&bytes[..end], &limits);
        }
        assert_eq!(result.is_err(), stepped.is_err(), "{:?}", String::from_utf8_lossy(&bytes));
        if result.is_err() {
            refused += 1;
        }
        if result != Ok(true) {
            continue;
        }
        accepted += 1;
        assert_eq!(stepped, Ok(true));
        assert_eq!((whole.len, &whole.fields, whole.host), (pieces.len, &pieces.fields, pieces.host));
        let head = &bytes[..whole.len];
        let shown = String::from_utf8_lossy(head);
        assert!(lines_are_clean(head), "{shown:?}");
        assert!(head.ends_with(b"\r\n\r\n"), "{shown:?}");
        let (hosts, lengths, encodings) =
            (count(head, "host"), count(head, "content-length"), count(head, "transfer-encoding"));
        assert!(hosts == 1 || (hosts == 0 && whole.version == Version::Http10), "{shown:?}");
        match whole.framing {
            Framing::None => assert_eq!((lengths, encodings), (0, 0), "{shown:?}"),
            Framing::Length(_) => assert_eq!((lengths, encodings), (1, 0), "{shown:?}"),
            Framing::Chunked => assert_eq!((lengths, encodings), (0, 1), "{shown:?}"),
        }
    }
    assert!(
        accepted > 1000 && refused > 1000,
        "{accepted} accepted, {refused} refused: the changes are too mild or too wild"
    );
}

#[test]
fn answers() {
    let mut rng = fastrand::Rng::with_seed(9110);
    let limits = AnswerLimits { head: 600, fields: 12 };
    let (mut accepted, mut refused) = (0, 0);
    for round in 0..60_000 {
        let bytes = mutate(&mut rng, ANSWERS[round % ANSWERS.len()]);
        let to_head = rng.bool();
        let mut whole = Answer::new();
        let result = whole.parse(&bytes, to_head, &limits);
        let mut pieces = Answer::new();
        let (mut end, mut stepped) = (0, Ok(false));
        while end < bytes.len() && stepped == Ok(false) {
            end = (end + rng.usize(1..40)).min(bytes.len());
            stepped = pieces.parse(&bytes[..end], to_head, &limits);
        }
        assert_eq!(result.is_err(), stepped.is_err(), "{:?}", String::from_utf8_lossy(&bytes));
        if result.is_err() {
            refused += 1;
        }
        if result != Ok(true) {
            continue;
        }
        accepted += 1;
        assert_eq!(stepped, Ok(true));
        assert_eq!((whole.len, &whole.fields, whole.ending), (pieces.len, &pieces.fields, pieces.ending));
        let head = &bytes[..whole.len];
        let shown = String::from_utf8_lossy(head);
        assert!(lines_are_clean(head) && head.ends_with(b"\r\n\r\n"), "{shown:?}");
        let (lengths, encodings) = (count(head, "content-length"), count(head, "transfer-encoding"));
        assert!(lengths + encodings <= 1, "{shown:?}");
        let bodiless = to_head || whole.status < 200 || matches!(whole.status, 204 | 304);
        match whole.ending {
            Ending::None => assert!(bodiless || lengths == 1, "{shown:?}"),
            Ending::Length(_) => assert!(!bodiless && lengths == 1, "{shown:?}"),
            Ending::Chunked => assert!(!bodiless && encodings == 1 && whole.version == Version::Http11, "{shown:?}"),
            Ending::Close => assert!(!bodiless && lengths + encodings == 0 && !whole.keep_alive, "{shown:?}"),
        }
    }
    assert!(accepted > 1000 && refused > 1000, "{accepted} accepted, {refused} refused");
}

fn decode(bytes: &[u8], mut step: impl FnMut() -> usize) -> Option<(Vec<u8>, bool)> {
    let mut chunks = Chunks::new(10_000);
    let (mut data, mut at, mut end) = (Vec::new(), 0, 0);
    loop {
        match chunks.next(&bytes[at..end]).ok()? {
            Chunk::Data { start, end: stop } => {
                data.extend_from_slice(&bytes[at + start..at + stop]);
                at += stop;
            }
            Chunk::More { consume } => {
                at += consume;
                if end == bytes.len() {
                    return Some((data, false));
                }
                end = (end + step()).min(bytes.len());
            }
            Chunk::End { .. } => return Some((data, true)),
        }
    }
}

#[test]
fn bodies() {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut complete = 0;
    for round in 0..60_000 {
        let bytes = mutate(&mut rng, BODIES[round % BODIES.len()]);
        let whole = decode(&bytes, || usize::MAX / 2);
        let pieces = decode(&bytes, || rng.usize(1..8));
        assert_eq!(whole, pieces, "{:?}", String::from_utf8_lossy(&bytes));
        complete += usize::from(whole.is_some_and(|(_, done)| done));
    }
    assert!(complete > 1000, "{complete}");
}
