//! `[[site.route]]`: which requests, and what becomes of them.

use super::files::{FileTree, StaticDir};
use super::load::Reader;
use super::options::Options;
use super::sites::{TEXTS, setting};
use super::upstreams::{DEFAULT, Named};
use crate::path;
use crate::template::Template;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use monodon_settings::{Kind, Setting, Values};
use std::fmt;

pub(super) const WHEN: &[Setting] = &[
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

pub(super) const ACTION: &[Setting] = &[
    Setting {
        aliases: &["proxy_pass"],
        ..setting("upstream", Kind::Text, "To this upstream: a name of `[upstreams]`, or `default`.")
    },
    setting(
        "strip_prefix",
        Kind::Bool,
        "Take the `path` away before the upstream sees it; it is told by `X-Forwarded-Prefix`.",
    ),
    setting(
        "rewrite",
        Kind::Text,
        "The target that the upstream sees: `/new/$1$is_args$args`. Variables are $host, $scheme, $uri, $request_uri, $args, \
         $is_args, and the groups of `pattern`.",
    ),
    Setting {
        aliases: &["alias"],
        ..setting(
            "files",
            Kind::Path,
            "From this folder: what follows `path` is the file's name. With `exact`, this file. Links are not followed, dot \
             files but `.well-known` are not there.",
        )
    },
    setting("root", Kind::Path, "From this folder: the whole path is the file's name, as with nginx's root."),
    setting(
        "try_files",
        TEXTS,
        "With `files` or `root`, what is looked for in this order: paths of the site such as `$uri`, `$uri.html`, `/page/$1`, \
         with a `/` at the end folders. Last comes what happens when none is there: `=404`, `@default` or `@NAME` for an \
         upstream, or another path of the site such as `/index.html`.",
    ),
    setting(
        "uploads",
        Kind::Bool,
        "The files come from users: HTML is downloaded, SVG sandboxed, nothing is cached for others.",
    ),
    setting("redirect", Kind::Text, "To another address: `https://other.example$request_uri`."),
    setting(
        "status",
        Kind::Int { min: 0, max: 599 },
        "Of a redirect: 301, 302, 303, 307, 308 (default). Of a fixed answer: 200 to 599.",
    ),
    setting("respond", Kind::Text, "A fixed answer: this text, which may be empty if there is a `status`."),
    setting("content_type", Kind::Text, "Of the fixed answer; by default `text/plain; charset=utf-8`."),
    setting("close", Kind::Bool, "The connection is closed without an answer (nginx: 444)."),
];

#[derive(Clone, Debug, PartialEq, Default)]
pub struct Route {
    /// For metrics and logs.
    pub name: String,
    pub when: When,
    pub action: Action,
    /// Not for clients.
    pub internal: bool,
    pub options: Options,
    /// Place among the site's routes in the file.
    pub declared: usize,
}

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

#[derive(Clone, Debug, PartialEq, Default)]
pub enum Action {
    Upstream {
        /// Place in [`super::Config::upstreams`].
        place: usize,
        target: Target,
    },
    Files(FileTree),
    Redirect {
        to: Template,
        status: StatusCode,
    },
    Respond {
        status: StatusCode,
        content_type: HeaderValue,
        text: String,
    },
    #[default]
    Close,
}

/// What the upstream is asked for.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Target {
    /// The client's own bytes.
    #[default]
    Same,
    /// Without this prefix, which has no slash at its end.
    Without(String),
    Rewritten(Template),
}

impl Reader<'_> {
    pub(super) fn route(
        &mut self,
        values: &Values,
        site: &Values,
        upstreams: &[Named],
        files: &mut Vec<StaticDir>,
    ) -> Option<Route> {
        let before = self.problems.0.len();
        let path = self.path_match(values);
        let when = When { methods: self.methods(values), headers: self.header_matches(values), path };
        let action = self.action(values, &when.path, upstreams, files);
        let name = match (values.text("name"), &when.path) {
            ("", PathMatch::Exact(path) | PathMatch::Prefix(path)) => path.clone(),
            ("", PathMatch::Pattern(pattern)) => pattern.0.as_str().to_owned(),
            (name, _) => name.to_owned(),
        };
        let options = self.options(&[values, site, self.values]);
        let action = action.filter(|_| self.problems.0.len() == before)?;
        Some(Route { name, when, action, internal: values.bool("internal"), options, declared: 0 })
    }

    fn path_match(&mut self, values: &Values) -> PathMatch {
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

    fn methods(&mut self, values: &Values) -> Vec<Method> {
        let mut methods = Vec::new();
        for text in values.list("methods") {
            match Method::from_bytes(text.as_bytes()) {
                Ok(method) if text.bytes().all(|byte| byte.is_ascii_uppercase()) => methods.push(method),
                _ => {
                    self.problems
                        .push(values.problem("methods", format!("expected methods such as GET, got {text:?}")));
                }
            }
        }
        // Applications answer HEAD as GET: it must not get round what a route asks of GET.
        if methods.contains(&Method::GET) && !methods.contains(&Method::HEAD) {
            methods.push(Method::HEAD);
        }
        methods
    }

    fn header_matches(&mut self, values: &Values) -> Vec<HeaderMatch> {
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

    fn action(
        &mut self,
        values: &Values,
        path: &PathMatch,
        upstreams: &[Named],
        files: &mut Vec<StaticDir>,
    ) -> Option<Action> {
        let respond = values.is_set("respond") || (values.is_set("status") && !values.is_set("redirect"));
        let chosen = [
            ("upstream", values.is_set("upstream")),
            ("files", values.is_set("files")),
            ("root", values.is_set("root")),
            ("redirect", values.is_set("redirect")),
            ("respond", respond),
            ("close", values.bool("close")),
        ];
        let chosen: Vec<&str> = chosen.into_iter().filter_map(|(key, given)| given.then_some(key)).collect();
        let [chosen] = chosen.as_slice() else {
            self.problems.push(values.problem_here("needs one of upstream, files, root, redirect, respond and close"));
            return None;
        };
        self.belongs(values, chosen);
        Some(match *chosen {
            "upstream" => self.upstream_action(values, path, upstreams)?,
            "files" | "root" => Action::Files(self.file_tree(values, path, upstreams, files)?),
            "redirect" => Action::Redirect {
                to: self.template(values, "redirect", path)?,
                status: match values.int("status") {
                    0 => StatusCode::PERMANENT_REDIRECT,
                    code => self.status(values, code, |code| matches!(code, 301 | 302 | 303 | 307 | 308))?,
                },
            },
            "respond" => Action::Respond {
                status: match values.int("status") {
                    0 => StatusCode::OK,
                    code => self.status(values, code, |code| code >= 200)?,
                },
                content_type: match values.text("content_type") {
                    "" => HeaderValue::from_static("text/plain; charset=utf-8"),
                    text => HeaderValue::from_str(text)
                        .map_err(|_| self.problems.push(values.problem("content_type", "not a header's value")))
                        .ok()?,
                },
                text: values.text("respond").to_owned(),
            },
            _ => Action::Close,
        })
    }

    /// A key that the action does not look at is a mistake.
    fn belongs(&mut self, values: &Values, action: &str) {
        let keys: [(&str, &[&str]); 5] = [
            ("strip_prefix", &["upstream"]),
            ("rewrite", &["upstream"]),
            ("uploads", &["files", "root"]),
            ("try_files", &["files", "root"]),
            ("content_type", &["respond"]),
        ];
        for (key, owners) in keys {
            if values.is_set(key) && !owners.contains(&action) {
                self.problems
                    .push(values.problem(key, format!("goes with {}, not with {action}", owners.join(" or "))));
            }
        }
        if values.is_set("status") && !matches!(action, "redirect" | "respond") {
            self.problems.push(values.problem("status", format!("goes with redirect or respond, not with {action}")));
        }
    }

    fn upstream_action(&mut self, values: &Values, path: &PathMatch, upstreams: &[Named]) -> Option<Action> {
        let name = values.text("upstream");
        let place = upstreams.iter().position(|known| known.name == name);
        let target = match (values.bool("strip_prefix"), values.is_set("rewrite"), path) {
            (false, false, _) => Target::Same,
            (false, true, _) => Target::Rewritten(self.template(values, "rewrite", path)?),
            (true, false, PathMatch::Prefix(prefix)) => Target::Without(prefix.trim_end_matches('/').to_owned()),
            (true, ..) => {
                let words = "goes with `path`, a prefix, and without `rewrite`";
                self.problems.push(values.problem("strip_prefix", words));
                Target::Same
            }
        };
        let Some(place) = place else {
            self.problems.push(values.problem("upstream", known_upstreams(upstreams)));
            return None;
        };
        if upstreams.get(place).is_some_and(|named| named.upstream.servers.is_empty()) && name == DEFAULT {
            self.problems.push(values.problem("upstream", "the setting `upstream`, which this names, is not set"));
        }
        Some(Action::Upstream { place, target })
    }

    fn template(&mut self, values: &Values, key: &str, path: &PathMatch) -> Option<Template> {
        let pattern = if let PathMatch::Pattern(pattern) = path { Some(&pattern.0) } else { None };
        let template = Template::parse(values.text(key), pattern);
        template.map_err(|wrong| self.problems.push(values.problem(key, wrong))).ok()
    }

    fn status(&mut self, values: &Values, code: i64, fine: impl Fn(u16) -> bool) -> Option<StatusCode> {
        let status =
            u16::try_from(code).ok().filter(|code| fine(*code)).and_then(|code| StatusCode::from_u16(code).ok());
        if status.is_none() {
            self.problems.push(values.problem("status", format!("{code} does not go with what this route does")));
        }
        status
    }
}

/// What is said of a name that no upstream has.
pub(super) fn known_upstreams(upstreams: &[Named]) -> String {
    let known: Vec<&str> = upstreams.iter().map(|known| known.name.as_str()).collect();
    format!("no upstream of that name; there is [upstreams.NAME] for {}", known.join(", "))
}
