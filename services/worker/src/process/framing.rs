//! How the end of a response's body is told (RFC 9112 section 6): decided with its head, and kept to. Bytes in, bytes
//! out: who sends them is the transport's business.

use monodon_http1::{Version, encode};

use super::response::{self, Head};

/// Bodies up to this size are copied behind the head; longer ones are written from where they are.
pub const COPY: usize = 2048;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// No head was written yet.
    Open,
    /// No body is sent, whatever the application gives.
    None,
    /// So many bytes are still to come.
    Length(u64),
    Chunked,
    /// The end of the connection is the end of the body.
    Close,
    Finished,
}

/// What the connection knows of a request before its answer.
pub struct Terms<'c> {
    pub version: Version,
    pub head_only: bool,
    /// Whether the client lets the connection be used again.
    pub keep_alive: bool,
    /// The line that names this process to the edge.
    pub process: &'c [u8],
    /// Whether the fields that the application sets are kept for the access log.
    pub keep_head: bool,
    pub send_timeout: std::time::Duration,
}

pub struct Framing<'c> {
    terms: Terms<'c>,
    state: State,
    status: u16,
    sent: u64,
    kept: Option<(Vec<u8>, Option<u64>)>,
}

impl<'c> Framing<'c> {
    pub fn new(terms: Terms<'c>) -> Self {
        Self { terms, state: State::Open, status: 0, sent: 0, kept: None }
    }

    pub fn terms(&self) -> &Terms<'c> {
        &self.terms
    }

    pub fn started(&self) -> bool {
        self.state != State::Open
    }

    pub fn finished(&self) -> bool {
        self.state == State::Finished
    }

    /// Whether no more of a body is sent, whatever is given.
    pub fn takes_nothing(&self) -> bool {
        matches!(self.state, State::None | State::Finished)
    }

    pub fn status(&self) -> u16 {
        self.status
    }

    /// Bytes of the body that were written.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// The fields that the application has set, encoded, and its `Content-Length`.
    pub fn kept_head(&self) -> Option<&(Vec<u8>, Option<u64>)> {
        self.kept.as_ref()
    }

    pub fn keep_alive(&self) -> bool {
        self.terms.keep_alive && self.state == State::Finished
    }

    /// Completes a head. `total` is the body's length where it is known from the body itself.
    pub fn start(&mut self, head: &mut Head, total: Option<u64>) {
        self.status = head.status;
        self.terms.keep_alive &= !head.close;
        if self.terms.keep_head {
            self.kept = Some((head.bytes.clone(), head.length));
        }
        let out = &mut head.bytes;
        self.state = if !response::has_body(head.status) || self.terms.head_only {
            // 304 and the answer to HEAD may say how long the body would be; 204 has none to speak of.
            if let Some(length) = head.length.or(total.filter(|t| *t > 0)).filter(|_| head.status != 204) {
                encode::content_length(out, length);
            }
            State::None
        } else if let Some(length) = head.length.or(total) {
            encode::content_length(out, length);
            State::Length(length)
        } else if matches!(self.terms.version, Version::Http11) {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
            State::Chunked
        } else {
            self.terms.keep_alive = false;
            State::Close
        };
        if !head.dated {
            encode::date(out);
        }
        if !self.terms.keep_alive {
            out.extend_from_slice(b"Connection: close\r\n");
        } else if matches!(self.terms.version, Version::Http10) {
            out.extend_from_slice(b"Connection: keep-alive\r\n");
        }
        out.extend_from_slice(self.terms.process);
        out.extend_from_slice(b"\r\n");
    }

    /// Of so many bytes of the body, how many are to be sent, and whether as a chunk.
    fn admit(&mut self, given: usize) -> (usize, bool) {
        let mut take = given;
        match &mut self.state {
            State::Open | State::None | State::Finished => take = 0,
            State::Length(left) => {
                // What exceeds the announced length would be read as the next response: it is cut.
                take = usize::try_from(*left).unwrap_or(usize::MAX).min(given);
                *left -= take as u64;
                if take < given {
                    tracing::warn!(status = self.status, "the application gave more than its Content-Length says; cut");
                    self.terms.keep_alive = false;
                }
            }
            State::Chunked | State::Close => {}
        }
        self.sent += take as u64;
        (take, self.state == State::Chunked && take > 0)
    }

    /// Frames a part of the body, behind `front`, and has it sent.
    pub fn body(&mut self, front: &mut Vec<u8>, parts: &[&[u8]], send: impl FnOnce(&[&[u8]])) {
        let (take, chunked) = self.admit(parts.iter().map(|part| part.len()).sum());
        if chunked {
            encode::chunk(front, take);
        }
        let mut left = take;
        let admitted = parts.iter().map(|part| {
            let part = part.get(..left.min(part.len())).unwrap_or_default();
            left -= part.len();
            part
        });
        if take <= COPY {
            admitted.for_each(|part| front.extend_from_slice(part));
            if chunked {
                front.extend_from_slice(b"\r\n");
            }
            send(&[front]);
        } else {
            let mut all: Vec<&[u8]> = Vec::with_capacity(parts.len() + 2);
            all.push(front);
            all.extend(admitted);
            if chunked {
                all.push(b"\r\n");
            }
            send(&all);
        }
    }

    /// How much of a body of announced length is still to come.
    pub fn left(&self) -> u64 {
        match self.state {
            State::Length(left) => left,
            _ => 0,
        }
    }

    /// So much of a body of announced length went out by another way.
    pub fn count(&mut self, sent: u64) {
        if let State::Length(left) = &mut self.state {
            *left = left.saturating_sub(sent);
        }
        self.sent += sent;
    }

    /// The body is complete, says the application. What is still to be sent for it to be.
    pub fn end(&mut self) -> &'static [u8] {
        let last: &[u8] = match self.state {
            State::Open | State::Finished => return b"",
            State::None | State::Close | State::Length(0) => b"",
            State::Length(left) => {
                tracing::warn!(
                    status = self.status,
                    missing = left,
                    "the application gave less than its Content-Length says; connection closed"
                );
                self.terms.keep_alive = false;
                b""
            }
            State::Chunked => encode::LAST_CHUNK,
        };
        self.state = State::Finished;
        last
    }

    /// The body will never be complete. Whether only a reset of the connection can say so.
    pub fn abort(&mut self) -> bool {
        self.terms.keep_alive = false;
        std::mem::replace(&mut self.state, State::Finished) == State::Close
    }
}
