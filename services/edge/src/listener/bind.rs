//! Listening sockets, one for each data thread at every address.

use socket2::{Domain, Socket, TcpKeepalive, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

const BACKLOG: i32 = 4096;
/// After so long the kernel asks a silent client whether it is still there.
const SILENT: Duration = Duration::from_secs(60);

/// Binds `address` once for each thread. Port 0 picks one port for all of them. An IPv6 wildcard on a machine without
/// IPv6 gives nothing.
pub fn bind(address: SocketAddr, threads: usize) -> io::Result<Vec<TcpListener>> {
    let mut address = address;
    let mut sockets = Vec::new();
    for _ in 0..threads {
        let socket = match bind_one(address) {
            Err(error)
                if address.is_ipv6()
                    && address.ip().is_unspecified()
                    && matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)) =>
            {
                return Ok(Vec::new());
            }
            socket => socket?,
        };
        address = socket.local_addr()?;
        sockets.push(socket);
    }
    Ok(sockets)
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    // Each thread has a queue of its own: no thundering herd, no hand-over between cores.
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    // What it accepts inherits this: a client that vanished without a word is noticed on an event stream or a tunnel
    // that has nothing to say, too.
    let keepalive = TcpKeepalive::new().with_time(SILENT).with_interval(SILENT / 4).with_retries(4);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silent_clients_are_asked() {
        let socket = bind("127.0.0.1:0".parse().unwrap(), 1).unwrap().remove(0);
        socket.set_nonblocking(false).unwrap();
        let _client = std::net::TcpStream::connect(socket.local_addr().unwrap()).unwrap();
        let (accepted, _) = socket.accept().unwrap();
        assert!(socket2::SockRef::from(&accepted).keepalive().unwrap());
    }

    #[test]
    fn threads_share_a_picked_port() {
        let sockets = bind("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        assert_eq!(sockets.len(), 3);
        let ports: Vec<u16> = sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        assert!(ports.iter().all(|port| *port == ports[0] && *port != 0));
    }
}
