//! What every answer carries.

use super::Levels;
use monodon_settings::{Kind, Setting};

pub const SETTINGS: &[Setting] = &[Setting {
    key: "security_headers",
    kind: Kind::Bool,
    default: "true",
    words: "nosniff, frame DENY, referrer same-origin, an empty permissions policy; the application's own always win.",
    ..Setting::NEW
}];

#[derive(Clone, Debug, PartialEq)]
pub struct Headers {
    pub security: bool,
}

impl Default for Headers {
    fn default() -> Self {
        Self { security: true }
    }
}

impl Headers {
    pub fn read(levels: &mut Levels<'_>) -> Self {
        Self { security: levels.of("security_headers").bool("security_headers") }
    }
}
