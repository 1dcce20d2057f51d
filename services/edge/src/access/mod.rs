//! Who may ask what: the rules of `allow`, `deny`, `allow_methods`, `deny_paths` and `block_scanners`, then `basic_auth`
//! and `forward_auth`, before anything is done for a request. Everything they go by was prepared with the configuration.

mod basic;
pub mod credentials;
mod forward_auth;
pub mod introduction;
pub mod methods;
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
use crate::config::options::auth::Auth;
use crate::service::{Asked, Failure};
use http::header::{self, HeaderName};
use http::request::Parts;
use http::{HeaderValue, Method, Response};
use std::net::IpAddr;

/// The rules on address, method and path, in this order: whom nothing is for learns nothing else. True where somebody has
/// still to say who he is. `pointed`: the path is the application's word, not the client's.
pub fn check(options: &Options, client: IpAddr, method: &Method, path: &str, pointed: bool) -> Result<bool, Failure> {
    let (rules, auth) = (&options.access, &options.auth);
    let mut unknown = auth.is_on();
    if let Some(networks) = &rules.networks {
        let allowed = networks.allows(client);
        if !(allowed || auth.any && unknown) {
            return Err(Failure::DENIED);
        }
        unknown &= !(auth.any && allowed);
    }
    if !methods::lets_in(options, method) {
        return Err(Failure::METHOD);
    }
    // What an application keeps may be called as what scanners ask for.
    if rules.block_scanners && !pointed && scanners::asks(path) {
        return Err(Failure::SCANNER);
    }
    if rules.deny_paths.as_ref().is_some_and(|patterns| patterns.0.is_match(path)) {
        return Err(Failure::DENIED_PATH);
    }
    Ok(unknown)
}

/// Asks who it is, in the ways that the route has, and keeps what it has learned. An answer: he may not, and gets this.
pub async fn identify(
    asked: &Asked<'_>,
    parts: &Parts,
    record: &mut Record,
) -> Result<Option<Response<Body>>, Failure> {
    let auth = record.options().auth.clone();
    let mut known = record.known.take().unwrap_or_default();
    if let Some(basic) = &auth.basic {
        let name = basic::authorise(basic, &record.thread, &parts.headers).await;
        if let Some(trace) = &record.thread.trace {
            trace.filter("basic_auth", if name.is_ok() { "knows the name and the password" } else { "refuses it" });
        }
        let name = name?;
        if let Some(field) = &auth.remote_user {
            known.tell(std::slice::from_ref(field), HeaderValue::from_str(&name).map(|name| (field.clone(), name)));
        }
    }
    if let Some(forward) = &auth.forward
        && !known.by.iter().any(|before| before.forward.as_ref() == Some(forward))
    {
        match forward_auth::ask(forward, asked, parts, record).await? {
            Ok(told) => known.tell(&forward.headers, told),
            Err(answer) => return Ok(Some(answer)),
        }
    }
    known.by.push(auth);
    record.known = Some(known);
    Ok(None)
}

/// What has been found out of who somebody is. It holds wherever in the site the request is sent on to.
#[derive(Default)]
pub struct Known {
    /// Who has let him in. The same one is not asked twice: a `forward_auth` is asked about the client's own request, which stays the same.
    by: Vec<Auth>,
    /// What the application is told.
    told: Vec<(HeaderName, HeaderValue)>,
}

impl Known {
    /// Under these names, this and nothing that was known before.
    fn tell(&mut self, names: &[HeaderName], fields: impl IntoIterator<Item = (HeaderName, HeaderValue)>) {
        self.told.retain(|(name, _)| !names.contains(name));
        self.told.extend(fields);
    }
}

/// To be called when the headers for the application stand: what the client says under these names goes, also where
/// nobody was asked, and what we know is said.
pub fn tell(parts: &mut Parts, record: &Record) {
    let (by, told) = record.known.as_ref().map_or((&[][..], &[][..]), |known| (&known.by, &known.told));
    for auth in by.iter().chain([&record.options().auth]) {
        for name in auth.names() {
            parts.headers.remove(name);
        }
        if auth.basic.is_some() {
            // The password is for us.
            parts.headers.remove(header::AUTHORIZATION);
        }
    }
    for (name, value) in told {
        parts.headers.append(name, value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Cidr;
    use std::sync::Arc;

    #[test]
    fn any_is_no_way_round_where_nobody_is_asked() {
        let mut options = Options::default();
        options.access.networks = Some(Arc::new(Networks::of(&[Cidr::parse("10.0.0.0/8").unwrap()])));
        let asked = |options: &Options, client: &str| {
            check(options, client.parse().unwrap(), &Method::GET, "/", false)
                .map_err(|failure| failure == Failure::DENIED)
        };
        for any in [false, true] {
            options.auth.any = any;
            assert_eq!(asked(&options, "192.0.2.1"), Err(true), "{any}");
            assert_eq!(asked(&options, "10.0.0.1"), Ok(false), "{any}");
        }
    }
}
