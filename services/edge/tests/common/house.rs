//! An edge whose every fault in HTTP/2 is looked for: a neighbour's connection beside the one that does wrong, and an application that counts.

use super::frames::*;
use super::{Edge, Setup, Upstream};
use std::path::PathBuf;

/// How the edge is to take something. An error of a stream may be taken for one of the connection (RFC 9113, section 5.4.2).
#[derive(Debug, Clone, Copy)]
pub enum Takes {
    Connection(u32),
    Stream(u32),
    /// An answer of ours, without asking the application.
    Status(u16),
    /// Closed, with or without a word.
    Closed,
}
use Takes::{Closed, Connection, Status, Stream};

pub struct House {
    pub edge: Edge,
    pub ca: PathBuf,
    pub upstream: Upstream,
    pub neighbour: Frames,
    pub asked: u32,
    /// Told together, at the end.
    faults: Vec<String>,
}

impl Drop for House {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.faults.is_empty(), "{}", self.faults.join("\n"));
        }
    }
}

impl House {
    pub fn new(args: &[&str]) -> Self {
        let upstream = Upstream::saying("hello");
        let edge = Setup::default().args(upstream.flag()).args(args).start();
        let ca = edge.ca();
        let neighbour = Frames::open(&edge, &ca);
        Self { edge, ca, upstream, neighbour, asked: 0, faults: Vec::new() }
    }

    pub fn open(&self) -> Frames {
        Frames::open(&self.edge, &self.ca)
    }

    /// The neighbour's connection still serves, and nothing but its requests has reached the application.
    #[track_caller]
    pub fn unharmed(&mut self, what: &str) {
        self.asked += 1;
        assert_eq!(self.neighbour.ask(self.asked * 2 - 1, &block(&GET)), 200, "{what}: the neighbour");
        assert_eq!(self.upstream.seen().len(), self.asked as usize, "{what}: the application was asked");
    }

    #[track_caller]
    pub fn check(&mut self, what: &str, takes: Takes, mut client: Frames) {
        let found = client.until(|frame| {
            matches!(frame.kind, RST_STREAM | HEADERS) || (frame.kind == GOAWAY && frame.code() != NO_ERROR)
        });
        let fine = match (takes, &found) {
            (Closed, None) => true,
            (Closed, Some(frame)) => frame.kind == GOAWAY,
            // Its word may be lost with what we still had under way.
            (Connection(_), None) => true,
            // h2 has one word for these and for what is against the protocol at large.
            (
                Connection(code @ (FRAME_SIZE_ERROR | COMPRESSION_ERROR | FLOW_CONTROL_ERROR))
                | Stream(code @ FRAME_SIZE_ERROR),
                Some(frame),
            ) if frame.kind == GOAWAY => [code, PROTOCOL_ERROR].contains(&frame.code()),
            (Connection(code), Some(frame)) => frame.kind == GOAWAY && frame.code() == code,
            (Stream(code), Some(frame)) => frame.kind != HEADERS && frame.code() == code,
            (Status(status), Some(frame)) => frame.kind == HEADERS && frame.status() == status,
            _ => false,
        };
        if !fine {
            self.faults.push(format!("{what}: expected {takes:?}, got {found:?}"));
        }
        self.unharmed(what);
    }

    /// Preface and SETTINGS, then these bytes.
    #[track_caller]
    pub fn takes(&mut self, what: &str, takes: Takes, bytes: &[u8]) {
        let mut client = self.open();
        let _ = client.send(bytes);
        self.check(what, takes, client);
    }
}

pub fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, WHOLE, stream, &block(&GET))
}

pub fn post(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &block(&POST))
}
