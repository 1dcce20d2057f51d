//! The loops that accept connections, and what each meets before its first request.

mod bind;

pub use bind::bind;

use crate::access::introduction;
use crate::connection::{ConnInfo, Protocol, TlsInfo};
use crate::drain::Phase;
use crate::gateway;
use crate::limits::{connections, refuse};
use crate::protocol;
use crate::service::Thread;
use crate::tls::handshake;
use rustls::ProtocolVersion;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// Accepted in one go before other tasks of the thread get their turn.
const BURST: usize = 64;

/// Connections over all threads against their limit. Touched once a connection, not once a request.
#[derive(Default)]
pub struct Total(AtomicUsize);

struct Counted(Arc<Total>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Accepts on one socket until the drain, or a configuration without its address, closes it.
pub async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    mut closed: watch::Receiver<bool>,
    thread: Rc<Thread>,
    total: Arc<Total>,
) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "a listener could not be registered"),
    };
    let mut drain = thread.drain.clone();
    let accepting = async {
        let mut burst = 0;
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    start(stream, peer, tls.as_ref(), &thread, &total);
                    burst += 1;
                    if burst >= BURST {
                        burst = 0;
                        tokio::task::yield_now().await;
                    }
                }
                // The client went away between knocking and the door's opening.
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {
                }
                Err(error) => {
                    // Out of descriptors or memory: others finish and make room; the kernel keeps the queue.
                    tracing::warn!(%error, "a connection could not be accepted; trying again shortly");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        () = drain.reached(Phase::Closing) => {}
        _ = closed.wait_for(|closed| *closed) => {}
    }
    // Who stands in the kernel's queue was let in by it: closing the socket would refuse them.
    let Ok(listener) = listener.into_std() else { return };
    for (stream, peer) in waiting(&listener) {
        start(stream, peer, tls.as_ref(), &thread, &total);
    }
}

/// All who stand in the kernel's queue now. The runtime would hand out only as many as it lets a task take in one turn, and none that it
/// has not been told of.
fn waiting(listener: &TcpListener) -> impl Iterator<Item = (TcpStream, SocketAddr)> {
    std::iter::from_fn(|| listener.accept().ok()).filter_map(|(stream, peer)| {
        stream.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(stream).ok()?, peer))
    })
}

fn start(stream: TcpStream, peer: SocketAddr, tls: Option<&TlsAcceptor>, thread: &Rc<Thread>, total: &Arc<Total>) {
    let metrics = &thread.metrics.connections;
    let (limit, introduced) = {
        let view = thread.view();
        let config = &view.snapshot.config;
        let introduced = config.proxies.introduced.as_ref().is_some_and(|from| from.allows(peer.ip()));
        (config.limits.connections, introduced)
    };
    let counted = Counted(total.clone());
    if total.0.fetch_add(1, Ordering::Relaxed) >= limit {
        return metrics.refused_limit.add(1);
    }
    let Ok(local) = stream.local_addr() else { return };
    let _ = stream.set_nodelay(true);
    if !introduced {
        if gateway::is_one(peer.ip()) {
            metrics.from_gateway.add(1);
        }
        return admit(stream, (peer, local), tls, thread, counted);
    }
    // Whose it is decides what it may; that is told first.
    let (tls, thread, working) = (tls.cloned(), thread.clone(), thread.drain.working());
    tokio::task::spawn_local(async move {
        let mut stream = stream;
        let limit = thread.view().snapshot.config.timeouts.head;
        match introduction::take(&mut stream, limit).await {
            Ok(told) => admit(stream, told.unwrap_or((peer, local)), tls.as_ref(), &thread, counted),
            Err(refused) => {
                thread.metrics.connections.refused_introduction.add(1);
                tracing::debug!(%peer, ?refused, "a connection without a good PROXY header is closed");
            }
        }
        drop(working);
    });
}

/// Lets a connection of this client in, unless he has as many as he may.
fn admit(
    stream: TcpStream,
    (peer, local): (SocketAddr, SocketAddr),
    tls: Option<&TlsAcceptor>,
    thread: &Rc<Thread>,
    counted: Counted,
) {
    let metrics = &thread.metrics.connections;
    let own = connections::connection(&thread.view().snapshot, peer.ip());
    let Ok(own) = own else {
        metrics.refused_client.add(1);
        if tls.is_none() {
            tokio::task::spawn_local(async move {
                refuse::refuse(stream).await;
                drop(counted);
            });
        }
        return;
    };
    let counted: Arc<dyn Send + Sync> = Arc::new((counted, own));
    let thread = thread.clone();
    let working = thread.drain.working();
    match tls {
        None => {
            metrics.accepted_http.add(1);
            tokio::task::spawn_local(async move {
                let conn = Rc::new(ConnInfo::new(peer, local, None, Protocol::Http1));
                let _ = conn.counted.set(counted);
                let _open = Open::new(&thread, Protocol::Http1);
                protocol::h1::serve(stream, thread, conn).await;
                drop(working);
            });
        }
        Some(acceptor) => {
            metrics.accepted_https.add(1);
            let Ok(shaking) = connections::handshake(&thread.view().snapshot, peer.ip()) else {
                return metrics.refused_client_handshake.add(1);
            };
            let acceptor = acceptor.clone();
            tokio::task::spawn_local(async move {
                // Each on the heap: what a handshake needs is large, and gone when the connection waits for requests.
                let handshake = secure(stream, (peer, local), &acceptor, thread, counted, shaking);
                let serving = Box::pin(handshake).await;
                if let Some(serving) = serving {
                    serving.await;
                }
                drop(working);
            });
        }
    }
}

/// The handshake; then what serves the connection.
async fn secure(
    stream: TcpStream,
    (peer, local): (SocketAddr, SocketAddr),
    acceptor: &TlsAcceptor,
    thread: Rc<Thread>,
    counted: Arc<dyn Send + Sync>,
    shaking: connections::Guard,
) -> Option<Pin<Box<dyn Future<Output = ()>>>> {
    let begun = Instant::now();
    let limit = thread.view().snapshot.config.timeouts.handshake;
    let stream = match tokio::time::timeout(limit, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        other => {
            let result = if other.is_err() { 2 } else { 1 };
            thread.metrics.handshakes.add(result << 8, 1);
            let error = other.as_ref().ok().and_then(|result| result.as_ref().err());
            if let Some(cell) = thread.metrics.handshake_failures.get(handshake::failure(error)) {
                cell.add(1);
            }
            thread.metrics.connections.refused_handshake.add(1);
            if let Ok(Err(error)) = other {
                tracing::debug!(%peer, %error, "a TLS handshake failed");
            }
            return None;
        }
    };
    drop(shaking);
    let (_, session) = stream.get_ref();
    let (version, index) = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => ("TLSv1.2", 1),
        Some(ProtocolVersion::TLSv1_3) => ("TLSv1.3", 2),
        _ => ("unknown", 0),
    };
    thread.metrics.handshakes.add(handshake::kind(session) << 16 | index, 1);
    thread.metrics.handshake_seconds.observe(begun.elapsed());
    let protocol = match session.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        // The handshake was the whole validation.
        Some(b"acme-tls/1") => return None,
        _ => Protocol::Http1,
    };
    let sni = session.server_name().map(|name| name.to_ascii_lowercase().into_boxed_str());
    let conn = Rc::new(ConnInfo::new(
        peer,
        local,
        Some(TlsInfo { sni, version, cipher: handshake::cipher(session) }),
        protocol,
    ));
    let _ = conn.counted.set(counted);
    let open = Open::new(&thread, protocol);
    Some(match protocol {
        Protocol::Http1 => {
            let serving = protocol::h1::serve(stream, thread, conn);
            Box::pin(async move {
                let _open = open;
                serving.await;
            })
        }
        Protocol::Http2 => {
            let serving = protocol::h2::serve(stream, thread, conn);
            Box::pin(async move {
                let _open = open;
                serving.await;
            })
        }
    })
}

/// Counts a connection as open while it lives.
struct Open(Rc<Thread>, usize);

impl Open {
    fn new(thread: &Rc<Thread>, protocol: Protocol) -> Self {
        let open = Self(thread.clone(), protocol as usize);
        if let Some(cell) = thread.metrics.connections.open.get(open.1) {
            cell.add(1);
        }
        open
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(cell) = self.0.metrics.connections.open.get(self.1) {
            cell.subtract(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_who_stand_in_the_queue_are_let_in() {
        let socket = bind("127.0.0.1:0".parse().unwrap(), 1).unwrap().remove(0);
        let address = socket.local_addr().unwrap();
        let listener = tokio::net::TcpListener::from_std(socket).unwrap();
        let clients: Vec<_> = (0..300).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        assert_eq!(waiting(&listener.into_std().unwrap()).count(), clients.len());
    }
}
