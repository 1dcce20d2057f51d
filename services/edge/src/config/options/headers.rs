//! What requests and answers carry: security headers, and what is added, set and removed.

use super::Levels;
use crate::headers::change::{Change, Changes, Direction, Verb};
use crate::headers::{X_REQUEST_ID, csp, line};
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};
use monodon_settings::{HIDDEN, Kind, Setting};
use std::sync::Arc;

const LINES: Kind = Kind::Lines(&Kind::Text);

const fn setting(key: &'static str, kind: Kind, default: &'static str, words: &'static str) -> Setting {
    Setting { key, kind, default, words, ..Setting::NEW }
}

const PERMISSIONS: &str = "camera=(), geolocation=(), microphone=(), payment=(), usb=()";

pub const SETTINGS: &[Setting] = &[
    setting(
        "security_headers",
        Kind::Bool,
        "true",
        "Send `nosniff`, `frame_options`, `referrer_policy` and `permissions_policy`, with error pages and files too. What the \
         application says itself always wins.",
    ),
    setting("nosniff", Kind::Bool, "true", "X-Content-Type-Options: nosniff."),
    setting("frame_options", Kind::Text, "DENY", "X-Frame-Options: `DENY`, `SAMEORIGIN`, or `off` for none."),
    setting("referrer_policy", Kind::Text, "same-origin", "Referrer-Policy; `off` sends none."),
    setting("permissions_policy", Kind::Text, PERMISSIONS, "Permissions-Policy; `off` sends none."),
    setting(
        "hsts",
        Kind::Text,
        "max-age=31536000",
        "Strict-Transport-Security where the certificate is public; `off` sends none.",
    ),
    setting(
        "csp",
        Kind::Text,
        "",
        "Content-Security-Policy, such as `default-src 'self'; img-src *`; `off` sends none. Violations are reported to \
         `csp_report_path` unless it says otherwise.",
    ),
    setting(
        "csp_report_only",
        Kind::Text,
        "",
        "Content-Security-Policy-Report-Only: nothing is forbidden, what would be is reported. The way to begin.",
    ),
    Setting {
        aliases: &["proxy_set_header"],
        masked: Some(masked),
        ..setting(
            "request_headers_set",
            LINES,
            "",
            "Headers that the upstream gets, each `Name: value`, in place of the client's. Variables are $host, $scheme, $uri, \
             $request_uri, $args, $is_args. An empty value removes. Those of the flat settings, the site and the route are done one \
             after the other, in each removing first, then setting, then adding. Where the configuration is shown, values of names \
             that have `auth`, `cookie`, `key`, `password`, `secret`, `signature` or `token` in them are not.",
        )
    },
    Setting {
        masked: Some(masked),
        ..setting(
            "request_headers_add",
            LINES,
            "",
            "Headers that the upstream gets beside the client's of the same name.",
        )
    },
    setting("request_headers_remove", LINES, "", "Names of headers that the upstream does not get."),
    setting(
        "response_headers_set",
        LINES,
        "",
        "Headers of every answer, each `Name: value`, in place of the application's: error pages and files have them, too \
         (nginx: `add_header ... always`). Whatever is said of Vary, `Accept-Encoding` stays there where it chooses the form; on a compressed \
         answer an ETag becomes a weak one.",
    ),
    setting("response_headers_add", LINES, "", "Headers of every answer beside those of the same name."),
    Setting {
        aliases: &["proxy_hide_header"],
        ..setting(
            "response_headers_remove",
            LINES,
            "",
            "Names of headers that no answer has (but for `Vary: Accept-Encoding`).",
        )
    },
];

/// Where the configuration is shown: what the upstream is to believe us by is not for whoever may look.
fn masked(line: &str) -> Option<String> {
    const SECRETS: [&str; 7] = ["auth", "cookie", "key", "password", "secret", "signature", "token"];
    let (name, _) = line.split_once(':')?;
    let lower = name.to_ascii_lowercase();
    SECRETS.iter().any(|word| lower.contains(word)).then(|| format!("{name}: {HIDDEN}"))
}

/// Prepared: nothing is put together for a request but what has variables.
#[derive(Clone, Debug, PartialEq)]
pub struct Headers {
    /// Sent where the application says nothing itself.
    pub security: Arc<[(HeaderName, HeaderValue)]>,
    /// The same, where the certificate is public.
    pub hsts: Option<HeaderValue>,
    /// Beside the application's own.
    pub reporting: Option<HeaderValue>,
    pub request: Changes,
    pub response: Changes,
    /// `security` and `reporting` as an answer's head has them, and the lengths of all names that we say: a bit each.
    lines: Arc<[u8]>,
    lengths: u64,
}

impl Default for Headers {
    fn default() -> Self {
        let security = [
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
            (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
            (PERMISSIONS_POLICY, HeaderValue::from_static(PERMISSIONS)),
        ];
        let hsts = Some(HeaderValue::from_static("max-age=31536000"));
        Self::new(security.into(), hsts, None, Changes::default(), Changes::default())
    }
}

const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

impl Headers {
    /// `report_path` is where reports go.
    pub fn read(levels: &mut Levels<'_>, report_path: Option<&str>) -> Self {
        let mut security = Vec::new();
        let on = levels.of("security_headers").bool("security_headers");
        if on && levels.of("nosniff").bool("nosniff") {
            security.push((header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")));
        }
        let mut preset = |name: HeaderName, value: Option<HeaderValue>| {
            security.extend(value.filter(|_| on).map(|value| (name, value)));
        };
        preset(header::X_FRAME_OPTIONS, frame_options(levels));
        preset(header::REFERRER_POLICY, referrer_policy(levels));
        preset(PERMISSIONS_POLICY, value(levels, "permissions_policy", "a value such as camera=()", |_| true));
        let hsts = value(levels, "hsts", "a value such as max-age=31536000", |text| {
            text.split(';').any(|part| {
                let (name, age) = part.split_once('=').unwrap_or_default();
                let age = age.trim().trim_matches('"');
                name.trim().eq_ignore_ascii_case("max-age")
                    && !age.is_empty()
                    && age.bytes().all(|b| b.is_ascii_digit())
            })
        });
        let mut reports = false;
        for (key, name) in [("csp", csp::CSP), ("csp_report_only", csp::REPORT_ONLY)] {
            let text = levels.of(key).text(key).trim();
            if text.is_empty() || text.eq_ignore_ascii_case("off") {
                continue;
            }
            match csp::policy(text, report_path) {
                Ok((policy, tells)) => {
                    security.push((name, policy));
                    reports |= tells;
                }
                Err(words) => levels.wrong(key, words),
            }
        }
        let reporting = report_path.filter(|_| reports).and_then(csp::endpoints);
        let request = changes(levels, Direction::Request);
        Self::new(security, hsts, reporting, request, changes(levels, Direction::Response))
    }

    fn new(
        security: Vec<(HeaderName, HeaderValue)>,
        hsts: Option<HeaderValue>,
        reporting: Option<HeaderValue>,
        request: Changes,
        response: Changes,
    ) -> Self {
        let mut lines = Vec::new();
        for (name, value) in &security {
            line(&mut lines, name, value.as_bytes());
        }
        if let Some(reporting) = &reporting {
            line(&mut lines, &csp::REPORTING_ENDPOINTS, reporting.as_bytes());
        }
        let always = length_bit(&X_REQUEST_ID) | length_bit(&header::STRICT_TRANSPORT_SECURITY);
        let lengths = security.iter().fold(always, |lengths, (name, _)| lengths | length_bit(name));
        Self { security: security.into(), hsts, reporting, request, response, lines: lines.into(), lengths }
    }

    /// Whether all answers have this field, where nobody else says it.
    #[inline]
    pub fn has(&self, name: &HeaderName) -> bool {
        // Most names are told by their length from all of ours.
        self.lengths & length_bit(name) != 0 && self.is_one(name.as_str())
    }

    fn is_one(&self, name: &str) -> bool {
        name == X_REQUEST_ID.as_str()
            || name == header::STRICT_TRANSPORT_SECURITY.as_str()
            || self.security.iter().any(|(ours, _)| ours.as_str() == name)
    }

    /// The same as [`secure`](Self::secure), as lines behind fields that say nothing of it.
    pub fn write(&self, out: &mut Vec<u8>, public: bool) {
        out.extend_from_slice(&self.lines);
        if let Some(hsts) = self.hsts.as_ref().filter(|_| public) {
            line(out, &header::STRICT_TRANSPORT_SECURITY, hsts.as_bytes());
        }
    }

    /// Where the application has said nothing itself.
    pub fn secure(&self, headers: &mut HeaderMap, public: bool) {
        let mut say = |name: &HeaderName, value: &HeaderValue| {
            if let header::Entry::Vacant(place) = headers.entry(name) {
                place.insert(value.clone());
            }
        };
        for (name, value) in self.security.iter() {
            say(name, value);
        }
        if let Some(hsts) = self.hsts.as_ref().filter(|_| public) {
            say(&header::STRICT_TRANSPORT_SECURITY, hsts);
        }
        if let Some(reporting) = &self.reporting {
            // Beside its own.
            headers.append(csp::REPORTING_ENDPOINTS, reporting.clone());
        }
    }
}

#[inline]
fn length_bit(name: &HeaderName) -> u64 {
    1 << name.as_str().len().min(63)
}

/// A header's value, or `off`.
fn value(levels: &mut Levels<'_>, key: &str, expected: &str, fits: impl Fn(&str) -> bool) -> Option<HeaderValue> {
    let text = levels.of(key).text(key).trim();
    if text.is_empty() || text.eq_ignore_ascii_case("off") {
        return None;
    }
    let value = HeaderValue::from_str(text).ok().filter(|_| fits(text));
    if value.is_none() {
        levels.wrong(key, format!("expected off or {expected}, got {text:?}"));
    }
    value
}

fn frame_options(levels: &mut Levels<'_>) -> Option<HeaderValue> {
    let fits = |text: &str| ["DENY", "SAMEORIGIN"].iter().any(|known| known.eq_ignore_ascii_case(text));
    value(levels, "frame_options", "DENY or SAMEORIGIN", fits)
}

fn referrer_policy(levels: &mut Levels<'_>) -> Option<HeaderValue> {
    const POLICIES: [&str; 8] = [
        "no-referrer",
        "no-referrer-when-downgrade",
        "origin",
        "origin-when-cross-origin",
        "same-origin",
        "strict-origin",
        "strict-origin-when-cross-origin",
        "unsafe-url",
    ];
    // Several: the last that the browser knows.
    let fits = |text: &str| text.split(',').all(|part| POLICIES.contains(&part.trim()));
    value(levels, "referrer_policy", "a policy such as same-origin or strict-origin-when-cross-origin", fits)
}

/// From the outermost level to the innermost, so that an inner one can take back what an outer one did.
fn changes(levels: &mut Levels<'_>, direction: Direction) -> Changes {
    let keys = match direction {
        Direction::Request => ["request_headers_remove", "request_headers_set", "request_headers_add"],
        Direction::Response => ["response_headers_remove", "response_headers_set", "response_headers_add"],
    };
    let mut changes = Vec::new();
    for values in levels.outermost_first() {
        for (key, verb) in keys.into_iter().zip([Verb::Remove, Verb::Set, Verb::Add]) {
            for text in values.list(key) {
                match Change::parse(text, verb, direction) {
                    Ok(change) => changes.push(change),
                    Err(words) => levels.wrong_in(values, key, words),
                }
            }
        }
    }
    Changes::new(changes)
}
