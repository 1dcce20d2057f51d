//! Which of the site's places takes a request.

use super::dispatch::Asked;
use super::{status_page, trace};
use crate::config::{Route, StatusPage};
use crate::router;
use crate::upstream::Upstream;
use http::request::Parts;
use regex::Captures;
use std::rc::Rc;

/// What answers a request.
pub enum Place<'a> {
    /// What browsers say of violated policies.
    CspReports,
    StatusPage {
        page: &'a StatusPage,
        upstream: &'a Rc<Upstream>,
        rest: &'a str,
    },
    Route {
        place: usize,
        route: &'a Route,
        captures: Option<Captures<'a>>,
    },
    Folder {
        index: usize,
        name: &'a str,
    },
    Upstream(&'a Rc<Upstream>),
    Nothing,
}

impl Place<'_> {
    pub fn told(&self) -> trace::Place {
        match self {
            Self::CspReports => trace::Place::CspReports,
            Self::StatusPage { .. } => trace::Place::StatusPage,
            Self::Route { place, .. } => trace::Place::Route(*place),
            Self::Folder { index, name } => trace::Place::Folder(*index, (*name).to_owned()),
            Self::Upstream(_) => trace::Place::Upstream,
            Self::Nothing => trace::Place::Nothing,
        }
    }
}

/// The status page, the first route that takes the request, else the folders and the upstream of the flat settings.
pub fn place<'a>(asked: &'a Asked<'_>, parts: &Parts) -> Place<'a> {
    let Asked { view, path, .. } = asked;
    if view.snapshot.config.headers.csp_report_path.as_deref() == Some(*path) {
        return Place::CspReports;
    }
    if let (Some(page), Some(upstream)) = (&view.snapshot.config.status_page, &view.status)
        && let Some(rest) = status_page::matches(page, path)
    {
        return Place::StatusPage { page, upstream, rest };
    }
    if let Some((place, route, captures)) = router::route(asked.site, path, &parts.method, &parts.headers) {
        return Place::Route { place, route, captures };
    }
    if let Some((index, name)) = view.files.find(path) {
        return Place::Folder { index, name };
    }
    match view.upstreams.first().filter(|upstream| upstream.has_addresses()) {
        Some(upstream) => Place::Upstream(upstream),
        None => Place::Nothing,
    }
}
