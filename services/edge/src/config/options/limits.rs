//! Which limits hold, and whether clients are told how they stand.

use super::Levels;
use crate::config::sites::TEXTS;
use monodon_settings::{Kind, Setting};

pub const SETTINGS: &[Setting] = &[
    Setting {
        key: "limit",
        kind: TEXTS,
        default: "",
        words: "Names of `[limits]` that hold here. More than they allow is answered 429 with Retry-After. Every request \
                counts once, one that is redirected to HTTPS or gets a maintenance page, too; not one that `deny` and its like refuse.",
        aliases: &["limit_req"],
        ..Setting::NEW
    },
    Setting {
        key: "limit_headers",
        kind: Kind::Bool,
        default: "false",
        words: "Tell clients how much is left in every answer, by RateLimit and RateLimit-Policy; a 429 always does.",
        ..Setting::NEW
    },
    Setting {
        key: "requests_per_client",
        kind: Kind::Int { min: 0, max: 1_000_000 },
        default: "0",
        words: "Requests of one client at a time, each until its answer has ended, a WebSocket until it is closed; more are \
                answered 429. 0 is any number.",
        ..Setting::NEW
    },
];

#[derive(Clone, Debug, PartialEq, Default)]
pub struct Limits {
    /// Places in `Config::zones`.
    pub zones: Vec<usize>,
    pub headers: bool,
    /// 0: any number.
    pub requests_per_client: u32,
}

impl Limits {
    /// Nothing is counted.
    pub fn is_off(&self) -> bool {
        self.zones.is_empty() && self.requests_per_client == 0
    }

    /// `names` of the zones that there are.
    pub fn read(levels: &mut Levels<'_>, names: &[String]) -> Self {
        let mut zones = Vec::new();
        for name in levels.of("limit").list("limit") {
            match names.iter().position(|known| known == name) {
                Some(place) if zones.contains(&place) => {}
                Some(place) => zones.push(place),
                None if names.is_empty() => levels.wrong("limit", format!("there is no [limits.{name}]")),
                None => {
                    let known = names.join(", ");
                    levels.wrong("limit", format!("there is no [limits.{name}], only {known}"));
                }
            }
        }
        Self {
            zones,
            headers: levels.of("limit_headers").bool("limit_headers"),
            requests_per_client: u32::try_from(levels.of("requests_per_client").int("requests_per_client"))
                .unwrap_or(0),
        }
    }
}
