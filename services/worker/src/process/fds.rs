//! Descriptors that come by number, from the parent process.
#![allow(unsafe_code)]

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd, RawFd},
};

use tokio::io::{Interest, unix::AsyncFd};

/// A descriptor of our own for the inherited one, which stays as it is.
pub fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::other("not a descriptor"));
    }
    // SAFETY: the borrow lasts for this one call. If the number names no open descriptor, the kernel answers EBADF.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    Ok(rustix::io::fcntl_dupfd_cloexec(borrowed, 3)?)
}

/// The inherited descriptor, made non-blocking, as something to wait for until it can be read.
pub fn readable(fd: RawFd) -> io::Result<AsyncFd<OwnedFd>> {
    let fd = duplicate(fd)?;
    rustix::io::ioctl_fionbio(&fd, true)?;
    // SAFETY: `AsyncFd` needs the descriptor to be the one that the value owns, and to stay the same: an `OwnedFd` is.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
}
