//! Where requests come in.

use monodon_settings::{Kind, Problem, Problems, Section, Setting, Values};
use serde::{Deserialize, Serialize};

use crate::bind::Bind;

pub const SECTION: Section = Section::new("Sockets", SETTINGS);

const SETTINGS: &[Setting] = &[
    Setting {
        key: "bind",
        kind: Kind::List(&Kind::Text),
        default: "127.0.0.1:8000",
        words: "Where requests come in, once or several times: `127.0.0.1:8000`, `[::]:8000` (IPv4 too), `:8000`, `localhost` \
                (port 8000), `unix:/run/app.sock`, `fd://7` (an inherited socket). Where it is not given, the variable `PORT` \
                makes it `0.0.0.0:$PORT`. Sockets that systemd passes (`LISTEN_FDS`) take its place.",
        short: Some('b'),
        ..Setting::NEW
    },
    Setting {
        key: "socket_mode",
        default: "660",
        words: "Permissions of the unix sockets of `bind`, in octal.",
        ..Setting::NEW
    },
    Setting {
        key: "umask",
        words: "The same as a mask (`0117`, `0o117`, `0x4f`, `79`), as gunicorn has it; for the unix sockets alone, and only \
                where `socket_mode` is not given.",
        short: Some('m'),
        ..Setting::NEW
    },
    Setting {
        key: "backlog",
        kind: Kind::Int { min: 1, max: 65_535 },
        default: "2048",
        words: "Connections that may wait to be accepted.",
        ..Setting::NEW
    },
    Setting {
        key: "reuse_port",
        kind: Kind::Bool,
        default: "false",
        words: "Set `SO_REUSEPORT`, so that another worker may listen on the same port. (All processes still share one socket: \
                with one each, connections that wait for a process would die with it.)",
        ..Setting::NEW
    },
    Setting {
        key: "worker_connections",
        kind: Kind::Int { min: 1, max: 1_000_000 },
        default: "1000",
        words: "Connections that a process holds at a time; the next wait to be accepted.",
        ..Setting::NEW
    },
];

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sockets {
    pub reuse_port: bool,
    /// Of one process.
    pub worker_connections: u32,
}

impl Default for Sockets {
    /// For tests.
    fn default() -> Self {
        Self { reuse_port: false, worker_connections: 1000 }
    }
}

impl Sockets {
    pub fn read(values: &Values) -> Self {
        Self {
            reuse_port: values.bool("reuse_port"),
            worker_connections: u32::try_from(values.int("worker_connections")).unwrap_or(u32::MAX),
        }
    }
}

/// `port`: the variable `PORT`.
pub fn binds(values: &Values, port: Option<&str>, problems: &mut Problems) -> Vec<Bind> {
    if !values.is_set("bind")
        && let Some(port) = port.filter(|port| !port.is_empty())
    {
        if let Ok(port) = port.parse() {
            return vec![Bind::Tcp(([0, 0, 0, 0], port).into())];
        }
        problems.push(Problem::new("PORT", format!("expected a port, got {port:?}; --bind makes it unneeded")));
    }
    let mut binds: Vec<Bind> = Vec::new();
    for text in values.list("bind") {
        match text.parse() {
            Ok(bind @ Bind::Fd(_)) if binds.contains(&bind) => {
                problems.push(values.problem("bind", format!("{text} is given twice")));
            }
            Ok(bind) => binds.push(bind),
            Err(reason) => {
                let wanted = "an address such as 127.0.0.1:8000, [::1]:8000, :8000, unix:/run/app.sock or fd://7";
                problems.push(values.problem("bind", format!("expected {wanted}, got {text:?}: {reason}")));
            }
        }
    }
    binds
}

/// Of unix sockets.
pub fn mode(values: &Values, problems: &mut Problems) -> u32 {
    if values.is_set("umask") && !values.is_set("socket_mode") {
        let text = values.text("umask");
        return match number(text).filter(|mask| *mask <= 0o777) {
            Some(mask) => 0o777 & !mask,
            None => {
                problems.push(values.problem("umask", format!("expected a mask such as 0117, got {text:?}")));
                0o600
            }
        };
    }
    let text = values.text("socket_mode");
    match u32::from_str_radix(text.trim_start_matches("0o"), 8) {
        Ok(mode) if mode <= 0o777 => mode,
        _ => {
            let wanted = "expected octal permissions such as 660";
            problems.push(values.problem("socket_mode", format!("{wanted}, got {text:?}")));
            0o600
        }
    }
}

/// As gunicorn reads it: a leading zero is octal, and without one it is decimal, because `umask = 0o117` in its
/// configuration file arrives as 79.
fn number(text: &str) -> Option<u32> {
    let parse = |digits: &str, radix| u32::from_str_radix(digits, radix).ok();
    let lower = text.to_ascii_lowercase();
    if let Some(digits) = lower.strip_prefix("0x") {
        parse(digits, 16)
    } else if let Some(digits) = lower.strip_prefix("0b") {
        parse(digits, 2)
    } else if let Some(digits) = lower.strip_prefix("0o").or_else(|| lower.strip_prefix('0')) {
        parse(if digits.is_empty() { "0" } else { digits }, 8)
    } else {
        parse(&lower, 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_as_gunicorn_reads_them() {
        for (text, mask) in [("0", 0), ("0117", 0o117), ("0o117", 0o117), ("79", 0o117), ("0x4F", 0o117), ("0b111", 7)]
        {
            assert_eq!(number(text), Some(mask), "{text}");
        }
        for text in ["", "rw", "0x", "08", "-1"] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
