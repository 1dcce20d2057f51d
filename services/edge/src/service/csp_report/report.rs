//! What is in a report. Anybody can send anything here, so what is kept of it has bounds and acts nowhere.
//!
//! This file needs nothing of the edge: the fuzz target compiles it alone.

use serde_json::Value;

/// Characters of a field in the log.
pub const SHOWN: usize = 200;

/// What is kept of a report; all of it the browser's word.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub directive: String,
    pub enforced: bool,
    pub blocked: String,
    pub document: String,
    pub source: String,
}

/// Those on policies; `None` where it is no report at all.
pub fn reports(bytes: &[u8]) -> Option<Vec<Report>> {
    match serde_json::from_slice::<Value>(bytes).ok()? {
        Value::Object(report) => {
            let report = report.get("csp-report").filter(|report| report.is_object())?;
            Some(vec![Report::of(report, ["effective-directive", "blocked-uri", "document-uri", "source-file"])])
        }
        Value::Array(batch) => {
            let violations =
                batch.iter().filter(|report| report.get("type").is_some_and(|kind| kind == "csp-violation"));
            let fields = ["effectiveDirective", "blockedURL", "documentURL", "sourceFile"];
            Some(violations.filter_map(|report| Some(Report::of(report.get("body")?, fields))).collect())
        }
        _ => None,
    }
}

impl Report {
    fn of(report: &Value, [directive, blocked, document, source]: [&str; 4]) -> Self {
        let text = |key: &str| report.get(key).and_then(Value::as_str).unwrap_or_default();
        // Older browsers give the whole directive, under another name.
        let named = Some(text(directive)).filter(|name| !name.is_empty()).unwrap_or_else(|| text("violated-directive"));
        Self {
            directive: shown(named.split_ascii_whitespace().next().unwrap_or_default()),
            enforced: text("disposition") != "report",
            blocked: shown(text(blocked)),
            document: shown(text(document)),
            source: shown(text(source)),
        }
    }
}

/// Without query and fragment, which hold secrets, and without what would turn a terminal's text around; cut.
fn shown(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let mut out = String::new();
    for c in text.chars() {
        let length = if matches!(c, ' '..='~') { 1 } else { c.escape_unicode().count() };
        if out.len() + length > SHOWN {
            break;
        }
        if length == 1 { out.push(c) } else { out.extend(c.escape_unicode()) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        let old = br#"{"csp-report":{"document-uri":"https://a.example/p?token=1","violated-directive":"img-src 'self'",
            "effective-directive":"img-src","blocked-uri":"https://evil.example/x.png#f","disposition":"report","source-file":5}}"#;
        let report = &reports(old).unwrap()[0];
        assert_eq!((report.directive.as_str(), report.enforced), ("img-src", false));
        assert_eq!(
            (report.document.as_str(), report.blocked.as_str()),
            ("https://a.example/p", "https://evil.example/x.png")
        );
        let new = br#"[{"type":"deprecation","body":{}},{"type":"csp-violation","body":{"effectiveDirective":"script-src-elem",
            "blockedURL":"inline","documentURL":"https://a.example/","disposition":"enforce","sourceFile":"https://a.example/s.js"}}]"#;
        let new = reports(new).unwrap();
        assert_eq!(new.len(), 1);
        assert_eq!(
            (new[0].directive.as_str(), new[0].enforced, new[0].source.as_str()),
            ("script-src-elem", true, "https://a.example/s.js")
        );
        let oldest = br#"{"csp-report":{"violated-directive":"script-src 'self' https:"}}"#;
        assert_eq!(reports(oldest).unwrap()[0].directive, "script-src");
    }

    #[test]
    fn what_is_no_report() {
        let deep = "[".repeat(5000);
        for text in ["", "x", "5", "null", "\"a\"", "{}", r#"{"csp-report":5}"#, r#"{"csp-report":[]}"#, &deep] {
            assert_eq!(reports(text.as_bytes()), None, "{text}");
        }
        assert_eq!(reports(b"[1, {}, {\"type\":\"csp-violation\"}]"), Some(vec![]));
        assert_eq!(reports(br#"{"csp-report":{}}"#), Some(vec![Report { enforced: true, ..Report::default() }]));
    }

    #[test]
    fn nothing_gets_into_the_log_that_acts_there() {
        assert_eq!(shown("a\u{1b}[31m\n\u{202e}b\u{e9}"), "a\\u{1b}[31m\\u{a}\\u{202e}b\\u{e9}");
        assert_eq!(shown(&"x".repeat(10_000)).len(), SHOWN);
        assert!(shown(&"\n".repeat(10_000)).len() <= SHOWN);
    }

    /// Any change of a byte gives a report within bounds, or none.
    #[test]
    fn mutations() {
        let seeds: [&[u8]; 2] = [
            br#"{"csp-report":{"violated-directive":"img-src 'self'","blocked-uri":"a","disposition":"report"}}"#,
            br#"[{"type":"csp-violation","body":{"effectiveDirective":"script-src","blockedURL":"inline"}}]"#,
        ];
        let mut random = fastrand::Rng::with_seed(11);
        for round in 0..20_000 {
            let mut bytes = seeds[round % 2].to_vec();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
            for report in reports(&bytes).unwrap_or_default() {
                assert!(report.directive.len() <= SHOWN && report.directive.is_ascii());
            }
        }
    }
}
