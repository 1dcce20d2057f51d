//! Static and media files: from memory where they are small, in chunks where they are large, never from outside their
//! folder.
//!
//! [`lookup`] finds what a path stands for, [`entity`] is one version of a file, [`variants`] the same in content codings, [`respond`]
//! answers from it, [`listing`] shows a folder.

mod cache;
mod chunk;
mod condition;
mod entity;
mod fields;
mod glob;
mod listing;
mod lookup;
mod range;
mod respond;
mod root;
mod stream;
mod variants;

pub use glob::Glob;
pub use root::{Root, check_name};
pub use stream::Parts as FileParts;

use crate::body::Body;
use crate::config::options::compress::Compress;
use crate::config::options::files::Files as Options;
use crate::metrics::Shard;
use crate::service::Failure;
use crate::snapshot::Snapshot;
use cache::Cache;
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use lookup::Found;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// One thread's files.
pub struct Files {
    folders: Vec<Folder>,
    cache: Rc<RefCell<Cache>>,
    /// Files that are being compressed.
    compressing: Rc<Cell<usize>>,
    metrics: Arc<Shard>,
}

/// A folder, and what holds for all its files.
#[derive(Default)]
pub struct Folder {
    prefix: String,
    routed: bool,
    root: Root,
    uploads: bool,
    internal: bool,
    own_expiry: bool,
}

/// What is asked of a folder.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    pub folder: usize,
    /// The path within it.
    pub name: &'a str,
    /// The site's: for a redirect to its slash.
    pub path: &'a str,
    pub parts: &'a Parts,
    pub options: &'a Options,
    pub compress: &'a Compress,
    /// What the application said of the file that it pointed to.
    pub said: Option<&'a HeaderMap>,
    /// The moment by which what is known of files is fresh: mostly when the request came, which needs no look at the clock.
    pub now: Instant,
}

/// Index of `metrics::STATIC_RESULTS`.
#[derive(Clone, Copy)]
enum Outcome {
    Full,
    NotModified,
    Partial,
    Refused,
    NotFound,
}

impl Files {
    pub fn new(snapshot: &Snapshot, metrics: Arc<Shard>) -> Self {
        let folders = snapshot.config.files.iter().map(|entry| Folder {
            prefix: entry.prefix.clone(),
            routed: entry.routed,
            root: Root::new(&entry.dir),
            uploads: entry.uploads,
            internal: entry.internal,
            own_expiry: entry.own_expiry,
        });
        Self {
            folders: folders.collect(),
            cache: Rc::new(RefCell::new(Cache::new(metrics.clone()))),
            compressing: Rc::default(),
            metrics,
        }
    }

    /// The folder that a normalised path is in, and the path within.
    pub fn find<'p>(&self, path: &'p str) -> Option<(usize, &'p str)> {
        let within = |folder: &Folder| path.strip_prefix(folder.prefix.as_str()).filter(|_| !folder.routed);
        self.folders.iter().enumerate().find_map(|(index, folder)| Some((index, within(folder)?)))
    }

    /// The path within a folder that a route leads to.
    pub fn within<'p>(&self, folder: usize, path: &'p str) -> Option<&'p str> {
        path.strip_prefix(self.folders.get(folder)?.prefix.as_str())
    }

    /// The answer that a path has, whatever there is.
    pub async fn answer(&self, wanted: &Wanted<'_>) -> Result<Response<Body>, Failure> {
        let result = match wanted.parts.method {
            Method::GET | Method::HEAD => match self.look(wanted).await {
                Ok(Some(found)) => self.respond(wanted, found).await,
                Ok(None) => Err(Failure::NO_FILE),
                Err(failure) => Err(failure),
            },
            _ => Err(Failure::METHOD),
        };
        self.count(&result);
        result
    }

    /// The answer, if there is such a file; with a slash at the name's end, such a folder. `slash`: that one was not
    /// asked for.
    pub async fn attempt(&self, wanted: &Wanted<'_>, slash: bool) -> Result<Option<Response<Body>>, Failure> {
        let folder = wanted.name.is_empty() || wanted.name.ends_with('/');
        let found = match self.look(wanted).await? {
            Some(_) if slash && folder => Found::Slash,
            Some(found) if folder => found,
            Some(found @ Found::File(_)) => found,
            _ => return Ok(None),
        };
        let result = match wanted.parts.method {
            Method::GET | Method::HEAD => self.respond(wanted, found).await,
            _ => Err(Failure::METHOD),
        };
        self.count(&result);
        result.map(Some)
    }

    async fn respond(&self, wanted: &Wanted<'_>, found: Found) -> Result<Response<Body>, Failure> {
        match found {
            Found::File(entity) => respond::with_file(self, wanted, &entity).await,
            Found::Slash => respond::with_slash(wanted),
            Found::Listing(folder) => listing::answer(folder, wanted).await,
        }
    }

    fn count(&self, result: &Result<Response<Body>, Failure>) {
        let outcome = match result {
            Ok(response) => match response.status() {
                StatusCode::NOT_MODIFIED => Outcome::NotModified,
                StatusCode::PARTIAL_CONTENT => Outcome::Partial,
                StatusCode::OK => Outcome::Full,
                _ => Outcome::Refused,
            },
            Err(Failure::NO_FILE) => Outcome::NotFound,
            Err(_) => Outcome::Refused,
        };
        self.metrics.statics.add(outcome as u64, 1);
    }
}
