//! The hand-over of a client's raw connection after a 101: the protocol promises it, the tunnel takes it.

use bytes::Bytes;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// The connection itself, with what was read of it already.
pub struct Upgraded {
    pub io: Box<dyn Io>,
    pub leftover: Bytes,
}

/// In the request's extensions where the client asks for an upgrade.
#[derive(Clone)]
pub struct OnUpgrade(Arc<Mutex<Option<oneshot::Receiver<Upgraded>>>>);

/// Held by the protocol until the head of the 101 is written; dropped otherwise.
pub struct Promise(oneshot::Sender<Upgraded>);

pub fn pair() -> (Promise, OnUpgrade) {
    let (sender, receiver) = oneshot::channel();
    (Promise(sender), OnUpgrade(Arc::new(Mutex::new(Some(receiver)))))
}

impl Promise {
    /// False when nobody waits for it any more.
    pub fn fulfil(self, io: Box<dyn Io>, leftover: Bytes) -> bool {
        self.0.send(Upgraded { io, leftover }).is_ok()
    }
}

impl OnUpgrade {
    /// The wait for the connection; the first who asks gets it.
    pub fn take(&self) -> Option<oneshot::Receiver<Upgraded>> {
        self.0.lock().ok()?.take()
    }
}
