//! WebSockets: after the upstream's own 101, and not before, bytes are copied both ways until either side ends.

use super::address::{Kind, Permit};
use super::headers;
use crate::body::Body;
use crate::upgrade::OnUpgrade;
use http::header::{CONNECTION, HeaderValue, UPGRADE};
use http::{Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::cell::Cell;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

/// A tunnel that is silent for so long has lost one of its ends.
const IDLE: Duration = Duration::from_secs(3600);
const BUFFER: usize = 16 << 10;

/// The 101 for the client; the copying begins when its connection is handed over.
pub fn begin(
    response: &mut Response<Incoming>,
    upgrade: &OnUpgrade,
    permit: Option<Permit>,
) -> Result<Response<Body>, &'static str> {
    if !response.headers().get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket")) {
        return Err("wrong_upgrade");
    }
    let Some(client) = upgrade.take() else {
        return Err("unasked_upgrade");
    };
    let upstream = hyper::upgrade::on(&mut *response);
    // The slot is free again (decision 4); at a foreign upstream the permit stands for the connection.
    let permit = permit.filter(|permit| permit.address().kind() == Kind::Foreign);
    tokio::task::spawn_local(async move {
        let _permit = permit;
        let (Ok(client), Ok(upstream)) = (client.await, upstream.await) else { return };
        let mut upstream = TokioIo::new(upstream);
        if !client.leftover.is_empty() && upstream.write_all(&client.leftover).await.is_err() {
            return;
        }
        relay(client.io, upstream).await;
    });
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *answer.headers_mut() = std::mem::take(response.headers_mut());
    headers::strip_response(answer.headers_mut());
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    answer.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    Ok(answer)
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
    let _ = tokio::join!(to_client.shutdown(), to_upstream.shutdown());
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
