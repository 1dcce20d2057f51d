//! What is told, how, and where.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use monodon_settings::{Kind, Problems, Section, Setting, Values};
use serde::{Deserialize, Serialize};

use crate::access::{COMBINED, Format};
use crate::config::Config;
use crate::statsd;

pub const SECTION: Section = Section::new("Logs", SETTINGS);

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
        key: "errorlog",
        default: "stdout",
        words: "Where the worker itself tells what happens, and `gunicorn.error` of Python's `logging` with it: `stdout`, \
                `stderr` (gunicorn's `-`), or a file. gunicorn's default is stderr.",
        aliases: &["error_logfile", "log_file"],
        ..Setting::NEW
    },
    Setting {
        key: "log_level",
        kind: Kind::Choice(&["error", "warn", "info", "debug", "trace", "warning", "critical"]),
        default: "info",
        words: "How much the worker itself tells, and the level of `gunicorn.error`. `warning` and `critical` are gunicorn's \
                words for `warn` and `error`.",
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
    Setting {
        key: "capture_output",
        kind: Kind::Bool,
        default: "false",
        words: "What the application prints goes to the file of `errorlog`; without a file this changes nothing.",
        ..Setting::NEW
    },
    Setting {
        key: "logger_class",
        default: DEFAULT_LOGGER,
        words: "Only gunicorn's default: lines are made outside of Python. `access_log_format` shapes them, `logconfig_dict` \
                sends them through handlers of Python's, `statsd_host` counts them.",
        ..Setting::NEW
    },
    Setting {
        key: "logconfig",
        kind: Kind::Path,
        words: "A file for Python's `logging.config.fileConfig`, applied before the application is imported. Where it gives \
                `gunicorn.access` handlers, each request's line goes through them as under gunicorn, which costs what Python \
                costs. The supervisor runs no Python, so its own messages never go through `logging`.",
        aliases: &["log_config"],
        ..Setting::NEW
    },
    Setting {
        key: "logconfig_dict",
        words: "The same as a dictionary for `dictConfig`, in JSON or, in `gunicorn.conf.py`, as Python's own; it updates \
                gunicorn's defaults and wins over `logconfig_json` and `logconfig`.",
        ..Setting::NEW
    },
    Setting {
        key: "logconfig_json",
        kind: Kind::Path,
        words: "The same as a file of JSON; it wins over `logconfig`.",
        aliases: &["log_config_json"],
        ..Setting::NEW
    },
    Setting {
        key: "syslog",
        kind: Kind::Bool,
        default: "false",
        words: "Send both logs to syslog too.",
        aliases: &["log_syslog"],
        ..Setting::NEW
    },
    Setting {
        key: "syslog_addr",
        default: "udp://localhost:514",
        words: "Where syslog listens: `udp://HOST:PORT`, `tcp://HOST:PORT`, `unix://PATH`, `unix://PATH#dgram` or `#stream`.",
        aliases: &["log_syslog_to"],
        ..Setting::NEW
    },
    Setting {
        key: "syslog_prefix",
        words: "Messages begin with `gunicorn.PREFIX.error` or `gunicorn.PREFIX.access`; without one it is `proc_name` \
                or the application's name, with dots for colons.",
        aliases: &["log_syslog_prefix"],
        ..Setting::NEW
    },
    Setting {
        key: "syslog_facility",
        default: "user",
        words: "Syslog's facility: `user`, `daemon`, `local0` and so on.",
        aliases: &["log_syslog_facility"],
        ..Setting::NEW
    },
    Setting {
        key: "disable_redirect_access_to_syslog",
        kind: Kind::Bool,
        default: "false",
        words: "The access log does not go to syslog.",
        ..Setting::NEW
    },
    Setting {
        key: "statsd_host",
        words: "Where StatsD listens, `HOST:PORT` or `unix://PATH`; metrics are sent there under gunicorn's names. (Prometheus \
                asks `admin` instead.)",
        ..Setting::NEW
    },
    Setting {
        key: "statsd_prefix",
        words: "What the names of StatsD's metrics begin with; a dot is put after it.",
        ..Setting::NEW
    },
    Setting {
        key: "dogstatsd_tags",
        words: "Tags for Datadog's StatsD, such as `env:prod,team:shop`, on each metric.",
        ..Setting::NEW
    },
    Setting {
        key: "enable_backlog_metric",
        kind: Kind::Bool,
        default: "false",
        words: "Tell StatsD each second how many connections wait to be accepted. (Prometheus is told always.)",
        ..Setting::NEW
    },
    Setting {
        key: "enable_stdio_inheritance",
        kind: Kind::Bool,
        default: "false",
        words: "With `daemon`, standard output and error stay what they are. Without it they always do.",
        short: Some('R'),
        ..Setting::NEW
    },
];

const DEFAULT_LOGGER: &str = "gunicorn.glogging.Logger";

/// The settings of this section that are young enough to live in a place of their own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Logs {
    /// `auto`, `json`, `combined`, or a format that compiles.
    pub access_log_format: String,
    /// `stdout`, `stderr`, or a path.
    pub errorlog: String,
    pub capture_output: bool,
    pub logconfig: Option<PathBuf>,
    /// JSON.
    pub logconfig_dict: Option<String>,
    pub logconfig_json: Option<PathBuf>,
    pub syslog: Option<Syslog>,
    pub statsd: Option<statsd::Settings>,
    /// The lines of the access log go through Python's `logging`: the zygote sets it, where `logconfig` has it so.
    pub through_python: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Syslog {
    /// As written; it can be read.
    pub address: String,
    /// None: the process's or the application's name.
    pub prefix: Option<String>,
    /// Its number.
    pub facility: u8,
    /// Whether the access log goes there too.
    pub access: bool,
}

impl Syslog {
    /// `gunicorn.shop.wsgi.access`
    pub fn name(&self, config: &Config, log: &str) -> String {
        let name = || config.mechanics.proc_name.as_ref().unwrap_or(&config.app).replace(':', ".");
        let prefix = self.prefix.clone().unwrap_or_else(name);
        format!("gunicorn.{prefix}.{log}")
    }
}

impl Default for Logs {
    fn default() -> Self {
        Self {
            access_log_format: "auto".to_owned(),
            errorlog: "stdout".to_owned(),
            capture_output: false,
            logconfig: None,
            logconfig_dict: None,
            logconfig_json: None,
            syslog: None,
            statsd: None,
            through_python: false,
        }
    }
}

/// The access log's place as the processes open it. Relative names begin in `folder`, as under gunicorn the one that the
/// worker works in.
pub fn accesslog(values: &Values, folder: &Path) -> Option<String> {
    match values.text("accesslog") {
        "off" | "" => None,
        "stdout" | "-" => Some("-".to_owned()),
        "stderr" => Some("stderr".to_owned()),
        path => Some(folder.join(path).display().to_string()),
    }
}

/// What `access_log_format` comes to.
pub enum AccessFormat {
    Json,
    Text(String),
}

impl Logs {
    pub fn read(values: &Values, folder: &Path, problems: &mut Problems) -> Self {
        let format = values.text("access_log_format");
        if let Err(words) = Format::parse(format) {
            problems.push(values.problem("access_log_format", words));
        }
        let class = values.text("logger_class");
        if !matches!(class, DEFAULT_LOGGER | "gunicorn.instrument.statsd.Statsd" | "") {
            let instead = "lines are made outside of Python. access_log_format shapes them, logconfig_dict sends them \
                           through handlers of Python's, statsd_host counts them";
            problems.push(values.problem("logger_class", format!("{class:?} cannot be used: {instead}")));
        }
        let dict = values.text("logconfig_dict");
        if !dict.is_empty() && !serde_json::from_str::<serde_json::Value>(dict).is_ok_and(|dict| dict.is_object()) {
            problems.push(values.problem("logconfig_dict", format!("expected an object in JSON, got {dict:?}")));
        }
        let mut file = |key: &str| {
            let path = values.path(key).map(|path| folder.join(path));
            if let Some(path) = path.as_ref().filter(|path| !path.is_file()) {
                problems.push(values.problem(key, format!("{} is no file", path.display())));
            }
            path
        };
        let (logconfig, logconfig_json) = (file("logconfig"), file("logconfig_json"));
        Self {
            access_log_format: format.to_owned(),
            errorlog: match values.text("errorlog") {
                "-" => "stderr".to_owned(),
                "" => "stdout".to_owned(),
                "stdout" | "stderr" => values.text("errorlog").to_owned(),
                path => folder.join(path).display().to_string(),
            },
            capture_output: values.bool("capture_output"),
            logconfig,
            logconfig_dict: Some(dict.to_owned()).filter(|dict| !dict.is_empty()),
            logconfig_json,
            syslog: Self::syslog(values, problems),
            statsd: Self::statsd(values, problems),
            through_python: false,
        }
    }

    fn syslog(values: &Values, problems: &mut Problems) -> Option<Syslog> {
        let address = values.text("syslog_addr");
        if let Err(words) = address.parse::<monodon_logging::syslog::Address>() {
            problems.push(values.problem("syslog_addr", words));
        }
        let name = values.text("syslog_facility").to_ascii_lowercase();
        let facilities = monodon_logging::syslog::FACILITIES;
        let facility = facilities.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
        if facility.is_none() {
            let names: Vec<_> = facilities.iter().map(|(name, _)| *name).collect();
            let words = format!("expected one of {}, got {name:?}", names.join(", "));
            problems.push(values.problem("syslog_facility", words));
        }
        values.bool("syslog").then(|| Syslog {
            address: address.to_owned(),
            prefix: Some(values.text("syslog_prefix").to_owned()).filter(|prefix| !prefix.is_empty()),
            facility: facility.unwrap_or(1),
            access: !values.bool("disable_redirect_access_to_syslog"),
        })
    }

    fn statsd(values: &Values, problems: &mut Problems) -> Option<statsd::Settings> {
        let text = values.text("statsd_host");
        if text.is_empty() {
            return None;
        }
        let prefix = values.text("statsd_prefix").trim_end_matches('.');
        let tags = values.text("dogstatsd_tags");
        // Whatever could end a metric and begin another.
        for (key, text) in [("statsd_prefix", prefix), ("dogstatsd_tags", tags)] {
            if text.contains(|c: char| c.is_control() || c == '|') || (key == "statsd_prefix" && text.contains(':')) {
                problems.push(values.problem(key, format!("{text:?} cannot stand in a metric")));
            }
        }
        match text.parse() {
            Ok(host) => Some(statsd::Settings {
                host,
                prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}.") },
                tags: tags.to_owned(),
                backlog: values.bool("enable_backlog_metric"),
            }),
            Err(words) => {
                problems.push(values.problem("statsd_host", words));
                None
            }
        }
    }

    /// Whether anybody wants a line of each request.
    pub fn tells_access(&self, config: &Config) -> bool {
        config.accesslog.is_some() || self.through_python || self.syslog.as_ref().is_some_and(|syslog| syslog.access)
    }

    /// Begins the log of this process: the supervisor's or a worker's.
    pub fn begin(&self, config: &Config) -> std::io::Result<monodon_logging::Guard> {
        let syslog = match &self.syslog {
            Some(syslog) => {
                let address = syslog.address.parse().map_err(std::io::Error::other)?;
                Some((address, syslog.facility, syslog.name(config, "error")))
            }
            None => None,
        };
        let level = config.log_level.parse().unwrap_or_default();
        let format = config.log_format.parse().unwrap_or_default();
        let places = monodon_logging::Places { target: self.errorlog.clone(), syslog };
        monodon_logging::init_to(level, format, "worker", places)
    }

    /// Whether a line of the access log says anything of the environ.
    pub fn wants_environ(&self, config: &Config) -> bool {
        self.through_python
            || self.tells_access(config)
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
