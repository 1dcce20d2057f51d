//! What is in a folder, for people and for programs. nginx's autoindex: the same JSON.

use super::Wanted;
use super::respond::set;
use crate::body::Body;
use crate::escape;
use crate::service::Failure;
use http::{HeaderMap, HeaderValue, Response, header};
use rustix::fs::{AtFlags, Dir, FileType};
use serde::Serialize;
use std::fmt::Write;
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// More entries than this are not shown.
const MOST: usize = 10_000;

#[derive(Serialize)]
struct Entry {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    mtime: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
}

impl Entry {
    fn is_folder(&self) -> bool {
        self.size.is_none()
    }
}

pub async fn answer(folder: OwnedFd, wanted: &Wanted<'_>) -> Result<Response<Body>, Failure> {
    // A folder on a slow disk must not hold the thread.
    let entries = tokio::task::spawn_blocking(move || entries(&folder)).await.map_err(|_| Failure::DISK)?;
    let entries = entries.map_err(|error| {
        tracing::error!(%error, "a folder could not be listed");
        Failure::DISK
    })?;
    let (media, text) = if wants_json(&wanted.parts.headers) {
        ("application/json", serde_json::to_string(&entries).map_err(|_| Failure::DISK)?)
    } else {
        ("text/html; charset=utf-8", html(wanted.path, &entries))
    };
    let mut response = Response::new(Body::full(text));
    let headers = response.headers_mut();
    set(headers, header::CONTENT_TYPE, media);
    set(headers, header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'");
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accept.contains("application/json") && !accept.contains("text/html")
}

/// Folders first, by name. Only what would be served: no dot files, links, pipes, devices.
fn entries(folder: &OwnedFd) -> rustix::io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if name.starts_with('.') || name.contains('\\') || name.contains(char::is_control) {
            continue;
        }
        let Ok(stat) = rustix::fs::statat(folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let (kind, size) = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => ("directory", None),
            FileType::RegularFile => ("file", Some(u64::try_from(stat.st_size).unwrap_or(0))),
            _ => continue,
        };
        let at = UNIX_EPOCH + Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0));
        entries.push(Entry { name: name.to_owned(), kind, mtime: date(at), size });
        if entries.len() >= MOST {
            break;
        }
    }
    entries.sort_by(|a, b| b.is_folder().cmp(&a.is_folder()).then_with(|| a.name.cmp(&b.name)));
    Ok(entries)
}

/// HTTP knows dates from 1970 to 9999 only.
fn date(at: SystemTime) -> String {
    const LAST: Duration = Duration::from_secs(253_402_300_799);
    httpdate::fmt_http_date(at.min(UNIX_EPOCH + LAST))
}

const HEAD: &str = r#"<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex"><title>Index of "#;
const STYLE: &str = r#"</title><style>:root{color-scheme:light dark}body{font:16px/1.6 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}table{width:100%;border-collapse:collapse}td{padding:.15rem .5rem;border-top:1px solid #8884}td+td{text-align:right;white-space:nowrap;opacity:.75}a{overflow-wrap:anywhere}</style></head><body><h1>Index of "#;

fn html(path: &str, entries: &[Entry]) -> String {
    let mut out = String::with_capacity(1024 + entries.len() * 160);
    out.push_str(HEAD);
    escape(path, &mut out);
    out.push_str(STYLE);
    escape(path, &mut out);
    out.push_str("</h1><table>");
    if path != "/" {
        out.push_str("<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>");
    }
    for entry in entries {
        let slash = if entry.is_folder() { "/" } else { "" };
        out.push_str("<tr><td><a href=\"");
        escape::segment(&entry.name, &mut out);
        let _ = write!(out, "{slash}\">");
        escape(&entry.name, &mut out);
        let _ = write!(out, "{slash}</a></td><td>{}</td><td>", entry.mtime);
        if let Some(size) = entry.size {
            let _ = write!(out, "{size}");
        }
        out.push_str("</td></tr>");
    }
    out.push_str("</table>");
    if entries.len() >= MOST {
        let _ = write!(out, "<p>Only the first {MOST} are shown.</p>");
    }
    out.push_str("</body></html>\n");
    out
}

/// As text, and as an attribute in double quotes.
fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match u8::try_from(c).ok().and_then(escape::html) {
            Some(safe) => out.push_str(safe),
            None => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_name_acts() {
        let entry = |name: &str, size| Entry { name: name.into(), kind: "file", mtime: "now".into(), size };
        let page = html(
            "/a<b>/",
            &[entry("<script>alert(1)</script>", Some(1)), entry("javascript:x\"'&?#", Some(2)), entry("sub", None)],
        );
        assert!(!page.contains("<script") && !page.contains("a<b>"), "{page}");
        assert!(page.contains("href=\"%3Cscript%3Ealert%281%29%3C%2Fscript%3E\""), "{page}");
        assert!(page.contains("href=\"javascript%3Ax%22%27%26%3F%23\">javascript:x&quot;&#39;&amp;?#</a>"), "{page}");
        assert!(page.contains("href=\"sub/\">sub/</a>"), "{page}");
    }
}
