//! What a request may be.

use monodon_settings::{Kind, Section, Setting};

pub const SECTION: Section = Section { title: "HTTP", settings: SETTINGS };

const SETTINGS: &[Setting] = &[
    Setting {
        key: "limit_request_line",
        kind: Kind::Int { min: 64, max: 65_536 },
        default: "8190",
        words: "Longest request line, in bytes.",
        ..Setting::NEW
    },
    Setting {
        key: "limit_request_fields",
        kind: Kind::Int { min: 1, max: 32_768 },
        default: "100",
        words: "Most header fields of a request.",
        ..Setting::NEW
    },
    Setting {
        key: "limit_request_field_size",
        kind: Kind::Int { min: 64, max: 65_536 },
        default: "8190",
        words: "Longest header field, in bytes.",
        ..Setting::NEW
    },
    Setting {
        key: "head_limit",
        kind: Kind::Size,
        default: "32KB",
        words: "Largest head of a request: its line and all fields.",
        ..Setting::NEW
    },
    Setting {
        key: "body_limit",
        kind: Kind::Size,
        default: "32MB",
        words: "Largest body of a request; beyond it, 413.",
        ..Setting::NEW
    },
];
