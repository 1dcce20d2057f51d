//! An application's word that another place has the answer: `X-Accel-Redirect` to an internal route, `X-Sendfile` to a file in
//! one's folder.

use super::dispatch::Asked;
use crate::body::Body;
use crate::config::Action;
use crate::throttle::Throttle;
use crate::upstream::Accel;
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use std::fmt::Write;
use std::path::{Component, Path};

/// What of the application's answer the client still gets, with every Set-Cookie; as nginx.
pub const SAID: [HeaderName; 4] =
    [header::CONTENT_TYPE, header::CONTENT_DISPOSITION, header::CACHE_CONTROL, header::EXPIRES];

/// What an application said when it pointed elsewhere.
pub struct Pointed {
    pub accel: Accel,
    pub said: HeaderMap,
}

impl Pointed {
    /// `before`: when that was an answer to another's word.
    pub fn new(headers: &HeaderMap, accel: &Accel, before: Option<Self>) -> Self {
        let mut said = before.map(|before| before.said).unwrap_or_default();
        for name in &SAID {
            if let Some(value) = headers.get(name).filter(|value| !value.is_empty()) {
                said.insert(name, value.clone());
            }
        }
        for cookie in headers.get_all(header::SET_COOKIE) {
            said.append(header::SET_COOKIE, cookie.clone());
        }
        if let (Some(charset), Some(media)) = (&accel.charset, said.get_mut(header::CONTENT_TYPE)) {
            add_charset(media, charset);
        }
        Self { accel: accel.clone(), said }
    }
}

fn add_charset(media: &mut HeaderValue, charset: &HeaderValue) {
    let (Ok(text), Ok(charset)) = (media.to_str(), charset.to_str()) else { return };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    if text.to_ascii_lowercase().contains("charset=") || charset == "off" || !charset.bytes().all(plain) {
        return;
    }
    if let Ok(value) = HeaderValue::try_from(format!("{text}; charset={charset}")) {
        *media = value;
    }
}

/// The path that an answer points to, as a target of the site.
pub fn target(asked: &Asked<'_>, accel: &Accel) -> Option<String> {
    if let Some(target) = &accel.redirect {
        return target.as_bytes().starts_with(b"/").then(|| escaped(target.as_bytes()));
    }
    let file = Path::new(accel.sendfile.as_ref()?.to_str().ok()?);
    if file.components().any(|part| part == Component::ParentDir) {
        return None;
    }
    let internal = asked.site.routes.iter().filter(|route| route.internal);
    let mut trees = internal.filter_map(|route| match &route.action {
        Action::Files(tree) if tree.only.is_none() => asked.view.snapshot.config.files.get(tree.place),
        _ => None,
    });
    let (tree, name) = trees.find_map(|tree| Some((tree, file.strip_prefix(&tree.dir).ok()?.to_str()?)))?;
    let mut target = String::with_capacity(tree.prefix.len() + name.len());
    crate::escape::path(&tree.prefix, &mut target);
    crate::escape::path(name, &mut target);
    Some(target)
}

/// Applications write names as they are, with spaces and umlauts; what is escaped already stays.
fn escaped(target: &[u8]) -> String {
    let mut out = String::with_capacity(target.len());
    for &byte in target {
        match byte {
            b'!' | b'$'..=b';' | b'=' | b'?'..=b'Z' | b'[' | b']' | b'_' | b'a'..=b'z' | b'~' => {
                out.push(char::from(byte));
            }
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// The application's fields over those of what it pointed to. (Files know of its media type by themselves.)
pub fn overlay(response: &mut Response<Body>, said: &HeaderMap) {
    // Another upstream knows better what it sends, if it says so; and of what it refuses the application knows nothing.
    let knows = response.headers().contains_key(header::CONTENT_TYPE) || !response.status().is_success();
    for name in &SAID {
        if let Some(value) = said.get(name).filter(|_| *name != header::CONTENT_TYPE || !knows) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    for cookie in said.get_all(header::SET_COOKIE) {
        response.headers_mut().append(header::SET_COOKIE, cookie.clone());
    }
}

/// No faster than the application said.
pub fn limit(response: &mut Response<Body>, rate: Option<u64>) {
    if let Some(rate) = rate {
        let body = std::mem::replace(response.body_mut(), Body::empty());
        *response.body_mut() = Body::stream(Throttle::new(body, rate));
    }
}
