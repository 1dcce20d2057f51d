//! One GET with a deadline and a bound, over TCP or a unix socket.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// More than any page of ours has.
const LARGEST: usize = 8 << 20;

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Bytes,
}

/// `token` is what the other side's admin port asks for.
pub async fn tcp(
    address: SocketAddr,
    host: &str,
    path: &str,
    token: Option<&str>,
    patience: Duration,
) -> Result<Answer, String> {
    within(patience, async {
        let stream = TcpStream::connect(address).await.map_err(|error| plain(&error))?;
        get(stream, host, path, token).await
    })
    .await
}

pub async fn unix(socket: &Path, path: &str, patience: Duration) -> Result<Answer, String> {
    within(patience, async {
        let stream = UnixStream::connect(socket).await.map_err(|error| plain(&error))?;
        get(stream, "localhost", path, None).await
    })
    .await
}

async fn within<T>(patience: Duration, call: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    match tokio::time::timeout(patience, call).await {
        Ok(result) => result,
        Err(_) => Err(format!("no answer within {patience:?}")),
    }
}

async fn get(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    host: &str,
    path: &str,
    token: Option<&str>,
) -> Result<Answer, String> {
    let mut request = http::Request::get(path)
        .header(http::header::HOST, host)
        .header(http::header::CONNECTION, "close")
        .header(http::header::USER_AGENT, concat!("monodon-sidecar/", env!("CARGO_PKG_VERSION")));
    if let Some(token) = token {
        request = request.header(http::header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), LARGEST).collect().await;
        let body = body.map_err(|error| format!("the answer broke off or is too long: {error}"))?;
        Ok(Answer { status, body: body.to_bytes() })
    };
    tokio::pin!(connection);
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        ended = &mut connection => match ended {
            // The connection may end with the answer already in hand.
            Ok(()) => exchange.await,
            Err(error) => Err(format!("the connection broke: {error}")),
        },
    }
}

fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused: nothing listens there".into(),
        io::ErrorKind::NotFound => "the socket is not there".into(),
        _ => error.to_string(),
    }
}
