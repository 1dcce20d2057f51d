//! Which requests a route takes.

use crate::access;
use crate::config::load::Reader;
use crate::config::sites::{TEXTS, setting};
use crate::path;
use http::{HeaderName, HeaderValue, Method};
use monodon_settings::{Kind, Setting, Values};
use std::fmt;

pub(in crate::config) const WHEN: &[Setting] = &[
    setting("path", Kind::Text, "A prefix: `/api/` takes `/api` and everything below it, not `/apis`. `/` takes all."),
    setting("exact", Kind::Text, "One path."),
    setting(
        "pattern",
        Kind::Text,
        "A regular expression that is looked for in the path; `$1` and `$name` of its groups serve in `redirect` and `rewrite`.",
    ),
    setting("methods", TEXTS, "Only these methods; `GET` takes `HEAD`, too."),
    setting("headers", TEXTS, "Only with these headers: `x-beta` for any value, `x-beta=1` for that one."),
    setting("name", Kind::Text, "Its name in metrics and logs; by default the path."),
    setting(
        "internal",
        Kind::Bool,
        "Clients get 404: only `X-Accel-Redirect` or `X-Sendfile` of an upstream's answer, or `try_files`, leads there.",
    ),
];

#[derive(Clone, Debug, PartialEq, Default)]
pub struct When {
    pub path: PathMatch,
    /// None: all.
    pub methods: Vec<Method>,
    pub headers: Vec<HeaderMatch>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum PathMatch {
    Exact(String),
    Prefix(String),
    Pattern(Pattern),
}

impl PathMatch {
    /// For its groups.
    pub fn pattern(&self) -> Option<&regex::Regex> {
        if let Self::Pattern(pattern) = self { Some(&pattern.0) } else { None }
    }
}

impl fmt::Display for PathMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => write!(f, "exact {path}"),
            Self::Prefix(path) => write!(f, "path {path}"),
            Self::Pattern(pattern) => write!(f, "pattern {}", pattern.0.as_str()),
        }
    }
}

impl Default for PathMatch {
    fn default() -> Self {
        Self::Prefix("/".into())
    }
}

#[derive(Clone, Debug)]
pub struct Pattern(pub regex::Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct HeaderMatch {
    pub name: HeaderName,
    /// None: any.
    pub value: Option<HeaderValue>,
}

impl Reader<'_> {
    pub(super) fn path_match(&mut self, values: &Values) -> PathMatch {
        let given: Vec<&str> = ["path", "exact", "pattern"].into_iter().filter(|key| values.is_set(key)).collect();
        let [key] = given.as_slice() else {
            let words = if given.is_empty() {
                "needs a path, an exact path or a pattern"
            } else {
                "takes one of path, exact and pattern"
            };
            self.problems.push(values.problem_here(words));
            return PathMatch::default();
        };
        let text = values.text(key);
        if *key == "pattern" {
            return match regex::Regex::new(text) {
                Ok(pattern) => PathMatch::Pattern(Pattern(pattern)),
                Err(error) => {
                    let words = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
                    self.problems.push(values.problem(key, format!("not a regular expression: {words}")));
                    PathMatch::default()
                }
            };
        }
        if path::normalise(text).ok().as_deref() != Some(text) {
            let words = format!("expected a plain path such as /api/ (decoded, no . or .. segments), got {text:?}");
            self.problems.push(values.problem(key, words));
        }
        if *key == "exact" { PathMatch::Exact(text.to_owned()) } else { PathMatch::Prefix(text.to_owned()) }
    }

    pub(super) fn methods(&mut self, values: &Values) -> Vec<Method> {
        let (methods, wrong) = access::methods::parse(values.list("methods"));
        for words in wrong {
            self.problems.push(values.problem("methods", words));
        }
        methods
    }

    pub(super) fn header_matches(&mut self, values: &Values) -> Vec<HeaderMatch> {
        let mut headers = Vec::new();
        for text in values.list("headers") {
            let (name, value) = text.split_once('=').map_or((text.as_str(), None), |(name, value)| (name, Some(value)));
            let name = HeaderName::from_bytes(name.trim().as_bytes());
            match (name, value.map(HeaderValue::from_str).transpose()) {
                (Ok(name), Ok(value)) => headers.push(HeaderMatch { name, value }),
                _ => {
                    let words = format!("expected a header's name or name=value, got {text:?}");
                    self.problems.push(values.problem("headers", words));
                }
            }
        }
        headers
    }
}
