//! How an upstream is spoken to: HTTP/1.1 or HTTP/2, plain or over TLS, with or without a word on whose connection it is.

use super::UpstreamAddress;
use super::load::Reader;
use super::sites::setting;
use super::upstreams::{Scheme, Server};
use monodon_settings::{Kind, Setting, Values};

/// The same keys of a `[upstreams.NAME]` and, with a prefix, of the flat upstream.
macro_rules! settings {
    ($name:ident, $prefix:literal, [$protocol:literal, $tls:literal, $verify:literal, $proxy_protocol:literal]) => {
        pub(super) const $name: &[Setting] = &[
            Setting {
                default: $protocol,
                ..setting(
                    concat!($prefix, "protocol"),
                    Kind::Choice(&["http1", "h2"]),
                    "`h2` speaks HTTP/2, in the clear (h2c) or over TLS, as gRPC servers want it; without it HTTP/1.1. `grpc://` \
                     and `grpcs://` before the servers' addresses say it, too.",
                )
            },
            Setting {
                default: $tls,
                ..setting(
                    concat!($prefix, "tls"),
                    Kind::Bool,
                    "Speak TLS to it, as `https://` and `grpcs://` before its servers' addresses say, too.",
                )
            },
            Setting {
                default: $verify,
                aliases: &["proxy_ssl_verify"],
                ..setting(
                    concat!($prefix, "tls_verify"),
                    Kind::Bool,
                    "Whether its certificate is checked; true unless you say false.",
                )
            },
            Setting {
                aliases: &["proxy_ssl_trusted_certificate"],
                ..setting(
                    concat!($prefix, "tls_ca"),
                    Kind::Path,
                    "PEM file of the CAs that its certificate is checked against; without it those that browsers trust.",
                )
            },
            Setting {
                aliases: &["proxy_ssl_name"],
                ..setting(
                    concat!($prefix, "tls_server_name"),
                    Kind::Text,
                    "The name that its certificate must have and that is asked for (SNI); without it the first server's.",
                )
            },
            Setting {
                aliases: &["proxy_ssl_certificate"],
                ..setting(
                    concat!($prefix, "tls_certificate"),
                    Kind::Path,
                    "PEM file of our own certificate and its chain, if it asks for one.",
                )
            },
            Setting {
                aliases: &["proxy_ssl_certificate_key"],
                ..setting(
                    concat!($prefix, "tls_key"),
                    Kind::Path,
                    concat!("PEM file of the key of `", $prefix, "tls_certificate`."),
                )
            },
            Setting {
                default: $proxy_protocol,
                ..setting(
                    concat!($prefix, "proxy_protocol"),
                    Kind::Choice(&["off", "v1", "v2"]),
                    "Tell it the client's address by a PROXY protocol header. Each client then has connections of its own.",
                )
            },
        ];
    };
}

settings!(TRANSPORT, "", ["", "", "", ""]);
settings!(FLAT, "upstream_", ["http1", "false", "true", "off"]);

#[derive(Clone, Debug, PartialEq, Default)]
pub struct Transport {
    pub http2: bool,
    pub tls: Option<UpstreamTls>,
    pub proxy_protocol: Option<ProxyProtocol>,
}

/// The files' contents, not their names: a renewed file is another configuration.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct UpstreamTls {
    pub verify: bool,
    pub ca: Option<Pem>,
    pub server_name: String,
    pub certificate: Option<(Pem, Pem)>,
}

/// A file's contents, which no log shows.
#[derive(Clone, PartialEq, Default)]
pub struct Pem(pub Vec<u8>);

impl std::fmt::Debug for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    V1,
    V2,
}

/// `prefix` stands before the keys of the flat upstream.
pub(super) fn read(reader: &mut Reader<'_>, values: &Values, prefix: &str, servers: &[Server]) -> Transport {
    let full = |key: &str| format!("{prefix}{key}");
    let is_set = |key: &str| values.is_set(&full(key));
    let mut wrong = |key: &str, words: String| reader.problems.push(values.problem(&full(key), words));
    let text = |key: &str| if is_set(key) { values.text(&full(key)) } else { "" };
    // That all servers say the same has been looked at.
    let scheme = servers.iter().find_map(|server| server.scheme);
    let proxy_protocol = match text("proxy_protocol") {
        "v1" => Some(ProxyProtocol::V1),
        "v2" => Some(ProxyProtocol::V2),
        _ => None,
    };
    let http2 = scheme.is_some_and(Scheme::http2) || text("protocol") == "h2";
    let mut transport = Transport { http2, tls: None, proxy_protocol };
    let tls = is_set("tls").then(|| values.bool(&full("tls")));
    if let Some(scheme) = scheme {
        let says = format!("{}:// before the servers' addresses says otherwise", scheme.name());
        if tls.is_some_and(|tls| tls != scheme.tls()) {
            wrong("tls", says);
        } else if scheme.http2() && text("protocol") == "http1" {
            wrong("protocol", says);
        }
    }
    if http2 && proxy_protocol.is_some() {
        wrong("proxy_protocol", "HTTP/2 carries many clients on one connection; take HTTP/1.1 for it".into());
    }
    if !scheme.map_or(tls == Some(true), Scheme::tls) {
        for key in ["tls_verify", "tls_ca", "tls_server_name", "tls_certificate", "tls_key"] {
            if is_set(key) {
                let tls = full("tls");
                wrong(key, format!("has no meaning without `{tls} = true`, or https:// before the servers' addresses"));
            }
        }
        return transport;
    }
    let mut file = |key: &str| {
        let path = is_set(key).then(|| values.path(&full(key))).flatten()?;
        match std::fs::read(&path) {
            Ok(bytes) => Some(Pem(bytes)),
            Err(error) => {
                wrong(key, format!("{}: {error}", path.display()));
                None
            }
        }
    };
    let (ca, certificate, key) = (file("tls_ca"), file("tls_certificate"), file("tls_key"));
    let verify = !is_set("tls_verify") || values.bool(&full("tls_verify"));
    let said = Some(text("tls_server_name")).filter(|name| !name.is_empty());
    let mut hosts = servers.iter().filter_map(|server| match &server.address {
        UpstreamAddress::Tcp { host, .. } => Some(host.as_str()),
        UpstreamAddress::Unix(_) => None,
    });
    let first_host = hosts.next();
    if let (None, true, Some(first)) = (said, verify, first_host)
        && let Some(other) = hosts.find(|host| *host != first)
    {
        let words = "one name is looked for in the certificates of all servers: say which, or make them two upstreams";
        wrong("tls_server_name", format!("{first} or {other}? {words}"));
    }
    let name = said.or(first_host);
    let Some(name) = name else {
        if !servers.is_empty() {
            wrong("tls_server_name", "a unix socket has no name to check the certificate for: give one".into());
        }
        return transport;
    };
    for (has, lacks) in [("tls_certificate", "tls_key"), ("tls_key", "tls_certificate")] {
        if is_set(has) && !is_set(lacks) {
            wrong(has, format!("needs `{}` beside it", full(lacks)));
        }
    }
    let tls = UpstreamTls { verify, ca, server_name: name.to_owned(), certificate: certificate.zip(key) };
    if let Err((key, words)) = crate::upstream::check_tls(&tls, transport.http2) {
        wrong(key, words);
    }
    transport.tls = Some(tls);
    transport
}
