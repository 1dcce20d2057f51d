//! How many processes there are, and how they come to be.

use monodon_settings::{Kind, Section, Setting};

pub const SECTION: Section = Section::new("Processes", SETTINGS);

const SETTINGS: &[Setting] = &[
    Setting {
        key: "workers",
        default: "auto",
        words: "Processes. `auto` is the smaller of the CPU quota and of the memory limit divided by 150 MB, at least 1. \
                `WEB_CONCURRENCY` is honoured when this is not given.",
        short: Some('w'),
        ..Setting::NEW
    },
    Setting {
        key: "threads",
        kind: Kind::Int { min: 1, max: 1024 },
        default: "1",
        words: "Requests a process works on at a time. With 1 the application is called on the thread that reads the \
                request, which is quickest; more are for applications that wait on others.",
        ..Setting::NEW
    },
    Setting {
        key: "preload_app",
        kind: Kind::Bool,
        default: "false",
        words: "Import the application once, before the processes are forked from it: they share its memory and start in \
                milliseconds. A reload imports it anew.",
        aliases: &["preload"],
        ..Setting::NEW
    },
    Setting {
        key: "reload_surge",
        kind: Kind::Int { min: 1, max: 1024 },
        default: "1",
        words: "How many processes more than `workers` there may be while they are being replaced.",
        ..Setting::NEW
    },
];
