//! Asking an address how it is: `upstream_check`, or a bare connection where nothing is to be asked.

use super::address::Target;
use super::connect::Stream;
use crate::config::UpstreamCheck;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug, PartialEq, Eq)]
pub enum Health {
    Ready,
    /// It says so itself, or nobody listens.
    NotReady(String),
    /// No answer in time: once is not enough to judge.
    Silent,
}

/// `None` for a check asks whether a connection can be made.
pub async fn ask(target: &Target, check: Option<&UpstreamCheck>) -> Health {
    let (target, path) = match (target, check) {
        (Target::Tcp(address), Some(check)) => {
            let port = check.port.unwrap_or(address.port());
            (Target::Tcp(SocketAddr::new(address.ip(), port)), Some(check.path.as_str()))
        }
        // The check's port belongs to an address; behind a socket only its path can be asked.
        (Target::Unix(path), Some(check)) if check.port.is_none() => {
            (Target::Unix(path.clone()), Some(check.path.as_str()))
        }
        (target, _) => (target.clone(), None),
    };
    match tokio::time::timeout(TIMEOUT, exchange(&target, path)).await {
        Ok(Ok(health)) => health,
        Ok(Err(error)) => Health::NotReady(error.to_string()),
        Err(_) => Health::Silent,
    }
}

async fn exchange(target: &Target, path: Option<&str>) -> std::io::Result<Health> {
    let mut stream = Stream::connect(target).await?;
    let Some(path) = path else {
        return Ok(Health::Ready);
    };
    let request = format!("GET {path} HTTP/1.1\r\nHost: monodon-edge\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = [0; 512];
    let mut length = 0;
    while length < 12 {
        let read = stream.read(head.get_mut(length..).unwrap_or_default()).await?;
        if read == 0 {
            return Ok(Health::NotReady("the check's connection ended without an answer".into()));
        }
        length += read;
    }
    Ok(status(&head))
}

/// `HTTP/1.1 200`
fn status(head: &[u8]) -> Health {
    let code =
        head.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|code| std::str::from_utf8(code).ok());
    match code.and_then(|code| code.parse::<u16>().ok()) {
        Some(200..=399) => Health::Ready,
        Some(code) => Health::NotReady(format!("the check answers {code}")),
        None => Health::NotReady("the check's answer is not HTTP".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_status() {
        assert_eq!(status(b"HTTP/1.1 200 OK\r\n"), Health::Ready);
        assert_eq!(status(b"HTTP/1.0 302 Found"), Health::Ready);
        assert!(matches!(status(b"HTTP/1.1 503 Service"), Health::NotReady(reason) if reason.contains("503")));
        assert!(matches!(status(b"SSH-2.0-OpenSSH"), Health::NotReady(_)));
    }
}
