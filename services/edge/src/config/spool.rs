//! Where bodies are kept that nobody has read yet.

use super::load::Reader;
use std::path::{Path, PathBuf};

/// The folder for bodies that outgrow memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Spool {
    pub dir: PathBuf,
    pub limit: u64,
    /// Of bodies in memory, those of requests together, and as much of answers.
    pub memory: u64,
}

impl Default for Spool {
    fn default() -> Self {
        Self { dir: std::env::temp_dir().join("monodon-spool"), limit: 1 << 30, memory: 64 << 20 }
    }
}

impl Reader<'_> {
    pub(super) fn spool(&self, state: &Path) -> Spool {
        Spool {
            dir: self.values.path("spool").unwrap_or_else(|| state.join("spool")),
            limit: self.values.size("spool_limit"),
            memory: self.values.size("buffer_memory_total"),
        }
    }
}
