//! Gets bytes into the client's socket, and holds what it does not take at once.
//!
//! Writing never waits. What is held goes out by [`super::output::Output::flush`], which waits with the runtime, or by
//! [`Transport::drain`], which blocks: the application called `write()` and is to go on when the kernel has it all.

use std::{
    io::{self, IoSlice},
    os::fd::{AsFd, RawFd},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::SendFlags,
};

use super::{framing::COPY, stream::Stream};

/// What is kept from one response of a connection to the next.
#[derive(Default)]
pub struct Pending {
    bytes: Vec<u8>,
    at: usize,
}

impl Pending {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn sent(&mut self, count: usize) {
        self.at += count;
        if self.at >= self.bytes.len() {
            self.clear();
            self.bytes.shrink_to(COPY);
        }
    }

    fn clear(&mut self) {
        self.at = 0;
        self.bytes.clear();
    }
}

pub struct Transport<'c> {
    stream: &'c mut Stream,
    pending: &'c mut Pending,
    broken: Option<io::Error>,
}

impl<'c> Transport<'c> {
    pub fn new(stream: &'c mut Stream, pending: &'c mut Pending) -> Self {
        Self { stream, pending, broken: None }
    }

    pub fn stream(&self) -> &Stream {
        self.stream
    }

    pub fn fd(&self) -> RawFd {
        std::os::fd::AsRawFd::as_raw_fd(self.stream)
    }

    /// Why nothing more reaches the client.
    pub fn broken(&self) -> Option<&io::Error> {
        self.broken.as_ref()
    }

    pub fn give_up(&mut self, error: io::Error) {
        self.broken = Some(error);
        self.pending.clear();
    }

    /// Whether the kernel has not taken everything.
    pub fn is_behind(&self) -> bool {
        !self.pending.bytes.is_empty()
    }

    pub fn write(&mut self, parts: &[&[u8]]) {
        if self.broken.is_some() {
            return;
        }
        let mut skip = 0;
        if !self.is_behind() {
            // More parts than this are rare; what is left of them goes through the pending bytes.
            let mut slices = [IoSlice::new(&[]); 8];
            for (slice, part) in slices.iter_mut().zip(parts) {
                *slice = IoSlice::new(part);
            }
            match self.stream.try_write(slices.get(..parts.len()).unwrap_or(&slices)) {
                Ok(written) => skip = written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return self.give_up(error),
            }
        }
        for part in parts {
            let rest = part.get(skip.min(part.len())..).unwrap_or_default();
            skip = skip.saturating_sub(part.len());
            self.pending.bytes.extend_from_slice(rest);
        }
    }

    /// Sends what is held, as far as the kernel takes it now.
    pub fn try_flush(&mut self) {
        while self.is_behind() {
            match self.stream.try_write(&[IoSlice::new(self.pending.rest())]) {
                Ok(sent) => self.pending.sent(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => return self.give_up(error),
            }
        }
    }

    /// Sends what is held and blocks until the kernel has it, for at most `limit` (zero: for ever) without progress.
    pub fn drain(&mut self, limit: Duration) {
        // Past the runtime, which only learns while it polls that a socket takes more.
        let limit = Timespec::try_from(limit).ok().filter(|_| !limit.is_zero());
        while self.is_behind() {
            match rustix::net::send(&*self.stream, self.pending.rest(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(sent) => self.pending.sent(sent),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    let mut sockets = [PollFd::from_borrowed_fd(self.stream.as_fd(), PollFlags::OUT)];
                    match poll(&mut sockets, limit.as_ref()) {
                        Ok(0) => self.give_up(io::ErrorKind::TimedOut.into()),
                        Ok(_) | Err(rustix::io::Errno::INTR) => {}
                        Err(error) => self.give_up(error.into()),
                    }
                }
                Err(error) => self.give_up(error.into()),
            }
        }
    }
}
