//! What is told, how, and where.

use std::io::IsTerminal;

use monodon_settings::{Kind, Problems, Section, Setting, Values};
use serde::{Deserialize, Serialize};

use crate::access::{COMBINED, Format};
use crate::config::Config;

pub const SECTION: Section = Section { title: "Logs", settings: SETTINGS };

const SETTINGS: &[Setting] = &[
    Setting {
        key: "accesslog",
        default: "off",
        words: "Where each request is told: `-` or `stdout`, a file, or `off`. Off by default, as gunicorn's; the images set \
                `-`, so that a request can be followed by its id through all services.",
        aliases: &["access_logfile", "access_log"],
        ..Setting::NEW
    },
    Setting {
        key: "access_log_format",
        default: "auto",
        words: "`json`, or a format with gunicorn's atoms, such as `%(h)s \"%(r)s\" %(s)s %(L)s %({x-request-id}i)s`; \
                `combined` is gunicorn's default. `auto` is JSON on a stdout that is no terminal and wherever \
                `log_format` is `json`, else `combined`. Quotes, backslashes and what is no printable ASCII are escaped, \
                as Apache does; `h` is the client, whatever proxies stand before (see `forwarded_allow_ips`); \
                `%({name}e)s` is the request's environ as the application has left it, and costs a look into Python.",
        aliases: &["access_logformat"],
        ..Setting::NEW
    },
    Setting {
        key: "log_level",
        kind: Kind::Choice(&["error", "warn", "info", "debug", "trace"]),
        default: "info",
        words: "How much the worker itself tells.",
        shared: true,
        aliases: &["loglevel"],
        ..Setting::NEW
    },
    Setting {
        key: "log_format",
        kind: Kind::Choice(&["auto", "json", "text"]),
        default: "auto",
        words: "`auto` is text on a terminal, else JSON.",
        shared: true,
        ..Setting::NEW
    },
];

/// The settings of this section that are young enough to live in a place of their own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Logs {
    /// `auto`, `json`, `combined`, or a format that compiles.
    pub access_log_format: String,
}

impl Default for Logs {
    fn default() -> Self {
        Self { access_log_format: "auto".to_owned() }
    }
}

/// What `access_log_format` comes to.
pub enum AccessFormat {
    Json,
    Text(String),
}

impl Logs {
    pub fn read(values: &Values, problems: &mut Problems) -> Self {
        let format = values.text("access_log_format");
        if let Err(words) = Format::parse(format) {
            problems.push(values.problem("access_log_format", words));
        }
        Self { access_log_format: format.to_owned() }
    }

    /// Whether a line of the access log says anything of the environ.
    pub fn wants_environ(&self, config: &Config) -> bool {
        config.accesslog.is_some()
            && matches!(self.access_format(config), AccessFormat::Text(text)
                if Format::parse(&text).is_ok_and(|format| !format.wants().environ.is_empty()))
    }

    pub fn access_format(&self, config: &Config) -> AccessFormat {
        match self.access_log_format.as_str() {
            "json" => AccessFormat::Json,
            "auto" | "" => {
                let stdout = config.accesslog.as_deref() == Some("-") && !std::io::stdout().is_terminal();
                match config.log_format.as_str() {
                    "json" => AccessFormat::Json,
                    "auto" if stdout => AccessFormat::Json,
                    _ => AccessFormat::Text(COMBINED.to_owned()),
                }
            }
            "combined" => AccessFormat::Text(COMBINED.to_owned()),
            format => AccessFormat::Text(format.to_owned()),
        }
    }
}
