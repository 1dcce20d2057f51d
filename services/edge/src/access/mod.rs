//! Who may ask what: the rules of `allow`, `deny`, `allow_methods`, `deny_paths` and `block_scanners`, then `basic_auth`
//! and `forward_auth`, before anything is done for a request. Everything they go by was prepared with the configuration.

mod basic;
pub mod credentials;
mod forward_auth;
pub mod introduction;
mod networks;
mod real_ip;
pub mod scanners;
mod users;

pub use basic::{Basic, Logins};
pub use forward_auth::ForwardAuth;
pub use networks::Networks;
pub use real_ip::RealIp;
pub use users::Users;

use crate::access_log::Record;
use crate::body::Body;
use crate::config::Options;
use crate::service::{Asked, Failure};
use http::header::{self, HeaderMap, HeaderName};
use http::request::Parts;
use http::{HeaderValue, Method, Response};
use std::net::IpAddr;

/// The rules on address, method and path, in this order: whom nothing is for learns nothing else. True where somebody has
/// still to say who he is.
pub fn check(options: &Options, client: IpAddr, method: &Method, path: &str) -> Result<bool, Failure> {
    let (rules, auth) = (&options.access, &options.auth);
    let mut unknown = auth.is_on();
    if let Some(networks) = &rules.networks {
        let allowed = networks.allows(client);
        if !(allowed || auth.any && unknown) {
            return Err(Failure::DENIED);
        }
        unknown &= !(auth.any && allowed);
    }
    if rules.methods.as_ref().is_some_and(|methods| !methods.all.contains(method)) {
        return Err(Failure::METHOD);
    }
    if rules.block_scanners && scanners::asks(path) {
        return Err(Failure::SCANNER);
    }
    if rules.deny_paths.as_ref().is_some_and(|patterns| patterns.0.is_match(path)) {
        return Err(Failure::DENIED_PATH);
    }
    Ok(unknown)
}

/// Asks who it is, in the ways that the route has. An answer: he may not, and gets this.
pub async fn identify(
    asked: &Asked<'_>,
    parts: &mut Parts,
    record: &mut Record,
) -> Result<Option<Response<Body>>, Failure> {
    let mut told = Told::default();
    let auth = record.options().auth.clone();
    if let Some(basic) = &auth.basic {
        let name = basic::authorise(basic, &record.thread, &parts.headers).await?;
        if let Some(field) = &auth.remote_user
            && let Ok(name) = HeaderValue::from_str(&name)
        {
            told.0.push((field.clone(), name));
        }
    }
    if let Some(forward) = &auth.forward {
        match forward_auth::ask(forward, asked, parts, record).await? {
            Ok(more) => told.0.extend(more.0),
            Err(answer) => return Ok(Some(answer)),
        }
    }
    parts.extensions.insert(told);
    Ok(None)
}

/// What the application is told of who somebody is.
#[derive(Clone, Default)]
pub struct Told(Vec<(HeaderName, HeaderValue)>);

impl Told {
    fn of(names: &[HeaderName], headers: &HeaderMap) -> Self {
        let of = |name| headers.get_all(name).iter().map(move |value| (HeaderName::clone(name), value.clone()));
        Self(names.iter().flat_map(of).collect())
    }
}

/// To be called when the headers for the application stand: what the client says under these names goes, also where
/// nobody was asked, and what we know is said.
pub fn tell(parts: &mut Parts, options: &Options) {
    let auth = &options.auth;
    if !auth.is_on() {
        return;
    }
    for name in auth.names() {
        parts.headers.remove(name);
    }
    if auth.basic.is_some() {
        // The password is for us.
        parts.headers.remove(header::AUTHORIZATION);
    }
    if let Some(Told(told)) = parts.extensions.remove() {
        for (name, value) in told {
            parts.headers.append(name, value);
        }
    }
}
