//! One version of a file as it is served: identity, prepared fields, and its bytes where it is small.

use super::fields::{self, About};
use super::stream::{Part, Parts, read};
use super::variants::Variants;
use crate::body::Body;
use crate::compress;
use crate::config::options::files::{Expires, Files as Options};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use std::cell::{Cell, OnceCell};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What its name and the two maps of its fields take, about.
const FIELDS: usize = 3 << 10;

pub struct Entity {
    /// The path within its folder.
    pub name: Box<str>,
    pub headers: HeaderMap,
    /// The same with Vary, once somebody has asked for it: a map that takes one more must grow.
    varying: OnceCell<HeaderMap>,
    pub etag: String,
    /// Whole seconds, as the header says it.
    pub modified: SystemTime,
    pub length: u64,
    /// What of Expires must be worked out when it is sent.
    pub expires: Expires,
    pub checked: Cell<Instant>,
    pub variants: Variants,
    identity: Identity,
    content: Content,
    /// Of whose options its fields follow: their address, which stays as long as this thread's view does.
    options: usize,
}

#[derive(Clone, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

#[derive(Clone)]
enum Content {
    Memory(Bytes),
    Disk(Arc<File>),
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// The same on every replica that has the same file; separators, so that no two files look alike.
    fn tag(&self) -> String {
        format!("{:x}.{:x}-{:x}", self.modified.0, self.modified.1, self.length)
    }

    fn second(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(u64::try_from(self.modified.0).unwrap_or(0))
    }
}

impl Entity {
    pub async fn read(about: &About<'_>, file: Arc<File>, metadata: &Metadata, small: u64) -> io::Result<Self> {
        let length = metadata.len();
        let content = if length <= small {
            let mut bytes = bytes::BytesMut::new();
            while (bytes.len() as u64) < length {
                let at = bytes.len() as u64;
                bytes.extend_from_slice(&read(&file, at, (length - at) as usize).await?);
            }
            Content::Memory(bytes.freeze())
        } else {
            Content::Disk(file)
        };
        let identity = Identity::of(metadata);
        let tag = match about.coding {
            // Another representation has another strong tag.
            Some(coding) => format!("\"{}-{}\"", identity.tag(), coding.name()),
            None => format!("\"{}\"", identity.tag()),
        };
        let modified = identity.second();
        Ok(Self::of(about, identity, content, tag, modified))
    }

    /// The same file in a coding of ours, whose bytes are still to come.
    pub fn coded(&self, about: &About<'_>) -> Self {
        Self::of(about, self.identity.clone(), Content::Memory(Bytes::new()), self.etag.clone(), self.modified)
    }

    /// Under the tag that it has when it is compressed on its way: which of both a client meets is chance.
    pub fn with_bytes(mut self, bytes: Bytes) -> Self {
        compress::without_fixed_bytes(&mut self.headers);
        self.length = bytes.len() as u64;
        self.content = Content::Memory(bytes);
        self
    }

    /// The same file under other options.
    pub fn with_options(&self, about: &About<'_>) -> Self {
        let entity = Self::of(about, self.identity.clone(), self.content.clone(), self.etag.clone(), self.modified);
        entity.checked.set(self.checked.get());
        entity
    }

    fn of(about: &About<'_>, identity: Identity, content: Content, etag: String, modified: SystemTime) -> Self {
        let (headers, expires) = fields::headers(about, &etag, modified);
        let length = match &content {
            Content::Memory(bytes) => bytes.len() as u64,
            Content::Disk(_) => identity.length,
        };
        Self {
            name: about.name.into(),
            headers,
            varying: OnceCell::new(),
            etag,
            modified,
            length,
            expires,
            checked: Cell::new(Instant::now()),
            variants: Variants::default(),
            identity,
            content,
            options: address(about.options),
        }
    }

    /// What goes with its content; `varies` where Accept-Encoding chooses it.
    pub fn fields(&self, varies: bool) -> &HeaderMap {
        if !varies {
            return &self.headers;
        }
        self.varying.get_or_init(|| {
            let mut headers = self.headers.clone();
            headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
            headers
        })
    }

    pub fn is(&self, metadata: &Metadata) -> bool {
        self.identity == Identity::of(metadata)
    }

    pub fn is_under(&self, options: &Options) -> bool {
        self.options == address(options)
    }

    /// The fields that a sibling shares with what it stands for.
    pub fn dated(mut self, original: &Self) -> Self {
        if let Some(date) = original.headers.get(header::LAST_MODIFIED) {
            self.headers.insert(header::LAST_MODIFIED, date.clone());
        }
        self.modified = original.modified;
        self
    }

    pub fn is_older_than(&self, other: &Self) -> bool {
        self.identity.modified.0 < other.identity.modified.0
    }

    /// Bytes it holds in memory.
    pub fn weight(&self) -> usize {
        let own = match &self.content {
            Content::Memory(bytes) => bytes.len() + FIELDS,
            // Of descriptors there are fewer than bytes.
            Content::Disk(_) => 256 << 10,
        };
        own + self.variants.weight()
    }

    /// All its bytes, where they are in memory.
    pub fn bytes(&self) -> Option<&Bytes> {
        match &self.content {
            Content::Memory(bytes) => Some(bytes),
            Content::Disk(_) => None,
        }
    }

    pub fn part(&self, start: u64, end: u64) -> Part {
        match &self.content {
            Content::Memory(bytes) => Part::Bytes(bytes.slice(start as usize..end as usize)),
            Content::Disk(file) => Part::File { file: file.clone(), start, end },
        }
    }

    pub fn body(&self, start: u64, end: u64) -> Body {
        match self.part(start, end) {
            Part::Bytes(bytes) => Body::full(bytes),
            part => {
                let mut parts = Parts::default();
                parts.push(part);
                Body::files(parts)
            }
        }
    }
}

fn address(options: &Options) -> usize {
    std::ptr::from_ref(options).addr()
}
