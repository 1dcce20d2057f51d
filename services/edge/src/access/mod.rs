//! Who may ask what: the rules of `allow`, `deny`, `allow_methods`, `deny_paths` and `block_scanners`, before anything is
//! done for a request. Everything they go by was prepared with the configuration.

pub mod introduction;
mod networks;
mod real_ip;
pub mod scanners;

pub use networks::Networks;
pub use real_ip::RealIp;

use crate::config::Options;
use crate::service::Failure;
use http::Method;
use std::net::IpAddr;

/// The rules on address, method and path, in this order: whom nothing is for learns nothing else.
pub fn check(options: &Options, client: IpAddr, method: &Method, path: &str) -> Result<(), Failure> {
    let rules = &options.access;
    if rules.networks.as_ref().is_some_and(|networks| !networks.allows(client)) {
        return Err(Failure::DENIED);
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
    Ok(())
}
