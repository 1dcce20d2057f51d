//! How long things may take, and how slowly they may go.

use super::Levels;
use monodon_settings::{Kind, Setting};
use std::time::Duration;

const fn wait(key: &'static str, default: &'static str, words: &'static str) -> Setting {
    Setting { key, kind: Kind::Duration, default, words, ..Setting::NEW }
}

const fn size(key: &'static str, default: &'static str, words: &'static str) -> Setting {
    Setting { key, kind: Kind::Size, default, words, ..Setting::NEW }
}

pub const SETTINGS: &[Setting] = &[
    Setting {
        aliases: &["client_body_timeout"],
        ..wait("body_timeout", "30s", "Between two parts of a request body; then 408.")
    },
    size(
        "min_rate",
        "240",
        "Bytes a second that a request body must bring after its first 10 s; else 408. 0 is any number.",
    ),
    wait("send_timeout", "30s", "For a client to take a further part of an answer; then it is cut off."),
    size(
        "min_send_rate",
        "240",
        "Bytes a second that a client must take of an answer while it holds it up, once that has come to 10 s; else it is cut off. \
         0 is any number.",
    ),
    Setting {
        aliases: &["proxy_read_timeout"],
        ..wait(
            "first_byte_timeout",
            "35s",
            "For the first byte of the upstream's answer, from when the request has been sent; longer than the worker's `timeout`, \
             which should strike first. In a site or a route it counts before the upstream's own.",
        )
    },
    wait(
        "read_timeout",
        "0s",
        "Between two parts of the upstream's answer. 0 is as long as `first_byte_timeout`. Event streams, gRPC and WebSockets may be \
         silent for as long as they like.",
    ),
    wait(
        "request_timeout",
        "0s",
        "For all of a request: from its head to the end of its answer, event streams and all. Then 504, or the answer is cut off. 0 is \
         any time.",
    ),
    size(
        "limit_rate",
        "0",
        "Bytes a second of one answer's body, the first second's at once. 0 is as fast as it goes.",
    ),
    size("limit_rate_after", "0", "So much of an answer goes out before `limit_rate` holds."),
];

#[derive(Clone, Debug, PartialEq)]
pub struct Timeouts {
    pub body: Duration,
    pub min_rate: u64,
    pub send: Duration,
    pub min_send_rate: u64,
    /// Where a site or a route sets it.
    pub first_byte: Option<Duration>,
    pub read: Option<Duration>,
    pub request: Option<Duration>,
    pub limit_rate: u64,
    pub limit_rate_after: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        let wait = Duration::from_secs(30);
        Self {
            body: wait,
            min_rate: 240,
            send: wait,
            min_send_rate: 240,
            first_byte: None,
            read: None,
            request: None,
            limit_rate: 0,
            limit_rate_after: 0,
        }
    }
}

impl Timeouts {
    pub fn read(levels: &mut Levels<'_>) -> Self {
        for key in ["body_timeout", "send_timeout", "first_byte_timeout"] {
            if levels.of(key).duration(key).is_zero() {
                levels.wrong(key, "expected more than 0");
            }
        }
        let wait = |key: &str| levels.of(key).duration(key);
        let size = |key: &str| levels.of(key).size(key);
        let some = |wait: Duration| (!wait.is_zero()).then_some(wait);
        Self {
            body: wait("body_timeout"),
            min_rate: size("min_rate"),
            send: wait("send_timeout"),
            min_send_rate: size("min_send_rate"),
            first_byte: levels.inner("first_byte_timeout").map(|values| values.duration("first_byte_timeout")),
            read: some(wait("read_timeout")),
            request: some(wait("request_timeout")),
            limit_rate: size("limit_rate"),
            limit_rate_after: size("limit_rate_after"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::load::load;

    #[test]
    fn no_time_at_all_is_none() {
        let told = |text: &str| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("edge.toml");
            std::fs::write(&path, text).unwrap();
            let problems = load(&["--config".into(), path.into_os_string()], std::iter::empty()).err();
            problems.map(|problems| problems.to_string().replace(&format!("{}/", folder.path().display()), ""))
        };
        for (text, wrong) in [
            ("body_timeout = '0s'", "edge.toml:1: body_timeout: expected more than 0"),
            ("[[site]]\nsend_timeout = '0s'", "edge.toml:2: send_timeout: expected more than 0"),
            (
                "[[site]]\n[[site.route]]\npath = '/'\nclose = true\nfirst_byte_timeout = 0",
                "edge.toml:5: first_byte_timeout: expected more than 0",
            ),
        ] {
            assert_eq!(told(text).as_deref(), Some(wrong), "{text}");
        }
        assert_eq!(told("[[site]]\nread_timeout = '0s'\nrequest_timeout = 0\nmin_rate = 0\nlimit_rate = '1MB'"), None);
    }
}
