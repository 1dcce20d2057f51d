//! A connection's transport, looked at as it passes: frames that do nothing are counted, for whoever sends many of them means no good
//! (floods of PING, SETTINGS, PRIORITY, RST_STREAM, empty DATA, CONTINUATION), and so are bytes, for whoever sends and takes none. A head
//! that does not end is seen, for it holds up all else; and which streams are answered.

use super::seen::Seen;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const HEADER: usize = 9;
/// Kinds of frames, ...
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
/// ... and a flag of HEADERS and CONTINUATION.
const END_HEADERS: u8 = 4;
/// Of SETTINGS and PING, and of DATA and HEADERS.
const ACK_OR_END: u8 = 1;
/// RFC 9113, section 3.4.
const PREFACE: usize = 24;
/// A window that is opened by less than this is not opened to read.
const CRUMB: u32 = 128;

/// Where the parser of frames is.
enum At {
    /// Of the client's preface, so many bytes still.
    Preface(usize),
    /// The header of the first frame.
    First([u8; HEADER], usize),
    Header([u8; HEADER], usize),
    /// Of a payload, so many bytes still; and whether a head ends with it.
    Payload(u32, bool),
    /// The four bytes of a WINDOW_UPDATE.
    Increment([u8; 4], usize),
}

pub struct Watched<I> {
    io: I,
    seen: Rc<Seen>,
    at: At,
    /// Of what goes out, where no frame but its header is looked at.
    out: At,
}

impl<I> Watched<I> {
    pub fn new(io: I, seen: Rc<Seen>) -> Self {
        Self { io, seen, at: At::Preface(PREFACE), out: At::Header([0; HEADER], 0) }
    }
}

fn look(at: &mut At, seen: &Seen, bytes: &[u8]) {
    walk(at, seen, bytes);
    // As soon as it can be told.
    seen.head_is(seen.in_head.get() || matches!(at, At::Header([_, _, _, HEADERS, ..], 4..)));
}

fn walk(at: &mut At, seen: &Seen, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match at {
            At::Preface(left) => {
                let taken = bytes.len().min(*left);
                bytes = bytes.get(taken..).unwrap_or_default();
                *left -= taken;
                if *left == 0 {
                    *at = At::First([0; HEADER], 0);
                }
            }
            At::First(header, filled) => {
                fill(header, filled, &mut bytes);
                if *filled == HEADER {
                    // RFC 9113, section 3.4: the client's first words are SETTINGS.
                    let [_, _, _, kind, flags, ..] = *header;
                    seen.malformed.set(kind != 4 || flags & ACK_OR_END != 0);
                    *at = behind(payload(header), false, seen);
                }
            }
            At::Payload(left, ends) => {
                let taken = bytes.len().min(*left as usize);
                bytes = bytes.get(taken..).unwrap_or_default();
                *at = behind(*left - taken as u32, *ends, seen);
            }
            At::Header(header, filled) => {
                fill(header, filled, &mut bytes);
                if *filled == HEADER {
                    *at = frame(header, seen);
                }
            }
            At::Increment(value, filled) => {
                fill(value, filled, &mut bytes);
                if *filled == 4 {
                    if u32::from_be_bytes(*value) < CRUMB {
                        seen.glitch(1);
                    }
                    *at = At::Header([0; HEADER], 0);
                }
            }
        }
    }
}

/// Where it is when so many bytes of a payload are still to come.
fn behind(left: u32, ends: bool, seen: &Seen) -> At {
    if left > 0 {
        return At::Payload(left, ends);
    }
    if ends {
        seen.head_ended();
    }
    At::Header([0; HEADER], 0)
}

fn fill(into: &mut [u8], filled: &mut usize, bytes: &mut &[u8]) {
    let room = into.get_mut(*filled..).unwrap_or_default();
    let taken = room.len().min(bytes.len());
    if let (Some(to), Some(from)) = (room.get_mut(..taken), bytes.get(..taken)) {
        to.copy_from_slice(from);
    }
    *filled += taken;
    *bytes = bytes.get(taken..).unwrap_or_default();
}

fn payload(&[a, b, c, ..]: &[u8; HEADER]) -> u32 {
    u32::from_be_bytes([0, a, b, c])
}

fn stream(&[.., a, b, c, d]: &[u8; HEADER]) -> u32 {
    u32::from_be_bytes([a & 0x7f, b, c, d])
}

/// Our own frames: whether h2 answers, or ends, what was never given to us.
fn look_out(at: &mut At, seen: &Seen, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match at {
            At::Header(header, filled) => {
                fill(header, filled, &mut bytes);
                if *filled == HEADER {
                    match header[3] {
                        HEADERS => seen.unheard.answers(stream(header)),
                        RST_STREAM => drop(seen.unheard.given(stream(header))),
                        _ => {}
                    }
                    *at = behind(payload(header), false, seen);
                }
            }
            At::Payload(left, _) => {
                let taken = bytes.len().min(*left as usize);
                bytes = bytes.get(taken..).unwrap_or_default();
                *at = behind(*left - taken as u32, false, seen);
            }
            // A client's alone.
            At::Preface(_) | At::First(..) | At::Increment(..) => return,
        }
    }
}

/// A frame's header has come: length (24), type (8), flags (8), stream (32). RFC 9113, section 4.1.
fn frame(header: &[u8; HEADER], seen: &Seen) -> At {
    let [_, _, _, kind, flags, ..] = *header;
    let length = payload(header);
    let idle = match kind {
        // DATA that brings nothing and ends nothing.
        0 => length == 0 && flags & ACK_OR_END == 0,
        // HEADERS is a request, or trailers.
        HEADERS => {
            seen.in_head.set(true);
            seen.unheard.begins(stream(header));
            false
        }
        // PING and SETTINGS that are no answer to ours.
        4 | 6 => flags & ACK_OR_END == 0,
        8 if length == 4 => return At::Increment([0; 4], 0),
        // PRIORITY, RST_STREAM, CONTINUATION, and what nobody knows.
        _ => true,
    };
    if idle {
        seen.glitch(1);
    }
    behind(length, matches!(kind, HEADERS | CONTINUATION) && flags & END_HEADERS != 0, seen)
}

impl<I: AsyncRead + Unpin> AsyncRead for Watched<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        let read = Pin::new(&mut this.io).poll_read(cx, buf);
        this.seen.drained.set(read.is_pending());
        ready!(read)?;
        this.seen.reads.set(this.seen.reads.get().wrapping_add(1));
        look(&mut this.at, &this.seen, buf.filled().get(before..).unwrap_or_default());
        if this.seen.malformed.get() {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl<I> Watched<I> {
    fn wrote<T>(&self, result: Poll<T>) -> Poll<T> {
        match &result {
            Poll::Ready(_) => self.seen.blocked.set(None),
            Poll::Pending if self.seen.blocked.get().is_none() => self.seen.blocked.set(Some(Instant::now())),
            Poll::Pending => {}
        }
        result
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let result = Pin::new(&mut this.io).poll_write(cx, data);
        if let Poll::Ready(Ok(written)) = &result {
            look_out(&mut this.out, &this.seen, data.get(..*written).unwrap_or_default());
        }
        self.wrote(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.io).poll_flush(cx);
        self.wrote(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let result = Pin::new(&mut this.io).poll_write_vectored(cx, parts);
        if let Poll::Ready(Ok(written)) = result {
            let mut left = written;
            for part in parts {
                let taken = part.len().min(left);
                look_out(&mut this.out, &this.seen, part.get(..taken).unwrap_or_default());
                left -= taken;
            }
        }
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests;
