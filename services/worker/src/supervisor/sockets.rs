//! The listening sockets: the supervisor owns them, so that neither a crash nor a reload ever refuses a connection.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::config::{Bind, Config};

pub struct Listeners {
    sockets: Vec<Socket>,
    /// Removed when the worker stops.
    paths: Vec<PathBuf>,
}

impl Listeners {
    pub fn open(config: &Config) -> Result<Self, String> {
        let mut listeners = Self { sockets: Vec::new(), paths: Vec::new() };
        for bind in &config.bind {
            let socket = match bind {
                Bind::Tcp(address) => tcp(*address),
                Bind::Unix(path) => unix(path, config.socket_mode),
            };
            let listening = socket.and_then(|socket| socket.listen(config.backlog as i32).map(|()| socket));
            listeners.sockets.push(listening.map_err(|error| wrong(bind, &error))?);
            if let Bind::Unix(path) = bind {
                listeners.paths.push(path.clone());
            }
        }
        Ok(listeners)
    }

    pub fn fds(&self) -> Vec<RawFd> {
        self.sockets.iter().map(AsRawFd::as_raw_fd).collect()
    }

    /// Lets executed processes inherit them.
    pub fn share(&self) -> io::Result<()> {
        self.sockets.iter().try_for_each(|socket| super::zygote::inheritable(socket.as_fd(), true))
    }

    /// As bound: port 0 has become a real one.
    pub fn addresses(&self) -> Vec<String> {
        let name = |socket: &Socket| {
            let address = socket.local_addr().ok()?;
            let unix = || address.as_pathname().map(|path| format!("unix:{}", path.display()));
            address.as_socket().map(|address| format!("http://{address}")).or_else(unix)
        };
        self.sockets.iter().filter_map(name).collect()
    }

    /// Connections are refused once all processes have closed theirs too.
    pub fn close(&mut self) {
        self.sockets.clear();
        for path in self.paths.drain(..) {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn tcp(address: std::net::SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        // `[::]` is meant to be every address.
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn unix(path: &Path, mode: u32) -> io::Result<Socket> {
    // A socket that nobody answers on is left over; one that answers belongs to another server.
    if std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket()) {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::Error::from(io::ErrorKind::AddrInUse));
        }
        std::fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    Ok(socket)
}

fn wrong(bind: &Bind, error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there; stop it or choose another address with --bind",
        io::ErrorKind::PermissionDenied => "not permitted; ports below 1024 and foreign folders need rights",
        io::ErrorKind::AddrNotAvailable => "this machine has no such address",
        io::ErrorKind::NotFound => "the folder does not exist",
        _ => "cannot be listened on",
    };
    format!("bind {bind}: {hint} ({error})")
}

/// A pair that all processes inherit: a leaving one sends its idle connections, every other receives.
pub fn handover() -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}
