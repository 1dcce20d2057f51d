//! Asking an address how it is: `check`, or a bare connection where nothing is to be asked.

use super::address::Target;
use super::connect::{Stream, Transport};
use crate::config::{Check, UpstreamCheck};
use http::{Request, Version};
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Of an answer, head and body, no more is looked at.
const MOST: usize = 64 << 10;

#[derive(Debug, PartialEq, Eq)]
pub enum Health {
    Ready,
    /// It says so itself, or nobody listens.
    NotReady(String),
    /// No answer in time: once is not enough to judge.
    Silent,
}

/// `None` for a check asks whether a connection can be made.
pub async fn ask(target: &Target, check: Option<&UpstreamCheck>, rules: &Check, transport: &Transport) -> Health {
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
    // Behind another port is something else, which is asked in the clear.
    let plain = check.is_some_and(|check| check.port.is_some());
    let asked = async {
        let stream =
            if plain { Stream::connect(&target).await? } else { transport.open(&target, rules.timeout, None).await? };
        match path {
            None => Ok(Health::Ready),
            Some(path) if transport.http2 && !plain => exchange_http2(stream, path, rules).await,
            Some(path) => exchange(stream, path, rules).await,
        }
    };
    match tokio::time::timeout(rules.timeout, asked).await {
        Ok(Ok(health)) => health,
        Ok(Err(error)) => Health::NotReady(error.to_string()),
        Err(_) => Health::Silent,
    }
}

async fn exchange(mut stream: Stream, path: &str, rules: &Check) -> io::Result<Health> {
    let host = &rules.host;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: monodon-edge\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::with_capacity(1024);
    // The status is enough, unless something in the body is looked for.
    while answer.len() < MOST && (answer.len() < 12 || (!rules.body.is_empty() && !said(&answer, &rules.body))) {
        let mut part = [0; 4096];
        let read = match stream.read(&mut part).await {
            Ok(read) => read,
            // Reset behind an answer that is there.
            Err(_) if answer.len() >= 12 => 0,
            Err(error) => return Err(error),
        };
        if read == 0 {
            break;
        }
        answer.extend_from_slice(part.get(..read).unwrap_or_default());
    }
    if answer.is_empty() {
        return Ok(Health::NotReady("the check's connection ended without an answer".into()));
    }
    Ok(judge(&answer, rules))
}

/// The same in HTTP/2, judged as if it had come in HTTP/1.
async fn exchange_http2(stream: Stream, path: &str, rules: &Check) -> io::Result<Health> {
    let scheme = if stream.is_tls() { "https" } else { "http" };
    let host = if rules.host.is_empty() { "monodon-edge" } else { &rules.host };
    let request = Request::get(format!("{scheme}://{host}{path}")).version(Version::HTTP_2).body(());
    let request = request.map_err(io::Error::other)?;
    let (mut sender, connection) = h2::client::handshake(stream).await.map_err(io::Error::other)?;
    let asked = async {
        let (response, _) = sender.send_request(request, true)?;
        let (head, mut body) = response.await?.into_parts();
        let mut answer = format!("HTTP/1.1 {}\r\n\r\n", head.status.as_u16()).into_bytes();
        while answer.len() < MOST && !rules.body.is_empty() {
            let Some(part) = body.data().await else { break };
            let part = part?;
            body.flow_control().release_capacity(part.len())?;
            answer.extend_from_slice(&part);
        }
        Ok::<_, h2::Error>(answer)
    };
    tokio::select! {
        answer = asked => Ok(judge(&answer.map_err(io::Error::other)?, rules)),
        _ = connection => Ok(Health::NotReady("the check's connection ended without an answer".into())),
    }
}

/// `HTTP/1.1 200`
fn judge(answer: &[u8], rules: &Check) -> Health {
    let code =
        answer.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|code| std::str::from_utf8(code).ok());
    match code.and_then(|code| code.parse::<u16>().ok()) {
        Some(code) if !rules.statuses.iter().any(|good| good.contains(&code)) => {
            Health::NotReady(format!("the check answers {code}"))
        }
        Some(_) if !rules.body.is_empty() && !said(answer, &rules.body) => {
            Health::NotReady(format!("the check's answer does not contain {:?}", rules.body))
        }
        Some(_) => Health::Ready,
        None => Health::NotReady("the check's answer is not HTTP".into()),
    }
}

/// Whether the body contains that, in one chunk where it comes in chunks, or over their borders.
fn said(answer: &[u8], wanted: &str) -> bool {
    let Some(end) = memchr::memmem::find(answer, b"\r\n\r\n") else { return false };
    let (head, body) = answer.split_at(end + 4);
    let chunked = head.split(|byte| *byte == b'\n').any(|line| {
        let line = line.trim_ascii().to_ascii_lowercase();
        line.strip_prefix(b"transfer-encoding:").is_some_and(|coding| coding.trim_ascii().ends_with(b"chunked"))
    });
    let plain = if chunked { unchunk(body) } else { body.to_vec() };
    memchr::memmem::find(&plain, wanted.as_bytes()).is_some()
}

/// What the chunks that are there hold.
fn unchunk(mut body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(body.len());
    while let Some(end) = memchr::memchr(b'\n', body) {
        let (line, rest) = body.split_at(end + 1);
        let size = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let size = std::str::from_utf8(size).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let Some(size) = size.filter(|size| *size > 0) else { break };
        plain.extend_from_slice(rest.get(..size.min(rest.len())).unwrap_or_default());
        let Some(next) = size.checked_add(2).and_then(|size| rest.get(size..)) else { break };
        body = next;
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_status() {
        let rules = Check::default();
        assert_eq!(judge(b"HTTP/1.1 200 OK\r\n", &rules), Health::Ready);
        assert_eq!(judge(b"HTTP/1.0 302 Found", &rules), Health::Ready);
        assert!(matches!(judge(b"HTTP/1.1 503 Service", &rules), Health::NotReady(reason) if reason.contains("503")));
        assert!(matches!(judge(b"SSH-2.0-OpenSSH", &rules), Health::NotReady(_)));
        let only = Check { statuses: vec![204..=204], ..Check::default() };
        assert_eq!(judge(b"HTTP/1.1 204 No", &only), Health::Ready);
        assert!(matches!(judge(b"HTTP/1.1 200 OK", &only), Health::NotReady(_)));
    }

    #[test]
    fn looks_for_words_in_the_body_alone() {
        let rules = Check { body: "all well".into(), ..Check::default() };
        assert_eq!(judge(b"HTTP/1.1 200 OK\r\n\r\n{all well}", &rules), Health::Ready);
        assert!(matches!(judge(b"HTTP/1.1 200 all well\r\nx: all well\r\n\r\nno", &rules), Health::NotReady(_)));
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nall \r\n4;x=y\r\nwell\r\n0\r\n\r\n";
        assert_eq!(judge(chunked, &rules), Health::Ready);
        // Cut anywhere it is no worse than not there.
        for end in 0..chunked.len() - 8 {
            judge(&chunked[..end], &rules);
        }
        assert_eq!(unchunk(b"ffffffffffffffff\r\nabc"), b"abc");
        assert_eq!(unchunk(b"zz\r\nabc"), b"");
    }
}
