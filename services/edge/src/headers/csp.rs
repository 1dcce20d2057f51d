//! Content security policies: checked when they are read, and told where to report to.

use http::{HeaderName, HeaderValue};

pub const CSP: HeaderName = http::header::CONTENT_SECURITY_POLICY;
pub const REPORT_ONLY: HeaderName = http::header::CONTENT_SECURITY_POLICY_REPORT_ONLY;
pub const REPORTING_ENDPOINTS: HeaderName = HeaderName::from_static("reporting-endpoints");

/// The name of our endpoint within an answer.
const GROUP: &str = "monodon-csp";

/// CSP level 3 and its neighbours; what a policy may say, and what a report is counted by.
pub const DIRECTIVES: [&str; 30] = [
    "base-uri",
    "block-all-mixed-content",
    "child-src",
    "connect-src",
    "default-src",
    "fenced-frame-src",
    "font-src",
    "form-action",
    "frame-ancestors",
    "frame-src",
    "img-src",
    "manifest-src",
    "media-src",
    "navigate-to",
    "object-src",
    "prefetch-src",
    "report-to",
    "report-uri",
    "require-trusted-types-for",
    "sandbox",
    "script-src",
    "script-src-attr",
    "script-src-elem",
    "style-src",
    "style-src-attr",
    "style-src-elem",
    "trusted-types",
    "upgrade-insecure-requests",
    "webrtc",
    "worker-src",
];

/// A policy as a header's value; with a path, it reports there unless it says itself where to. `Err` is a sentence.
pub fn policy(text: &str, report_path: Option<&str>) -> Result<(HeaderValue, bool), String> {
    let directives: Vec<Vec<&str>> = text
        .split(';')
        .map(|directive| directive.split_ascii_whitespace().collect::<Vec<_>>())
        .filter(|words| !words.is_empty())
        .collect();
    let names: Vec<&str> = directives.iter().filter_map(|words| words.first().copied()).collect();
    if let Some(name) = names.iter().find(|name| !DIRECTIVES.contains(name)) {
        return Err(format!(
            "{name:?} is no directive of a content security policy such as default-src 'self'; img-src *"
        ));
    }
    if let Some(name) =
        names.iter().enumerate().find_map(|(at, name)| names.iter().take(at).find(|known| *known == name))
    {
        return Err(format!("{name} stands there twice; browsers would go by the first"));
    }
    if text.contains(',') {
        return Err(
            "a comma would begin another policy; sources are separated by spaces, directives by semicolons".into()
        );
    }
    let mut policy = directives.iter().map(|words| words.join(" ")).collect::<Vec<_>>().join("; ");
    let own = names.iter().any(|name| matches!(*name, "report-uri" | "report-to"));
    let reports = report_path.filter(|_| !own && !policy.is_empty());
    if let Some(path) = reports {
        policy.push_str(&format!("; report-uri {path}; report-to {GROUP}"));
    }
    let value = HeaderValue::from_str(&policy).ok().filter(|_| policy.is_ascii());
    let value = value.ok_or("a policy is plain ASCII; other hosts are written as xn--...")?;
    Ok((value, reports.is_some()))
}

/// The value of Reporting-Endpoints that goes with it.
pub fn endpoints(path: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("{GROUP}=\"{path}\"")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies() {
        let of = |text: &str| policy(text, Some("/r")).map(|(value, _)| value.to_str().unwrap().to_owned());
        assert_eq!(
            of(" default-src 'self';img-src  *; ").unwrap(),
            "default-src 'self'; img-src *; report-uri /r; report-to monodon-csp"
        );
        assert_eq!(of("default-src 'none'; report-uri /mine").unwrap(), "default-src 'none'; report-uri /mine");
        assert_eq!(
            policy("default-src 'self'", None).unwrap(),
            (HeaderValue::from_static("default-src 'self'"), false)
        );
        for (text, words) in [
            ("defualt-src 'self'", "\"defualt-src\" is no directive"),
            ("img-src a; img-src b", "img-src stands there twice"),
            ("img-src a, b", "a comma would begin another policy"),
            ("img-src http://b\u{fc}cher.example", "plain ASCII"),
        ] {
            assert!(of(text).unwrap_err().contains(words), "{text}");
        }
        assert!(DIRECTIVES.is_sorted());
    }
}
