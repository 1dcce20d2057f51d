//! WebSockets: after the upstream's own 101, and not before, bytes are copied both ways until either side ends.

use super::address::{Kind, Permit};
use super::answer::Head;
use super::connect::{Connection, Link};
use crate::body::Body;
use crate::upgrade::OnUpgrade;
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
    let Link::One(wire) = connection.link else { return Err("unasked_upgrade") };
    // The slot is free again (decision 4); at a foreign upstream the permit stands for the connection.
    let permit = Some(permit).filter(|permit| permit.address().kind() == Kind::Foreign);
    tokio::task::spawn_local(async move {
        let _permit = permit;
        let Ok(mut client) = client.await else { return };
        let (mut upstream, early) = wire.into_tunnel();
        if !client.leftover.is_empty() && upstream.write_all(&client.leftover).await.is_err() {
            return;
        }
        // What the upstream has said at once came with its 101.
        if !early.is_empty() && (client.io.write_all(&early).await.is_err() || client.io.flush().await.is_err()) {
            return;
        }
        relay(client.io, upstream).await;
    });
    head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    head.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    Ok(head.with(Body::empty()))
}

async fn relay(client: impl AsyncRead + AsyncWrite + Unpin, upstream: impl AsyncRead + AsyncWrite + Unpin) {
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_upstream, mut to_upstream) = tokio::io::split(upstream);
    let moved = Cell::new(Instant::now());
    let idle = async {
        while moved.get().elapsed() < IDLE {
            tokio::time::sleep_until(moved.get() + IDLE).await;
        }
    };
    tokio::select! {
        _ = copy(&mut from_client, &mut to_upstream, &moved) => {}
        _ = copy(&mut from_upstream, &mut to_client, &moved) => {}
        () = idle => {}
    }
    let last_words = async { tokio::join!(to_client.shutdown(), to_upstream.shutdown()) };
    let _ = tokio::time::timeout(LAST_WORDS, last_words).await;
}

async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    moved: &Cell<Instant>,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = from.read(&mut buffer).await?;
        let Some(data) = buffer.get(..read).filter(|data| !data.is_empty()) else {
            return Ok(());
        };
        to.write_all(data).await?;
        to.flush().await?;
        moved.set(Instant::now());
    }
}
