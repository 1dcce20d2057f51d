//! Whose request it is: which proxies are believed, and in what they say it.

use super::Cidr;
use super::load::Reader;
use crate::access::{Networks, RealIp};
use http::HeaderName;
use monodon_settings::{Kind, Setting};

const TEXTS: Kind = Kind::List(&Kind::Text);

pub const SETTINGS: &[Setting] = &[
    Setting {
        key: "trusted_proxies",
        kind: TEXTS,
        words: "Networks such as `10.0.0.0/8` whose X-Forwarded-*, X-Request-ID and traceparent are believed; from anyone else \
                they are dropped.",
        aliases: &["set_real_ip_from"],
        ..Setting::NEW
    },
    Setting {
        key: "real_ip_header",
        default: "X-Forwarded-For",
        words: "The field in which `trusted_proxies` tell the client's address: `X-Forwarded-For`, `Forwarded`, `X-Real-IP`, \
                `CF-Connecting-IP`, `True-Client-IP` or another. It is read from the right, over all trusted addresses, to the \
                first that is not; what cannot be read ends it. Access rules, limits, logs and `X-Real-IP` go by that address. \
                From anyone else the field is dropped.",
        ..Setting::NEW
    },
    Setting {
        key: "proxy_protocol",
        kind: Kind::Choice(&["off", "on"]),
        default: "off",
        words: "`on`: connections from `proxy_protocol_from`, to `http` and `https` alike, begin with a header of the PROXY \
                protocol, version 1 or 2 (HAProxy, a cloud's TCP balancer), and its address is the client's; one without, or \
                with a malformed one, is closed. From anyone else no such header is understood.",
        ..Setting::NEW
    },
    Setting {
        key: "proxy_protocol_from",
        kind: TEXTS,
        words: "Networks whose connections begin with a PROXY header, or `all`; by default `trusted_proxies`.",
        ..Setting::NEW
    },
];

/// How a client's own address is found.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Proxies {
    pub trusted: Networks,
    pub real_ip: RealIp,
    /// Who begins with a PROXY header; `None`: nobody.
    pub introduced: Option<Networks>,
}

impl Reader<'_> {
    pub(super) fn proxies(&mut self) -> Proxies {
        let trusted = self.proxy_networks("trusted_proxies");
        let field = self.values.text("real_ip_header");
        let real_ip = match HeaderName::from_bytes(field.as_bytes()) {
            Ok(name) if name == http::header::FORWARDED => RealIp::Forwarded,
            // Such names are dropped from every request.
            Ok(name) if !name.as_str().contains(['_', '.']) => RealIp::List(name),
            _ => {
                self.wrong(
                    "real_ip_header",
                    format!("expected a header's name such as X-Forwarded-For, got {field:?}"),
                );
                RealIp::default()
            }
        };
        let mut from = self.proxy_networks("proxy_protocol_from");
        if from.is_empty() {
            from.clone_from(&trusted);
        }
        let on = self.values.text("proxy_protocol") == "on";
        if on && from.is_empty() {
            let words = "needs proxy_protocol_from or trusted_proxies: whoever may send the header chooses the client's address";
            self.wrong("proxy_protocol", words);
        }
        let introduced = on.then(|| Networks::of(&from));
        Proxies { trusted: Networks::of(&trusted), real_ip, introduced }
    }

    fn proxy_networks(&mut self, key: &str) -> Vec<Cidr> {
        let mut networks = Vec::new();
        for text in self.values.list(key) {
            match Cidr::parse(text) {
                _ if text == "all" && key == "proxy_protocol_from" => networks.extend(Cidr::ALL),
                Some(network) => networks.push(network),
                None => self.wrong(key, format!("expected a network such as 10.0.0.0/8, got {text:?}")),
            }
        }
        networks
    }
}
