//! What a request may bring.

use super::Levels;
use monodon_settings::{Kind, Setting};

pub const SETTINGS: &[Setting] = &[Setting {
    key: "body_limit",
    kind: Kind::Size,
    default: "32MB",
    words: "The largest request body; more is answered 413.",
    aliases: &["client_max_body_size"],
    ..Setting::NEW
}];

#[derive(Clone, Debug, PartialEq)]
pub struct Requests {
    /// Bytes.
    pub body_limit: u64,
}

impl Default for Requests {
    fn default() -> Self {
        Self { body_limit: 32 << 20 }
    }
}

impl Requests {
    pub fn read(levels: &mut Levels<'_>) -> Self {
        Self { body_limit: levels.of("body_limit").size("body_limit") }
    }
}
