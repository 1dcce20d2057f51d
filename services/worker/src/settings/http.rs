//! What a request may be, and how its answer is sent.

use monodon_settings::{Kind, Section, Setting, Values};
use serde::{Deserialize, Serialize};

pub const SECTION: Section = Section::new("HTTP", SETTINGS);

/// What a limit of 0 comes to. Nothing is unlimited.
const MOST: usize = 1 << 20;
const MOST_FIELDS: usize = 32_768;

const SETTINGS: &[Setting] = &[
    Setting {
        key: "limit_request_line",
        kind: Kind::Int { min: 0, max: MOST as i64 },
        default: "8190",
        words: "Longest request line, in bytes; beyond it, 414. 0 is the most there is, 1 MB.",
        ..Setting::NEW
    },
    Setting {
        key: "limit_request_fields",
        kind: Kind::Int { min: 0, max: i64::MAX },
        default: "100",
        words: "Most header fields of a request; beyond it, 431. 0, and whatever is more, is 32768.",
        ..Setting::NEW
    },
    Setting {
        key: "limit_request_field_size",
        kind: Kind::Int { min: 0, max: MOST as i64 },
        default: "8190",
        words: "Longest header field, in bytes; beyond it, 431. 0 is the most there is, 1 MB.",
        ..Setting::NEW
    },
    Setting {
        key: "head_limit",
        kind: Kind::Size,
        default: "32KB",
        words: "Largest head of a request: its line and all fields. Where only `limit_request_line` or \
                `limit_request_field_size` is raised, it grows with them.",
        ..Setting::NEW
    },
    Setting {
        key: "body_limit",
        kind: Kind::Size,
        default: "32MB",
        words: "Largest body of a request; beyond it, 413.",
        ..Setting::NEW
    },
    Setting {
        key: "sendfile",
        kind: Kind::Bool,
        default: "true",
        words: "Have the kernel send the files that the application gives to `wsgi.file_wrapper`. Without, they are read in \
                blocks through Python.",
        ..Setting::NEW
    },
];

/// The settings of this section that are young enough to live in a place of their own.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Http {
    pub sendfile: bool,
}

impl Default for Http {
    fn default() -> Self {
        Self { sendfile: true }
    }
}

impl Http {
    pub fn read(values: &Values) -> Self {
        Self { sendfile: values.bool("sendfile") }
    }
}

/// `limit_request_line`, `limit_request_fields`, `limit_request_field_size`, `head_limit`.
pub fn limits(values: &Values) -> [usize; 4] {
    let within = |key, most| match usize::try_from(values.int(key)).unwrap_or(0) {
        0 => most,
        given => given.min(most),
    };
    let line = within("limit_request_line", MOST);
    let field = within("limit_request_field_size", MOST);
    let head = usize::try_from(values.size("head_limit")).unwrap_or(usize::MAX);
    // Room for the longest line and the longest field, and for the others beside them.
    let head = if values.is_set("head_limit") { head } else { head.max(line + field + (16 << 10)) };
    [line, within("limit_request_fields", MOST_FIELDS), field, head]
}
