//! Whom the worker believes about its clients, and what the environ takes from a request's header fields.

use monodon_settings::{Kind, Problems, Section, Setting, Values};
use serde::{Deserialize, Serialize};

pub const SECTION: Section = Section::new("Proxies before the worker", SETTINGS);

const SETTINGS: &[Setting] = &[
    Setting {
        key: "forwarded_allow_ips",
        kind: Kind::List(&Kind::Text),
        default: "127.0.0.0/8,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7,unix",
        words: "From whom `X-Forwarded-*` is believed: addresses, networks, `unix` for unix sockets, `*` for anyone.",
        ..Setting::NEW
    },
    Setting {
        key: "forwarded_environ",
        kind: Kind::Choice(&["all", "scheme"]),
        default: "all",
        words: "What the environ takes from a trusted proxy. `all`: REMOTE_ADDR from `X-Forwarded-For`, HTTP_HOST from \
                `X-Forwarded-Host`, SERVER_PORT from `X-Forwarded-Port`, and wsgi.url_scheme; what others send under such \
                names is dropped. `scheme`: wsgi.url_scheme alone, and the application sees every field as it came, from \
                anyone, as under gunicorn: for applications that look at `X-Forwarded-For` themselves.",
        ..Setting::NEW
    },
    Setting {
        key: "secure_scheme_headers",
        default: SECURE_SCHEME_HEADERS,
        words: "The header fields with which a trusted proxy says that a request came by HTTPS, and their values, as JSON. \
                Of a list the last entry counts, in any case. Fields that contradict each other are refused with 400.",
        ..Setting::NEW
    },
    Setting {
        key: "forwarder_headers",
        kind: Kind::List(&Kind::Text),
        default: "SCRIPT_NAME,PATH_INFO",
        words: "Names with underscores that a trusted proxy may send although `header_map` would keep them out; `*` is any. \
                `SCRIPT_NAME` then says where the application is mounted.",
        ..Setting::NEW
    },
    Setting {
        key: "header_map",
        kind: Kind::Choice(&["drop", "refuse", "dangerous"]),
        default: "drop",
        words: "What becomes of header fields whose names have underscores, which the environ cannot tell from dashes: \
                `drop`, `refuse` the request with 400, or `dangerous`, which passes them on.",
        ..Setting::NEW
    },
    Setting {
        key: "root_path",
        words: "Where the application is mounted, such as `/shop`: its SCRIPT_NAME, and what is taken from the front of \
                PATH_INFO; other paths are 404. Without it the variable SCRIPT_NAME of the environment, as with gunicorn.",
        ..Setting::NEW
    },
];

const SECURE_SCHEME_HEADERS: &str =
    r#"{"X-FORWARDED-PROTOCOL":"ssl","X-FORWARDED-PROTO":"https","X-FORWARDED-SSL":"on"}"#;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HeaderMap {
    Drop,
    Refuse,
    Dangerous,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Proxies {
    /// Whether the environ takes more from a trusted proxy than the scheme.
    pub all: bool,
    /// Names in lower case, and the values that mean HTTPS.
    pub secure_scheme_headers: Vec<(String, String)>,
    /// In upper case.
    pub forwarder_headers: Vec<String>,
    pub header_map: HeaderMap,
    /// Without a slash at its end. None if it was not given.
    pub root_path: Option<String>,
}

impl Default for Proxies {
    fn default() -> Self {
        Self {
            all: true,
            secure_scheme_headers: scheme_headers(SECURE_SCHEME_HEADERS).unwrap_or_default(),
            forwarder_headers: ["SCRIPT_NAME", "PATH_INFO"].map(str::to_owned).to_vec(),
            header_map: HeaderMap::Drop,
            root_path: None,
        }
    }
}

impl Proxies {
    pub fn read(values: &Values, problems: &mut Problems) -> Self {
        let text = values.text("secure_scheme_headers");
        let secure_scheme_headers = scheme_headers(text).unwrap_or_else(|| {
            let wanted = "expected JSON such as {\"X-FORWARDED-PROTO\": \"https\"}";
            problems.push(values.problem("secure_scheme_headers", format!("{wanted}, got {text:?}")));
            Vec::new()
        });
        let root = values.text("root_path");
        if !root.is_empty() && !root.starts_with('/') {
            problems.push(values.problem("root_path", format!("expected a path such as /shop, got {root:?}")));
        }
        Self {
            all: values.text("forwarded_environ") == "all",
            secure_scheme_headers,
            forwarder_headers: values.list("forwarder_headers").iter().map(|name| name.to_ascii_uppercase()).collect(),
            header_map: match values.text("header_map") {
                "refuse" => HeaderMap::Refuse,
                "dangerous" => HeaderMap::Dangerous,
                _ => HeaderMap::Drop,
            },
            root_path: Some(root.trim_end_matches('/').to_owned()).filter(|_| !root.is_empty()),
        }
    }
}

/// Pairs of a name, in lower case, and a value.
fn scheme_headers(text: &str) -> Option<Vec<(String, String)>> {
    let pairs: std::collections::BTreeMap<String, String> = serde_json::from_str(text).ok()?;
    Some(pairs.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect())
}
