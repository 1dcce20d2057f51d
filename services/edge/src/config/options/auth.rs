//! Who has to say who he is.

use super::Levels;
use crate::access::{Basic, ForwardAuth, credentials};
use http::header::{self, HeaderName, HeaderValue};
use http::uri::{PathAndQuery, Uri};
use monodon_settings::{Kind, Setting};
use std::sync::Arc;

pub const SETTINGS: &[Setting] = &[
    Setting {
        key: "basic_auth",
        words: "Basic authentication: the realm that a browser shows; `off` in a site or a route ends it there. The password is \
                looked at once and then remembered by a keyed hash, and the application does not see it.",
        aliases: &["auth_basic"],
        ..Setting::NEW
    },
    Setting {
        key: "basic_auth_users",
        kind: Kind::Path,
        words: "The file of users, `NAME:HASH` on each line, as `htpasswd -B` writes it: bcrypt (cost to 14) or argon2id (to \
                256 MiB), no other kind. It is read again when it changes.",
        aliases: &["auth_basic_user_file"],
        ..Setting::NEW
    },
    Setting {
        key: "remote_user_header",
        words: "The field, such as `X-Remote-User`, in which the application is told the name of `basic_auth`. Clients cannot \
                send it themselves, to no site.",
        ..Setting::NEW
    },
    Setting {
        key: "forward_auth",
        words: "Who is asked whether a request may pass: `http://authelia:9091/api/verify`, or `NAME/path` with a name of \
                `[upstreams]` or `default`; `off` in a site or a route ends it there. He gets a GET with the request's headers and \
                X-Forwarded-Method, -Uri, -Host, -Proto, -For (also X-Original-Method and -URL), without its body. 2xx lets it \
                pass; 401, 403 and redirects are passed on, with up to 64 KB; anything else is 502. Nothing of it is kept.",
        aliases: &["auth_request"],
        ..Setting::NEW
    },
    Setting {
        key: "forward_auth_headers",
        kind: Kind::List(&Kind::Text),
        words: "Fields of that answer that the application is told, such as `Remote-User`. Clients cannot send them \
                themselves, to no site (`Authorization` and `Cookie`: only not here).",
        ..Setting::NEW
    },
    Setting {
        key: "forward_auth_timeout",
        kind: Kind::Duration,
        default: "5s",
        words: "For that answer, waiting included; longer is 504.",
        ..Setting::NEW
    },
    Setting {
        key: "satisfy",
        kind: Kind::Choice(&["all", "any"]),
        default: "all",
        words: "`any`: where there are `allow` or `deny`, whom they let in need not say who he is, and whom they do not may.",
        ..Setting::NEW
    },
];

#[derive(Clone, Debug, PartialEq, Default)]
pub struct Auth {
    pub basic: Option<Basic>,
    pub remote_user: Option<HeaderName>,
    pub forward: Option<Arc<ForwardAuth>>,
    /// An allowed address is enough, or credentials are.
    pub any: bool,
}

impl Auth {
    pub fn is_on(&self) -> bool {
        self.basic.is_some() || self.forward.is_some()
    }

    /// The fields in which the application is told.
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> {
        let forward = self.forward.iter().flat_map(|forward| &forward.headers);
        self.remote_user.iter().filter(|_| self.basic.is_some()).chain(forward)
    }

    /// Those of them that no client may send, wherever.
    pub fn reserved(&self) -> impl Iterator<Item = &HeaderName> {
        self.names().filter(|name| !matches!(**name, header::AUTHORIZATION | header::COOKIE))
    }

    pub fn read(levels: &mut Levels<'_>, upstreams: &[String]) -> Self {
        let remote_user = match levels.of("remote_user_header").text("remote_user_header") {
            "" => None,
            text => {
                let name = field(text);
                if name.is_none() {
                    levels.wrong(
                        "remote_user_header",
                        format!("expected a header's name such as X-Remote-User, got {text:?}"),
                    );
                }
                name
            }
        };
        Self {
            basic: basic(levels),
            remote_user,
            forward: forward(levels, upstreams).map(Arc::new),
            any: levels.of("satisfy").text("satisfy") == "any",
        }
    }
}

/// A field by which somebody may be told: one that does not frame a message, nor is dropped for its name.
fn field(text: &str) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(text.as_bytes()).ok()?;
    let odd = matches!(
        name,
        header::HOST
            | header::CONTENT_LENGTH
            | header::TRANSFER_ENCODING
            | header::CONNECTION
            | header::UPGRADE
            | header::EXPECT
            | header::TE
            | header::TRAILER
    );
    (!odd && !name.as_str().contains(['_', '.'])).then_some(name)
}

fn basic(levels: &mut Levels<'_>) -> Option<Basic> {
    let realm = levels.of("basic_auth").text("basic_auth");
    if matches!(realm, "" | "off") {
        return None;
    }
    let Some(challenge) = credentials::challenge(realm) else {
        levels.wrong("basic_auth", format!("expected a realm without quotes and backslashes, got {realm:?}"));
        return None;
    };
    let Some(path) = levels.of("basic_auth_users").path("basic_auth_users") else {
        levels.wrong("basic_auth", "needs basic_auth_users, the file of users");
        return None;
    };
    match levels.users(&path) {
        Ok(users) => Some(Basic { challenge, users }),
        Err(problem) => {
            levels.wrong("basic_auth_users", problem);
            None
        }
    }
}

fn forward(levels: &mut Levels<'_>, upstreams: &[String]) -> Option<ForwardAuth> {
    let mut headers = Vec::new();
    for text in levels.of("forward_auth_headers").list("forward_auth_headers") {
        match field(text) {
            Some(name) => headers.push(name),
            None => levels
                .wrong("forward_auth_headers", format!("expected a header's name such as Remote-User, got {text:?}")),
        }
    }
    let timeout = levels.of("forward_auth_timeout").duration("forward_auth_timeout");
    if timeout.is_zero() {
        levels.wrong("forward_auth_timeout", "expected more than 0");
    }
    let text = levels.of("forward_auth").text("forward_auth");
    if matches!(text, "" | "off") {
        return None;
    }
    let read = address(text).and_then(|(name, target, host)| {
        let place = upstreams.iter().position(|known| known == name);
        let place = place
            .ok_or_else(|| format!("no upstream {name:?}; there is [upstreams.NAME] for {}", upstreams.join(", ")))?;
        Ok(ForwardAuth { upstream: place, target, host, headers, timeout })
    });
    read.map_err(|words| levels.wrong("forward_auth", words)).ok()
}

/// The upstream's name (of a URL, host and port), what it is asked, and as which host.
pub fn address(text: &str) -> Result<(&str, PathAndQuery, Option<HeaderValue>), String> {
    let expected = || format!("expected NAME/path or a URL such as http://authelia:9091/api/verify, got {text:?}");
    if text.starts_with("https://") {
        return Err("an https:// address needs an upstream of its own: [upstreams.NAME], and NAME/path here".into());
    }
    let (name, url) = match text.strip_prefix("http://") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let (name, path) = name.split_at(name.find(['/', '?']).unwrap_or(name.len()));
    let path = if path.is_empty() { "/" } else { path };
    let target: PathAndQuery = path.parse().map_err(|_| expected())?;
    if name.is_empty() || !path.starts_with('/') {
        return Err(expected());
    }
    if !url {
        return Ok((name, target, None));
    }
    let uri: Uri = text.parse().map_err(|_| expected())?;
    let plain = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    let host = HeaderValue::from_str(name).ok().filter(|_| plain).ok_or_else(expected)?;
    Ok((name, target, Some(host)))
}
