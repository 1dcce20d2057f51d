//! HTTP/2 by hand: frames as a test writes them, and what comes back.

use super::{Edge, PATIENCE};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// Flags.
pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;
pub const WITH_PRIORITY: u8 = 0x20;
pub const WHOLE: u8 = END_STREAM | END_HEADERS;

/// Error codes.
pub const NO_ERROR: u32 = 0;
pub const PROTOCOL_ERROR: u32 = 1;
pub const INTERNAL_ERROR: u32 = 2;
pub const FLOW_CONTROL_ERROR: u32 = 3;
pub const STREAM_CLOSED: u32 = 5;
pub const FRAME_SIZE_ERROR: u32 = 6;
pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;
pub const COMPRESSION_ERROR: u32 = 9;
pub const ENHANCE_YOUR_CALM: u32 = 11;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Debug, Clone)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// Of RST_STREAM and GOAWAY.
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    /// Of HEADERS: `:status`, which stands first.
    pub fn status(&self) -> u16 {
        let mut block = &self.payload[..];
        while block[0] & 0xe0 == 0x20 {
            block = &block[1..];
        }
        match block[0] {
            indexed @ 0x88..=0x8e => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)],
            0x48 | 0x08 | 0x18 => {
                let length = usize::from(block[1] & 0x7f);
                let value = &block[2..2 + length];
                let text = if block[1] & 0x80 == 0 { value.to_vec() } else { digits(value) };
                String::from_utf8(text).unwrap().parse().unwrap()
            }
            other => panic!("no status first: {other:#x} on stream {}", self.stream),
        }
    }
}

/// Huffman's code (RFC 7541, appendix B), of digits alone.
fn digits(bytes: &[u8]) -> Vec<u8> {
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let mut rest = bits.as_str();
    let mut out = Vec::new();
    while rest.len() >= 5 && !rest.bytes().all(|bit| bit == b'1') {
        let five = u8::from_str_radix(&rest[..5], 2).unwrap();
        if five < 3 {
            out.push(b'0' + five);
            rest = &rest[5..];
        } else {
            let six = u8::from_str_radix(&rest[..6], 2).unwrap();
            out.push(b'3' + six - 0x19);
            rest = &rest[6..];
        }
    }
    out
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// A header block: each field as a literal that is not indexed.
pub fn block<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name.as_ref(), value.as_ref()] {
            integer(&mut out, text.len());
            out.extend_from_slice(text);
        }
    }
    out
}

/// RFC 7541, section 5.1, with a prefix of seven bits.
fn integer(out: &mut Vec<u8>, mut value: usize) {
    if value < 127 {
        return out.push(value as u8);
    }
    out.push(127);
    value -= 127;
    while value >= 128 {
        out.push((value % 128 + 128) as u8);
        value /= 128;
    }
    out.push(value as u8);
}

pub const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", "/")];
pub const POST: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "https"), (":authority", "localhost"), (":path", "/")];

/// The fields of a request and some more.
pub fn with<'a>(base: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Vec<u8> {
    block(&[base, more].concat())
}

pub struct Frames {
    stream: rustls::StreamOwned<rustls::ClientConnection, TcpStream>,
    rest: Vec<u8>,
    /// Asked whether it is still there, it says nothing.
    pub silent: bool,
}

impl Frames {
    /// TLS with h2 agreed, and nothing sent yet.
    pub fn connect(edge: &Edge, ca: &Path) -> Self {
        let raw = TcpStream::connect(edge.https).unwrap();
        raw.set_read_timeout(Some(PATIENCE)).unwrap();
        raw.set_write_timeout(Some(PATIENCE)).unwrap();
        raw.set_nodelay(true).unwrap();
        let config = super::client::client_config(ca, &["h2"]);
        let session = rustls::ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
        Self { stream: rustls::StreamOwned::new(session, raw), rest: Vec::new(), silent: false }
    }

    /// With preface and empty SETTINGS.
    pub fn open(edge: &Edge, ca: &Path) -> Self {
        let mut frames = Self::connect(edge, ca);
        frames.send(PREFACE).unwrap();
        frames.write(SETTINGS, 0, 0, b"");
        frames
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// The other side may have closed already; what it said then is what counts.
    pub fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let _ = self.send(&frame(kind, flags, stream, payload));
    }

    /// The next frame; `None` at the end.
    pub fn read(&mut self) -> Option<Frame> {
        loop {
            if let Some(header) = self.rest.get(..9) {
                let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
                if self.rest.len() >= 9 + length {
                    let all: Vec<u8> = self.rest.drain(..9 + length).collect();
                    let stream = u32::from_be_bytes(all[5..9].try_into().unwrap()) & 0x7fff_ffff;
                    if all[3] == PING && all[4] & ACK == 0 && !self.silent {
                        self.write(PING, ACK, 0, &all[9..]);
                    }
                    return Some(Frame { kind: all[3], flags: all[4], stream, payload: all[9..].to_vec() });
                }
            }
            let mut some = [0; 16384];
            match self.stream.read(&mut some) {
                Ok(0) => return None,
                Ok(read) => self.rest.extend_from_slice(&some[..read]),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    panic!("nothing came in time")
                }
                Err(_) => return None,
            }
        }
    }

    /// The next frame that `wanted` takes; `None` when the connection ends before.
    pub fn until(&mut self, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
        loop {
            let frame = self.read()?;
            if wanted(&frame) {
                return Some(frame);
            }
        }
    }

    /// Asks on a stream and gives the status.
    pub fn ask(&mut self, stream: u32, block: &[u8]) -> u16 {
        self.write(HEADERS, WHOLE, stream, block);
        let head = self.until(|frame| frame.kind == HEADERS && frame.stream == stream);
        head.expect("the connection ended before an answer").status()
    }

    /// How the edge takes it: the code of a GOAWAY that is an error.
    pub fn goaway(&mut self) -> Option<u32> {
        self.until(|frame| frame.kind == GOAWAY && frame.code() != NO_ERROR).map(|frame| frame.code())
    }
}
