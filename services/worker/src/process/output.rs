//! Writes a response to the connection: chooses the framing, keeps to the announced length, and holds what the socket
//! does not take at once.
//!
//! Writing never waits: what does not fit is kept, and [`Output::flush`] waits for it. So an interface can write from
//! inside a call of the application, and wait outside of it.

use std::io::{self, IoSlice};

use monodon_http1::{Version, encode};

use super::{
    response::{self, Head},
    stream::{Stopped, Stream},
    watch::Watch,
};

/// Bodies up to this size are copied behind the head; longer ones are written from where they are.
const COPY: usize = 2048;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
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

/// What is kept from one response of a connection to the next.
#[derive(Default)]
pub struct Pending {
    bytes: Vec<u8>,
    at: usize,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
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

pub struct Output<'c> {
    stream: &'c mut Stream,
    watch: &'c Watch,
    pending: &'c mut Pending,
    terms: Terms<'c>,
    framing: Framing,
    status: u16,
    sent: u64,
    kept: Option<(Vec<u8>, Option<u64>)>,
    broken: Option<io::Error>,
}

impl<'c> Output<'c> {
    pub fn new(stream: &'c mut Stream, watch: &'c Watch, pending: &'c mut Pending, terms: Terms<'c>) -> Self {
        Self { stream, watch, pending, terms, framing: Framing::Open, status: 0, sent: 0, kept: None, broken: None }
    }

    pub fn started(&self) -> bool {
        self.framing != Framing::Open
    }

    /// Whether the response is wholly written (not necessarily flushed).
    pub fn finished(&self) -> bool {
        self.framing == Framing::Finished
    }

    /// Whether nothing more needs to be given: the body is complete, or nobody takes it.
    pub fn wants_nothing(&self) -> bool {
        self.broken.is_some() || matches!(self.framing, Framing::None | Framing::Finished)
    }

    /// Whether the client is gone.
    pub fn broken(&self) -> bool {
        self.broken.is_some()
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
        self.terms.keep_alive && self.broken.is_none() && self.framing == Framing::Finished
    }

    pub fn fd(&self) -> std::os::fd::RawFd {
        std::os::fd::AsRawFd::as_raw_fd(self.stream)
    }

    /// A whole response.
    pub fn whole(&mut self, head: &mut Head, parts: &[&[u8]]) {
        let total = parts.iter().map(|part| part.len() as u64).sum();
        self.start(head, Some(total), parts);
        self.end();
    }

    /// An answer of the worker's own; the connection ends with it if `close`.
    pub fn plain(&mut self, status: u16, extra: &[u8], close: bool) {
        let (mut head, body) = Head::plain(status);
        head.bytes.extend_from_slice(extra);
        head.close = close;
        self.whole(&mut head, &[&body]);
    }

    /// The head, and what is there of the body. `total` is the body's length where it is known from the body itself.
    pub fn start(&mut self, head: &mut Head, total: Option<u64>, parts: &[&[u8]]) {
        self.status = head.status;
        self.terms.keep_alive &= !head.close;
        if self.terms.keep_head {
            self.kept = Some((head.bytes.clone(), head.length));
        }
        let out = &mut head.bytes;
        self.framing = if !response::has_body(head.status) || self.terms.head_only {
            // 304 and the answer to HEAD may say how long the body would be; 204 has none to speak of.
            if let Some(length) = head.length.or(total.filter(|t| *t > 0)).filter(|_| head.status != 204) {
                encode::content_length(out, length);
            }
            Framing::None
        } else if let Some(length) = head.length.or(total) {
            encode::content_length(out, length);
            Framing::Length(length)
        } else if matches!(self.terms.version, Version::Http11) {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
            Framing::Chunked
        } else {
            self.terms.keep_alive = false;
            Framing::Close
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
        self.body(Some(out), parts);
    }

    /// More of the body.
    pub fn data(&mut self, data: &[u8]) {
        if !data.is_empty() {
            self.body(None, &[data]);
        }
    }

    fn body(&mut self, head: Option<&mut Vec<u8>>, parts: &[&[u8]]) {
        let given: usize = parts.iter().map(|part| part.len()).sum();
        let mut take = given;
        match &mut self.framing {
            Framing::Open | Framing::None | Framing::Finished => take = 0,
            Framing::Length(left) => {
                // What exceeds the announced length would be read as the next response: it is cut.
                take = usize::try_from(*left).unwrap_or(usize::MAX).min(given);
                *left -= take as u64;
                if take < given {
                    tracing::warn!(status = self.status, "the application gave more than its Content-Length says; cut");
                    self.terms.keep_alive = false;
                }
            }
            Framing::Chunked | Framing::Close => {}
        }
        self.sent += take as u64;
        let chunked = self.framing == Framing::Chunked && take > 0;
        let mut line = Vec::new();
        let front: &mut Vec<u8> = match head {
            Some(head) => head,
            None => &mut line,
        };
        if chunked {
            encode::chunk(front, take);
        }
        if take <= COPY {
            let mut left = take;
            for part in parts {
                let part = part.get(..left.min(part.len())).unwrap_or_default();
                front.extend_from_slice(part);
                left -= part.len();
            }
            if chunked {
                front.extend_from_slice(b"\r\n");
            }
            self.write(&[front]);
        } else {
            let mut all: Vec<&[u8]> = Vec::with_capacity(parts.len() + 2);
            all.push(front);
            let mut left = take;
            for part in parts {
                let part = part.get(..left.min(part.len())).unwrap_or_default();
                all.push(part);
                left -= part.len();
            }
            if chunked {
                all.push(b"\r\n");
            }
            self.write(&all);
        }
    }

    /// The body is complete, says the application.
    pub fn end(&mut self) {
        match self.framing {
            Framing::Open | Framing::Finished => return,
            Framing::None | Framing::Close | Framing::Length(0) => {}
            Framing::Length(left) => {
                tracing::warn!(
                    status = self.status,
                    missing = left,
                    "the application gave less than its Content-Length says; connection closed"
                );
                self.terms.keep_alive = false;
            }
            Framing::Chunked => self.write(&[encode::LAST_CHUNK]),
        }
        self.framing = Framing::Finished;
    }

    /// The body will never be complete, and must not look as if it were.
    pub fn abort(&mut self) {
        self.terms.keep_alive = false;
        if self.framing == Framing::Close {
            self.stream.reset_on_close();
        }
        self.framing = Framing::Finished;
    }

    fn write(&mut self, parts: &[&[u8]]) {
        if self.broken.is_some() {
            return;
        }
        let mut skip = 0;
        if self.pending.is_empty() {
            // More parts than this are rare; what is left of them goes through the pending bytes.
            let mut slices = [IoSlice::new(&[]); 8];
            for (slice, part) in slices.iter_mut().zip(parts) {
                *slice = IoSlice::new(part);
            }
            match self.stream.try_write(slices.get(..parts.len()).unwrap_or(&slices)) {
                Ok(written) => skip = written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    self.broken = Some(error);
                    return;
                }
            }
        }
        for part in parts {
            let rest = part.get(skip.min(part.len())..).unwrap_or_default();
            skip = skip.saturating_sub(part.len());
            self.pending.bytes.extend_from_slice(rest);
        }
    }

    /// Waits until everything given so far is with the kernel.
    pub async fn flush(&mut self) {
        while !self.pending.is_empty() && self.broken.is_none() {
            let rest = self.pending.bytes.get(self.pending.at..).unwrap_or_default();
            match self.stream.try_write(&[IoSlice::new(rest)]) {
                Ok(written) => {
                    self.pending.at += written;
                    if self.pending.at >= self.pending.bytes.len() {
                        self.pending.at = 0;
                        self.pending.bytes.clear();
                        self.pending.bytes.shrink_to(COPY);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait().await,
                Err(error) => self.broken = Some(error),
            }
        }
        if self.broken.is_some() {
            self.pending.bytes.clear();
            self.pending.at = 0;
        }
    }

    async fn wait(&mut self) {
        self.watch.arm(self.terms.send_timeout);
        match self.stream.writable(self.watch).await {
            Ok(()) => {}
            Err(Stopped::Io(error)) => self.broken = Some(error),
            Err(Stopped::Interrupted(_)) => self.broken = Some(io::ErrorKind::TimedOut.into()),
        }
    }

    /// So many bytes of a file, from `offset`, as the body; the head must have been started with their number.
    pub async fn file(&mut self, file: &std::fs::File, mut offset: u64) {
        self.flush().await;
        while let Framing::Length(left @ 1..) = self.framing {
            if self.broken.is_some() {
                return;
            }
            // In parts, so that a file that is read from a disk does not hold up everybody else for long.
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(512 * 1024);
            match self.stream.try_send_file(file, &mut offset, part) {
                Ok(0) => break,
                Ok(sent) => {
                    self.framing = Framing::Length(left.saturating_sub(sent as u64));
                    self.sent += sent as u64;
                    tokio::task::yield_now().await;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait().await,
                Err(error) => self.broken = Some(error),
            }
        }
    }
}
