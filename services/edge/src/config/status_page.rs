//! The sidecar's page under a path of ours.

use super::UpstreamAddress;
use super::load::Reader;

/// The sidecar's page under a path of ours, only with a password.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusPage {
    pub prefix: String,
    pub upstream: UpstreamAddress,
    pub password: String,
}

impl Reader<'_> {
    pub(super) fn status_page(&mut self) -> Option<StatusPage> {
        let prefix = self.values.text("status_page");
        if prefix.is_empty() {
            return None;
        }
        let prefix = if prefix.ends_with('/') { prefix.to_owned() } else { format!("{prefix}/") };
        if prefix == "/" || crate::path::normalise(&prefix).ok().as_deref() != Some(prefix.as_str()) {
            self.wrong("status_page", format!("expected a path below the root such as /status/, got {prefix:?}"));
        }
        let password = self.values.text("status_password").to_owned();
        if password.is_empty() {
            self.wrong("status_page", "needs a status_password: the page tells much of the site");
        }
        let upstream = match self.values.address("status_upstream") {
            Some(address) => self.upstream_address("status_upstream", address),
            None => {
                self.wrong("status_page", "needs status_upstream, the sidecar's address, such as sidecar:9100");
                None
            }
        };
        Some(StatusPage { prefix, upstream: upstream?, password })
    }
}
