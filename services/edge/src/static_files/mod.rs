//! Static and media files: from memory where they are small, in chunks where they are large, never from outside their
//! folder.

mod cache;
mod condition;
mod entity;
mod range;
mod root;
mod stream;

pub use root::Root;

use crate::body::Body;
use crate::metrics::Shard;
use crate::service::Failure;
use crate::snapshot::Snapshot;
use cache::Cache;
use condition::Verdict;
use entity::Entity;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use range::Ranges;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stream::{Part, Parts as FileParts};

/// Larger ones are read as they are sent.
const SMALL: u64 = 256 << 10;
/// How old what we know of a file may be.
const FRESH: Duration = Duration::from_secs(1);

/// One thread's files.
pub struct Files {
    folders: Vec<Folder>,
    cache: RefCell<Cache>,
    metrics: Arc<Shard>,
}

struct Folder {
    prefix: String,
    routed: bool,
    root: Root,
    uploads: bool,
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
        });
        Self { folders: folders.collect(), cache: RefCell::new(Cache::new(metrics.clone())), metrics }
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

    pub async fn answer(&self, folder: usize, name: &str, parts: &Parts) -> Result<Response<Body>, Failure> {
        let result = self.respond(folder, name, parts).await;
        let outcome = match &result {
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
        result
    }

    async fn respond(&self, folder: usize, name: &str, parts: &Parts) -> Result<Response<Body>, Failure> {
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            return Err(Failure::METHOD);
        }
        let entity = self.entity(folder, name).await.map_err(|error| match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::EIO | libc::ENOMEM) => {
                tracing::error!(%error, "a file could not be read");
                Failure::DISK
            }
            // Not there, not to be read, a folder, a link, a way out: all the same to the client.
            _ => Failure::NO_FILE,
        })?;
        match condition::check(&parts.headers, &entity) {
            Verdict::Failed => return Err(Failure::PRECONDITION),
            Verdict::NotModified => return Ok(not_modified(&entity)),
            Verdict::Send { ranges: false } => {}
            Verdict::Send { ranges: true } if parts.method == Method::HEAD => {}
            Verdict::Send { ranges: true } => match Ranges::of(&parts.headers, entity.length) {
                Ranges::Whole => {}
                Ranges::None => return Ok(unsatisfiable(&entity)),
                Ranges::Some(ranges) => return Ok(partial(&entity, &ranges)),
            },
        }
        let mut response = Response::new(entity.body(0, entity.length));
        *response.headers_mut() = entity.headers.clone();
        Ok(response)
    }

    /// From memory if it was looked at lately, else from the disk, where it may be the same still.
    async fn entity(&self, folder: usize, name: &str) -> io::Result<Rc<Entity>> {
        let Some(place) = self.folders.get(folder) else { return Err(io::ErrorKind::NotFound.into()) };
        let now = Instant::now();
        let known = self.cache.borrow_mut().get(folder, name);
        if let Some(known) = &known
            && now.duration_since(known.checked.get()) < FRESH
        {
            return Ok(known.clone());
        }
        root::check_name(name)?;
        let file = match place.root.open(name) {
            Ok(file) => file,
            Err(error) => {
                self.cache.borrow_mut().remove(folder, name);
                return Err(error);
            }
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if let Some(known) = known
            && known.is(&metadata)
        {
            known.checked.set(now);
            return Ok(known);
        }
        let entity = Rc::new(Entity::read(name, Arc::new(file), &metadata, place.uploads, SMALL).await?);
        self.cache.borrow_mut().put(folder, name, &entity);
        Ok(entity)
    }
}

fn not_modified(entity: &Entity) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    // RFC 9110, section 15.4.5: what a 200 would have said of caching.
    for name in [header::ETAG, header::LAST_MODIFIED, header::CACHE_CONTROL] {
        if let Some(value) = entity.headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

fn unsatisfiable(entity: &Entity) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
    set(response.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{}", entity.length));
    response
}

fn partial(entity: &Entity, ranges: &[(u64, u64)]) -> Response<Body> {
    let mut headers = entity.headers.clone();
    let body = match ranges {
        [(start, end)] => {
            set(&mut headers, header::CONTENT_RANGE, &format!("bytes {start}-{}/{}", end - 1, entity.length));
            entity.body(*start, *end)
        }
        ranges => {
            let boundary = format!("{:032x}", fastrand::u128(..));
            let media =
                entity.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let mut parts = FileParts::default();
            for (start, end) in ranges {
                let head = format!(
                    "\r\n--{boundary}\r\nContent-Type: {media}\r\nContent-Range: bytes {start}-{}/{}\r\n\r\n",
                    end - 1,
                    entity.length
                );
                parts.push(Part::Bytes(head.into()));
                parts.push(entity.part(*start, *end));
            }
            parts.push(Part::Bytes(format!("\r\n--{boundary}--\r\n").into()));
            set(&mut headers, header::CONTENT_TYPE, &format!("multipart/byteranges; boundary={boundary}"));
            Body::stream(parts)
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    *response.headers_mut() = headers;
    response
}

fn set(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
