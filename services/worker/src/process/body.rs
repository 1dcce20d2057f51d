//! A request's body that has arrived wholly: in memory while small, else in a file that has no name.

use std::{
    fs::File,
    io::{self, Seek, Write},
};

/// Above this a body lives in a file.
pub const MEMORY: usize = 256 * 1024;

#[derive(Default)]
pub enum Body {
    #[default]
    Empty,
    Memory(Vec<u8>),
    File {
        file: File,
        len: u64,
    },
}

impl Body {
    pub fn len(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File { len, .. } => *len,
        }
    }
}

/// Collects a body while it arrives.
#[derive(Default)]
pub struct Collector {
    memory: Vec<u8>,
    spill: Option<(File, u64)>,
}

impl Collector {
    /// For a body of known length, so that memory is taken once.
    pub fn with_length(len: u64) -> Self {
        let room = usize::try_from(len).unwrap_or(MEMORY).min(MEMORY);
        Self { memory: Vec::with_capacity(room), spill: None }
    }

    pub fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.memory.extend_from_slice(bytes);
        self.settle()
    }

    /// Moves what is in memory to the file once it is too much.
    pub fn settle(&mut self) -> io::Result<()> {
        if self.spill.is_none() && self.memory.len() <= MEMORY {
            return Ok(());
        }
        let (file, len) = match &mut self.spill {
            Some(spill) => spill,
            None => self.spill.insert((tempfile::tempfile()?, 0)),
        };
        file.write_all(&self.memory)?;
        *len += self.memory.len() as u64;
        self.memory.clear();
        Ok(())
    }

    pub fn len(&self) -> u64 {
        self.memory.len() as u64 + self.spill.as_ref().map_or(0, |(_, len)| *len)
    }

    pub fn finish(mut self) -> io::Result<Body> {
        self.settle()?;
        Ok(match self.spill {
            Some((mut file, len)) => {
                file.rewind()?;
                Body::File { file, len }
            }
            None if self.memory.is_empty() => Body::Empty,
            None => Body::Memory(self.memory),
        })
    }
}
