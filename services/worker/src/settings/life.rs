//! Limits of time, and when a process is replaced.

use std::time::Duration;

use monodon_settings::{Kind, Section, Setting, Values};
use serde::{Deserialize, Serialize};

const COUNT: Kind = Kind::Int { min: 0, max: 1_000_000_000 };

pub const SECTION: Section = Section::new("How long things may take", SETTINGS);

/// When a process is replaced although nothing is wrong with it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Life {
    /// Bytes; 0: no limit.
    pub max_rss: u64,
    pub max_rss_jitter: u64,
    /// Zero: no limit.
    pub lifetime: Duration,
    pub lifetime_jitter: Duration,
}

impl Life {
    pub fn read(values: &Values) -> Self {
        Self {
            max_rss: values.size("max_rss"),
            max_rss_jitter: values.size("max_rss_jitter"),
            lifetime: values.duration("lifetime"),
            lifetime_jitter: values.duration("lifetime_jitter"),
        }
    }
}

const SETTINGS: &[Setting] = &[
    Setting {
        key: "timeout",
        kind: Kind::Duration,
        default: "30s",
        words: "How long the application may take to its first byte, then for each further part. A request past it is \
                answered with 504 and named in the log with the Python stacks of all threads; its process takes nothing \
                new, its other threads get `graceful_timeout`, then it ends by SIGABRT, and two seconds later by SIGKILL. \
                0 is no limit.",
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
        words: "How long a process may take to import the application; the log says where it was when it took longer.",
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
    Setting {
        key: "max_rss",
        kind: Kind::Size,
        default: "0",
        words: "A process whose resident memory is more than this is replaced, the new one being ready first; 0 is no \
                limit. Measured twice a second, between requests, as `ps` and `top` show it (RSS): memory shared by \
                `preload_app` counts in full, so take what a fresh process has and add what it may grow by.",
        ..Setting::NEW
    },
    Setting {
        key: "max_rss_jitter",
        kind: Kind::Size,
        default: "0",
        words: "Up to so much more, by chance, so that processes that grow alike are not replaced all at once.",
        ..Setting::NEW
    },
    Setting {
        key: "lifetime",
        kind: Kind::Duration,
        default: "0s",
        words: "A process that is older than this is replaced, the new one being ready first; 0 is no limit.",
        ..Setting::NEW
    },
    Setting {
        key: "lifetime_jitter",
        kind: Kind::Duration,
        default: "0s",
        words: "Up to so much more, by chance, so that processes that were started together do not end together.",
        ..Setting::NEW
    },
];
