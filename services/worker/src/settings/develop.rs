//! For the machine on which the application is written.

use monodon_settings::{Kind, Section, Setting, Values};
use serde::{Deserialize, Serialize};

pub const SECTION: Section = Section::new("Development", SETTINGS);

/// Restarting when files change.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Develop {
    pub reload: bool,
    /// Look at the files again and again instead of waiting for the kernel to tell.
    pub poll: bool,
    /// Files, folders and patterns, as given.
    pub extra_files: Vec<String>,
}

impl Develop {
    pub fn read(values: &Values) -> Self {
        Self {
            reload: values.bool("reload"),
            poll: values.text("reload_engine") == "poll",
            extra_files: values.list("reload_extra_files").to_vec(),
        }
    }
}

const SETTINGS: &[Setting] = &[
    Setting {
        key: "reload",
        kind: Kind::Bool,
        default: "false",
        words: "Restart when a file of an imported module changes; the next request meets the new code. While the \
                application cannot be imported, every page is the traceback: for development alone, for whoever can ask \
                sees it.",
        ..Setting::NEW
    },
    Setting {
        key: "reload_engine",
        kind: Kind::Choice(&["auto", "inotify", "poll"]),
        default: "auto",
        words: "How changes are noticed: `inotify`, where the kernel tells, or `poll` four times a second, for file systems \
                that tell nothing (network, some shared folders). `auto` is inotify where there is one.",
        ..Setting::NEW
    },
    Setting {
        key: "reload_extra_files",
        kind: Kind::List(&Kind::Path),
        words: "More to watch: files, folders with all that is in them, and patterns (`*`, `?`, `[`, `**`), which are looked \
                at four times a second.",
        aliases: &["reload_extra_file"],
        ..Setting::NEW
    },
];
