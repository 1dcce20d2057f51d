//! Whom the worker believes about its clients.

use monodon_settings::{Kind, Section, Setting};

pub const SECTION: Section = Section { title: "Proxies before the worker", settings: SETTINGS };

const SETTINGS: &[Setting] = &[Setting {
    key: "forwarded_allow_ips",
    kind: Kind::List(&Kind::Text),
    default: "127.0.0.0/8,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7,unix",
    words: "From whom `X-Forwarded-*` is believed: addresses, networks, `unix` for unix sockets, `*` for anyone.",
    ..Setting::NEW
}];
