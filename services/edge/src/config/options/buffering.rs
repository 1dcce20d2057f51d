//! What stands between a slow client and the application.

use super::Levels;
use monodon_settings::{Kind, Setting};

pub const SETTINGS: &[Setting] = &[
    Setting {
        key: "buffering",
        kind: Kind::Bool,
        default: "true",
        words: "Take answers off the application as fast as it gives them, into memory and then the spool, so that a slow \
                reader never holds it. An answer that says `X-Accel-Buffering: no`, server-sent events, WebSockets and gRPC \
                are passed on as they come all the same.",
        aliases: &["proxy_buffering"],
        ..Setting::NEW
    },
    Setting {
        key: "request_buffering",
        kind: Kind::Bool,
        default: "true",
        words: "Take a request's body in whole before the application is asked. `false` passes it on as it comes: the \
                application then waits for a slow client, and nothing is sent a second time. gRPC is always passed on.",
        aliases: &["proxy_request_buffering"],
        ..Setting::NEW
    },
    Setting {
        key: "buffer_memory",
        kind: Kind::Size,
        default: "64KB",
        words: "How much of a request's or an answer's body is kept in memory before it goes to the spool.",
        ..Setting::NEW
    },
];

#[derive(Clone, Debug, PartialEq)]
pub struct Buffering {
    pub answers: bool,
    pub requests: bool,
    /// Bytes of one body.
    pub memory: usize,
}

impl Default for Buffering {
    fn default() -> Self {
        Self { answers: true, requests: true, memory: 64 << 10 }
    }
}

impl Buffering {
    pub fn read(levels: &mut Levels<'_>) -> Self {
        let memory = levels.of("buffer_memory").size("buffer_memory");
        Self {
            answers: levels.of("buffering").bool("buffering"),
            requests: levels.of("request_buffering").bool("request_buffering"),
            memory: usize::try_from(memory).unwrap_or(usize::MAX),
        }
    }
}
