//! Reads a request's body, wholly, before anybody is asked to answer it.

use std::io;

use monodon_http1::{Chunk, Chunks, Framing, Reject};

use super::{
    body::{Body, Collector, MEMORY},
    connection::Link,
    stream::Stopped,
};

pub enum UploadError {
    Rejected(Reject),
    TooLarge,
    /// The client left, or was too slow.
    Stopped(Stopped),
    /// The file for the body could not be written.
    Disk(io::Error),
}

impl From<Stopped> for UploadError {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}

/// Reads the body that belongs to the head in `link`'s buffer. Returns it with the place in the buffer where the next
/// request begins.
pub async fn receive(link: &mut Link, limit: u64) -> Result<(Body, usize), UploadError> {
    let begin = link.request.head.len;
    match link.request.head.framing {
        Framing::None | Framing::Length(0) => Ok((Body::Empty, begin)),
        Framing::Length(len) if len > limit => Err(UploadError::TooLarge),
        Framing::Length(len) => sized(link, begin, len).await,
        Framing::Chunked => chunked(link, begin, limit).await,
    }
}

async fn sized(link: &mut Link, begin: usize, len: u64) -> Result<(Body, usize), UploadError> {
    let here = link.request.bytes.get(begin..).unwrap_or_default();
    let have = usize::try_from(len).unwrap_or(usize::MAX).min(here.len());
    let mut body = Collector::with_length(len);
    body.push(here.get(..have).unwrap_or_default()).map_err(UploadError::Disk)?;
    if body.len() == len {
        return body.finish().map(|body| (body, begin + have)).map_err(UploadError::Disk);
    }
    proceed(link).await?;
    while body.len() < len {
        // Never read past the body: what follows belongs to the next request.
        let left = usize::try_from(len - body.len()).unwrap_or(usize::MAX);
        if let Some(memory) = body.memory() {
            link.read_at_most(memory, left).await?;
            continue;
        }
        let room = left.min(MEMORY);
        let mut part = std::mem::take(&mut link.scratch);
        part.clear();
        part.reserve_exact(room.min(64 * 1024));
        let result = link.read_at_most(&mut part, room).await;
        let stored = result.and_then(|()| body.push(&part).map_err(UploadError::Disk));
        link.scratch = part;
        stored?;
    }
    link.scratch = Vec::new();
    Ok((body.finish().map_err(UploadError::Disk)?, begin + have))
}

async fn chunked(link: &mut Link, begin: usize, limit: u64) -> Result<(Body, usize), UploadError> {
    let mut chunks = Chunks::new(limit);
    let mut body = Collector::default();
    let mut at = begin;
    let mut told = false;
    loop {
        let rest = link.request.bytes.get(at..).unwrap_or_default();
        match chunks.next(rest).map_err(refused)? {
            Chunk::Data { start, end } => {
                body.push(rest.get(start..end).unwrap_or_default()).map_err(UploadError::Disk)?;
                at += end;
            }
            Chunk::End { consume } => {
                return Ok((body.finish().map_err(UploadError::Disk)?, at + consume));
            }
            Chunk::More { consume } => {
                link.request.bytes.drain(begin..at + consume);
                at = begin;
                if !std::mem::replace(&mut told, true) {
                    proceed(link).await?;
                }
                link.read_body_part().await?;
            }
        }
    }
}

fn refused(reject: Reject) -> UploadError {
    if reject.status() == 413 { UploadError::TooLarge } else { UploadError::Rejected(reject) }
}

/// Tells a client that waits for it to send the body.
async fn proceed(link: &mut Link) -> Result<(), UploadError> {
    if link.request.head.expect_continue {
        link.send(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    Ok(())
}
