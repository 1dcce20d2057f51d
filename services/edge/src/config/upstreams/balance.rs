//! Which of an upstream's addresses a request goes to, and how often it may be sent again.

use super::super::options::Levels;
use super::DEFAULT;
use http::HeaderName;
use monodon_settings::{Kind, Setting};
use std::path::PathBuf;

pub const SETTINGS: &[Setting] = &[
    Setting {
        key: "balance",
        kind: Kind::Choice(&["slots", "least_conn", "round_robin", "random", "ip_hash", "hash"]),
        default: "slots",
        words: "`slots`: the address with the smallest share of its slots busy; where addresses tell no slots that is the one with \
                the fewest requests. `least_conn`: the fewest requests for its weight. `round_robin`: in turn. `random`: the \
                better of two. `ip_hash`: by the client's address (of IPv4 the first three numbers, as in nginx). `hash`: by `hash`.",
        ..Setting::NEW
    },
    Setting {
        key: "hash",
        kind: Kind::Text,
        words: "What `balance = \"hash\"` goes by: `header:X-User`, `cookie:sid`, `uri` or `ip`. It is consistent: an address that \
                comes or goes moves only its own share. A request without the header or cookie goes as with `slots`.",
        ..Setting::NEW
    },
    Setting {
        key: "sticky",
        kind: Kind::Text,
        words: "The name of a cookie that keeps a client at one address for as long as that can be used; its value tells nothing. A \
                request that has to go to one address waits for a slot of that one. Said among the flat settings as `ROUTE`, it is `ROUTE_NAME` \
                for `[upstreams.NAME]`, as a client may use several upstreams; what `[upstreams.NAME]` says itself is taken as it is.",
        ..Setting::NEW
    },
    Setting {
        key: "retries",
        kind: Kind::Int { min: 0, max: 5 },
        default: "1",
        words: "How often a GET, HEAD or OPTIONS is sent again when its connection breaks: to another server, or of our own worker to the same one, which knows whether it was killed for this request.",
        aliases: &["proxy_next_upstream_tries"],
        ..Setting::NEW
    },
    Setting {
        key: "retry_budget",
        kind: Kind::Int { min: 0, max: 100 },
        default: "10",
        words: "For every 100 requests, how many may be sent again.",
        ..Setting::NEW
    },
];

/// Flat only: all upstreams share it.
pub const KEY: Setting = Setting {
    key: "sticky_key",
    kind: Kind::Text,
    words: "What the values of `sticky` cookies are made with; the same for all edges of a site. By default a file `sticky.key` in \
            `state`, made at first need.",
    secret: true,
    ..Setting::NEW
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    #[default]
    Slots,
    LeastConn,
    RoundRobin,
    Random,
    IpHash,
    Hash,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashBy {
    Header(HeaderName),
    Cookie(String),
    Uri,
    Ip,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sticky {
    pub cookie: String,
    pub key: StickyKey,
}

#[derive(Clone, PartialEq, Eq)]
pub enum StickyKey {
    Given(String),
    File(PathBuf),
}

impl std::fmt::Debug for StickyKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Given(_) => f.write_str("Given(hidden)"),
            Self::File(path) => write!(f, "File({})", path.display()),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Balancing {
    pub balance: Balance,
    pub hash: Option<HashBy>,
    pub sticky: Option<Sticky>,
    /// Of one request.
    pub retries: u32,
    /// Of a hundred requests.
    pub retry_budget: u32,
}

impl Default for Balancing {
    fn default() -> Self {
        Self { balance: Balance::Slots, hash: None, sticky: None, retries: 1, retry_budget: 10 }
    }
}

impl Balancing {
    /// Nothing of the request itself says where it goes.
    pub fn is_plain(&self) -> bool {
        self.sticky.is_none() && !matches!(self.balance, Balance::Hash | Balance::IpHash)
    }

    /// Of the upstream `name`.
    pub(super) fn read(levels: &mut Levels<'_>, name: &str, key: &StickyKey) -> Self {
        let int = |key: &str| u32::try_from(levels.of(key).int(key)).unwrap_or(0);
        let (retries, retry_budget) = (int("retries"), int("retry_budget"));
        let hash = match levels.of("hash").text("hash") {
            "" => None,
            text => hash_by(text).map_err(|wrong| levels.wrong("hash", wrong)).ok(),
        };
        let balance = match levels.of("balance").text("balance") {
            // What to hash by says that it is to be hashed.
            "slots" if hash.is_some() && !levels.of("balance").is_set("balance") => Balance::Hash,
            "least_conn" => Balance::LeastConn,
            "round_robin" => Balance::RoundRobin,
            "random" => Balance::Random,
            "ip_hash" => Balance::IpHash,
            "hash" => Balance::Hash,
            _ => Balance::Slots,
        };
        if balance == Balance::Hash && levels.of("hash").text("hash").is_empty() {
            levels.wrong(
                "balance",
                "hash needs the setting `hash`, such as \"header:X-User\", \"cookie:sid\" or \"uri\"",
            );
        }
        if balance != Balance::Hash && hash.is_some() {
            levels.wrong("hash", "goes with balance = \"hash\"");
        }
        let cookie = levels.of("sticky").text("sticky");
        if !cookie.is_empty() && !is_token(cookie) {
            levels.wrong("sticky", format!("expected a cookie's name such as ROUTE, got {cookie:?}"));
        }
        // One name for all: each upstream would take away the cookie of the others.
        let inherited = name != DEFAULT && levels.inner("sticky").is_none();
        let named = || if inherited { format!("{cookie}_{}", as_token(name)) } else { cookie.to_owned() };
        let sticky = (!cookie.is_empty()).then(|| Sticky { cookie: named(), key: key.clone() });
        Self { balance, hash, sticky, retries, retry_budget }
    }
}

fn hash_by(text: &str) -> Result<HashBy, String> {
    let wrong = || format!("expected header:NAME, cookie:NAME, uri or ip, got {text:?}");
    Ok(match text.split_once(':') {
        Some(("header", name)) => HashBy::Header(name.trim().parse().map_err(|_| wrong())?),
        Some(("cookie", name)) if is_token(name.trim()) => HashBy::Cookie(name.trim().to_owned()),
        None if text == "uri" => HashBy::Uri,
        None if text == "ip" => HashBy::Ip,
        _ => return Err(wrong()),
    })
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// An upstream may be named anything.
fn as_token(text: &str) -> String {
    let plain = |byte: u8| byte != b'%' && is_token_byte(byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
