//! What `explain` has found, for people and for programs.

use crate::config::load::Loaded;
use crate::config::table::SCHEMA;
use crate::config::{PathMatch, Route, Site, effective};
use crate::router::{self, Miss};
use crate::service::trace::{Place, Told};
use http::{HeaderMap, Method, StatusCode, header, response};
use monodon_settings::{Section, Values};
use serde_json::{Value, json};
use std::fmt::Write;
use std::net::IpAddr;

pub struct Report<'a> {
    pub url: String,
    pub method: Method,
    pub headers: HeaderMap,
    pub client: IpAddr,
    pub loaded: &'a Loaded,
    pub told: Told,
    pub answer: response::Parts,
}

/// An option in force.
struct Held {
    key: &'static str,
    value: String,
    plain: Value,
    /// `route`, `site`, `settings`, `default`
    level: &'static str,
    source: String,
}

impl<'a> Report<'a> {
    fn site(&self) -> Option<&'a Site> {
        self.loaded.config.sites.get(self.told.site?.place)
    }

    fn site_values(&self) -> Option<&'a Values> {
        Some(&self.loaded.values.blocks("site").nth(self.site()?.declared?)?.values)
    }

    fn route(&self) -> Option<&'a Route> {
        match self.told.place {
            Some(Place::Route(place)) => self.site()?.routes.get(place),
            _ => None,
        }
    }

    fn route_values(&self, route: &Route) -> Option<&'a Values> {
        Some(&self.site_values()?.blocks("route").nth(route.declared)?.values)
    }

    /// The routes in the order in which they are asked, each with why it does not take the request; up to the one that does.
    fn asked(&self) -> Vec<(&'a Route, Option<String>)> {
        let (Some(site), Some(path)) = (self.site(), &self.told.path) else { return Vec::new() };
        let mut asked = Vec::new();
        for route in &site.routes {
            let miss = router::fit(&route.when, path, &self.method, &self.headers).err();
            let takes = miss.is_none();
            asked.push((route, miss.map(|miss| self.words(route, &miss))));
            if takes {
                break;
            }
        }
        asked
    }

    /// Of the route that takes it.
    fn why(route: &Route) -> &'static str {
        let limited = !route.when.methods.is_empty() || !route.when.headers.is_empty();
        match (&route.when.path, limited) {
            (PathMatch::Exact(_), _) => "an exact path comes before patterns and prefixes",
            (PathMatch::Pattern(_), _) => "the first pattern that is found in the path; patterns come before prefixes",
            (PathMatch::Prefix(_), false) => "the longest prefix",
            (PathMatch::Prefix(_), true) => "the longest prefix, and of equal ones the one that asks for more",
        }
    }

    fn words(&self, route: &Route, miss: &Miss<'_>) -> String {
        match miss {
            Miss::Method => {
                let methods: Vec<&str> = route.when.methods.iter().map(Method::as_str).collect();
                format!("the method is {}, not {}", self.method, methods.join(" or "))
            }
            Miss::Path => match &route.when.path {
                PathMatch::Exact(_) => "the path is another".into(),
                PathMatch::Prefix(_) => "the path is not below it".into(),
                PathMatch::Pattern(_) => "the path does not match it".into(),
            },
            Miss::Header(wanted) => match &wanted.value {
                None => format!("the header {} is missing", wanted.name),
                Some(_) if !self.headers.contains_key(&wanted.name) => format!("the header {} is missing", wanted.name),
                Some(_) => format!("the header {} has another value", wanted.name),
            },
        }
    }

    /// Every option that a route may have, each from the innermost level that sets it.
    fn options(&self) -> Vec<(&'static str, Vec<Held>)> {
        let route = self.route().and_then(|route| self.route_values(route));
        let flat = &self.loaded.values;
        let levels = [("route", route), ("site", self.site_values()), ("settings", Some(flat))];
        let held = |key: &'static str| {
            let set =
                levels.iter().find_map(|(level, values)| Some((*level, (*values)?)).filter(|(_, v)| v.is_set(key)));
            let (level, values) = set.unwrap_or(("default", flat));
            let (value, plain) = (values.toml(key), effective::plain(values, key));
            Held { key, value, plain, level, source: values.source(key).to_string() }
        };
        sections().map(|section| (section.title, section.settings.iter().map(|one| held(one.key)).collect())).collect()
    }

    /// What answers, in a line.
    fn outcome(&self) -> String {
        if let Some(reason) = self.told.failure {
            return if reason == "closed" {
                "the connection is closed without an answer".into()
            } else {
                format!("the edge answers {}: {reason}", self.answer.status)
            };
        }
        if let Some(sent) = &self.told.sent {
            return format!("the upstream {:?} is asked, and answers", sent.upstream);
        }
        let location = self.answer.headers.get(header::LOCATION);
        match location.map(|location| String::from_utf8_lossy(location.as_bytes())) {
            Some(location) if self.told.moved && self.answer.status == StatusCode::TEMPORARY_REDIRECT => {
                let words = "permanent once the certificate is public";
                format!("redirect {} to {location} ({words})", self.answer.status)
            }
            Some(location) => format!("redirect {} to {location}", self.answer.status),
            None => format!("the edge answers {}", self.answer.status),
        }
    }

    pub fn text(&self, all: bool) -> String {
        let mut out = String::new();
        let mut line = |name: &str, text: &str| {
            let _ = writeln!(out, "{name:9} {text}");
        };
        line("request", &format!("{} {} from {}", self.method, self.url, self.client));
        match (self.site(), self.site_values()) {
            (None, _) => line("site", "none"),
            (Some(site), values) => {
                let place = values.map_or("of the flat settings", Values::place);
                line("site", &format!("{} ({place})", site.label()));
            }
        }
        if let Some(path) = &self.told.path {
            line("path", &format!("{path} (normalised)"));
        }
        for (route, miss) in self.asked() {
            let place = self.route_values(route).map_or("", Values::place);
            let verdict = miss.map_or_else(|| format!("takes it: {}", Self::why(route)), |miss| format!("no: {miss}"));
            line("route", &format!("{} ({place}): {verdict}", route.when.path));
        }
        match &self.told.place {
            Some(Place::Route(_)) => {
                let values = self.route().and_then(|route| self.route_values(route));
                let set = |values: &Values| own(values).map(|key| format!("{key} = {}", values.toml(key))).collect();
                let does: Vec<String> = values.map_or_else(Vec::new, set);
                line("does", &does.join(", "));
            }
            Some(Place::CspReports) => line("does", "takes what browsers report (csp_report_path)"),
            Some(Place::StatusPage) => line("does", "the sidecar's page (status_page)"),
            Some(Place::Folder(..)) => line("does", "no route takes it; a folder of static does"),
            Some(Place::Upstream) => line("does", "no route takes it; the setting upstream does"),
            Some(Place::Nothing) => line("does", "no route takes it, no folder of static, and upstream is not set"),
            None => {}
        }
        for filter in &self.told.filters {
            line("filter", &format!("{}: {}", filter.key, filter.says));
        }
        for looked in &self.told.looked {
            let there = if looked.found { "is there" } else { "is not there" };
            line("file", &format!("{:?} in {}: {there}", looked.name, self.directory(looked.folder)));
        }
        line("outcome", &self.outcome());
        if let Some(sent) = &self.told.sent {
            let _ = writeln!(out, "\nThe upstream is asked:\n  {} {}", sent.method, sent.uri);
            fields(&sent.headers, &mut out);
        }
        if self.told.failure != Some("closed") {
            let whose =
                if self.told.sent.is_some() { "An answer with a page would carry" } else { "The answer carries" };
            let _ = writeln!(out, "\n{whose}:");
            fields(&self.answer.headers, &mut out);
        }
        self.write_options(all, &mut out);
        out
    }

    fn write_options(&self, all: bool, out: &mut String) {
        let _ = writeln!(out, "\nOptions in force:");
        let mut defaults = 0;
        for (title, options) in self.options() {
            let shown: Vec<&Held> = options.iter().filter(|held| all || held.level != "default").collect();
            defaults += options.len() - shown.len();
            if shown.is_empty() {
                continue;
            }
            let _ = writeln!(out, "  {title}");
            for held in shown {
                let from = match held.level {
                    "default" => "default".to_owned(),
                    level => format!("{level}, {}", held.source),
                };
                let _ = writeln!(out, "    {} = {} ({from})", held.key, held.value);
            }
        }
        if defaults > 0 {
            let _ = writeln!(out, "  {defaults} others have their defaults; --all shows them");
        }
    }

    /// Of the setting `static`: folder and file.
    fn folder(&self) -> Option<(String, &str)> {
        let Some(Place::Folder(place, name)) = &self.told.place else { return None };
        Some((self.directory(*place), name))
    }

    fn directory(&self, place: usize) -> String {
        self.loaded.config.files.get(place).map_or_else(String::new, |folder| folder.dir.display().to_string())
    }

    pub fn json(&self) -> Value {
        let asked = self.asked().into_iter().map(|(route, miss)| {
            let place = self.route_values(route).map(Values::place);
            json!({"name": route.name, "when": route.when.path.to_string(), "place": place, "takes": miss.is_none(),
                "why": miss.is_none().then(|| Self::why(route)), "why_not": miss})
        });
        let asked: Vec<Value> = asked.collect();
        let options = self
            .options()
            .into_iter()
            .flat_map(|(_, options)| options)
            .map(|held| json!({"key": held.key, "value": held.plain, "level": held.level, "source": held.source}));
        let sent = self.told.sent.as_ref().map(|sent| {
            json!({
                "upstream": sent.upstream, "method": sent.method.as_str(), "target": sent.uri.to_string(),
                "headers": pairs(&sent.headers),
            })
        });
        let site =
            self.site().map(|site| json!({"name": site.label(), "place": self.site_values().map(Values::place)}));
        let does = match &self.told.place {
            None => "none",
            Some(Place::CspReports) => "csp_report",
            Some(Place::StatusPage) => "status_page",
            Some(Place::Route(_)) => "route",
            Some(Place::Folder(..)) => "static",
            Some(Place::Upstream) => "upstream",
            Some(Place::Nothing) => "nothing",
        };
        let filters = self.told.filters.iter().map(|filter| json!({"filter": filter.key, "says": filter.says}));
        let files = self.told.looked.iter().map(
            |looked| json!({"folder": self.directory(looked.folder), "name": looked.name, "exists": looked.found}),
        );
        json!({
            "request": {"method": self.method.as_str(), "url": self.url, "client": self.client, "headers": pairs(&self.headers)},
            "site": site, "path": self.told.path, "routes": asked, "takes": does,
            "route": self.route().map(|route| route.name.as_str()),
            "file": self.folder().map(|(folder, name)| json!({"folder": folder, "name": name})),
            "filters": filters.collect::<Vec<Value>>(), "files": files.collect::<Vec<Value>>(),
            "upstream": sent, "outcome": self.outcome(), "failure": self.told.failure,
            "answer": {"status": self.answer.status.as_u16(), "headers": pairs(&self.answer.headers)},
            "options": options.collect::<Vec<Value>>(),
        })
    }
}

/// What a route may have otherwise than the rest.
fn sections() -> impl Iterator<Item = &'static Section> {
    let site = SCHEMA.tables.iter().find(|table| table.key == "site");
    let route = site.and_then(|site| site.tables.iter().find(|table| table.key == "route"));
    route.map_or(&[][..], |route| route.sections).iter().filter(|section| section.again)
}

/// What only a route has, as far as it is set.
fn own(values: &Values) -> impl Iterator<Item = &'static str> {
    let own = values.sections().iter().filter(|section| !section.again).flat_map(|section| section.settings);
    own.map(|setting| setting.key).filter(|key| values.is_set(key))
}

fn fields(headers: &HeaderMap, out: &mut String) {
    for (name, value) in headers {
        let _ = writeln!(out, "  {name}: {}", String::from_utf8_lossy(value.as_bytes()));
    }
}

fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}
