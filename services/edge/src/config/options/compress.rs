//! Which answers are compressed, and how.

use super::Levels;
use crate::compress::{Coding, types::Types};
use monodon_settings::{Kind, Setting};

const TEXTS: Kind = Kind::List(&Kind::Text);

const fn setting(key: &'static str, kind: Kind, default: &'static str, words: &'static str) -> Setting {
    Setting { key, kind, default, words, ..Setting::NEW }
}

pub const SETTINGS: &[Setting] = &[
    setting(
        "compress",
        TEXTS,
        "zstd, br, gzip",
        "The codings that answers are compressed with, in the order of preference between those that the client likes \
         alike; `on` is the default's list, `off` none. Only what is not compressed already is.",
    ),
    Setting {
        aliases: &["gzip_types", "brotli_types", "zstd_types"],
        ..setting(
            "compress_types",
            TEXTS,
            "text/html, text/css, text/plain, text/javascript, text/xml, text/csv, text/markdown, text/calendar, text/vtt, \
             application/javascript, application/json, application/ld+json, application/manifest+json, \
             application/problem+json, application/geo+json, application/vnd.api+json, application/x-ndjson, application/xml, \
             application/xhtml+xml, application/rss+xml, application/atom+xml, application/wasm, image/svg+xml, image/bmp, \
             image/vnd.microsoft.icon, image/x-icon, font/ttf, font/otf, application/vnd.ms-fontobject",
            "The media types that are compressed: `text/html`, `text/*`, or `*` for all but gRPC's. An event stream is, if \
             it is named, sent on after each event all the same.",
        )
    },
    Setting {
        aliases: &["gzip_min_length", "brotli_min_length", "zstd_min_length"],
        ..setting(
            "compress_min_length",
            Kind::Size,
            "1KB",
            "Shorter answers stay as they are. One of unknown length is compressed.",
        )
    },
    setting(
        "compress_private",
        Kind::Bool,
        "true",
        "Also answers that are for one client: to requests with Cookie or Authorization, or with Set-Cookie. `false` keeps \
         secrets in them from being guessed by the length (BREACH), where the application does not mask them as Django \
         does.",
    ),
    Setting {
        aliases: &["zstd_comp_level"],
        ..setting(
            "zstd_level",
            Kind::Int { min: 1, max: 19 },
            "3",
            "How hard zstd tries; from 5 on it costs several times as much.",
        )
    },
    Setting {
        aliases: &["brotli_comp_level"],
        ..setting("brotli_level", Kind::Int { min: 0, max: 11 }, "4", "How hard brotli tries.")
    },
    Setting {
        aliases: &["gzip_comp_level"],
        ..setting("gzip_level", Kind::Int { min: 1, max: 9 }, "5", "How hard gzip tries.")
    },
];

#[derive(Clone, Debug, PartialEq)]
pub struct Compress {
    /// Empty: nothing is.
    pub codings: Vec<Coding>,
    pub types: Types,
    pub min_length: u64,
    pub private: bool,
    brotli: u8,
    zstd: u8,
    gzip: u8,
}

impl Default for Compress {
    fn default() -> Self {
        Self {
            codings: vec![Coding::Zstd, Coding::Br, Coding::Gzip],
            types: Types::default(),
            min_length: 1 << 10,
            private: true,
            brotli: 4,
            zstd: 3,
            gzip: 5,
        }
    }
}

impl Compress {
    pub fn level(&self, coding: Coding) -> u8 {
        match coding {
            Coding::Br => self.brotli,
            Coding::Zstd => self.zstd,
            Coding::Gzip => self.gzip,
        }
    }

    pub fn read(levels: &mut Levels<'_>) -> Self {
        let level = |key: &str| u8::try_from(levels.of(key).int(key)).unwrap_or(1);
        let (brotli, zstd, gzip) = (level("brotli_level"), level("zstd_level"), level("gzip_level"));
        Self {
            codings: codings(levels),
            types: types(levels),
            min_length: levels.of("compress_min_length").size("compress_min_length"),
            private: levels.of("compress_private").bool("compress_private"),
            brotli,
            zstd,
            gzip,
        }
    }
}

fn codings(levels: &mut Levels<'_>) -> Vec<Coding> {
    const KEY: &str = "compress";
    let list = levels.of(KEY).list(KEY);
    match list.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["on" | "true"] => return Compress::default().codings,
        [] | ["off" | "false"] => return Vec::new(),
        _ => {}
    }
    let mut codings = Vec::new();
    for text in list {
        match Coding::named(text) {
            Some(coding) if codings.contains(&coding) => levels.wrong(KEY, format!("{text} stands there twice")),
            Some(coding) => codings.push(coding),
            None => levels.wrong(KEY, format!("expected on, off, or a list of br, zstd and gzip, got {text:?}")),
        }
    }
    codings
}

fn types(levels: &mut Levels<'_>) -> Types {
    const KEY: &str = "compress_types";
    let mut types = Types::none();
    for text in levels.of(KEY).list(KEY) {
        if !types.add(text) {
            levels.wrong(KEY, format!("expected media types such as text/html, text/* or *, got {text:?}"));
        }
    }
    types
}
