//! Static and media files.

use crate::body::Body;
use crate::metrics::Shard;
use crate::service::Failure;
use crate::snapshot::Snapshot;
use http::Response;
use http::request::Parts;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub struct Root {
    pub dir: PathBuf,
}

impl Root {
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    pub fn problem(&self) -> Option<String> {
        None
    }
}

pub struct Files {
    roots: Vec<(String, Arc<Root>)>,
}

impl Files {
    pub fn new(snapshot: &Snapshot, _metrics: Arc<Shard>) -> Self {
        let prefixes = snapshot.config.files.iter().map(|entry| entry.prefix.clone());
        Self { roots: prefixes.zip(snapshot.roots.iter().cloned()).collect() }
    }

    pub fn find<'p>(&self, path: &'p str) -> Option<(usize, &'p str)> {
        self.roots
            .iter()
            .enumerate()
            .find_map(|(index, (prefix, _))| Some((index, path.strip_prefix(prefix.as_str())?)))
    }

    pub async fn answer(&self, _root: usize, _name: &str, _parts: &Parts) -> Result<Response<Body>, Failure> {
        Err(Failure::NO_FILE)
    }
}
