//! `[[site.route]]`: which requests, and what becomes of them.

mod action;
mod target;
mod when;

pub(super) use action::{ACTION, known_upstreams};
pub use action::{Action, Target};
pub(super) use when::WHEN;
pub use when::{HeaderMatch, PathMatch, Pattern, When};

use super::files::StaticDir;
use super::load::Reader;
use super::options::Options;
use super::upstreams::Named;
use monodon_settings::Values;

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
}
