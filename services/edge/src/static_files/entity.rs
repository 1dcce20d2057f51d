//! One file as it is served: identity, prepared headers, and its bytes where it is small.

use super::stream::{Part, Parts, read};
use crate::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::cell::Cell;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub struct Entity {
    pub headers: HeaderMap,
    pub etag: String,
    /// Whole seconds, as the header says it.
    pub modified: SystemTime,
    pub length: u64,
    pub checked: Cell<Instant>,
    identity: Identity,
    content: Content,
}

#[derive(PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

enum Content {
    Memory(Bytes),
    Disk(Arc<File>),
}

const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// Under a name that stays while the file changes.
const SHORT: &str = "public, max-age=60";
/// Users' files may be for some eyes only.
const UPLOADED: &str = "private, max-age=60";

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
}

impl Entity {
    pub async fn read(name: &str, file: Arc<File>, metadata: &Metadata, uploads: bool, small: u64) -> io::Result<Self> {
        let length = metadata.len();
        let content = if length <= small {
            let mut bytes = bytes::BytesMut::new();
            while (bytes.len() as u64) < length {
                let at = bytes.len() as u64;
                bytes.unsplit(read(&file, at, (length - at) as usize).await?);
            }
            Content::Memory(bytes.freeze())
        } else {
            Content::Disk(file)
        };
        let seconds = u64::try_from(metadata.mtime()).unwrap_or(0);
        let modified = UNIX_EPOCH + Duration::from_secs(seconds);
        // The same on every replica that has the same file; a separator, so that no two pairs look alike.
        let etag = format!("\"{:x}.{:x}-{:x}\"", metadata.mtime(), metadata.mtime_nsec(), length);
        Ok(Self {
            headers: headers(name, uploads, &etag, modified),
            etag,
            modified,
            length,
            checked: Cell::new(Instant::now()),
            identity: Identity::of(metadata),
            content,
        })
    }

    pub fn is(&self, metadata: &Metadata) -> bool {
        self.identity == Identity::of(metadata)
    }

    /// Bytes it holds in memory.
    pub fn weight(&self) -> usize {
        match &self.content {
            Content::Memory(bytes) => bytes.len() + 512,
            // Of descriptors there are fewer than bytes.
            Content::Disk(_) => 256 << 10,
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
                Body::stream(parts)
            }
        }
    }
}

fn headers(name: &str, uploads: bool, etag: &str, modified: SystemTime) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    let file = name.rsplit('/').next().unwrap_or(name);
    let media = media_type(file);
    set(header::CONTENT_TYPE, &media);
    set(header::ETAG, etag);
    set(header::LAST_MODIFIED, &httpdate::fmt_http_date(modified));
    set(header::ACCEPT_RANGES, "bytes");
    set(
        header::CACHE_CONTROL,
        if uploads {
            UPLOADED
        } else if is_hashed(file) {
            IMMUTABLE
        } else {
            SHORT
        },
    );
    if uploads {
        // What somebody uploaded must not act in the site's name.
        set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        let essence = media.split(';').next().unwrap_or_default();
        let active = essence.ends_with("xml") || essence.ends_with("html") || essence.contains("script");
        if active {
            set(
                header::CONTENT_SECURITY_POLICY,
                "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:",
            );
        }
        if active && essence != "image/svg+xml" {
            set(header::CONTENT_DISPOSITION, "attachment");
        }
    }
    headers
}

fn media_type(file: &str) -> String {
    let media = mime_guess::from_path(file).first_or_octet_stream();
    let essence = media.essence_str();
    let text = media.type_() == "text"
        || matches!(
            essence,
            "application/javascript" | "application/json" | "image/svg+xml" | "application/manifest+json"
        )
        || essence.ends_with("+xml");
    if text { format!("{essence}; charset=utf-8") } else { essence.to_owned() }
}

/// `name.<12 hexadecimal digits>.ext`: Django's ManifestStaticFilesStorage.
fn is_hashed(file: &str) -> bool {
    file.split('.')
        .rev()
        .skip(1)
        .take(2)
        .any(|part| part.len() == 12 && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
        && file.split('.').count() >= 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashed_names() {
        for name in ["base.5af66c1b1797.css", "app.min.0123456789ab.js", "a.0123456789ab.js.map"] {
            assert!(is_hashed(name), "{name}");
        }
        for name in ["base.css", "0123456789ab.css", "base.5AF66C1B1797.css", "base.5af66c1b179.css", "5af66c1b1797"] {
            assert!(!is_hashed(name), "{name}");
        }
    }

    #[test]
    fn types() {
        for (name, media) in [
            ("a.css", "text/css; charset=utf-8"),
            ("a.js", "text/javascript; charset=utf-8"),
            ("a.svg", "image/svg+xml; charset=utf-8"),
            ("a.woff2", "font/woff2"),
            ("a.png", "image/png"),
            ("a.unheard", "application/octet-stream"),
            ("noextension", "application/octet-stream"),
        ] {
            assert_eq!(media_type(name), media, "{name}");
        }
    }

    #[test]
    fn uploads_do_not_act() {
        let get = |name: &str, header: &str| {
            headers(name, true, "\"x\"", UNIX_EPOCH).get(header).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(get("a.html", "content-disposition").as_deref(), Some("attachment"));
        assert!(get("a.svg", "content-security-policy").unwrap().starts_with("sandbox"));
        assert_eq!(get("a.svg", "content-disposition"), None);
        assert_eq!(get("a.png", "content-security-policy"), None);
        assert_eq!(get("a.png", "x-content-type-options").as_deref(), Some("nosniff"));
    }
}
