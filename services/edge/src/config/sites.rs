//! Sites, their routes, and further upstreams: the tables of `edge.toml`.

use super::load::{Reader, is_domain};
use super::options::{self, Options};
use super::{StaticDir, Timeouts, Upstream};
use crate::path;
use crate::router;
use crate::template::Template;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use monodon_settings::{Kind, Section, Setting, Table, Values};
use std::fmt;

/// `[[site]]`, `[upstreams.NAME]`.
pub const TABLES: &[Table] = &[
    Table {
        key: "site",
        named: false,
        words: "A site: the hosts it answers for and its routes. Without any there is one, for `domains` or for every host. A \
                request that none of a site's routes takes goes to the folders of `static`, then to `upstream`, where those are set.",
        sections: &[
            Section { title: "The site", settings: SITE },
            Section { title: "Otherwise than the rest", settings: options::SETTINGS },
        ],
        tables: &[Table {
            key: "route",
            named: false,
            words: "What becomes of some of the site's requests. `path`, `exact` or `pattern` says which; an exact path is looked at \
                    before patterns, those before the longest prefix, as in nginx. One of `upstream`, `files`, `redirect`, `respond` \
                    and `close` says what happens.",
            sections: &[
                Section { title: "Which requests", settings: WHEN },
                Section { title: "What happens", settings: ACTION },
                Section { title: "Otherwise than its site", settings: options::SETTINGS },
            ],
            tables: &[],
        }],
    },
    Table {
        key: "upstreams",
        named: true,
        words: "An upstream that routes name, beside the one of `upstream`, which they name `default`. What is not said here is as \
                for that one.",
        sections: &[Section { title: "The upstream", settings: UPSTREAM }],
        tables: &[],
    },
];

const fn setting(key: &'static str, kind: Kind, words: &'static str) -> Setting {
    Setting { key, kind, words, ..Setting::NEW }
}

const TEXTS: Kind = Kind::List(&Kind::Text);

const SITE: &[Setting] = &[
    Setting {
        aliases: &["server_name"],
        ..setting(
            "hosts",
            TEXTS,
            "Its names: `shop.example`, or `*.shop.example` for all names below. Certificates are kept for the \
                                   former. None: every host that no other site has.",
        )
    },
    setting("default", Kind::Bool, "It also answers for every host that no other site has."),
    setting("name", Kind::Text, "Its name in metrics and logs; by default the host."),
    setting("canonical", Kind::Text, "The host to which its other hosts are redirected."),
];

const WHEN: &[Setting] = &[
    setting("path", Kind::Text, "A prefix: `/api/` takes `/api` and everything below it, not `/apis`. `/` takes all."),
    setting("exact", Kind::Text, "One path."),
    setting(
        "pattern",
        Kind::Text,
        "A regular expression that is looked for in the path; `$1` and `$name` of its groups serve in `redirect` and `rewrite`.",
    ),
    setting("methods", TEXTS, "Only these methods."),
    setting("headers", TEXTS, "Only with these headers: `x-beta` for any value, `x-beta=1` for that one."),
    setting("name", Kind::Text, "Its name in metrics and logs; by default the path."),
];

const ACTION: &[Setting] = &[
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
        ..setting("files", Kind::Path, "From this folder: what follows `path` is the file's name.")
    },
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

const UPSTREAM: &[Setting] = &[
    Setting {
        aliases: &["server"],
        ..setting(
            "servers",
            Kind::List(&Kind::Address),
            "Where it is: `node:3000`, `unix:/run/node.sock`; names are resolved again and again.",
        )
    },
    setting(
        "check",
        Kind::Text,
        "What is asked at each address every second: `:9102/readyz`, `/healthz`; empty tries to connect only.",
    ),
    setting("queue_per_slot", Kind::Int { min: 0, max: 100_000 }, "How many requests may wait for each slot."),
    setting(
        "max_connections",
        Kind::Int { min: 1, max: 1_000_000 },
        "Connections where it does not say how many slots it has.",
    ),
    setting("queue_timeout", Kind::Duration, "How long a request waits for a slot."),
    setting("connect_timeout", Kind::Duration, "For a connection."),
    setting("first_byte_timeout", Kind::Duration, "For the first byte of an answer."),
];

/// The hosts that belong together, and what becomes of their requests.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Site {
    pub name: Option<String>,
    pub hosts: Vec<Host>,
    pub default: bool,
    pub canonical: Option<String>,
    /// Of what no route takes.
    pub options: Options,
    /// In the order in which they are tried.
    pub routes: Vec<Route>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// Lower case, without port.
    Exact(String),
    /// `*.example.org`: every name below, not the name itself.
    Below(String),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Below(name) => write!(f, "*.{name}"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct Route {
    /// For metrics and logs.
    pub name: String,
    pub when: When,
    pub action: Action,
    pub options: Options,
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
    /// Place in [`super::Config::files`].
    Files(usize),
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

/// An upstream with a name, and the waits of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    pub name: String,
    pub upstream: Upstream,
    pub timeouts: Timeouts,
}

/// The name under which routes find the upstream of the flat settings.
pub const DEFAULT: &str = "default";

impl Reader<'_> {
    pub(super) fn upstreams(&mut self, default: &Upstream, timeouts: &Timeouts) -> Vec<Named> {
        let mut all = vec![Named { name: DEFAULT.into(), upstream: default.clone(), timeouts: timeouts.clone() }];
        let blocks: Vec<_> = self.values.blocks("upstreams").collect();
        for block in blocks {
            let values = &block.values;
            if block.name == DEFAULT {
                self.problems.push(
                    values.problem_here("`default` is the upstream of the setting `upstream`; take another name"),
                );
                continue;
            }
            let mut upstream = Upstream { addresses: Vec::new(), check: None, ..default.clone() };
            for address in values.addresses("servers") {
                match Self::address(address) {
                    Ok(address) => upstream.addresses.push(address),
                    Err(wrong) => self.problems.push(values.problem("servers", wrong)),
                }
            }
            if upstream.addresses.is_empty() {
                self.problems
                    .push(values.problem("servers", "an upstream needs at least one, such as [\"node:3000\"]"));
            }
            match Self::check(values.text("check")) {
                Ok(check) => upstream.check = check,
                Err(wrong) => self.problems.push(values.problem("check", wrong)),
            }
            let int = |key: &str| values.is_set(key).then(|| usize::try_from(values.int(key)).unwrap_or(0));
            let wait = |key: &str| values.is_set(key).then(|| values.duration(key));
            upstream.queue_per_slot = int("queue_per_slot").unwrap_or(upstream.queue_per_slot);
            upstream.max_connections = int("max_connections").unwrap_or(upstream.max_connections);
            let timeouts = Timeouts {
                queue: wait("queue_timeout").unwrap_or(timeouts.queue),
                connect: wait("connect_timeout").unwrap_or(timeouts.connect),
                first_byte: wait("first_byte_timeout").unwrap_or(timeouts.first_byte),
                ..timeouts.clone()
            };
            for (key, time) in [("connect_timeout", timeouts.connect), ("first_byte_timeout", timeouts.first_byte)] {
                if time.is_zero() {
                    self.problems.push(values.problem(key, "expected more than 0"));
                }
            }
            all.push(Named { name: block.name.clone(), upstream, timeouts });
        }
        all
    }

    /// All sites; where none is declared, one for `domains` or for every host.
    pub(super) fn sites(&mut self, domains: &[String], upstreams: &[Named], files: &mut Vec<StaticDir>) -> Vec<Site> {
        let blocks: Vec<_> = self.values.blocks("site").collect();
        let mut sites: Vec<Site> = Vec::new();
        for block in &blocks {
            let site = self.site(&block.values, upstreams, files);
            for host in &site.hosts {
                if sites.iter().any(|known| known.hosts.contains(host)) {
                    self.problems
                        .push(block.values.problem("hosts", format!("{host} belongs to another site already")));
                }
            }
            let open = |site: &Site| site.default || site.hosts.is_empty();
            if open(&site) && sites.iter().any(open) {
                let words = "another site answers for every other host already; give this one hosts, without `default`";
                self.problems.push(block.values.problem_here(words));
            }
            sites.push(site);
        }
        let free = |name: &&String| !sites.iter().any(|site| site.hosts.contains(&Host::Exact((*name).clone())));
        let hosts: Vec<Host> = domains.iter().filter(free).cloned().map(Host::Exact).collect();
        if sites.is_empty() || !hosts.is_empty() {
            sites.push(Site { hosts, options: Options::read(&[self.values]), ..Site::default() });
        }
        sites
    }

    fn site(&mut self, values: &Values, upstreams: &[Named], files: &mut Vec<StaticDir>) -> Site {
        let mut hosts: Vec<Host> = Vec::new();
        for text in values.list("hosts") {
            let name = text.trim_end_matches('.').to_ascii_lowercase();
            let (name, host): (&str, fn(String) -> Host) = match name.strip_prefix("*.") {
                Some(below) => (below, Host::Below),
                None => (&name, Host::Exact),
            };
            if !is_domain(name) && name.parse::<std::net::Ipv4Addr>().is_err() {
                let words = format!("expected a name such as shop.example or *.shop.example, got {text:?}");
                self.problems.push(values.problem("hosts", words));
            } else if !hosts.contains(&host(name.to_owned())) {
                hosts.push(host(name.to_owned()));
            }
        }
        let canonical = values.text("canonical").to_ascii_lowercase();
        if !canonical.is_empty() && !is_domain(&canonical) {
            self.problems
                .push(values.problem("canonical", format!("expected a name such as shop.example, got {canonical:?}")));
        }
        let name = values.text("name");
        let mut routes: Vec<Route> =
            values.blocks("route").filter_map(|block| self.route(&block.values, values, upstreams, files)).collect();
        router::order(&mut routes);
        Site {
            name: (!name.is_empty()).then(|| name.to_owned()),
            hosts,
            default: values.bool("default"),
            canonical: (!canonical.is_empty()).then_some(canonical),
            options: Options::read(&[values, self.values]),
            routes,
        }
    }

    fn route(
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
        let action = action.filter(|_| self.problems.0.len() == before)?;
        Some(Route { name, when, action, options: Options::read(&[values, site, self.values]) })
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
            ("redirect", values.is_set("redirect")),
            ("respond", respond),
            ("close", values.bool("close")),
        ];
        let chosen: Vec<&str> = chosen.into_iter().filter_map(|(key, given)| given.then_some(key)).collect();
        let [chosen] = chosen.as_slice() else {
            self.problems.push(values.problem_here("needs one of upstream, files, redirect, respond and close"));
            return None;
        };
        self.belongs(values, chosen);
        Some(match *chosen {
            "upstream" => self.upstream_action(values, path, upstreams)?,
            "files" => Action::Files(self.files_action(values, path, files)?),
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
        let keys =
            [("strip_prefix", "upstream"), ("rewrite", "upstream"), ("uploads", "files"), ("content_type", "respond")];
        for (key, owner) in keys {
            if values.is_set(key) && owner != action {
                self.problems.push(values.problem(key, format!("goes with {owner}, not with {action}")));
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
            let known: Vec<&str> = upstreams.iter().map(|known| known.name.as_str()).collect();
            let words = format!("no upstream of that name; there is [upstreams.NAME] for {}", known.join(", "));
            self.problems.push(values.problem("upstream", words));
            return None;
        };
        if upstreams.get(place).is_some_and(|named| named.upstream.addresses.is_empty()) && name == DEFAULT {
            self.problems.push(values.problem("upstream", "the setting `upstream`, which this names, is not set"));
        }
        Some(Action::Upstream { place, target })
    }

    fn files_action(&mut self, values: &Values, path: &PathMatch, files: &mut Vec<StaticDir>) -> Option<usize> {
        let PathMatch::Prefix(prefix) = path else {
            self.problems
                .push(values.problem("files", "goes with `path`, a prefix: what follows it is the file's name"));
            return None;
        };
        let prefix = if prefix.ends_with('/') { prefix.clone() } else { format!("{prefix}/") };
        files.push(StaticDir { prefix, dir: values.path("files")?, uploads: values.bool("uploads"), routed: true });
        Some(files.len() - 1)
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
