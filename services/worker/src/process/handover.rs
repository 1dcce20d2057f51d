//! Gives idle connections to a sibling, and takes them: a client never sees that a process has left.
//!
//! All processes share one pair of sockets. A message is one descriptor and what is known of its client (see
//! `introduction`).

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};

/// Never waits: a full queue is an error, and the connection stays here.
pub fn send(socket: impl AsFd, connection: &impl AsFd, known: &[u8]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [connection.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    rustix::net::sendmsg(socket, &[IoSlice::new(known)], &mut control, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
    Ok(())
}

/// The longest of what is known: a PROXY line.
const LONGEST: usize = 128;

/// The next connection and what is known of it; `WouldBlock` when there is none.
pub fn receive(socket: impl AsFd) -> io::Result<Option<(OwnedFd, Vec<u8>)>> {
    let mut known = [0; LONGEST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let message = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut known)], &mut control, flags)?;
    if message.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    for ancillary in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut fds) = ancillary {
            let known = known.get(..message.bytes).unwrap_or_default();
            return Ok(fds.next().map(|fd| (fd, known.to_vec())));
        }
    }
    Ok(None)
}

/// Whether a connection waits to be received.
pub fn waits(socket: impl AsFd) -> bool {
    let mut poll = [PollFd::new(&socket, PollFlags::IN)];
    rustix::event::poll(&mut poll, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        os::unix::net::UnixStream,
    };

    use super::*;

    #[test]
    fn a_connection_arrives_with_its_unread_bytes() {
        let (to, from) = rustix::net::socketpair(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::SEQPACKET,
            rustix::net::SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        let (mut client, server) = UnixStream::pair().unwrap();
        client.write_all(b"hello").unwrap();
        assert_eq!(receive(&from).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(!waits(&from));
        send(&to, &server, b"known").unwrap();
        assert!(waits(&from));
        drop(server);
        let (taken, known) = receive(&from).unwrap().unwrap();
        assert_eq!(known, b"known");
        let mut taken = UnixStream::from(taken);
        let mut read = [0; 5];
        taken.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"hello");
        assert_eq!(receive(&from).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
