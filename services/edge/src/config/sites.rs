//! `[[site]]`: the hosts that belong together, and what becomes of their requests.

use super::StaticDir;
use super::limits;
use super::load::Reader;
use super::options::{Options, with_options};
use super::routes::{self, Route, When};
use super::tls::is_domain;
use super::transport;
use super::upstreams::{self, Named};
use crate::router;
use monodon_settings::{Kind, Section, Setting, Table, Values};
use std::fmt;

/// `[[site]]`, `[upstreams.NAME]`.
pub const TABLES: &[Table] = &[
    Table {
        key: "site",
        named: false,
        words: "A site: the hosts it answers for and its routes. Without any there is one, for `domains` or for every host. A \
                request that none of a site's routes takes goes to the folders of `static`, then to `upstream`, where those are set.",
        sections: with_options!(again, Section::new("The site", SITE)),
        tables: &[Table {
            key: "route",
            named: false,
            words: "What becomes of some of the site's requests. `path`, `exact` or `pattern` says which; an exact path is looked at \
                    before patterns, those before the longest prefix, as in nginx. One of `upstream`, `files`, `root`, `redirect`, `respond` \
                    and `close` says what happens.",
            sections: with_options!(
                again,
                Section::new("Which requests", routes::WHEN),
                Section::new("What happens", routes::ACTION)
            ),
            tables: &[],
        }],
    },
    Table {
        key: "limits",
        named: true,
        words: "A limit that routes and sites name by `limit`: of requests in a time, of requests at a time, or both. Counted over all \
                threads; what has been counted outlives a reload that does not change it.",
        sections: &[Section::new("The limit", limits::ZONE)],
        tables: &[],
    },
    Table {
        key: "upstreams",
        named: true,
        words: "An upstream that routes name, beside the one of `upstream`, which they name `default`. What is not said here is as \
                for that one, but for how it is spoken to: that each says itself.",
        sections: &[
            Section::new("The upstream", upstreams::UPSTREAM),
            Section::again("Balancing", upstreams::balance::SETTINGS),
            Section::again("Health of upstreams", upstreams::health::SETTINGS),
            Section::new("How it is spoken to", transport::TRANSPORT),
        ],
        tables: &[],
    },
];

pub(super) const fn setting(key: &'static str, kind: Kind, words: &'static str) -> Setting {
    Setting { key, kind, words, ..Setting::NEW }
}

pub(super) const TEXTS: Kind = Kind::List(&Kind::Text);

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
    setting(
        "canonical",
        Kind::Text,
        "The host to which its other hosts are redirected: with 301 (308 but for GET and HEAD) where its certificate is public or a \
         trusted proxy says https, else with 307, which nobody remembers.",
    ),
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
    /// Place among the sites in the file; none where no file declares it.
    pub declared: Option<usize>,
    /// One of them is internal: an application's word may lead there.
    pub internal: bool,
}

impl Site {
    /// It answers for every host that no other site has.
    pub fn is_default(&self) -> bool {
        self.default || self.hosts.is_empty()
    }

    /// For people.
    pub fn label(&self) -> String {
        match &self.name {
            Some(name) => name.clone(),
            None if self.hosts.is_empty() => "every other host".into(),
            None => self.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        }
    }
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

impl Reader<'_> {
    /// All sites; where none is declared, one for `domains` or for every host.
    pub(super) fn sites(&mut self, domains: &[String], upstreams: &[Named], files: &mut Vec<StaticDir>) -> Vec<Site> {
        let blocks: Vec<_> = self.values.blocks("site").collect();
        let mut sites: Vec<Site> = Vec::new();
        for (declared, block) in blocks.iter().enumerate() {
            let site = Site { declared: Some(declared), ..self.site(&block.values, upstreams, files) };
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
            let options = self.options(&[self.values]);
            sites.push(Site { hosts, options, ..Site::default() });
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
        let mut routes: Vec<Route> = Vec::new();
        let mut taken: Vec<(When, &str)> = Vec::new();
        for (declared, block) in values.blocks("route").enumerate() {
            let route = self.route(&block.values, values, upstreams, files);
            if let Some(when) = route.as_ref().map(|route| &route.when) {
                if let Some((_, first)) = taken.iter().find(|(known, _)| known == when) {
                    let words = format!("no request gets here: {first} takes the same, and comes before it");
                    self.problems.push(block.values.problem_here(words));
                }
                taken.push((when.clone(), block.values.place()));
            }
            routes.extend(route.map(|route| Route { declared, ..route }));
        }
        router::order(&mut routes);
        Site {
            name: (!name.is_empty()).then(|| name.to_owned()),
            hosts,
            default: values.bool("default"),
            canonical: (!canonical.is_empty()).then_some(canonical),
            options: self.options(&[values, self.values]),
            internal: routes.iter().any(|route| route.internal),
            routes,
            declared: None,
        }
    }
}
