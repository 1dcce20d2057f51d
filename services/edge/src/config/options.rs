//! What a site or a route may have otherwise than the rest: the same settings, looked for in the route, then in its site,
//! then among the flat ones.

use monodon_settings::{Kind, Setting, Values};

/// Declared once, for the flat settings and for both tables.
pub const SETTINGS: &[Setting] = &[
    Setting {
        key: "body_limit",
        kind: Kind::Size,
        default: "32MB",
        words: "The largest request body; more is answered 413.",
        aliases: &["client_max_body_size"],
        ..Setting::NEW
    },
    Setting {
        key: "security_headers",
        kind: Kind::Bool,
        default: "true",
        words: "nosniff, frame DENY, referrer same-origin, an empty permissions policy; the application's own always win.",
        ..Setting::NEW
    },
    Setting {
        key: "log_requests",
        kind: Kind::Bool,
        default: "true",
        words: "Whether requests are told in the access log. What fails is told all the same.",
        ..Setting::NEW
    },
];

/// The settings in force for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub body_limit: u64,
    pub security_headers: bool,
    pub log_requests: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { body_limit: 32 << 20, security_headers: true, log_requests: true }
    }
}

impl Options {
    /// `levels` from the innermost to the flat settings.
    pub fn read(levels: &[&Values]) -> Self {
        let of = |key: &str| -> &Values {
            let set = levels.iter().find(|values| values.is_set(key));
            // There is always a level: that of the flat settings.
            set.or(levels.last()).copied().unwrap_or_else(|| unreachable!("settings without a level"))
        };
        Self {
            body_limit: of("body_limit").size("body_limit"),
            security_headers: of("security_headers").bool("security_headers"),
            log_requests: of("log_requests").bool("log_requests"),
        }
    }
}
