//! Gives idle connections to a sibling, and takes them: a client never sees that a process has left.
//!
//! All processes share one pair of sockets. A message is one byte and one descriptor.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};

/// Never waits: a full queue is an error, and the connection stays here.
pub fn send(socket: impl AsFd, connection: &impl AsFd) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [connection.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    rustix::net::sendmsg(socket, &[IoSlice::new(b"c")], &mut control, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
    Ok(())
}

/// The next connection; `WouldBlock` when there is none.
pub fn receive(socket: impl AsFd) -> io::Result<Option<OwnedFd>> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let message = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, flags)?;
    if message.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut fds) = message {
            return Ok(fds.next());
        }
    }
    Ok(None)
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
        send(&to, &server).unwrap();
        drop(server);
        let mut taken = UnixStream::from(receive(&from).unwrap().unwrap());
        let mut read = [0; 5];
        taken.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"hello");
        assert_eq!(receive(&from).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
