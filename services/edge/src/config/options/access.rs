//! Who may ask what: addresses, methods, paths.

use super::Levels;
use crate::access::{self, Networks, scanners};
use crate::config::Cidr;
use http::{HeaderValue, Method};
use monodon_settings::{Kind, Setting};
use regex::RegexSet;
use std::sync::Arc;

const TEXTS: Kind = Kind::List(&Kind::Text);

pub const SETTINGS: &[Setting] = &[
    Setting {
        key: "allow",
        kind: TEXTS,
        words: "Addresses and networks that are let in, such as `10.0.0.0/8`, or `all`; anyone else gets 403. The order does not \
                matter: of the networks here and in `deny` that hold a client's address the smallest decides, and `deny` where \
                both name it. Whom neither names is let in if `allow` is empty. The address is the client's own, behind \
                `trusted_proxies` too.",
        ..Setting::NEW
    },
    Setting {
        key: "deny",
        kind: TEXTS,
        words: "Addresses and networks that get 403, or `all`, but for what `allow` names more exactly. It comes before redirects to \
                HTTPS or to `canonical`, maintenance pages and `OPTIONS *`; only a CA's look for an ACME challenge is always answered.",
        ..Setting::NEW
    },
    Setting {
        key: "allow_methods",
        kind: TEXTS,
        words: "The methods that are let in (`GET` lets in `HEAD`); others get 405. None: all but `TRACE` and `CONNECT`, which never \
                are. (`methods` of a route chooses the route; this refuses.)",
        aliases: &["limit_except"],
        ..Setting::NEW
    },
    Setting {
        key: "deny_paths",
        kind: TEXTS,
        words: "Regular expressions; a path in which one is found gets 403. They see the path as routes do: decoded, without \
                dot segments and doubled slashes.",
        ..Setting::NEW
    },
    Setting { key: "block_scanners", kind: Kind::Bool, default: "false", words: scanners::WORDS, ..Setting::NEW },
];

#[derive(Clone, Debug, PartialEq, Default)]
pub struct Access {
    /// None: everybody.
    pub networks: Option<Arc<Networks>>,
    pub methods: Option<Arc<Methods>>,
    pub deny_paths: Option<Arc<Patterns>>,
    pub block_scanners: bool,
}

#[derive(Debug, PartialEq)]
pub struct Methods {
    pub all: Vec<Method>,
    /// The value of `Allow`.
    pub allow: HeaderValue,
}

#[derive(Debug)]
pub struct Patterns(pub RegexSet);

impl PartialEq for Patterns {
    fn eq(&self, other: &Self) -> bool {
        self.0.patterns() == other.0.patterns()
    }
}

/// What several routes inherit is prepared once and shared.
#[derive(Default)]
pub struct Interned {
    networks: Vec<(AllowDeny, Arc<Networks>)>,
    patterns: Vec<(Vec<String>, Arc<Patterns>)>,
}

type AllowDeny = (Vec<String>, Vec<String>);

impl Access {
    pub fn read(levels: &mut Levels<'_>) -> Self {
        Self {
            networks: networks(levels),
            methods: methods(levels),
            deny_paths: patterns(levels),
            block_scanners: levels.of("block_scanners").bool("block_scanners"),
        }
    }
}

fn networks(levels: &mut Levels<'_>) -> Option<Arc<Networks>> {
    let (allow, deny) = (levels.of("allow").list("allow"), levels.of("deny").list("deny"));
    if allow.is_empty() && deny.is_empty() {
        return None;
    }
    let key = (allow.to_vec(), deny.to_vec());
    if let Some((_, known)) = levels.interned.networks.iter().find(|(known, _)| *known == key) {
        return Some(known.clone());
    }
    let otherwise = allow.is_empty();
    let before = levels.problems.0.len();
    let (allow, deny) = (cidrs(levels, "allow", allow), cidrs(levels, "deny", deny));
    let networks = Arc::new(Networks::new(&allow, &deny, otherwise));
    if levels.problems.0.len() == before {
        levels.interned.networks.push((key, networks.clone()));
    }
    Some(networks)
}

fn cidrs(levels: &mut Levels<'_>, key: &str, texts: &[String]) -> Vec<Cidr> {
    let mut networks = Vec::with_capacity(texts.len());
    for text in texts {
        match (text.as_str(), Cidr::parse(text)) {
            ("all", _) => networks.extend(Cidr::ALL),
            (_, Some(network)) => networks.push(network),
            (_, None) => {
                let words = format!("expected an address, a network such as 10.0.0.0/8 or all, got {text:?}");
                levels.wrong(key, words);
            }
        }
    }
    networks
}

fn methods(levels: &mut Levels<'_>) -> Option<Arc<Methods>> {
    let (all, wrong) = access::methods::parse(levels.of("allow_methods").list("allow_methods"));
    for words in wrong {
        levels.wrong("allow_methods", words);
    }
    let names: Vec<&str> = all.iter().map(Method::as_str).collect();
    let allow = HeaderValue::from_str(&names.join(", ")).ok()?;
    (!all.is_empty()).then(|| Arc::new(Methods { all, allow }))
}

fn patterns(levels: &mut Levels<'_>) -> Option<Arc<Patterns>> {
    let texts = levels.of("deny_paths").list("deny_paths");
    if texts.is_empty() {
        return None;
    }
    if let Some((_, known)) = levels.interned.patterns.iter().find(|(known, _)| known == texts) {
        return Some(known.clone());
    }
    // One by one for the message's sake: the set does not say which.
    for text in texts {
        if let Err(error) = regex::Regex::new(text) {
            let words = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
            levels.wrong("deny_paths", format!("{text:?} is no regular expression: {words}"));
            return None;
        }
    }
    match RegexSet::new(texts) {
        Ok(set) => {
            let set = Arc::new(Patterns(set));
            levels.interned.patterns.push((texts.to_vec(), set.clone()));
            Some(set)
        }
        Err(error) => {
            levels.wrong("deny_paths", format!("too much: {error}"));
            None
        }
    }
}
