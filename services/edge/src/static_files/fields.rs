//! The fields that a file is served with, prepared once for each version of it.

use super::Folder;
use crate::compress::{Coding, content_encoding};
use crate::config::options::files::{Expires, Files as Options};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::time::SystemTime;

/// A name with a hash in it never means another content.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// Under a name that stays while the file changes.
const SHORT: HeaderValue = HeaderValue::from_static("public, max-age=60");
/// Users' files may be for some eyes only.
const UPLOADED: HeaderValue = HeaderValue::from_static("private, max-age=60");
/// Who may see it is asked each time.
const INTERNAL: HeaderValue = HeaderValue::from_static("private, no-cache");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
/// As nginx writes it.
pub const EPOCH: HeaderValue = HeaderValue::from_static("Thu, 01 Jan 1970 00:00:01 GMT");

/// What the fields follow from.
pub struct About<'a> {
    pub folder: &'a Folder,
    pub options: &'a Options,
    /// The path within the folder, of what was asked for: not of its compressed sibling.
    pub name: &'a str,
    pub coding: Option<Coding>,
}

pub fn headers(about: &About<'_>, etag: &str, modified: SystemTime) -> (HeaderMap, Expires) {
    let About { folder, options, name, coding } = about;
    let mut headers = HeaderMap::with_capacity(12);
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
    if folder.uploads {
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
    if let Some(coding) = coding {
        headers.insert(header::CONTENT_ENCODING, content_encoding(*coding));
    }
    if options.max_ranges > 0 {
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    }
    let (cache_control, expires) = kept(folder, options, name);
    headers.insert(header::CACHE_CONTROL, cache_control);
    (headers, expires)
}

/// How long a client may keep it.
fn kept(folder: &Folder, options: &Options, name: &str) -> (HeaderValue, Expires) {
    let private = match (folder.internal, folder.uploads) {
        (true, _) => Some(INTERNAL),
        (_, true) => Some(UPLOADED),
        _ => None,
    };
    let rule = options.cache_control.iter().find(|rule| rule.glob.fits(name));
    // What the site says for all its files is not said of private ones.
    match (&private, rule) {
        (Some(private), _) if !folder.own_expiry => return (private.clone(), Expires::Off),
        (_, Some(rule)) => return (rule.value.clone(), Expires::Off),
        (Some(private), _) if options.expires == Expires::Off => return (private.clone(), Expires::Off),
        _ => {}
    }
    let file = name.rsplit('/').next().unwrap_or(name);
    match options.expires {
        Expires::Epoch => (NO_CACHE, Expires::Epoch),
        _ if private.is_none() && is_hashed(file) => (IMMUTABLE, Expires::Off),
        Expires::In(time) => {
            let scope = if private.is_some() { "private, " } else { "" };
            let value = HeaderValue::try_from(format!("{scope}max-age={}", time.as_secs()));
            (value.unwrap_or(SHORT), Expires::In(time))
        }
        Expires::Off => (SHORT, Expires::Off),
    }
}

pub fn media_type(file: &str) -> String {
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

/// What becomes smaller: worth looking for compressed siblings, or making one.
pub fn shrinks(media: &str) -> bool {
    let essence = media.split(';').next().unwrap_or(media).trim();
    essence.starts_with("text/")
        || essence.ends_with("+xml")
        || essence.ends_with("+json")
        || matches!(
            essence,
            "application/javascript"
                | "application/json"
                | "application/xml"
                | "application/wasm"
                | "application/rtf"
                | "application/x-javascript"
                | "application/vnd.ms-fontobject"
                | "application/x-font-ttf"
                | "font/ttf"
                | "font/otf"
                | "image/bmp"
                | "image/x-icon"
                | "image/vnd.microsoft.icon"
        )
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
    use crate::config::options::files::CacheControl;
    use crate::static_files::Glob;
    use std::time::{Duration, UNIX_EPOCH};

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
        for (name, media, smaller) in [
            ("a.css", "text/css; charset=utf-8", true),
            ("a.js", "text/javascript; charset=utf-8", true),
            ("a.svg", "image/svg+xml; charset=utf-8", true),
            ("a.wasm", "application/wasm", true),
            ("a.woff2", "font/woff2", false),
            ("a.png", "image/png", false),
            ("a.unheard", "application/octet-stream", false),
            ("noextension", "application/octet-stream", false),
        ] {
            assert_eq!(media_type(name), media, "{name}");
            assert_eq!(shrinks(media), smaller, "{name}");
        }
    }

    fn of(folder: &Folder, options: &Options, name: &str) -> HeaderMap {
        headers(&About { folder, options, name, coding: None }, "\"x\"", UNIX_EPOCH).0
    }

    #[test]
    fn uploads_do_not_act() {
        let folder = Folder { uploads: true, ..Folder::default() };
        let get = |name: &str, header: &str| {
            of(&folder, &Options::default(), name).get(header).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(get("a.html", "content-disposition").as_deref(), Some("attachment"));
        assert!(get("a.svg", "content-security-policy").unwrap().starts_with("sandbox"));
        assert_eq!(get("a.svg", "content-disposition"), None);
        assert_eq!(get("a.js", "content-disposition").as_deref(), Some("attachment"));
        assert_eq!(get("a.png", "content-security-policy"), None);
        assert_eq!(get("a.png", "x-content-type-options").as_deref(), Some("nosniff"));
    }

    #[test]
    fn how_long_it_is_kept() {
        let rule = CacheControl { glob: Glob::new("*.css"), value: HeaderValue::from_static("no-store") };
        let day = Expires::In(Duration::from_secs(86400));
        let (none, hash, css) = ("a.txt", "a.5af66c1b1797.js", "a.css");
        let open = Folder::default;
        for (folder, rules, expires, name, value) in [
            (open(), false, Expires::Off, none, "public, max-age=60"),
            (open(), false, Expires::Off, hash, "public, max-age=31536000, immutable"),
            (open(), false, day, none, "max-age=86400"),
            (open(), false, day, hash, "public, max-age=31536000, immutable"),
            (open(), false, Expires::Epoch, hash, "no-cache"),
            (open(), true, day, css, "no-store"),
            (open(), true, day, none, "max-age=86400"),
            (Folder { uploads: true, ..open() }, true, day, css, "private, max-age=60"),
            (Folder { internal: true, ..open() }, true, day, css, "private, no-cache"),
            (Folder { internal: true, own_expiry: true, ..open() }, true, day, css, "no-store"),
            (Folder { internal: true, own_expiry: true, ..open() }, true, Expires::Off, none, "private, no-cache"),
            (Folder { uploads: true, own_expiry: true, ..open() }, false, day, hash, "private, max-age=86400"),
        ] {
            let cache_control = if rules { vec![rule.clone()] } else { Vec::new() };
            let options = Options { expires, cache_control, ..Options::default() };
            assert_eq!(of(&folder, &options, name)["cache-control"], value, "{name} {expires:?} {rules}");
        }
    }
}
