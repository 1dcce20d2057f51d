//! WebSockets: after the upstream's own 101, and not before, bytes are copied both ways until either side ends.

use super::address::{Kind, Permit};
use super::answer::Head;
use super::connect::{Connection, Link};
use crate::body::Body;
use crate::upgrade::OnUpgrade;
use bytes::Bytes;
use http::Response;
use http::header::{CONNECTION, HeaderValue, UPGRADE};
use std::cell::Cell;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

/// A tunnel that is silent for so long has lost one of its ends.
const IDLE: Duration = Duration::from_secs(3600);
/// For the last words to both ends: one that reads nothing must not keep the other.
const LAST_WORDS: Duration = Duration::from_secs(5);
const BUFFER: usize = 16 << 10;

/// The 101 for the client; the copying begins when its connection is handed over.
pub fn begin(
    mut head: Head,
    upgrade: &OnUpgrade,
    permit: Permit,
    connection: Connection,
) -> Result<Response<Body>, &'static str> {
    if !head.websocket {
        return Err("wrong_upgrade");
    }
    let Some(client) = upgrade.take() else {
        return Err("unasked_upgrade");
    };
    let Connection { link: Link::One(wire), open, .. } = connection else { return Err("unasked_upgrade") };
    // The slot is free again (decision 4); at a foreign upstream the permit stands for the connection.
    let permit = Some(permit).filter(|permit| permit.address().kind() == Kind::Foreign);
    tokio::task::spawn_local(async move {
        let (_permit, _open) = (permit, open);
        let Ok(client) = client.await else { return };
        // What the upstream has said at once came with its 101.
        let (upstream, early) = wire.into_tunnel();
        relay((client.io, client.leftover), (upstream, early), IDLE).await;
    });
    head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    head.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    Ok(head.with(Body::empty()))
}

/// Each end with what has been read of it already.
async fn relay(
    (client, of_client): (impl AsyncRead + AsyncWrite + Unpin, Bytes),
    (upstream, of_upstream): (impl AsyncRead + AsyncWrite + Unpin, Bytes),
    patience: Duration,
) {
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_upstream, mut to_upstream) = tokio::io::split(upstream);
    let moved = Cell::new(Instant::now());
    let idle = async {
        while moved.get().elapsed() < patience {
            tokio::time::sleep_until(moved.get() + patience).await;
        }
    };
    tokio::select! {
        _ = copy(&of_client, &mut from_client, &mut to_upstream, &moved) => {}
        _ = copy(&of_upstream, &mut from_upstream, &mut to_client, &moved) => {}
        () = idle => {}
    }
    let last_words = async { tokio::join!(to_client.shutdown(), to_upstream.shutdown()) };
    let _ = tokio::time::timeout(LAST_WORDS, last_words).await;
}

async fn copy(
    first: &[u8],
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    moved: &Cell<Instant>,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut data = first;
    loop {
        if !data.is_empty() {
            to.write_all(data).await?;
            to.flush().await?;
            moved.set(Instant::now());
        }
        let read = from.read(&mut buffer).await?;
        data = buffer.get(..read).unwrap_or_default();
        if data.is_empty() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::duplex;

    /// Neither end of a tunnel may be kept for ever by the first words to the other.
    #[tokio::test]
    async fn first_words_that_nobody_reads_end_with_the_tunnel() {
        let words = || Bytes::from_static(b"more than there is room for");
        for (to_upstream, to_client) in [(words(), Bytes::new()), (Bytes::new(), words())] {
            let (client, _silent_client) = duplex(4);
            let (upstream, _silent_upstream) = duplex(4);
            relay((client, to_upstream), (upstream, to_client), Duration::from_millis(20)).await;
        }
    }

    #[tokio::test]
    async fn first_words_come_first_and_no_end_waits_for_the_other_s() {
        let (client, mut at_client) = duplex(64);
        let (upstream, mut at_upstream) = duplex(64);
        let said = (Bytes::from_static(b"from the client"), Bytes::from_static(b"from the upstream"));
        let ends = async {
            let mut heard = [0; 15];
            at_upstream.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, b"from the client");
            let mut heard = [0; 17];
            at_client.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, b"from the upstream");
            at_client.write_all(b"more").await.unwrap();
            let mut heard = [0; 4];
            at_upstream.read_exact(&mut heard).await.unwrap();
            drop(at_client);
        };
        tokio::join!(relay((client, said.0), (upstream, said.1), IDLE), ends);
        // What the client left unread is no reason to stay.
        let (client, at_client) = duplex(4);
        let (upstream, _at_upstream) = duplex(4);
        drop(at_client);
        let much = Bytes::from_static(b"much too much");
        relay((client, much.clone()), (upstream, much), IDLE).await;
    }
}
