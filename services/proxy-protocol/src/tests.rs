use std::net::SocketAddr;

use super::*;

fn complete(bytes: &[u8]) -> Header {
    match read(bytes, Versions::Both) {
        Ok(Read::Complete(header)) => header,
        other => panic!("{other:?} for {bytes:?}"),
    }
}

fn tcp(source: &str, destination: &str) -> Connection {
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    Connection::Tcp { source: address(source), destination: address(destination) }
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = binary::SIGNATURE.to_vec();
    bytes.extend([command, family]);
    bytes.extend((rest.len() as u16).to_be_bytes());
    bytes.extend(rest);
    bytes
}

const FOUR: &[u8] = &[192, 0, 2, 7, 192, 0, 2, 1, 0xc8, 0x22, 0x01, 0xbb];

#[test]
fn lines() {
    let line = b"PROXY TCP4 192.0.2.7 192.0.2.1 51234 443\r\nGET /";
    let header = complete(line);
    assert_eq!((header.length, header.version), (line.len() - 5, 1));
    assert_eq!(header.connection, tcp("192.0.2.7:51234", "192.0.2.1:443"));
    let header = complete(b"PROXY TCP6 2001:db8::7 ::1 0 65535\r\n");
    assert_eq!(header.connection, tcp("[2001:db8::7]:0", "[::1]:65535"));
    assert_eq!(complete(b"PROXY UNKNOWN\r\n").connection, Connection::Unknown);
    let longest = b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n";
    assert_eq!(complete(longest).connection, Connection::Unknown);
}

#[test]
fn malformed_lines() {
    let cases: &[(&[u8], Malformed)] = &[
        (b"PROXY \r\n", Malformed::Line),
        (b"PROXY TCP4\r\n", Malformed::Line),
        (b"PROXY TCP4 192.0.2.7 192.0.2.1 1\r\n", Malformed::Line),
        (b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2 3\r\n", Malformed::Line),
        (b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2 \r\n", Malformed::Line),
        (b"PROXY TCP4  192.0.2.7 192.0.2.1 1 2\r\n", Malformed::Line),
        (b"PROXY TCP4 192.0.2.\xff 192.0.2.1 1 2\r\n", Malformed::Line),
        (b"PROXY tcp4 192.0.2.7 192.0.2.1 1 2\r\n", Malformed::Protocol),
        (b"PROXY UDP4 192.0.2.7 192.0.2.1 1 2\r\n", Malformed::Protocol),
        (b"PROXY UNKNOWNS 192.0.2.7 192.0.2.1 1 2\r\n", Malformed::Protocol),
        (b"PROXY TCP4\t192.0.2.7 192.0.2.1 1 2 3\r\n", Malformed::Protocol),
        (b"PROXY TCP4 192.0.2.256 192.0.2.1 1 2\r\n", Malformed::Address),
        (b"PROXY TCP4 192.0.2.07 192.0.2.1 1 2\r\n", Malformed::Address),
        (b"PROXY TCP4 192.0.2 192.0.2.1 1 2\r\n", Malformed::Address),
        (b"PROXY TCP4 ::1 192.0.2.1 1 2\r\n", Malformed::Address),
        (b"PROXY TCP6 192.0.2.7 ::1 1 2\r\n", Malformed::Address),
        (b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", Malformed::Address),
        (b"PROXY TCP4 example.com 192.0.2.1 1 2\r\n", Malformed::Address),
        (b"PROXY TCP4 192.0.2.7 192.0.2.1 65536 2\r\n", Malformed::Port),
        (b"PROXY TCP4 192.0.2.7 192.0.2.1 -1 2\r\n", Malformed::Port),
        (b"PROXY TCP4 192.0.2.7 192.0.2.1 +1 2\r\n", Malformed::Port),
        (b"PROXY TCP4 192.0.2.7 192.0.2.1 01 2\r\n", Malformed::Port),
        (b"PROXY TCP4 192.0.2.7 192.0.2.1 1 0x2\r\n", Malformed::Port),
        (b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2\n\r\n", Malformed::Port),
        (b"PROXY TCP4 192.0.2.7 192.0.2.1  2\r\n", Malformed::Port),
    ];
    for (line, wrong) in cases {
        assert_eq!(read(line, Versions::Both), Err(*wrong), "{}", line.escape_ascii());
    }
    // The end has to come within 107 bytes.
    let mut line = b"PROXY UNKNOWN ".to_vec();
    line.resize(105, b'x');
    assert_eq!(read(&line, Versions::Both), Ok(Read::Partial));
    assert!(complete(&[&line[..], b"\r\n"].concat()).length == 107);
    assert_eq!(read(&[&line[..], b"x\r\n"].concat(), Versions::Both), Err(Malformed::LineTooLong));
}

#[test]
fn binary_headers() {
    let mut bytes = v2(0x21, 0x11, FOUR);
    bytes.extend(b"GET /");
    let header = complete(&bytes);
    assert_eq!((header.length, header.version), (28, 2));
    assert_eq!(header.connection, tcp("192.0.2.7:51234", "192.0.2.1:443"));
    let six = [&[0u8; 15][..], &[1], &[0u8; 15], &[2], &[0, 80, 1, 187]].concat();
    assert_eq!(complete(&v2(0x21, 0x21, &six)).connection, tcp("[::1]:80", "[::2]:443"));
    // A health check's, whatever else stands in it.
    assert_eq!(complete(&v2(0x20, 0x11, b"what")).connection, Connection::Local);
    assert_eq!(complete(&v2(0x20, 0xff, b"")).connection, Connection::Local);
    assert_eq!(complete(&v2(0x21, 0x00, b"")).connection, Connection::Unknown);
    assert_eq!(complete(&v2(0x21, 0x01, b"abc")).connection, Connection::Unknown);
}

#[test]
fn malformed_binary_headers() {
    let six = [0; 36];
    let with = |more: &[u8]| v2(0x21, 0x11, &[FOUR, more].concat());
    let cases = [
        (v2(0x11, 0x11, FOUR), Malformed::Version),
        (v2(0x31, 0x11, FOUR), Malformed::Version),
        (v2(0x01, 0x11, FOUR), Malformed::Version),
        (v2(0x22, 0x11, FOUR), Malformed::Command),
        (v2(0x2f, 0x11, FOUR), Malformed::Command),
        (v2(0x21, 0x12, FOUR), Malformed::Transport),
        (v2(0x21, 0x10, FOUR), Malformed::Transport),
        (v2(0x21, 0x22, &six), Malformed::Transport),
        (v2(0x21, 0x31, &[0; 216]), Malformed::Transport),
        (v2(0x21, 0x41, FOUR), Malformed::Transport),
        (v2(0x21, 0x11, &FOUR[..11]), Malformed::Addresses),
        (v2(0x21, 0x11, b""), Malformed::Addresses),
        (v2(0x21, 0x21, &six[..35]), Malformed::Addresses),
        (v2(0x21, 0x21, FOUR), Malformed::Addresses),
        (with(&[0x04]), Malformed::Values),
        (with(&[0x04, 0, 2, 0]), Malformed::Values),
        (with(&[0x03, 0, 3, 0, 0, 0]), Malformed::Values),
        (with(&[0x03, 0, 4, 0, 0, 0, 0]), Malformed::Checksum),
    ];
    for (bytes, wrong) in cases {
        assert_eq!(read(&bytes, Versions::Both), Err(wrong), "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_checksum_is_checked_and_other_values_are_passed_over() {
    // RFC 3720 B.4: 32 bytes of zeros.
    assert_eq!(binary::crc32c([0; 32].into_iter()), 0x8a91_36aa);
    let mut bytes = v2(0x21, 0x11, &[FOUR, &[0x01, 0, 2, b'h', b'2', 0x03, 0, 4, 0, 0, 0, 0]].concat());
    let sum = binary::crc32c(bytes.iter().copied()).to_be_bytes();
    let at = bytes.len() - 4;
    bytes[at..].copy_from_slice(&sum);
    assert_eq!(complete(&bytes).length, bytes.len());
    bytes[17] ^= 1;
    assert_eq!(read(&bytes, Versions::Both), Err(Malformed::Checksum));
}

#[test]
fn what_is_no_header() {
    for bytes in
        [&b"GET / HTTP/1.1\r\n"[..], b"PROXYS", b"proxy ", b"\r\n\r\nG", b"PRI * HTTP/2.0", b"\x16\x03\x01", b"\n"]
    {
        assert_eq!(read(bytes, Versions::Both), Ok(Read::Absent), "{}", bytes.escape_ascii());
    }
    for bytes in [&b""[..], b"P", b"PROXY", b"\r\n", b"\r\n\r\n\0\r\nQUIT"] {
        assert_eq!(read(bytes, Versions::Both), Ok(Read::Unsure), "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_version_that_is_not_looked_for_is_no_header() {
    let line = b"PROXY UNKNOWN\r\n";
    let binary = v2(0x20, 0, b"");
    assert_eq!(read(line, Versions::V2), Ok(Read::Absent));
    assert_eq!(read(&binary, Versions::V1), Ok(Read::Absent));
    assert!(read(line, Versions::V1).unwrap().is_header());
    assert!(read(&binary, Versions::V2).unwrap().is_header());
}

#[test]
fn a_line_that_is_written_says_the_same() {
    for connection in [tcp("192.0.2.7:51234", "192.0.2.1:443"), tcp("[2001:db8::7]:1", "[::]:0"), Connection::Unknown] {
        assert_eq!(complete(line(connection).as_bytes()).connection, connection);
    }
    assert_eq!(complete(line(tcp("192.0.2.7:1", "[::1]:2")).as_bytes()).connection, Connection::Unknown);
}

/// The same answer however the bytes come in, and never a panic: a bounded search of the kind that `fuzz/` does without end.
#[test]
fn random_changes() {
    let mut rng = fastrand::Rng::with_seed(4);
    let seeds = [
        b"PROXY TCP4 192.0.2.7 192.0.2.1 51234 443\r\nGET / HTTP/1.1\r\n".to_vec(),
        b"PROXY TCP6 2001:db8::7 ::1 0 65535\r\n".to_vec(),
        v2(0x21, 0x11, &[FOUR, &[0x04, 0, 1, 0]].concat()),
        v2(0x21, 0x21, &[7; 36]),
        v2(0x20, 0, b""),
    ];
    for _ in 0..20_000 {
        let mut bytes = seeds[rng.usize(..seeds.len())].clone();
        for _ in 0..rng.usize(0..4) {
            let at = rng.usize(..bytes.len());
            match rng.u8(..3) {
                0 => bytes[at] = rng.u8(..),
                1 => bytes.insert(at, *rng.choice(b" \r\n0:.\x21\xff").unwrap()),
                _ => drop(bytes.remove(at)),
            }
        }
        pieces_agree(&bytes);
    }
}

#[test]
fn what_is_written_is_read_back() {
    for (source, destination) in
        [("192.0.2.7:51234", "192.0.2.1:443"), ("[2001:db8::7]:1", "[::1]:65535"), ("192.0.2.7:1", "[::1]:443")]
    {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        let told = Connection::Tcp { source, destination };
        let mixed = source.is_ipv4() != destination.is_ipv4();
        let expected = if mixed { Connection::Unknown } else { told };
        for (bytes, versions, version) in [(line(told).into_bytes(), Versions::V1, 1), (block(told), Versions::V2, 2)] {
            let length = bytes.len();
            let read = read(&[&bytes[..], b"GET / HTTP/1.1"].concat(), versions);
            assert_eq!(read, Ok(Read::Complete(Header { length, version, connection: expected })));
        }
    }
    let read = read(&block(Connection::Local), Versions::V2);
    assert_eq!(read, Ok(Read::Complete(Header { length: 16, version: 2, connection: Connection::Local })));
}

fn pieces_agree(bytes: &[u8]) {
    let whole = read(bytes, Versions::Both);
    let mut begun = false;
    for end in 0..=bytes.len() {
        let part = read(&bytes[..end], Versions::Both);
        match part {
            Ok(Read::Unsure) => assert!(!begun),
            Ok(Read::Partial) => begun = true,
            Ok(Read::Absent) => assert!(!begun),
            Ok(Read::Complete(header)) => assert!(header.length <= end),
            Err(_) => {}
        }
        if !matches!(part, Ok(Read::Unsure | Read::Partial)) {
            assert_eq!(part, whole, "{} at {end}", bytes.escape_ascii());
        }
    }
}
