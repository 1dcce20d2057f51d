//! What a 405 says that may be asked with instead: of the very path that was asked for (RFC 9110, section 15.5.6).

use super::Failure;
use super::dispatch::Asked;
use super::place::Place;
use crate::access::methods::lets_in;
use crate::config::{Action, Options, Try};
use crate::router;
use http::request::Parts;
use http::{HeaderValue, Method};

/// What passes through to an application that says nothing else.
const ANY: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Of a place that takes only some methods; kept with the request until its refusal is written.
#[derive(Clone)]
struct Taken(HeaderValue);

/// Files are read.
pub fn of_files(failure: Failure, parts: &mut Parts, options: &Options) -> Failure {
    if failure == Failure::METHOD {
        keep(parts, [&Method::GET, &Method::HEAD].into_iter().filter(|method| lets_in(options, method)));
    }
    failure
}

/// Of a place whose rules did not let the method in: of the methods that they would, those that it takes.
pub fn of_place(
    failure: Failure,
    asked: &Asked<'_>,
    place: &Place<'_>,
    parts: &mut Parts,
    options: &Options,
) -> Failure {
    match place {
        Place::Folder { .. } => of_files(failure, parts, options),
        Place::Route { route, .. } => match &route.action {
            Action::Files(tree) if !matches!(tree.tries.last(), Some(Try::Upstream(_) | Try::Path(_))) => {
                of_files(failure, parts, options)
            }
            _ => failure,
        },
        Place::Nothing if failure == Failure::METHOD => {
            of_routes(asked, parts);
            failure
        }
        _ => failure,
    }
}

/// Of a path that nothing takes: the routes that would, with another method.
pub fn of_routes(asked: &Asked<'_>, parts: &mut Parts) -> Failure {
    let mut methods: Vec<&Method> = Vec::new();
    for route in asked.site.routes.iter().filter(|route| !route.internal) {
        let fits = |method: &Method| router::fit(&route.when, asked.path, method, &parts.headers).is_ok();
        let own = route.when.methods.iter().filter(|method| fits(method) && lets_in(&route.options, method));
        methods.extend(own);
    }
    if methods.is_empty() {
        return Failure::NOTHING_THERE;
    }
    keep(parts, methods.into_iter());
    Failure::METHOD
}

pub fn header(parts: &Parts, options: &Options) -> HeaderValue {
    let rules = || options.access.methods.as_ref().map(|methods| methods.allow.clone());
    let taken = parts.extensions.get::<Taken>().map(|Taken(value)| value.clone());
    taken.or_else(rules).unwrap_or(HeaderValue::from_static(ANY))
}

fn keep<'a>(parts: &mut Parts, methods: impl Iterator<Item = &'a Method>) {
    let mut names: Vec<&str> = Vec::new();
    for method in methods {
        if !names.contains(&method.as_str()) {
            names.push(method.as_str());
        }
    }
    if let Ok(value) = HeaderValue::from_str(&names.join(", ")) {
        parts.extensions.insert(Taken(value));
    }
}
