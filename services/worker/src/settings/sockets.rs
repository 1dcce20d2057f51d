//! Where requests come in.

use monodon_settings::{Kind, Section, Setting};

pub const SECTION: Section = Section { title: "Sockets", settings: SETTINGS };

const SETTINGS: &[Setting] = &[
    Setting {
        key: "bind",
        kind: Kind::List(&Kind::Address),
        default: "127.0.0.1:8000",
        words: "Where requests come in: `127.0.0.1:8000`, `[::]:8000`, `:8000`, `unix:/run/app.sock`.",
        short: Some('b'),
        ..Setting::NEW
    },
    Setting {
        key: "socket_mode",
        default: "660",
        words: "Permissions of the unix sockets of `bind`, in octal.",
        ..Setting::NEW
    },
    Setting {
        key: "backlog",
        kind: Kind::Int { min: 1, max: 65_535 },
        default: "2048",
        words: "Connections that may wait to be accepted.",
        ..Setting::NEW
    },
];
