//! Bytes on a socket, for what no well-behaved client sends.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::browser::Browser;

/// What came back, and whether the server closed the connection.
#[derive(Debug)]
pub struct Answer {
    pub text: String,
    pub closed: bool,
}

impl Answer {
    /// The status of the first answer; 0 when there was none.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
    }
}

/// Sends bytes over TLS and reads until the server closes or is silent for `patience`.
pub async fn send(browser: &Browser, bytes: &[u8], patience: Duration) -> Answer {
    let mut stream = browser.connect(&["http/1.1"]).await.expect("a TLS connection");
    exchange(&mut stream, bytes, patience).await
}

pub async fn exchange(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), bytes: &[u8], patience: Duration) -> Answer {
    // A server that has refused already may have closed: what it said counts, not our failure to go on.
    let _ = stream.write_all(bytes).await;
    let _ = stream.flush().await;
    let mut got = Vec::new();
    let closed = loop {
        match tokio::time::timeout(patience, stream.read_buf(&mut got)).await {
            Ok(Ok(0) | Err(_)) => break true,
            Ok(Ok(_)) => {}
            Err(_) => break false,
        }
    };
    Answer { text: String::from_utf8_lossy(&got).into_owned(), closed }
}
