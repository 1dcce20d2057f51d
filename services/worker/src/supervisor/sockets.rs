//! The listening sockets: the supervisor owns them, so that neither a crash nor a reload ever refuses a connection.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::shared::Backlog;
use super::upgrade::Passed;
use crate::bind::Bind;
use crate::config::Config;

/// How often a bind is tried, and how long between: as gunicorn does it. An address may still be another program's that is
/// about to end, or not there yet while the network comes up.
#[derive(Clone, Copy)]
pub struct Patience {
    pub tries: u32,
    pub pause: Duration,
}

pub const PATIENCE: Patience = Patience { tries: 5, pause: Duration::from_secs(1) };

pub struct Listeners {
    sockets: Vec<(Bind, Socket)>,
    /// systemd has opened them.
    pub systemd: bool,
}

impl Listeners {
    /// `activated`: sockets that systemd has opened; they take the place of `bind`. `passed`: those of the supervisor
    /// before this one, which stand where `bind` has not changed.
    pub fn open(
        config: &Config,
        activated: &[RawFd],
        passed: Option<&Passed>,
        patience: Patience,
    ) -> Result<Self, String> {
        let mut there: Vec<(Bind, RawFd)> = passed.map(|passed| passed.sockets.clone()).unwrap_or_default();
        there.extend(activated.iter().map(|fd| (Bind::Fd(*fd), *fd)));
        let systemd = !activated.is_empty() || passed.is_some_and(|passed| passed.systemd);
        let binds = if systemd { there.iter().map(|(bind, _)| bind.clone()).collect() } else { config.bind.clone() };
        let mut sockets = Vec::new();
        for bind in binds {
            let known = there.iter().position(|(other, _)| *other == bind);
            let socket = match known.map(|place| there.swap_remove(place)) {
                Some((_, fd)) => inherited(fd),
                None => patiently(&bind, config, patience),
            };
            let listening = socket.and_then(|socket| {
                // systemd's listen already, and a security policy may forbid to say it again.
                if !socket.is_listener().unwrap_or(false) {
                    socket.listen(config.backlog as i32)?;
                }
                Ok(socket)
            });
            sockets.push((bind.clone(), listening.map_err(|error| wrong(&bind, &error))?));
        }
        // Binds that are no longer wanted.
        for (_, fd) in there {
            drop(crate::sys::take(fd));
        }
        Ok(Self { sockets, systemd })
    }

    /// Those that a changed configuration wants: sockets whose bind has not changed are the same ones. Nothing changes here;
    /// what systemd has opened stands as long as the service.
    pub fn renewed(&self, config: &Config) -> Result<Self, String> {
        let mut there: Vec<&(Bind, Socket)> = self.sockets.iter().collect();
        let binds: Vec<&Bind> =
            if self.systemd { there.iter().map(|(bind, _)| bind).collect() } else { config.bind.iter().collect() };
        let mut sockets = Vec::new();
        for bind in binds {
            let known = there.iter().position(|(other, _)| other == bind).map(|place| there.swap_remove(place));
            let socket = match (known, bind) {
                (Some((_, socket)), _) => socket.try_clone(),
                // Whatever has this number now, it was not inherited.
                (None, Bind::Fd(_)) => Err(io::Error::from(io::ErrorKind::InvalidInput)),
                (None, bind) => open(bind, config),
            };
            let listening = socket.and_then(|socket| {
                // Said again, it changes the length of the queue.
                socket.listen(config.backlog as i32)?;
                super::zygote::inheritable(socket.as_fd(), true)?;
                Ok(socket)
            });
            match listening {
                Ok(socket) => sockets.push((bind.clone(), socket)),
                Err(error) => {
                    Self { sockets, systemd: self.systemd }.close_but(self, true);
                    return Err(wrong(bind, &error));
                }
            }
        }
        Ok(Self { sockets, systemd: self.systemd })
    }

    /// As [`Listeners::close`], but the paths of binds that are `kept` stay.
    pub fn close_but(&mut self, kept: &Self, alone: bool) {
        let stays = |bind: &Bind| kept.sockets.iter().any(|(other, _)| other == bind);
        let gone = |(bind, _): &mut (Bind, Socket)| !stays(bind);
        let gone: Vec<_> = self.sockets.extract_if(.., gone).collect();
        self.sockets.clear();
        Self { sockets: gone, systemd: self.systemd }.close(alone);
    }

    /// For a new supervisor.
    pub fn passed(&self) -> Vec<(Bind, RawFd)> {
        self.sockets.iter().map(|(bind, socket)| (bind.clone(), socket.as_raw_fd())).collect()
    }

    pub fn fds(&self) -> Vec<RawFd> {
        self.sockets.iter().map(|(_, socket)| socket.as_raw_fd()).collect()
    }

    /// Lets executed processes inherit them.
    pub fn share(&self) -> io::Result<()> {
        self.sockets.iter().try_for_each(|(_, socket)| super::zygote::inheritable(socket.as_fd(), true))
    }

    /// As bound: port 0 has become a real one.
    pub fn addresses(&self) -> Vec<String> {
        let name = |socket: &Socket| {
            let address = socket.local_addr().ok()?;
            let unix = || address.as_pathname().map(|path| format!("unix:{}", path.display()));
            address.as_socket().map(|address| format!("http://{address}")).or_else(unix)
        };
        self.sockets.iter().filter_map(|(_, socket)| name(socket)).collect()
    }

    /// Of those whose kernel tells it: TCP. Several sockets of one address are one listener.
    pub fn backlogs(&self) -> Vec<Backlog> {
        let mut found: Vec<Backlog> = Vec::new();
        for (_, socket) in &self.sockets {
            let Some(address) = socket.local_addr().ok().and_then(|address| address.as_socket()) else { continue };
            let Some((waiting, most)) = crate::sys::backlog(socket.as_fd()) else { continue };
            let listener = address.to_string();
            match found.iter_mut().find(|known| known.listener == listener) {
                Some(known) => {
                    known.waiting += waiting;
                    known.most += most;
                }
                None => found.push(Backlog { listener, waiting, most }),
            }
        }
        found
    }

    /// Connections are refused once all processes have closed theirs too. `alone`: no other supervisor uses them, so the
    /// paths of unix sockets go, too.
    pub fn close(&mut self, alone: bool) {
        for (bind, socket) in self.sockets.drain(..) {
            drop(socket);
            if let (Bind::Unix(path), true) = (bind, alone) {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

fn patiently(bind: &Bind, config: &Config, patience: Patience) -> io::Result<Socket> {
    let mut tries = 1;
    loop {
        match open(bind, config) {
            Err(error)
                if tries < patience.tries
                    && matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable) =>
            {
                tracing::warn!("bind {bind}: {error}; trying again in {} s", patience.pause.as_secs());
                tries += 1;
                std::thread::sleep(patience.pause);
            }
            done => return done,
        }
    }
}

fn open(bind: &Bind, config: &Config) -> io::Result<Socket> {
    match bind {
        Bind::Tcp(address) => tcp(*address, config),
        Bind::Name(name, port) => {
            // IPv4 first, as gunicorn, which looks for nothing else.
            let mut found: Vec<SocketAddr> = (name.as_str(), *port).to_socket_addrs()?.collect();
            found.sort_by_key(SocketAddr::is_ipv6);
            let first = found.first().ok_or_else(|| io::Error::other("the name has no address"))?;
            tcp(*first, config)
        }
        Bind::Unix(path) => unix(path, config),
        Bind::Fd(fd) => inherited(*fd),
    }
}

fn tcp(address: SocketAddr, config: &Config) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if config.sockets.reuse_port {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() && address.ip().is_unspecified() {
        // `[::]` is meant to be every address.
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn unix(path: &Path, config: &Config) -> io::Result<Socket> {
    // A socket that nobody answers on is left over; one that answers belongs to another server.
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_socket() => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(io::Error::from(io::ErrorKind::AddrInUse));
            }
            std::fs::remove_file(path)?;
        }
        Ok(_) => return Err(io::Error::from(io::ErrorKind::AlreadyExists)),
        Err(_) => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // Made under a mask, so that it is never open to others, not even for a moment.
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o777 & !config.socket_mode));
    let bound = socket.bind(&SockAddr::unix(path)?);
    rustix::process::umask(before);
    bound?;
    if let Some(owner) = &config.mechanics.owner {
        std::os::unix::fs::chown(path, Some(owner.uid), Some(owner.gid))?;
    }
    Ok(socket)
}

fn inherited(fd: RawFd) -> io::Result<Socket> {
    let socket = Socket::from(crate::sys::take(fd)?);
    let family = socket.domain()?;
    let known = [Domain::IPV4, Domain::IPV6, Domain::UNIX].contains(&family);
    if !known || socket.r#type()? != Type::STREAM {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn wrong(bind: &Bind, error: &io::Error) -> String {
    let hint = match (bind, error.kind()) {
        (Bind::Fd(_), _) => "no stream socket was inherited under this number",
        (_, io::ErrorKind::AddrInUse) => "another program listens there; stop it or choose another address with --bind",
        (_, io::ErrorKind::PermissionDenied) => "not permitted; ports below 1024 and foreign folders need rights",
        (_, io::ErrorKind::AddrNotAvailable) => "this machine has no such address",
        (_, io::ErrorKind::NotFound) => "the folder does not exist",
        (_, io::ErrorKind::AlreadyExists) => "there is a file that is no socket; remove it or choose another path",
        (Bind::Name(..), _) => "the name cannot be looked up",
        _ => "cannot be listened on",
    };
    format!("bind {bind}: {hint} ({error})")
}

/// A pair that all processes inherit: a leaving one sends its idle connections, every other receives. It is the pair of the
/// supervisor before this one, whose processes can so send theirs.
pub fn handover(passed: Option<&Passed>) -> io::Result<(OwnedFd, OwnedFd)> {
    if let Some(passed) = passed {
        let [rx, tx] = passed.handover;
        return Ok((crate::sys::take(rx)?, crate::sys::take(tx)?));
    }
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_way_is_named() {
        let once = Patience { tries: 1, pause: Duration::ZERO };
        let open = |bind| Listeners::open(&Config { bind: vec![bind], ..Config::default() }, &[], None, once);
        let first = open(Bind::Tcp(([127, 0, 0, 1], 0).into())).ok().unwrap();
        let taken = first.sockets[0].1.local_addr().unwrap().as_socket().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (socket, file) = (folder.path().join("socket"), folder.path().join("file"));
        let _other = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        std::fs::write(&file, "mine").unwrap();
        for (bind, words) in [
            (Bind::Tcp(taken), "another program listens there"),
            (Bind::Tcp(([192, 0, 2, 1], 0).into()), "no such address"),
            (Bind::Unix(socket), "another program listens there"),
            (Bind::Unix(file.clone()), "no socket"),
            (Bind::Unix(folder.path().join("none/socket")), "the folder does not exist"),
            (Bind::Fd(1 << 20), "was inherited"),
            (Bind::Name("nobody.invalid".into(), 0), "cannot be looked up"),
        ] {
            let told = open(bind.clone()).err().unwrap();
            assert!(told.contains(words), "{bind}: {told}");
        }
        assert_eq!(std::fs::read_to_string(file).unwrap(), "mine");
    }
}
