//! A body of parts of files: read in chunks into memory that is used again, in place when the page cache has them, on
//! another thread when the disk must be waited for.

use super::chunk::{self, Chunk};
use crate::body::BodyError;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use rustix::io::{Errno, ReadWriteFlags};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

const CHUNK: usize = chunk::SIZE;

pub enum Part {
    Bytes(Bytes),
    File { file: Arc<File>, start: u64, end: u64 },
}

type Read = Pin<Box<dyn Future<Output = io::Result<Bytes>>>>;

/// The parts one after another.
#[derive(Default)]
pub struct Parts {
    parts: VecDeque<Part>,
    left: u64,
    reading: Option<Read>,
}

impl Parts {
    pub fn push(&mut self, part: Part) {
        self.left += match &part {
            Part::Bytes(bytes) => bytes.len() as u64,
            Part::File { start, end, .. } => end.saturating_sub(*start),
        };
        self.parts.push_back(part);
    }

    /// What comes next, where it is a file's part and nobody reads it yet.
    pub fn file(&self) -> Option<(&Arc<File>, u64, u64)> {
        match self.parts.front() {
            Some(Part::File { file, start, end }) if self.reading.is_none() => Some((file, *start, *end)),
            _ => None,
        }
    }

    /// So many bytes of it went another way.
    pub fn skip(&mut self, bytes: u64) {
        if let Some(Part::File { start, end, .. }) = self.parts.front_mut() {
            *start = start.saturating_add(bytes).min(*end);
            if start == end {
                self.parts.pop_front();
            }
            self.left = self.left.saturating_sub(bytes);
        }
    }

    fn sent(&mut self, bytes: Bytes) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.left = self.left.saturating_sub(bytes.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}

impl http_body::Body for Parts {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            if let Some(reading) = &mut this.reading {
                let result = ready!(reading.as_mut().poll(cx));
                this.reading = None;
                return match result {
                    Ok(bytes) => this.sent(bytes),
                    Err(error) => Poll::Ready(Some(Err(BodyError::Io(error)))),
                };
            }
            match this.parts.pop_front() {
                None => return Poll::Ready(None),
                Some(Part::Bytes(bytes)) if bytes.is_empty() => {}
                Some(Part::Bytes(bytes)) => return this.sent(bytes),
                Some(Part::File { start, end, .. }) if start >= end => {}
                Some(Part::File { file, start, end }) => {
                    let length = usize::try_from(end - start).unwrap_or(CHUNK).min(CHUNK);
                    match read_now(&file, start, length) {
                        Ok(Some(bytes)) => {
                            let start = start + bytes.len() as u64;
                            this.parts.push_front(Part::File { file, start, end });
                            return this.sent(bytes);
                        }
                        Ok(None) => {
                            // The wait may give less than asked for: what is left is worked out from what came.
                            this.parts.push_front(Part::File { file: file.clone(), start: start + length as u64, end });
                            this.reading = Some(Box::pin(read_exactly(file, start, length)));
                        }
                        Err(error) => return Poll::Ready(Some(Err(BodyError::Io(error)))),
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// What the page cache has of it; `None`: the disk would have to be waited for, or the file system cannot tell.
fn read_now(file: &File, offset: u64, length: usize) -> io::Result<Option<Bytes>> {
    let mut chunk = Chunk::take();
    match rustix::io::preadv2(file, &mut [IoSliceMut::new(chunk.room(length))], offset, ReadWriteFlags::NOWAIT) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(size) => Ok(Some(chunk.into_bytes(size))),
        Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// At least one byte, or an error: a file that has become shorter is one.
pub async fn read(file: &Arc<File>, offset: u64, length: usize) -> io::Result<Bytes> {
    match read_now(file, offset, length)? {
        Some(bytes) => Ok(bytes),
        None => read_exactly(file.clone(), offset, length.min(CHUNK)).await,
    }
}

async fn read_exactly(file: Arc<File>, offset: u64, length: usize) -> io::Result<Bytes> {
    let blocking = move || {
        let mut chunk = Chunk::take();
        std::os::unix::fs::FileExt::read_exact_at(&*file, chunk.room(length), offset)?;
        Ok(chunk.into_bytes(length))
    };
    tokio::task::spawn_blocking(blocking).await.map_err(io::Error::other)?
}
