//! How files are served: what stands for a folder, and how long clients may keep what they got.

use super::Levels;
use crate::static_files::{Glob, check_name};
use http::HeaderValue;
use monodon_settings::{Kind, Setting, parse_duration};
use std::time::Duration;

pub const SETTINGS: &[Setting] = &[
    Setting {
        key: "index",
        kind: Kind::List(&Kind::Text),
        default: "index.html",
        words: "The files that stand for their folder, in this order. A folder that has one is redirected to its slash.",
        ..Setting::NEW
    },
    Setting {
        key: "autoindex",
        kind: Kind::Bool,
        default: "false",
        words: "List a folder that has no index file: HTML, or JSON for clients that ask for it. Dot files and links never show.",
        ..Setting::NEW
    },
    Setting {
        key: "expires",
        kind: Kind::Text,
        default: "off",
        words: "How long clients may keep files: `30d`, `max` (ten years), `epoch` (ask every time), or `off`: a minute. Names with a hash in \
                them such as `base.5af66c1b1797.css` are kept for a year anyway. Sets Expires and Cache-Control.",
        ..Setting::NEW
    },
    Setting {
        key: "cache_control",
        kind: Kind::Lines(&Kind::Text),
        default: "",
        words: "Cache-Control by the file's name: `*.css=public, max-age=3600`; `*` is any run of characters, `?` one; with a \
                `/` in it the pattern is for the path within the folder. The first that fits counts, before `expires`.",
        ..Setting::NEW
    },
    Setting {
        key: "precompressed",
        kind: Kind::Bool,
        default: "true",
        words: "Send `site.css.br`, `.zst` or `.gz` in place of `site.css` to clients that accept it, unless it is older.",
        aliases: &["gzip_static"],
        ..Setting::NEW
    },
    Setting {
        key: "max_ranges",
        kind: Kind::Int { min: 0, max: 100 },
        default: "8",
        words: "The most byte ranges of one request; with more the whole file is sent. 0: no ranges.",
        ..Setting::NEW
    },
];

#[derive(Clone, Debug, PartialEq)]
pub struct Files {
    pub index: Vec<String>,
    pub autoindex: bool,
    pub expires: Expires,
    pub cache_control: Vec<CacheControl>,
    pub precompressed: bool,
    pub max_ranges: usize,
}

/// For files whose name fits.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheControl {
    pub glob: Glob,
    pub value: HeaderValue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Expires {
    #[default]
    Off,
    In(Duration),
    Epoch,
}

/// What nginx calls `max`.
const MAX: Duration = Duration::from_secs(315_360_000);

impl Default for Files {
    fn default() -> Self {
        Self {
            index: vec!["index.html".into()],
            autoindex: false,
            expires: Expires::Off,
            cache_control: Vec::new(),
            precompressed: true,
            max_ranges: 8,
        }
    }
}

impl Files {
    pub fn read(levels: &mut Levels<'_>) -> Self {
        let index = levels.of("index").list("index").to_vec();
        if let Some(wrong) = index.iter().find(|name| name.contains('/') || check_name(name).is_err()) {
            levels.wrong("index", format!("expected a file's plain name such as index.html, got {wrong:?}"));
        }
        let expires = expires(levels.of("expires").text("expires")).unwrap_or_else(|wrong| {
            levels.wrong("expires", wrong);
            Expires::Off
        });
        let mut cache_control = Vec::new();
        for entry in levels.of("cache_control").list("cache_control") {
            match entry.split_once('=').map(|(glob, value)| (glob.trim(), HeaderValue::from_str(value.trim()))) {
                Some((glob, Ok(value))) if !glob.is_empty() && !value.is_empty() => {
                    cache_control.push(CacheControl { glob: Glob::new(glob), value });
                }
                _ => levels.wrong(
                    "cache_control",
                    format!("expected PATTERN=VALUE such as *.css=max-age=3600, got {entry:?}"),
                ),
            }
        }
        Self {
            index,
            autoindex: levels.of("autoindex").bool("autoindex"),
            expires,
            cache_control,
            precompressed: levels.of("precompressed").bool("precompressed"),
            max_ranges: usize::try_from(levels.of("max_ranges").int("max_ranges")).unwrap_or(0),
        }
    }
}

fn expires(text: &str) -> Result<Expires, String> {
    Ok(match text.trim() {
        "" | "off" => Expires::Off,
        "max" => Expires::In(MAX),
        "epoch" | "-1" => Expires::Epoch,
        text => match parse_duration(text).filter(|time| *time <= MAX) {
            Some(time) => Expires::In(time),
            None => {
                return Err(format!(
                    "expected a time such as 30d, at most ten years, or max, epoch or off, got {text:?}"
                ));
            }
        },
    })
}
