//! The addresses the edge listens on. A reload opens and closes some of them; the others, and every connection that was
//! accepted, are not touched by it.

use crate::config::Listen;
use crate::listener;
use std::net::{SocketAddr, TcpListener};
use tokio::sync::{mpsc, watch};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Http,
    Https,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// A socket for one data thread, to accept on until it is told that the address is closed.
pub struct Door {
    pub kind: Kind,
    pub socket: TcpListener,
    pub closed: watch::Receiver<bool>,
}

/// What is open, as the control thread knows it.
#[derive(Default)]
pub struct Listeners {
    open: Vec<Open>,
    threads: Vec<mpsc::UnboundedSender<Door>>,
}

struct Open {
    kind: Kind,
    address: SocketAddr,
    close: watch::Sender<bool>,
}

/// Sockets that are bound and that nobody accepts on yet: one for each thread.
pub struct Bound {
    kind: Kind,
    address: SocketAddr,
    sockets: Vec<TcpListener>,
}

impl Listeners {
    /// The other ends are the data threads'.
    pub fn new(threads: usize) -> (Self, Vec<mpsc::UnboundedReceiver<Door>>) {
        let (senders, receivers) = (0..threads).map(|_| mpsc::unbounded_channel()).unzip();
        (Self { open: Vec::new(), threads: senders }, receivers)
    }

    /// Binds what is wanted and not open; everything that cannot be bound is told at once, and then nothing is.
    pub fn bind(&self, listen: &Listen) -> Result<Vec<Bound>, String> {
        let (mut bound, mut problems) = (Vec::new(), Vec::new());
        for (kind, address) in wanted(listen) {
            let is_open = self.open.iter().any(|open| (open.kind, open.address) == (kind, address));
            if is_open {
                continue;
            }
            match listener::bind(address, self.threads.len()) {
                Ok(sockets) => bound.push(Bound { kind, address, sockets }),
                Err(error) => problems.push(format!("{}: cannot listen on {address}: {error}", kind.word())),
            }
        }
        if problems.is_empty() { Ok(bound) } else { Err(problems.join("\n")) }
    }

    /// Opens what was bound, then closes what is no longer wanted: who is in the kernel's queue is still let in.
    pub fn open(&mut self, bound: Vec<Bound>, listen: &Listen) {
        for Bound { kind, address, sockets } in bound {
            if let Some(own) = sockets.first().and_then(|socket| socket.local_addr().ok()) {
                tracing::info!(kind = kind.word(), address = %own, "listening");
            }
            let (close, closed) = watch::channel(false);
            for (thread, socket) in self.threads.iter().zip(sockets) {
                // A thread that is gone takes nothing: the process is ending.
                let _ = thread.send(Door { kind, socket, closed: closed.clone() });
            }
            self.open.push(Open { kind, address, close });
        }
        self.open.retain(|open| {
            let stays = wanted(listen).any(|wanted| wanted == (open.kind, open.address));
            if !stays {
                tracing::info!(kind = open.kind.word(), address = %open.address, "no longer listening");
                let _ = open.close.send(true);
            }
            stays
        });
    }
}

fn wanted(listen: &Listen) -> impl Iterator<Item = (Kind, SocketAddr)> {
    let http = listen.http.iter().map(|address| (Kind::Http, *address));
    http.chain(listen.https.iter().map(|address| (Kind::Https, *address)))
}
