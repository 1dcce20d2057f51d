//! Takes new connections, and those that leaving siblings give away.
//!
//! A process accepts while it holds no more connections than any sibling that is free to accept; after five milliseconds
//! anyone may. Exclusive wake-ups alone do not spread connections.
//!
//! One is taken at a time, and its request read, before the next: what this process could not answer at once is left to
//! others.

use std::{
    io,
    os::fd::OwnedFd,
    rc::Rc,
    time::{Duration, Instant},
};

use rustix::net::SocketFlags;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

use super::{
    Shared,
    connection::{self, Interface},
    handover,
    introduction::Introduction,
    stream::Stream,
};

const PATIENCE: u32 = 5;
const STEP: Duration = Duration::from_millis(1);
/// After an error such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// How long it has to be quiet at a socket that is to be closed, and how long that is waited for at most.
const QUIET: Duration = Duration::from_millis(10);
const LAST_LOOK: Duration = Duration::from_millis(200);

/// Accepts for ever.
pub async fn run<I: Interface>(shared: Rc<Shared>, interface: Rc<I>, listener: Rc<AsyncFd<OwnedFd>>) {
    loop {
        let Ok(mut ready) = listener.readable().await else { return };
        if shared.superseded() {
            return;
        }
        shared.room().await;
        let mut waited = 0;
        while waited < PATIENCE && !shared.may_accept(interface.full()) {
            tokio::time::sleep(STEP).await;
            waited += 1;
        }
        match take(&shared, &interface, &mut ready) {
            Ok(true) => tokio::task::yield_now().await,
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Takes what the kernel has accepted already from a socket that is about to be closed: it would be reset with it, and nobody but the
/// edge could tell that its request has not been read.
pub async fn the_rest<I: Interface>(shared: Rc<Shared>, interface: Rc<I>, listener: Rc<AsyncFd<OwnedFd>>) {
    let end = Instant::now() + LAST_LOOK;
    // Others may hold the socket a moment longer, and so the kernel goes on accepting.
    while let Ok(Ok(mut ready)) = tokio::time::timeout(QUIET, listener.readable()).await {
        for _ in 0..shared.config.backlog {
            match take(&shared, &interface, &mut ready) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return tracing::error!(%error, "cannot accept the last connections"),
            }
        }
        if Instant::now() >= end {
            return;
        }
    }
}

/// One connection, if there is one.
fn take<I: Interface>(
    shared: &Rc<Shared>,
    interface: &Rc<I>,
    ready: &mut AsyncFdReadyGuard<'_, OwnedFd>,
) -> io::Result<bool> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    match ready.try_io(|fd| Ok(rustix::net::accept_with(fd, flags)?)) {
        Ok(Ok(socket)) => {
            shared.entry.add_accepted(1);
            start(shared, interface, socket, Origin::New);
            Ok(true)
        }
        Ok(Err(error)) if is_about_the_client(&error) => Ok(false),
        Ok(Err(error)) => Err(error),
        Err(_nobody) => Ok(false),
    }
}

fn is_about_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// Takes connections from siblings for ever: those that leave, and those that are busy.
pub async fn adopt<I: Interface>(shared: Rc<Shared>, interface: Rc<I>, socket: Rc<AsyncFd<OwnedFd>>) {
    loop {
        let Ok(mut ready) = socket.readable().await else { return };
        if shared.superseded() {
            return;
        }
        // What is here is waiting already: it is left to others until it can be answered at once.
        interface.free().await;
        match ready.try_io(handover::receive) {
            Ok(Ok(Some((connection, known)))) => {
                shared.entry.add_taken_over(1);
                start(&shared, &interface, connection, Origin::Sibling(&known));
                tokio::task::yield_now().await;
            }
            Ok(Ok(None)) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, "cannot take connections from other processes");
                tokio::time::sleep(PAUSE).await;
            }
            Err(_nothing) => {}
        }
    }
}

/// Where a connection comes from.
#[derive(Clone, Copy)]
enum Origin<'k> {
    New,
    /// With what is known of it.
    Sibling(&'k [u8]),
}

fn start<I: Interface>(shared: &Rc<Shared>, interface: &Rc<I>, socket: OwnedFd, origin: Origin<'_>) {
    let (introduction, adopted) = match origin {
        Origin::New => (Introduction::of_new(shared), false),
        Origin::Sibling(known) => (Introduction::from_bytes(known), true),
    };
    let stream = match Stream::adopt(socket) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::warn!(%error, "a connection was lost before it was served");
            return;
        }
    };
    let held = Held::new(shared);
    let (shared, interface) = (Rc::clone(shared), Rc::clone(interface));
    tokio::task::spawn_local(async move {
        let _held = held;
        connection::serve(shared, interface, stream, introduction, adopted).await;
    });
}

/// A connection counts from here until this is dropped, also when its task panics.
struct Held(Rc<Shared>);

impl Held {
    fn new(shared: &Rc<Shared>) -> Self {
        shared.add_connections(1);
        Self(Rc::clone(shared))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.add_connections(-1);
    }
}
