//! What becomes of a route's requests.

use super::PathMatch;
use crate::body;
use crate::config::files::{FileTree, StaticDir};
use crate::config::load::Reader;
use crate::config::sites::{TEXTS, setting};
use crate::config::upstreams::{DEFAULT, Named};
use crate::template::Template;
use http::{HeaderValue, StatusCode};
use monodon_settings::{Kind, Setting, Values};

pub(in crate::config) const ACTION: &[Setting] = &[
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
        "The target that the upstream sees, which begins with `/`: `/new/$1$is_args$args`. Variables are $host, $scheme, $uri, $request_uri, $args, \
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
    setting(
        "redirect",
        Kind::Text,
        "To another address, which begins with `/`, `http://`, `https://` or a group of `pattern`: \
         `https://other.example$request_uri`, with the variables of `rewrite`.",
    ),
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
pub enum Action {
    Upstream {
        /// Place in [`crate::config::Config::upstreams`].
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
    pub(super) fn action(
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
                to: self.redirect(values, path)?,
                status: match values.int("status") {
                    0 => StatusCode::PERMANENT_REDIRECT,
                    code => self.status(values, code, |code| matches!(code, 301 | 302 | 303 | 307 | 308))?,
                },
            },
            "respond" => Action::Respond {
                status: match values.int("status") {
                    0 => StatusCode::OK,
                    code => self.status_of_text(values, code)?,
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
            (false, true, _) => Target::Rewritten(self.rewrite(values, path)?),
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

    fn status_of_text(&mut self, values: &Values, code: i64) -> Option<StatusCode> {
        let status = self.status(values, code, |code| code >= 200)?;
        if body::goes_without(status) && !values.text("respond").is_empty() {
            self.problems
                .push(values.problem("respond", format!("an answer with status {code} has no text: leave it empty")));
        }
        Some(status)
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
pub(in crate::config) fn known_upstreams(upstreams: &[Named]) -> String {
    let known: Vec<&str> = upstreams.iter().map(|known| known.name.as_str()).collect();
    format!("no upstream of that name; there is [upstreams.NAME] for {}", known.join(", "))
}
