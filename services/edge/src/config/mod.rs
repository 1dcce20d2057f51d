//! What the edge is told to do, as types: one struct a concern, every value checked before anything starts.
//!
//! The names, defaults and words of the settings are in [`table`]; [`load`] puts together what each concern reads and checks.

mod bounds;
mod cidr;
mod csp_report;
pub mod effective;
mod files;
pub mod limits;
mod listen;
pub mod load;
mod log;
pub mod options;
mod places;
pub mod proxies;
mod routes;
mod sites;
mod spool;
mod status_page;
pub mod table;
mod timeouts;
mod tls;
mod transport;
mod upstreams;

pub use bounds::{Clients, Limits};
pub use cidr::Cidr;
pub use csp_report::Headers;
pub use files::{FileTree, StaticDir, Try};
pub use listen::Listen;
pub use log::Log;
pub use options::Options;
pub use options::slots::MaxSlots;
pub use routes::{Action, HeaderMatch, PathMatch, Pattern, Route, Target, When};
pub use sites::{Host, Site};
pub use spool::Spool;
pub use status_page::StatusPage;
pub use timeouts::Timeouts;
pub use tls::Tls;
pub use transport::{Pem, ProxyProtocol, Transport, UpstreamTls};
pub use upstreams::{
    Balance, Balancing, Check, DEFAULT, FailOn, HashBy, Health, Named, Server, Sticky, StickyKey, Upstream,
    UpstreamAddress, UpstreamCheck,
};

/// One consistent configuration. Immutable: a reload makes a new one.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Config {
    pub listen: Listen,
    pub limits: Limits,
    pub timeouts: Timeouts,
    /// The first is the one of the flat settings, which may have no address.
    pub upstreams: Vec<Named>,
    /// `[limits.NAME]`, which options name by their places.
    pub zones: Vec<limits::Zone>,
    pub clients: Clients,
    /// At least one.
    pub sites: Vec<Site>,
    /// For requests that are no site's.
    pub options: Options,
    pub spool: Spool,
    pub tls: Tls,
    pub files: Vec<StaticDir>,
    pub proxies: proxies::Proxies,
    /// Fields by which the application is told who somebody is: no client may send them.
    pub reserved: Vec<http::HeaderName>,
    pub headers: Headers,
    pub log: Log,
    pub status_page: Option<StatusPage>,
    /// Reload when a file that the configuration is made of has changed.
    pub reload_on_change: bool,
}
