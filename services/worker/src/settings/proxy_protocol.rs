//! The PROXY protocol: whose connection it is, told by a proxy that only passes bytes on.

use monodon_proxy_protocol::Versions;
use monodon_settings::{Kind, Problems, Section, Setting, Values};
use serde::{Deserialize, Serialize};

use crate::process::Trust;

pub const SECTION: Section = Section::new("PROXY protocol", SETTINGS);

const SETTINGS: &[Setting] = &[
    Setting {
        key: "proxy_protocol",
        // The last five are gunicorn's other words for it, and what a boolean of its configuration file becomes.
        kind: Kind::Choice(&["off", "v1", "v2", "auto", "true", "false", "1", "0", "none"]),
        default: "off",
        words: "The PROXY protocol (HAProxy, stunnel, TCP balancers) before the first request of a connection: `off`, `v1` \
                (text), `v2` (binary), `auto` (either; also what the flag alone means). A connection without such a header \
                is plain HTTP.",
        alone: Some("auto"),
        ..Setting::NEW
    },
    Setting {
        key: "proxy_allow_ips",
        kind: Kind::List(&Kind::Text),
        default: "127.0.0.1,::1",
        words: "Who may send a PROXY header: addresses, networks, `*` for anyone; always whoever comes through a unix \
                socket. From anybody else it is answered with 403.",
        aliases: &["proxy_allow_from"],
        ..Setting::NEW
    },
];

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProxyProtocol {
    pub mode: Mode,
    /// Addresses, networks, or `*`.
    pub allow: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    Off,
    V1,
    V2,
    Auto,
}

impl Mode {
    fn of(word: &str) -> Self {
        match word {
            "v1" => Mode::V1,
            "v2" => Mode::V2,
            "auto" | "true" | "1" => Mode::Auto,
            _ => Mode::Off,
        }
    }

    pub fn versions(self) -> Option<Versions> {
        match self {
            Mode::Off => None,
            Mode::V1 => Some(Versions::V1),
            Mode::V2 => Some(Versions::V2),
            Mode::Auto => Some(Versions::Both),
        }
    }
}

impl Default for ProxyProtocol {
    /// For tests.
    fn default() -> Self {
        Self { mode: Mode::Off, allow: ["127.0.0.1", "::1"].map(str::to_owned).to_vec() }
    }
}

impl ProxyProtocol {
    pub fn read(values: &Values, problems: &mut Problems) -> Self {
        let mode = Mode::of(values.text("proxy_protocol"));
        let allow = values.list("proxy_allow_ips").to_vec();
        if let Err(wrong) = Trust::parse(&allow) {
            problems.push(values.problem("proxy_allow_ips", wrong));
        }
        Self { mode, allow }
    }
}
