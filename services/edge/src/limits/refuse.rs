//! What a connection too many gets where it can be told anything at all.

use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const ANSWER: &[u8] =
    b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-type: text/plain; charset=utf-8\r\n\
    content-length: 31\r\nconnection: close\r\n\r\nToo many connections from here.";
/// All that it may take.
const LINGER: Duration = Duration::from_secs(1);

/// Answers before a request has been read. What the client sends is read and dropped for a moment: unread, it would have the kernel send a
/// reset that can overtake the answer.
pub async fn refuse(mut stream: TcpStream) {
    let _ = tokio::time::timeout(LINGER, async {
        if stream.write_all(ANSWER).await.is_err() || stream.shutdown().await.is_err() {
            return;
        }
        let mut dropped = [0; 1024];
        while stream.read(&mut dropped).await.is_ok_and(|read| read > 0) {}
    })
    .await;
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_length_is_right() {
        let text = std::str::from_utf8(super::ANSWER).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())));
    }
}
