//! Where the running worker can be asked.

use monodon_settings::{Kind, Section, Setting};

pub const SECTION: Section = Section::new("Looking at it", SETTINGS);

const SETTINGS: &[Setting] = &[
    Setting {
        key: "admin",
        kind: Kind::Listen,
        default: "127.0.0.1:9102",
        words: "Where `/healthz`, `/readyz` and `/metrics` answer. It only tells; nothing can be changed there.",
        ..Setting::NEW
    },
    Setting {
        key: "control",
        kind: Kind::Path,
        words: "The unix socket (mode 0600) for `monodon-worker status`, `dump` and `reload`; empty is one under the temporary \
                folder, named by user and admin port.",
        aliases: &["control_socket"],
        ..Setting::NEW
    },
    Setting {
        key: "control_socket_disable",
        kind: Kind::Bool,
        words: "No control socket: no `status`, no `reload` but by SIGHUP.",
        aliases: &["no_control_socket"],
        ..Setting::NEW
    },
    Setting {
        key: "app_metrics",
        kind: Kind::Bool,
        default: "true",
        words: "Show what the application sets with `prometheus_client` on `/metrics` too, merged over all processes. It needs \
                to do nothing for that: `PROMETHEUS_MULTIPROC_DIR` is set to a folder in shared memory, unless it is set \
                already.",
        ..Setting::NEW
    },
];
