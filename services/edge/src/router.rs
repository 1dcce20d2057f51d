//! Which site a host belongs to, and which of its routes takes a request.
//!
//! nginx's order: an exact path, then patterns, then the longest prefix; among equals the one that asks for more (methods,
//! headers), then the one that stands first. Everything is decided by the one normalised path.

use crate::config::{HeaderMatch, Host, PathMatch, Route, Site, When};
use crate::metrics::{MAX_ROUTES, MAX_SITES, Route as RouteIndex, Site as Index};
use http::{HeaderMap, Method};
use regex::Captures;
use std::collections::HashMap;

/// The sites of a configuration, ready to be asked.
pub struct Router {
    sites: Vec<Site>,
    exact: HashMap<Box<str>, Entry>,
    /// `.example.org` of `*.example.org`; the longest first.
    suffixes: Vec<(Box<str>, Entry)>,
    default: Option<Entry>,
    /// Labels by site index, from 1. Grows over reloads, so that an index keeps its meaning.
    pub names: Vec<String>,
    /// The same for routes.
    pub route_names: Vec<RouteName>,
    /// Their indices by place of site and route.
    route_labels: Vec<Vec<RouteIndex>>,
}

/// Labels of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteName {
    pub site: String,
    pub route: String,
}

/// Whose request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// For metrics.
    pub index: Index,
    /// Place in the configuration's sites.
    pub place: usize,
}

impl Router {
    pub fn new(sites: &[Site], previous: Option<&Self>) -> Self {
        let mut router = Self {
            sites: sites.to_vec(),
            exact: HashMap::new(),
            suffixes: Vec::new(),
            default: None,
            names: previous.map(|old| old.names.clone()).unwrap_or_default(),
            route_names: previous.map(|old| old.route_names.clone()).unwrap_or_default(),
            route_labels: Vec::new(),
        };
        for (place, site) in sites.iter().enumerate() {
            // A site without a name of its own counts by host.
            let own = site.name.as_deref().map(|name| router.label(name));
            for host in &site.hosts {
                let index = own.unwrap_or_else(|| router.label(&host.to_string()));
                let entry = Entry { index, place };
                match host {
                    Host::Exact(name) => drop(router.exact.insert(name.as_str().into(), entry)),
                    Host::Below(suffix) => router.suffixes.push((format!(".{suffix}").into(), entry)),
                }
            }
            if site.default || site.hosts.is_empty() {
                router.default.get_or_insert(Entry { index: own.unwrap_or(0), place });
            }
            let name = site.name.clone().or_else(|| site.hosts.first().map(Host::to_string));
            let name = name.unwrap_or_else(|| "_default".into());
            let labels = site.routes.iter().map(|route| router.route_label(&name, &route.name)).collect();
            router.route_labels.push(labels);
        }
        router.suffixes.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        router
    }

    fn label(&mut self, name: &str) -> Index {
        let index = match self.names.iter().position(|known| known == name) {
            Some(index) => index + 1,
            None if self.names.len() < MAX_SITES => {
                self.names.push(name.to_owned());
                self.names.len()
            }
            None => 0,
        };
        Index::try_from(index).unwrap_or(0)
    }

    fn route_label(&mut self, site: &str, route: &str) -> RouteIndex {
        let known = self.route_names.iter().position(|known| known.site == site && known.route == route);
        let index = match known {
            Some(index) => index + 1,
            None if self.route_names.len() < MAX_ROUTES => {
                self.route_names.push(RouteName { site: site.to_owned(), route: route.to_owned() });
                self.route_names.len()
            }
            None => 0,
        };
        RouteIndex::try_from(index).unwrap_or(0)
    }

    /// A route's index for metrics.
    pub fn index(&self, entry: Entry, route: usize) -> RouteIndex {
        self.route_labels.get(entry.place).and_then(|routes| routes.get(route)).copied().unwrap_or(0)
    }

    /// The site that answers for `host` (lower case, without port); `None`: nobody.
    pub fn site(&self, host: &str) -> Option<Entry> {
        let below = || self.suffixes.iter().find(|(suffix, _)| host.ends_with(&**suffix)).map(|(_, entry)| entry);
        self.exact.get(host).or_else(below).or(self.default.as_ref()).copied()
    }

    /// Who speaks for the edge where nobody knows whose request it was: the site for all hosts, or the only one.
    pub fn default_site(&self) -> Option<&Site> {
        let only = || self.sites.first().filter(|_| self.sites.len() == 1);
        self.default.and_then(|entry| self.get(entry)).or_else(only)
    }

    pub fn get(&self, entry: Entry) -> Option<&Site> {
        self.sites.get(entry.place)
    }
}

/// The route that takes a request, its place, and what its pattern found. The routes stand in the order of [`order`].
pub fn route<'s, 'p>(
    site: &'s Site,
    path: &'p str,
    method: &Method,
    headers: &HeaderMap,
) -> Option<(usize, &'s Route, Option<Captures<'p>>)> {
    site.routes.iter().enumerate().find_map(|(place, route)| {
        fit(&route.when, path, method, headers).ok().map(|captures| (place, route, captures))
    })
}

/// Why a route does not take a request.
#[derive(Debug, PartialEq)]
pub enum Miss<'a> {
    Method,
    Path,
    /// The first that is missing, or has another value.
    Header(&'a HeaderMatch),
}

/// Does a route take this request, and what did its pattern find?
pub fn fit<'w, 'p>(
    when: &'w When,
    path: &'p str,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Option<Captures<'p>>, Miss<'w>> {
    if !when.methods.is_empty() && !when.methods.contains(method) {
        return Err(Miss::Method);
    }
    let captures = match &when.path {
        PathMatch::Exact(exact) => (exact == path).then_some(None),
        PathMatch::Prefix(prefix) => within(path, prefix).map(|_| None),
        PathMatch::Pattern(pattern) => pattern.0.captures(path).map(Some),
    };
    let captures = captures.ok_or(Miss::Path)?;
    let lacks = |wanted: &&HeaderMatch| {
        let fits = |value| wanted.value.as_ref().is_none_or(|wanted| wanted == value);
        !headers.get_all(&wanted.name).iter().any(fits)
    };
    match when.headers.iter().find(lacks) {
        Some(wanted) => Err(Miss::Header(wanted)),
        None => Ok(captures),
    }
}

/// What follows a prefix, if the path lies in it: `/api` and `/api/x` lie in `/api` and in `/api/`, `/apis` does not.
pub fn within<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(prefix.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// Sorts a site's routes into the order in which they are tried.
pub fn order(routes: &mut [Route]) {
    routes.sort_by_key(|route| {
        let (kind, length) = match &route.when.path {
            PathMatch::Exact(_) => (0, 0),
            PathMatch::Pattern(_) => (1, 0),
            PathMatch::Prefix(prefix) => (2, prefix.trim_end_matches('/').len()),
        };
        let conditions = usize::from(!route.when.methods.is_empty()) + route.when.headers.len();
        (kind, std::cmp::Reverse(length), std::cmp::Reverse(conditions))
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Action, Pattern};

    fn with(path: PathMatch) -> Route {
        Route {
            name: format!("{path:?}"),
            when: When { path, methods: Vec::new(), headers: Vec::new() },
            action: Action::Close,
            internal: false,
            options: crate::config::Options::default(),
            declared: 0,
        }
    }

    fn prefix(text: &str) -> Route {
        with(PathMatch::Prefix(text.into()))
    }

    fn found(routes: &[Route], path: &str, method: &Method) -> Option<String> {
        let mut site = Site { routes: routes.to_vec(), ..Site::default() };
        order(&mut site.routes);
        route(&site, path, method, &HeaderMap::new()).map(|(_, route, _)| route.name.clone())
    }

    #[test]
    fn exact_before_pattern_before_the_longest_prefix() {
        let routes = [
            prefix("/"),
            prefix("/a/"),
            prefix("/a/b/"),
            with(PathMatch::Pattern(Pattern(regex::Regex::new(r"\.php$").unwrap()))),
            with(PathMatch::Exact("/a/x.php".into())),
        ];
        for (path, name) in [
            ("/", "Prefix(\"/\")"),
            ("/a", "Prefix(\"/a/\")"),
            ("/ab", "Prefix(\"/\")"),
            ("/a/b/c", "Prefix(\"/a/b/\")"),
            ("/a/y.php", "Pattern("),
            ("/a/x.php", "Exact("),
        ] {
            let found = found(&routes, path, &Method::GET).unwrap();
            assert!(found.starts_with(name), "{path}: {found}");
        }
    }

    #[test]
    fn who_asks_for_more_is_asked_first() {
        let mut post = prefix("/a");
        post.when.methods = vec![Method::POST];
        post.name = "post".into();
        let routes = [prefix("/a"), post];
        assert_eq!(found(&routes, "/a", &Method::POST).as_deref(), Some("post"));
        assert_eq!(found(&routes, "/a", &Method::GET).as_deref(), Some("Prefix(\"/a\")"));
        assert_eq!(found(&routes, "/b", &Method::GET), None);
    }

    #[test]
    fn hosts() {
        let site = |hosts: &[Host], default| Site { hosts: hosts.to_vec(), default, ..Site::default() };
        let router = Router::new(
            &[
                site(&[Host::Exact("a.example".into()), Host::Below("a.example".into())], false),
                site(&[Host::Below("x.a.example".into())], false),
                site(&[], true),
            ],
            None,
        );
        let place = |host: &str| router.site(host).unwrap().place;
        assert_eq!(
            [place("a.example"), place("b.a.example"), place("y.x.a.example"), place("aa.example")],
            [0, 0, 1, 2]
        );
        assert_eq!(place("x.a.example"), 0, "the name itself is not below itself");
        let strict = Router::new(&[site(&[Host::Exact("a.example".into())], false)], Some(&router));
        assert_eq!(strict.site("b.example"), None);
        assert_eq!(strict.names, ["a.example", "*.a.example", "*.x.a.example"], "an index keeps its meaning");
    }
}
