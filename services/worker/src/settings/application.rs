//! Which application, and what it finds when it is imported.

use monodon_settings::{Kind, Section, Setting};

pub const SECTION: Section = Section::new("The application", SETTINGS);

const SETTINGS: &[Setting] = &[
    Setting {
        key: "app",
        words: "The application, as `module:attribute`, `module` (then `application` in it) or `module:factory()`. Also the \
                first argument.",
        aliases: &["wsgi_app"],
        ..Setting::NEW
    },
    Setting {
        key: "chdir",
        kind: Kind::Path,
        words: "The folder to work in; it is put on Python's path.",
        ..Setting::NEW
    },
    Setting {
        key: "pythonpath",
        kind: Kind::List(&Kind::Text),
        words: "More folders for Python's path.",
        ..Setting::NEW
    },
    Setting {
        key: "required_env",
        kind: Kind::List(&Kind::Text),
        words: "Environment variables that the application cannot do without; each may come as `NAME_FILE` instead, and \
                is then exported as `NAME` from that file. What is missing is told at the start, all at once.",
        ..Setting::NEW
    },
    Setting {
        key: "raw_env",
        kind: Kind::Lines(&Kind::Text),
        words: "Variables for the application's environment, each `NAME=value`.",
        short: Some('e'),
        aliases: &["env"],
        ..Setting::NEW
    },
];
