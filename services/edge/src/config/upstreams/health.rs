//! When an address is taken for sick, by what becomes of its requests and by asking it, and how it comes back.

use super::super::options::Levels;
use monodon_settings::{Kind, Setting};
use std::ops::RangeInclusive;
use std::time::Duration;

pub const SETTINGS: &[Setting] = &[
    Setting {
        key: "max_fails",
        kind: Kind::Int { min: 0, max: 1_000_000 },
        default: "5",
        words: "After so many failures in a row, none longer than `fail_timeout` after the one before, an address is left out; 0 never \
                does. (An address that refuses connections gets nothing until it takes them again, whatever this says.)",
        ..Setting::NEW
    },
    Setting {
        key: "fail_timeout",
        kind: Kind::Duration,
        default: "10s",
        words: "How long it is left out the first time; twice as long each further time, up to 5 minutes.",
        ..Setting::NEW
    },
    Setting {
        key: "fail_on",
        kind: Kind::List(&Kind::Choice(&[
            "error",
            "timeout",
            "invalid_header",
            "http_500",
            "http_502",
            "http_503",
            "http_504",
            "http_429",
        ])),
        default: "error, timeout, invalid_header",
        words: "What is a failure, in nginx's words of `proxy_next_upstream`: `error` is a connection that is refused or breaks, \
                `timeout` no connection or no first byte in time.",
        ..Setting::NEW
    },
    Setting {
        key: "panic_threshold",
        kind: Kind::Int { min: 0, max: 100 },
        default: "50",
        words: "If more than so many percent of the addresses would be left out for failures, none is: then it is more likely the \
                requests' fault, and what is left would be overrun.",
        ..Setting::NEW
    },
    Setting {
        key: "slow_start",
        kind: Kind::Duration,
        default: "0s",
        words: "For how long an address that comes back gets less than its share, which grows. Not with `hash`, `ip_hash`, `sticky`.",
        ..Setting::NEW
    },
    Setting {
        key: "check_interval",
        kind: Kind::Duration,
        default: "1s",
        words: "How often `check` asks each address; where there is no check, a connection is tried ten times as seldom.",
        ..Setting::NEW
    },
    Setting {
        key: "check_timeout",
        kind: Kind::Duration,
        default: "1s",
        words: "For a check's whole answer.",
        ..Setting::NEW
    },
    Setting {
        key: "check_status",
        kind: Kind::List(&Kind::Text),
        default: "200-399",
        words: "The statuses of a good answer to the check: `200`, `200-299`.",
        ..Setting::NEW
    },
    Setting {
        key: "check_body",
        kind: Kind::Text,
        words: "What the body of a good answer to the check contains, in its first 64 KiB.",
        ..Setting::NEW
    },
    Setting {
        key: "check_host",
        kind: Kind::Text,
        default: "monodon-edge",
        words: "The Host of the check.",
        ..Setting::NEW
    },
    Setting {
        key: "check_rise",
        kind: Kind::Int { min: 1, max: 1000 },
        default: "1",
        words: "So many good answers in a row make an address ready again.",
        ..Setting::NEW
    },
    Setting {
        key: "check_fall",
        kind: Kind::Int { min: 1, max: 1000 },
        default: "1",
        words: "So many bad answers in a row make it not ready. Silence must come twice at least.",
        ..Setting::NEW
    },
    Setting {
        key: "check_first",
        kind: Kind::Bool,
        default: "false",
        words: "A new address gets nothing before its first good answer to the check; else it is taken for ready.",
        ..Setting::NEW
    },
];

#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    pub max_fails: u32,
    pub fail_timeout: Duration,
    pub fail_on: FailOn,
    /// Percent.
    pub panic_threshold: u32,
    pub slow_start: Duration,
    pub check: Check,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailOn {
    pub error: bool,
    pub timeout: bool,
    pub invalid_header: bool,
    pub statuses: Vec<u16>,
}

/// How `check` asks, and what it takes for good.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    pub interval: Duration,
    pub timeout: Duration,
    pub statuses: Vec<RangeInclusive<u16>>,
    pub body: String,
    pub host: String,
    pub rise: u32,
    pub fall: u32,
    pub first: bool,
}

impl Default for Check {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            statuses: vec![200..=399],
            body: String::new(),
            host: "monodon-edge".into(),
            rise: 1,
            fall: 1,
            first: false,
        }
    }
}

impl Default for Health {
    fn default() -> Self {
        Self {
            max_fails: 5,
            fail_timeout: Duration::from_secs(10),
            fail_on: FailOn { error: true, timeout: true, invalid_header: true, statuses: Vec::new() },
            panic_threshold: 50,
            slow_start: Duration::ZERO,
            check: Check::default(),
        }
    }
}

impl Health {
    pub(super) fn read(levels: &mut Levels<'_>) -> Self {
        for key in ["fail_timeout", "check_interval", "check_timeout"] {
            if levels.of(key).duration(key).is_zero() {
                levels.wrong(key, "expected more than 0");
            }
        }
        let int = |key: &str| u32::try_from(levels.of(key).int(key)).unwrap_or(0);
        let time = |key: &str| levels.of(key).duration(key);
        let mut fail_on = FailOn::default();
        for word in levels.of("fail_on").list("fail_on") {
            match word.as_str() {
                "error" => fail_on.error = true,
                "timeout" => fail_on.timeout = true,
                "invalid_header" => fail_on.invalid_header = true,
                word => fail_on.statuses.extend(word.strip_prefix("http_").and_then(|code| code.parse::<u16>().ok())),
            }
        }
        let mut check = Check {
            interval: time("check_interval"),
            timeout: time("check_timeout"),
            statuses: Vec::new(),
            body: levels.of("check_body").text("check_body").to_owned(),
            host: levels.of("check_host").text("check_host").to_owned(),
            rise: int("check_rise"),
            fall: int("check_fall"),
            first: levels.of("check_first").bool("check_first"),
        };
        let health = Self {
            max_fails: int("max_fails"),
            fail_timeout: time("fail_timeout"),
            fail_on,
            panic_threshold: int("panic_threshold"),
            slow_start: time("slow_start"),
            check: Check::default(),
        };
        for text in levels.of("check_status").list("check_status") {
            match statuses(text) {
                Some(range) => check.statuses.push(range),
                None => levels.wrong("check_status", format!("expected statuses such as 200 or 200-299, got {text:?}")),
            }
        }
        if levels.of("check_status").list("check_status").is_empty() {
            levels.wrong("check_status", "expected at least one, such as 200-399");
        }
        if http::HeaderValue::from_str(&check.host).is_err() || check.host.is_empty() || check.host.contains(' ') {
            levels.wrong("check_host", format!("expected a host, got {:?}", check.host));
        }
        Self { check, ..health }
    }
}

fn statuses(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let code = |text: &str| text.trim().parse::<u16>().ok().filter(|code| (100..=599).contains(code));
    let (first, last) = (code(first)?, code(last)?);
    (first <= last).then_some(first..=last)
}
