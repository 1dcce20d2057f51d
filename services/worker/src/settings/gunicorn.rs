//! What people bring from gunicorn that is about neither requests nor processes.

use monodon_settings::{Kind, Section, Setting};

pub const SECTION: Section = Section::new("Coming from gunicorn", SETTINGS);

const SETTINGS: &[Setting] = &[
    Setting {
        key: "gunicorn_env",
        kind: Kind::Bool,
        words: "Read flags from `GUNICORN_CMD_ARGS` too, as gunicorn does: below the environment, above the configuration \
                file.",
        ..Setting::NEW
    },
    Setting {
        key: "check_config",
        kind: Kind::Bool,
        words: "Read the configuration, import the application, and end: 0 when both are right, 2 when the configuration is \
                wrong, 3 when the application cannot be imported.",
        ..Setting::NEW
    },
    Setting {
        key: "print_config",
        kind: Kind::Bool,
        words: "Print every setting with where its value comes from, import the application, and end as `check_config` does.",
        ..Setting::NEW
    },
    Setting {
        key: "paste",
        kind: Kind::Path,
        words: "The application is what this PasteDeploy file describes, `production.ini` or `production.ini#name`; its \
                `[loggers]` configure logging where `logconfig` does not.",
        aliases: &["paster"],
        ..Setting::NEW
    },
    Setting {
        key: "raw_paste_global_conf",
        kind: Kind::Lines(&Kind::Text),
        words: "Variables for the PasteDeploy file, each `name=value`; a `=` within is written `\\=`.",
        aliases: &["paste_global"],
        ..Setting::NEW
    },
    Setting {
        key: "worker_class",
        default: "sync",
        words: "`sync` or `gthread` (or gunicorn's paths of these classes), and alike: `threads` alone decides whether requests \
                are worked on side by side. Greenlets and ASGI are refused.",
        short: Some('k'),
        ..Setting::NEW
    },
    Setting { key: "default_proc_name", words: "The processes' name where `proc_name` gives none.", ..Setting::NEW },
    Setting {
        key: "http_parser",
        kind: Kind::Choice(&["auto", "fast", "python"]),
        default: "auto",
        words: "Changes nothing: there is one parser.",
        ..Setting::NEW
    },
];
