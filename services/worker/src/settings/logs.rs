//! What is told, how, and where.

use monodon_settings::{Kind, Section, Setting};

pub const SECTION: Section = Section { title: "Logs", settings: SETTINGS };

const SETTINGS: &[Setting] = &[
    Setting {
        key: "accesslog",
        default: "off",
        words: "Where each request is told: `-` or `stdout`, a file, or `off`. Off by default, as gunicorn's; the images set \
                `-`, so that a request can be followed by its id through all services.",
        aliases: &["access_logfile", "access_log"],
        ..Setting::NEW
    },
    Setting {
        key: "log_level",
        kind: Kind::Choice(&["error", "warn", "info", "debug", "trace"]),
        default: "info",
        words: "How much the worker itself tells.",
        shared: true,
        aliases: &["loglevel"],
        ..Setting::NEW
    },
    Setting {
        key: "log_format",
        kind: Kind::Choice(&["auto", "json", "text"]),
        default: "auto",
        words: "`auto` is text on a terminal, else JSON.",
        shared: true,
        ..Setting::NEW
    },
];
