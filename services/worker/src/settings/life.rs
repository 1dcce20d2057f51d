//! Limits of time, and when a process is replaced.

use monodon_settings::{Kind, Section, Setting};

const COUNT: Kind = Kind::Int { min: 0, max: 1_000_000_000 };

pub const SECTION: Section = Section { title: "How long things may take", settings: SETTINGS };

const SETTINGS: &[Setting] = &[
    Setting {
        key: "timeout",
        kind: Kind::Duration,
        default: "30s",
        words: "How long the application may take to its first byte, then for each further part. A process past it \
                is killed, its request answered with 504. 0 is no limit.",
        short: Some('t'),
        ..Setting::NEW
    },
    Setting {
        key: "graceful_timeout",
        kind: Kind::Duration,
        default: "30s",
        words: "How long a process that is told to leave may take to finish what it has.",
        ..Setting::NEW
    },
    Setting {
        key: "shutdown_delay",
        kind: Kind::Duration,
        default: "0s",
        words: "After SIGTERM, how long new requests are still taken while `/readyz` says 503 already, so that a balancer \
                can notice.",
        ..Setting::NEW
    },
    Setting {
        key: "boot_timeout",
        kind: Kind::Duration,
        default: "60s",
        words: "How long a process may take to import the application.",
        ..Setting::NEW
    },
    Setting {
        key: "keepalive",
        kind: Kind::Duration,
        default: "75s",
        words: "How long an idle connection is kept; more than the proxy keeps it (the edge: 60 s).",
        aliases: &["keep_alive"],
        ..Setting::NEW
    },
    Setting {
        key: "head_timeout",
        kind: Kind::Duration,
        default: "10s",
        words: "How long a client may take to send a request's head.",
        ..Setting::NEW
    },
    Setting {
        key: "body_timeout",
        kind: Kind::Duration,
        default: "30s",
        words: "How long a client may be silent in the middle of a request's body, or not read its answer.",
        ..Setting::NEW
    },
    Setting {
        key: "max_requests",
        kind: COUNT,
        default: "0",
        words: "A process is replaced after so many requests; 0 is never. The new one is ready before the old one leaves.",
        ..Setting::NEW
    },
    Setting {
        key: "max_requests_jitter",
        kind: COUNT,
        default: "0",
        words: "Up to so many more, by chance, so that processes are not replaced all at once.",
        ..Setting::NEW
    },
];
