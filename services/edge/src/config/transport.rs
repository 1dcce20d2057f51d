//! How an upstream is spoken to: HTTP/1.1 or HTTP/2, plain or over TLS, with or without a word on whose connection it is.

use super::load::Reader;
use super::sites::setting;
use monodon_settings::{Kind, Setting, Values};

pub(super) const TRANSPORT: &[Setting] = &[
    setting(
        "protocol",
        Kind::Choice(&["http1", "h2"]),
        "`h2` speaks HTTP/2, in the clear (h2c) or over TLS, as gRPC servers want it; without it HTTP/1.1.",
    ),
    setting("tls", Kind::Bool, "Speak TLS to it."),
    Setting {
        aliases: &["proxy_ssl_verify"],
        ..setting("tls_verify", Kind::Bool, "Whether its certificate is checked; true unless you say false.")
    },
    Setting {
        aliases: &["proxy_ssl_trusted_certificate"],
        ..setting(
            "tls_ca",
            Kind::Path,
            "PEM file of the CAs that its certificate is checked against; without it those that browsers trust.",
        )
    },
    Setting {
        aliases: &["proxy_ssl_name"],
        ..setting(
            "tls_server_name",
            Kind::Text,
            "The name that its certificate must have and that is asked for (SNI); without it the first server's.",
        )
    },
    Setting {
        aliases: &["proxy_ssl_certificate"],
        ..setting("tls_certificate", Kind::Path, "PEM file of our own certificate and its chain, if it asks for one.")
    },
    Setting {
        aliases: &["proxy_ssl_certificate_key"],
        ..setting("tls_key", Kind::Path, "PEM file of the key of `tls_certificate`.")
    },
    setting(
        "proxy_protocol",
        Kind::Choice(&["off", "v1", "v2"]),
        "Tell it the client's address by a PROXY protocol header. Each client then has connections of its own.",
    ),
];

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

/// `first_host` is what the certificate is checked for where nothing else is said.
pub(super) fn read(reader: &mut Reader<'_>, values: &Values, first_host: Option<&str>) -> Transport {
    let mut wrong = |key: &str, words: String| reader.problems.push(values.problem(key, words));
    let text = |key: &str| if values.is_set(key) { values.text(key) } else { "" };
    let mut transport = Transport {
        http2: text("protocol") == "h2",
        tls: None,
        proxy_protocol: match text("proxy_protocol") {
            "v1" => Some(ProxyProtocol::V1),
            "v2" => Some(ProxyProtocol::V2),
            _ => None,
        },
    };
    if transport.http2 && transport.proxy_protocol.is_some() {
        wrong("proxy_protocol", "HTTP/2 carries many clients on one connection; take `protocol = \"http1\"`".into());
    }
    if !(values.is_set("tls") && values.bool("tls")) {
        for key in ["tls_verify", "tls_ca", "tls_server_name", "tls_certificate", "tls_key"] {
            if values.is_set(key) {
                wrong(key, "has no meaning without `tls = true`".into());
            }
        }
        return transport;
    }
    let mut file = |key: &str| {
        let path = values.is_set(key).then(|| values.path(key)).flatten()?;
        match std::fs::read(&path) {
            Ok(bytes) => Some(Pem(bytes)),
            Err(error) => {
                wrong(key, format!("{}: {error}", path.display()));
                None
            }
        }
    };
    let (ca, certificate, key) = (file("tls_ca"), file("tls_certificate"), file("tls_key"));
    let name = Some(text("tls_server_name")).filter(|name| !name.is_empty()).or(first_host);
    let Some(name) = name else {
        wrong("tls_server_name", "a unix socket has no name to check the certificate for: give one".into());
        return transport;
    };
    for (has, lacks) in [("tls_certificate", "tls_key"), ("tls_key", "tls_certificate")] {
        if values.is_set(has) && !values.is_set(lacks) {
            wrong(has, format!("needs `{lacks}` beside it"));
        }
    }
    let tls = UpstreamTls {
        verify: !values.is_set("tls_verify") || values.bool("tls_verify"),
        ca,
        server_name: name.to_owned(),
        certificate: certificate.zip(key),
    };
    if let Err((key, words)) = crate::upstream::check_tls(&tls, transport.http2) {
        wrong(key, words);
    }
    transport.tls = Some(tls);
    transport
}
