//! What is told of requests.

use super::Levels;
use monodon_settings::{Kind, Setting};

pub const SETTINGS: &[Setting] = &[Setting {
    key: "log_requests",
    kind: Kind::Bool,
    default: "true",
    words: "Whether requests are told in the access log. What fails is told all the same.",
    ..Setting::NEW
}];

#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    pub requests: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self { requests: true }
    }
}

impl Log {
    pub fn read(levels: &mut Levels<'_>) -> Self {
        Self { requests: levels.of("log_requests").bool("log_requests") }
    }
}
