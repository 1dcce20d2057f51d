//! Names, and how certificates for them are come by.

use super::load::Reader;
use std::net::IpAddr;
use std::path::PathBuf;

/// Names, certificates and the folder they are kept in.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Tls {
    /// The edge's state folder: certificates, keys, the reload socket.
    pub state: PathBuf,
    /// Lower case, without port. Empty: any valid host is served.
    pub domains: Vec<String>,
    pub acme_email: Option<String>,
    pub acme_directory: String,
    pub acme_ca: Option<PathBuf>,
    pub local_names: Vec<String>,
    /// Ports of the http-01 and tls-alpn-01 answers are our own listeners; this says whether there is a plain one.
    pub http_listener: bool,
}

impl Reader<'_> {
    pub(super) fn tls(&mut self, state: PathBuf, http_listener: bool) -> Tls {
        let mut domains: Vec<String> = Vec::new();
        for name in self.values.list("domains") {
            match name.trim_end_matches('.').to_ascii_lowercase() {
                name if is_domain(&name) && !domains.contains(&name) => domains.push(name),
                name if domains.contains(&name) => {}
                _ => self.wrong("domains", format!("expected a name such as shop.example.org, got {name:?}")),
            }
        }
        let email = self.values.text("acme_email").trim();
        if !email.is_empty() && !email.contains('@') {
            self.wrong("acme_email", format!("expected an e-mail address, got {email:?}"));
        }
        if !email.is_empty()
            && let Err(wrong) = crate::acme::authority::client_config(self.values.path("acme_ca").as_deref())
        {
            self.wrong("acme_ca", wrong.strip_prefix("acme_ca: ").unwrap_or(&wrong));
        }
        let directory = self.values.text("acme_directory");
        if !directory.starts_with("https://") {
            self.wrong("acme_directory", format!("expected an https:// address, got {directory:?}"));
        }
        Tls {
            state,
            domains,
            acme_email: (!email.is_empty()).then(|| email.to_owned()),
            acme_directory: directory.to_owned(),
            acme_ca: self.values.path("acme_ca"),
            local_names: self.local_names(),
            http_listener,
        }
    }

    fn local_names(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        for name in self.values.list("local_names") {
            let name = name.to_ascii_lowercase();
            let plain = name.strip_prefix("*.").unwrap_or(&name);
            if name.parse::<IpAddr>().is_ok() || rustls::pki_types::DnsName::try_from(plain).is_ok() {
                names.push(name);
            } else {
                self.wrong("local_names", format!("expected a name or an address such as shop.lan, got {name:?}"));
            }
        }
        names
    }
}

/// A DNS name of at least one label, no wildcard, no address.
pub(super) fn is_domain(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label) && name.parse::<IpAddr>().is_err()
}
