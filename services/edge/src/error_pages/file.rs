//! A page from a file: read when the configuration is, and again when the file has changed.

use super::{Format, Told};
use crate::escape;
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::StatusCode;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// A larger page is refused.
pub const MOST_BYTES: u64 = 256 << 10;

/// Which errors a page is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Status(u16),
    /// `4xx`, `5xx`
    Class(u16),
    Maintenance,
}

impl Which {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "4xx" => Some(Self::Class(4)),
            "5xx" => Some(Self::Class(5)),
            "maintenance" => Some(Self::Maintenance),
            code => code.parse().ok().filter(|code| (400..600).contains(code)).map(Self::Status),
        }
    }

    pub fn takes(self, status: StatusCode) -> bool {
        match self {
            Self::Status(code) => code == status.as_u16(),
            Self::Class(class) => class == status.as_u16() / 100,
            Self::Maintenance => false,
        }
    }
}

#[derive(Debug)]
pub struct Page {
    path: PathBuf,
    pub format: Format,
    pieces: ArcSwap<Vec<Piece>>,
    /// Of the file that was read last. Only the control thread looks.
    stamp: Mutex<Stamp>,
}

type Stamp = Option<(SystemTime, u64)>;

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(Bytes),
    Place(Place),
}

/// What may be filled in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Status,
    Title,
    Detail,
    RequestId,
    Host,
}

impl PartialEq for Page {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path && *self.pieces.load_full() == *other.pieces.load_full()
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

impl Page {
    /// `Err` is a sentence.
    pub fn open(path: &Path) -> Result<Arc<Self>, String> {
        let format = Format::of_file(path)
            .ok_or_else(|| format!("{}: expected a file that ends in .html, .json or .txt", path.display()))?;
        let (stamp, text) = read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let (pieces, stamp) = (ArcSwap::from_pointee(parse(&text)), Mutex::new(stamp));
        Ok(Arc::new(Self { path: path.to_owned(), format, pieces, stamp }))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it again if it has changed. One that cannot be read leaves the page as it was.
    pub fn look(&self) {
        let mut stamp = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        let now = std::fs::metadata(&self.path).ok().and_then(|metadata| stamp_of(&metadata));
        if *stamp == now {
            return;
        }
        match read(&self.path) {
            Ok((read, text)) => {
                self.pieces.store(Arc::new(parse(&text)));
                *stamp = read;
                tracing::info!(page = %self, "an error page was read again");
            }
            Err(error) => {
                // Told once, not every second.
                *stamp = now;
                tracing::warn!(page = %self, error, "an error page cannot be read; the one before it is kept");
            }
        }
    }

    pub fn fill(&self, told: &Told<'_>) -> Bytes {
        let pieces = self.pieces.load();
        if let [Piece::Text(text)] = pieces.as_slice() {
            return text.clone();
        }
        let mut out = Vec::with_capacity(4096);
        for piece in pieces.iter() {
            let value = match piece {
                Piece::Text(text) => {
                    out.extend_from_slice(text);
                    continue;
                }
                Piece::Place(Place::Status) => told.status.as_str(),
                Piece::Place(Place::Title) => told.words.title,
                Piece::Place(Place::Detail) => told.words.detail,
                Piece::Place(Place::RequestId) => told.id(),
                Piece::Place(Place::Host) => told.host.and_then(|host| host.to_str().ok()).unwrap_or_default(),
            };
            escape(value, self.format, &mut out);
        }
        out.into()
    }
}

fn stamp_of(metadata: &std::fs::Metadata) -> Stamp {
    Some((metadata.modified().ok()?, metadata.len()))
}

fn read(path: &Path) -> Result<(Stamp, String), String> {
    let say = |error: std::io::Error| error.to_string();
    let file = std::fs::File::open(path).map_err(say)?;
    let metadata = file.metadata().map_err(say)?;
    if !metadata.is_file() {
        return Err("not a file".into());
    }
    let mut text = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut text).map_err(say)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(format!("larger than {} KB", MOST_BYTES >> 10));
    }
    let text = String::from_utf8(text).map_err(|_| "not UTF-8".to_owned())?;
    Ok((stamp_of(&metadata), text))
}

/// `{{status}}`, `{{ request_id }}`; braces around anything else are the page's own.
fn parse(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let (mut literal, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("{{") {
        literal.push_str(before);
        let place = after.split_once("}}").and_then(|(name, left)| Some((Place::named(name.trim())?, left)));
        if let Some((place, left)) = place {
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal).into()));
            }
            pieces.push(Piece::Place(place));
            rest = left;
        } else {
            literal.push_str("{{");
            rest = after;
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(literal.into()));
    }
    pieces
}

impl Place {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "status" => Self::Status,
            "title" => Self::Title,
            "detail" => Self::Detail,
            "request_id" => Self::RequestId,
            "host" => Self::Host,
            _ => return None,
        })
    }
}

/// So that a value stays a value in whatever the page is written in.
fn escape(value: &str, format: Format, out: &mut Vec<u8>) {
    for byte in value.bytes() {
        match (format, byte) {
            (_, 0..=0x1f | 0x7f) => {}
            (Format::Json | Format::Problem, b'"' | b'\\') => out.extend_from_slice(&[b'\\', byte]),
            (Format::Html, byte) => match escape::html(byte) {
                Some(safe) => out.extend_from_slice(safe.as_bytes()),
                None => out.push(byte),
            },
            (_, byte) => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_what_looks_like_them() {
        let text = |text: &str| Piece::Text(text.to_owned().into());
        assert_eq!(
            parse("a {{ status }}{{host}} {{user}} {{ {{title}} {{"),
            [
                text("a "),
                Piece::Place(Place::Status),
                Piece::Place(Place::Host),
                text(" {{user}} {{ "),
                Piece::Place(Place::Title),
                text(" {{"),
            ]
        );
        assert_eq!(parse(""), [text("")]);
    }

    #[test]
    fn values_stay_values() {
        for (format, escaped) in
            [(Format::Html, "&lt;&amp;&quot;&#39;&gt;\\"), (Format::Json, "<&\\\"'>\\\\"), (Format::Text, "<&\"'>\\")]
        {
            let mut out = Vec::new();
            escape("<&\"'>\\\r\n\u{1b}", format, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), escaped);
        }
    }

    #[test]
    fn files_that_are_no_pages() {
        let folder = tempfile::tempdir().unwrap();
        let open = |name: &str, text: &[u8]| {
            std::fs::write(folder.path().join(name), text).unwrap();
            Page::open(&folder.path().join(name)).map(drop)
        };
        assert_eq!(open("a.html", b"x"), Ok(()));
        assert!(open("a.php", b"x").unwrap_err().ends_with("expected a file that ends in .html, .json or .txt"));
        assert!(open("b.html", b"\xff").unwrap_err().ends_with("not UTF-8"));
        assert!(open("c.html", &vec![b' '; MOST_BYTES as usize + 1]).unwrap_err().ends_with("larger than 256 KB"));
        assert!(Page::open(&folder.path().join("none.html")).unwrap_err().contains("No such file"));
        std::fs::create_dir(folder.path().join("d.html")).unwrap();
        assert!(Page::open(&folder.path().join("d.html")).unwrap_err().ends_with("not a file"));
    }
}
