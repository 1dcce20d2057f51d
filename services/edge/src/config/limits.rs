//! `[limits.NAME]`: how much of what, counted by what. Routes and sites name them.

use super::load::Reader;
use super::sites::{TEXTS, setting};
use crate::template::Template;
use http::HeaderName;
use monodon_settings::{Kind, Setting, Values};
use std::time::Duration;

pub(super) const ZONE: &[Setting] = &[
    setting("rate", Kind::Text, "Requests in a time: `10/s`, `100/m`, `5/10s`; nginx's `10r/s` too."),
    setting(
        "burst",
        Kind::Int { min: 0, max: 1_000_000 },
        "How many more may come at once. They are answered at once (nginx: `nodelay`), but for those that `delay` has wait.",
    ),
    setting(
        "delay",
        Kind::Int { min: 0, max: 1_000_000 },
        "How many of `burst` are answered at once; those beyond wait until the rate has room for them, as nginx's \
         `delay=`; 0 is nginx's own default, where all of them wait. Not set, none does. Who leaves meanwhile frees the \
         place, over HTTP/1 once the body of the request is there. In all no more wait than `connections_limit`; what comes beyond is answered 429.",
    ),
    Setting {
        aliases: &["limit_conn"],
        ..setting(
            "requests",
            Kind::Int { min: 0, max: 1_000_000 },
            "Requests at a time, each until its answer has ended, a WebSocket until it is closed; beside a `rate` or alone.",
        )
    },
    setting(
        "key",
        TEXTS,
        "What is counted apart: `client` (its address; IPv6 by network), `header:X-Api-Key`, `cookie:NAME`, or a text with \
         variables such as `$host$uri`; several together are one key. A request without that header or cookie is not \
         counted. By default `client`.",
    ),
    setting(
        "keys",
        Kind::Int { min: 64, max: 100_000_000 },
        "How many keys are remembered (16 bytes each); of more, those used longest ago are forgotten. By default 65536.",
    ),
    Setting {
        aliases: &["limit_req_dry_run"],
        ..setting("dry_run", Kind::Bool, "Only count what would have been refused.")
    },
];

/// One `[limits.NAME]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    pub name: String,
    pub rate: Option<Rate>,
    /// 0: any number.
    pub at_a_time: u32,
    pub key: Vec<Key>,
    pub keys: usize,
    pub dry_run: bool,
}

/// So many in so long, and a burst beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// From one request to the next.
    pub interval: Duration,
    pub burst: u32,
    /// So many of the burst do not wait.
    pub at_once: u32,
}

impl Rate {
    /// Nothing waits.
    pub const fn nodelay(interval: Duration, burst: u32) -> Self {
        Self { interval, burst, at_once: burst }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Key {
    Client,
    Header(HeaderName),
    Cookie(String),
    Template(Template),
}

impl Zone {
    /// Whether clients are counted by their addresses.
    pub fn by_client(&self) -> bool {
        self.key.contains(&Key::Client)
    }
}

impl Reader<'_> {
    pub(super) fn zones(&mut self) -> Vec<Zone> {
        let blocks: Vec<_> = self.values.blocks("limits").collect();
        blocks.into_iter().map(|block| self.zone(&block.name, &block.values)).collect()
    }

    fn zone(&mut self, name: &str, values: &Values) -> Zone {
        let int = |key: &str| u32::try_from(values.int(key)).unwrap_or(0);
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
            // It stands in a header and in metrics.
            self.problems.push(values.problem_here("a limit's name has letters, digits, - and _ only"));
        }
        let mut rate = None;
        if values.is_set("rate") {
            match interval(values.text("rate")) {
                Some(interval) => {
                    let burst = int("burst");
                    let at_once = if values.is_set("delay") { int("delay") } else { burst };
                    rate = Some(Rate { interval, burst, at_once });
                }
                None => {
                    let words = format!("expected a rate such as 10/s, 100/m or 5/10s, got {:?}", values.text("rate"));
                    self.problems.push(values.problem("rate", words));
                }
            }
        }
        for (key, needs) in [("burst", "rate"), ("delay", "burst")] {
            if values.is_set(key) && !values.is_set(needs) {
                self.problems.push(values.problem(key, format!("goes with a {needs}")));
            }
        }
        if !values.is_set("rate") && int("requests") == 0 {
            self.problems.push(values.problem_here("needs a rate, requests, or both"));
        }
        let mut key = Vec::new();
        for text in values.list("key") {
            match part(text) {
                Ok(part) => key.push(part),
                Err(wrong) => self.problems.push(values.problem("key", wrong)),
            }
        }
        if key.is_empty() {
            key.push(Key::Client);
        }
        let keys = if values.is_set("keys") { usize::try_from(values.int("keys")).unwrap_or(0) } else { 65_536 };
        Zone { name: name.to_owned(), rate, at_a_time: int("requests"), key, keys, dry_run: values.bool("dry_run") }
    }
}

/// Of `10/s`, `10r/s`, `5/10s`, `100/m`: from one request to the next.
pub(super) fn interval(text: &str) -> Option<Duration> {
    let (count, period) = text.split_once('/')?;
    let count = count.trim();
    let count: u32 = count.strip_suffix('r').unwrap_or(count).parse().ok().filter(|count| *count > 0)?;
    let period = period.trim();
    let digits = period.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = period.split_at(digits);
    let number: u32 = if number.is_empty() { 1 } else { number.parse().ok()? };
    let unit = match unit {
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(3600),
        "d" => Duration::from_secs(86_400),
        _ => return None,
    };
    let interval = unit.checked_mul(number)? / count;
    (Duration::from_nanos(100)..=Duration::from_secs(86_400)).contains(&interval).then_some(interval)
}

fn part(text: &str) -> Result<Key, String> {
    if text == "client" {
        return Ok(Key::Client);
    }
    if let Some(name) = text.strip_prefix("header:") {
        let name = HeaderName::from_bytes(name.as_bytes());
        return name.map(Key::Header).map_err(|_| format!("expected a header's name, got {text:?}"));
    }
    if let Some(name) = text.strip_prefix("cookie:") {
        let fine = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && !b"=;,\"".contains(&byte));
        return if fine {
            Ok(Key::Cookie(name.into()))
        } else {
            Err(format!("expected a cookie's name, got {text:?}"))
        };
    }
    if text.contains('$') {
        return Template::parse(text, None).map(Key::Template);
    }
    Err(format!("expected client, header:NAME, cookie:NAME or a text with $variables, got {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        let ms = |millis| Some(Duration::from_millis(millis));
        for (text, every) in [
            ("10/s", ms(100)),
            ("10r/s", ms(100)),
            ("30r/m", ms(2000)),
            ("5/10s", ms(2000)),
            ("1/500ms", ms(500)),
            ("1/h", ms(3_600_000)),
            ("0/s", None),
            ("10", None),
            ("10/x", None),
            ("/s", None),
            ("-1/s", None),
            ("1/0s", None),
            ("10/s 5", None),
        ] {
            assert_eq!(interval(text), every, "{text}");
        }
    }

    fn problems_of(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edge.toml");
        std::fs::write(&path, text).unwrap();
        let args = ["--config".into(), path.into_os_string()];
        let problems = crate::config::load::load(&args, std::iter::empty()).err();
        let told = problems.map(|problems| problems.to_string()).unwrap_or_default();
        told.replace(&format!("{}/", folder.path().display()), "")
    }

    #[test]
    fn every_slip_is_told_with_its_place() {
        for (text, wrong) in [
            ("[limits.a]", "edge.toml:1: limits.a: needs a rate, requests, or both"),
            ("[limits.a]\nburst = 3\nrequests = 1", "edge.toml:2: burst: goes with a rate"),
            ("[limits.a]\nrate = '1/s'\ndelay = 3", "edge.toml:3: delay: goes with a burst"),
            ("[limits.a]\nrate = '10'", "edge.toml:2: rate: expected a rate such as 10/s, 100/m or 5/10s, got \"10\""),
            (
                "[limits.a]\nrate = '10/s'\nkey = 'ip'",
                "edge.toml:3: key: expected client, header:NAME, cookie:NAME or a text with $variables, got \"ip\"",
            ),
            (
                "[limits.a]\nrate = '10/s'\nkey = 'header:a b'",
                "edge.toml:3: key: expected a header's name, got \"header:a b\"",
            ),
            (
                "[limits.a]\nrate = '10/s'\nkey = 'cookie:'",
                "edge.toml:3: key: expected a cookie's name, got \"cookie:\"",
            ),
            (
                "[limits.'a\"b']\nrate = '10/s'",
                "edge.toml:1: limits.a\"b: a limit's name has letters, digits, - and _ only",
            ),
            ("limit = ['a']", "edge.toml:1: limit: there is no [limits.a]"),
            ("[limits.b]\nrate = '1/s'\n[[site]]\nlimit = ['a']", "edge.toml:4: limit: there is no [limits.a], only b"),
            (
                "limit_exempt = ['10.0.0.0/40']",
                "edge.toml:1: limit_exempt: expected a network such as 10.0.0.0/8, got \"10.0.0.0/40\"",
            ),
            (
                "handshake_rate = 'often'",
                "edge.toml:1: handshake_rate: expected a rate such as 10/s or 100/m, got \"often\"",
            ),
        ] {
            assert_eq!(problems_of(text), wrong, "{text}");
        }
        assert_eq!(
            problems_of("limit = ['a']\n[limits.a]\nrate = '1/s'\nkey = ['client', '$host']\n[[site]]\nlimit = []"),
            ""
        );
    }
}
