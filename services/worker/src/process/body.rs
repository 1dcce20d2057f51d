//! A request's body that has arrived wholly: in memory while small, else in a file that has no name.

use std::{
    fs::File,
    io::{self, Seek, Write},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

/// A body up to this size is always in memory.
pub const MEMORY: usize = 256 * 1024;
/// And one up to this size, if its length is known from the beginning, while all of these together stay in [`SHARED`]:
/// a file would cost several times as much.
const LARGE: usize = 4 << 20;
/// What larger bodies may take of this process's memory.
const SHARED: usize = 32 << 20;

static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// A part of [`SHARED`], until it is dropped.
#[derive(Default)]
struct Share(usize);

impl Share {
    fn take(size: usize) -> Option<Self> {
        let room = |taken: usize| taken.checked_add(size).filter(|all| *all <= SHARED);
        TAKEN.fetch_update(Relaxed, Relaxed, room).ok().map(|_| Self(size))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.0 > 0 {
            TAKEN.fetch_sub(self.0, Relaxed);
        }
    }
}

/// A body in memory.
#[derive(Default)]
pub struct Memory {
    bytes: Vec<u8>,
    share: Share,
}

impl AsRef<[u8]> for Memory {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[derive(Default)]
pub enum Body {
    #[default]
    Empty,
    Memory(Memory),
    File {
        file: File,
        len: u64,
    },
}

impl Body {
    pub fn len(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Memory(memory) => memory.bytes.len() as u64,
            Self::File { len, .. } => *len,
        }
    }
}

/// Collects a body while it arrives.
#[derive(Default)]
pub struct Collector {
    memory: Memory,
    spill: Option<(File, u64)>,
}

impl Collector {
    /// For a body of known length, so that memory is taken once.
    pub fn with_length(len: u64) -> Self {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let share =
            Some(len).filter(|len| (MEMORY + 1..=LARGE).contains(len)).and_then(Share::take).unwrap_or_default();
        let room = if share.0 > 0 { len } else { len.min(MEMORY) };
        Self { memory: Memory { bytes: Vec::with_capacity(room), share }, spill: None }
    }

    /// Where the rest can be read to directly, because all of it has room in memory.
    pub fn memory(&mut self) -> Option<&mut Vec<u8>> {
        (self.memory.share.0 > 0).then_some(&mut self.memory.bytes)
    }

    pub fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.memory.bytes.extend_from_slice(bytes);
        self.settle()
    }

    /// Moves what is in memory to the file once it is too much.
    pub fn settle(&mut self) -> io::Result<()> {
        if self.spill.is_none() && self.memory.bytes.len() <= MEMORY.max(self.memory.share.0) {
            return Ok(());
        }
        let (file, len) = match &mut self.spill {
            Some(spill) => spill,
            None => self.spill.insert((tempfile::tempfile()?, 0)),
        };
        file.write_all(&self.memory.bytes)?;
        *len += self.memory.bytes.len() as u64;
        self.memory.bytes.clear();
        Ok(())
    }

    pub fn len(&self) -> u64 {
        self.memory.bytes.len() as u64 + self.spill.as_ref().map_or(0, |(_, len)| *len)
    }

    pub fn finish(mut self) -> io::Result<Body> {
        self.settle()?;
        Ok(match self.spill {
            Some((mut file, len)) => {
                file.rewind()?;
                Body::File { file, len }
            }
            None if self.memory.bytes.is_empty() => Body::Empty,
            None => Body::Memory(self.memory),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_body_stays_in_memory_while_there_is_room_for_all_of_them() {
        let large = |len: usize| {
            let mut body = Collector::with_length(len as u64);
            body.push(&vec![b'x'; len]).unwrap();
            body.finish().unwrap()
        };
        let bodies: Vec<Body> = std::iter::repeat_with(|| large(LARGE)).take(SHARED / LARGE).collect();
        assert!(bodies.iter().all(|body| matches!(body, Body::Memory(_)) && body.len() == LARGE as u64));
        assert!(matches!(large(MEMORY + 1), Body::File { .. }));
        assert!(matches!(large(MEMORY), Body::Memory(_)));
        drop(bodies);
        assert!(matches!(large(MEMORY + 1), Body::Memory(_)));
        assert!(matches!(large(LARGE + 1), Body::File { .. }));
    }
}
