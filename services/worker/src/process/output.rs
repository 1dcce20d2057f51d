//! Writes a response to the connection.
//!
//! Writing never waits: an interface can write from inside a call of the application, through [`Wire`], and wait
//! outside of it, through [`Output`].

use std::{io, os::fd::RawFd};

use monodon_http1::Version;

pub use super::framing::{Framing, Terms};
use super::{
    response::Head,
    stream::Stopped,
    stream::Stream,
    transport::{Pending, Transport},
    watch::Watch,
};

/// Framing and transport together; it belongs to no runtime, and may go to whatever thread the application writes from.
pub struct Wire<'c> {
    framing: Framing<'c>,
    transport: Transport<'c>,
}

impl Wire<'_> {
    pub fn started(&self) -> bool {
        self.framing.started()
    }

    /// Whether nothing more needs to be given: the body is complete, or nobody takes it.
    pub fn wants_nothing(&self) -> bool {
        self.broken() || self.framing.takes_nothing()
    }

    /// Whether the client is gone.
    pub fn broken(&self) -> bool {
        self.transport.broken().is_some()
    }

    /// A whole response.
    pub fn whole(&mut self, head: &mut Head, parts: &[&[u8]]) {
        let total = parts.iter().map(|part| part.len() as u64).sum();
        self.start(head, Some(total), parts);
        self.end();
    }

    /// The head, and what is there of the body. `total` is the body's length where it is known from the body itself.
    pub fn start(&mut self, head: &mut Head, total: Option<u64>, parts: &[&[u8]]) {
        self.framing.start(head, total);
        self.framing.body(&mut head.bytes, parts, |bytes| self.transport.write(bytes));
    }

    /// More of the body.
    pub fn data(&mut self, data: &[u8]) {
        if !data.is_empty() {
            self.framing.body(&mut Vec::new(), &[data], |bytes| self.transport.write(bytes));
        }
    }

    /// An interim response (RFC 9110 section 15.2). It is left out where it would come too late, and for HTTP/1.0.
    pub fn interim(&mut self, head: &[u8]) {
        if !self.started() && self.framing.terms().version == Version::Http11 {
            self.transport.write(&[head]);
        }
    }

    /// The body is complete, says the application.
    pub fn end(&mut self) {
        let last = self.framing.end();
        if !last.is_empty() {
            self.transport.write(&[last]);
        }
    }

    /// The body will never be complete, and must not look as if it were.
    pub fn abort(&mut self) {
        if self.framing.abort() {
            self.transport.stream().reset_on_close();
        }
    }

    /// Whether the kernel has not taken everything.
    pub fn is_behind(&self) -> bool {
        self.transport.is_behind()
    }

    /// Blocks until the kernel has everything, or the client is given up.
    pub fn drain(&mut self) {
        self.transport.drain(self.framing.terms().send_timeout);
    }
}

pub struct Output<'c> {
    wire: Wire<'c>,
    watch: &'c Watch,
}

impl<'c> Output<'c> {
    pub fn new(stream: &'c mut Stream, watch: &'c Watch, pending: &'c mut Pending, terms: Terms<'c>) -> Self {
        let wire = Wire { framing: Framing::new(terms), transport: Transport::new(stream, pending) };
        Self { wire, watch }
    }

    pub fn wire(&mut self) -> &mut Wire<'c> {
        &mut self.wire
    }

    pub fn started(&self) -> bool {
        self.wire.started()
    }

    /// Whether the response is wholly written (not necessarily flushed).
    pub fn finished(&self) -> bool {
        self.wire.framing.finished()
    }

    /// Whether the client is gone.
    pub fn broken(&self) -> bool {
        self.wire.broken()
    }

    pub fn status(&self) -> u16 {
        self.wire.framing.status()
    }

    /// Bytes of the body that were written.
    pub fn sent(&self) -> u64 {
        self.wire.framing.sent()
    }

    /// The fields that the application has set, encoded, and its `Content-Length`.
    pub fn kept_head(&self) -> Option<&(Vec<u8>, Option<u64>)> {
        self.wire.framing.kept_head()
    }

    pub fn keep_alive(&self) -> bool {
        self.wire.framing.keep_alive() && !self.broken()
    }

    pub fn fd(&self) -> RawFd {
        self.wire.transport.fd()
    }

    /// An answer of the worker's own; the connection ends with it if `close`.
    pub fn plain(&mut self, status: u16, extra: &[u8], close: bool) {
        let (mut head, body) = Head::plain(status);
        head.bytes.extend_from_slice(extra);
        head.close = close;
        self.wire.whole(&mut head, &[&body]);
    }

    /// Waits until everything given so far is with the kernel.
    pub async fn flush(&mut self) {
        while self.wire.is_behind() {
            self.wire.transport.try_flush();
            if self.wire.is_behind() {
                self.wait().await;
            }
        }
    }

    async fn wait(&mut self) {
        let transport = &mut self.wire.transport;
        self.watch.arm(self.wire.framing.terms().send_timeout);
        match transport.stream().writable(self.watch).await {
            Ok(()) => {}
            Err(Stopped::Io(error)) => transport.give_up(error),
            Err(Stopped::Interrupted(_)) => transport.give_up(io::ErrorKind::TimedOut.into()),
        }
    }

    /// So many bytes of a file, from `offset`, as the body; the head must have been started with their number.
    pub async fn file(&mut self, file: &std::fs::File, mut offset: u64) {
        self.flush().await;
        while self.wire.framing.left() > 0 && !self.broken() {
            // In parts, so that a file that is read from a disk does not hold up everybody else for long.
            let part = usize::try_from(self.wire.framing.left()).unwrap_or(usize::MAX).min(512 * 1024);
            match self.wire.transport.stream().try_send_file(file, &mut offset, part) {
                Ok(0) => break,
                Ok(sent) => {
                    self.wire.framing.count(sent as u64);
                    tokio::task::yield_now().await;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait().await,
                Err(error) => self.wire.transport.give_up(error),
            }
        }
    }
}
