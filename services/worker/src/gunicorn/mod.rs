//! What people bring from gunicorn: its configuration file, its variable of flags, its names.

pub mod check;
#[cfg(test)]
mod differences;
mod effective;
mod file;
pub mod import;
mod known;
pub mod paste;
#[cfg(test)]
mod reference;
mod table;
pub mod worker_class;

use std::ffi::OsString;
use std::path::Path;

use monodon_settings::{Foreign, Layer, Problem, Reading, Source, Values};

pub use effective::effective;
#[cfg(test)]
pub use reference::reference;
use serde_json::json;
use table::How;
pub use table::REFUSED;

use crate::settings::SCHEMA;

/// The variable that gunicorn reads flags from.
pub const CMD_ARGS: &str = "GUNICORN_CMD_ARGS";
/// What gunicorn reads when no file is named.
const DEFAULT_FILE: &str = "gunicorn.conf.py";

/// What was found below flags and environment.
#[derive(Default)]
pub struct Below {
    /// The Python configuration, as a process that executes it again finds it: an absolute path or `python:MODULE`.
    pub conf: Option<String>,
    /// For the log, once there is one.
    pub warnings: Vec<String>,
}

/// Adds the layers below flags and environment: `GUNICORN_CMD_ARGS` where it is asked for, then one configuration file,
/// TOML or Python. Python is executed by `python`, in a process of its own.
/// Relative names begin in `folder`; a Python file is executed if its text is `wanted`.
pub fn read(reading: &mut Reading, python: &[OsString], folder: &Path, wanted: impl Fn(&str) -> bool) -> Below {
    let mut below = Below::default();
    reading.begin_in(folder);
    let mut named = reading.config();
    if let Ok(line) = std::env::var(CMD_ARGS) {
        if reading.peek("gunicorn_env").is_some_and(|text| matches!(text, "true" | "yes" | "on" | "1")) {
            match shlex::split(&line) {
                Some(words) => {
                    let words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
                    let config = reading.command_line(&words, CMD_ARGS);
                    named = named.or(config);
                }
                None => reading.problems.push(Problem::new(CMD_ARGS, "a quote is not closed")),
            }
        } else if !line.trim().is_empty() {
            below.warnings.push(format!("{CMD_ARGS} is set and not read; --gunicorn-env has it read"));
        }
    }
    match named {
        Some((path, place)) if path.extension().is_some_and(|end| end == "toml") => reading.toml(&path, Some(&place)),
        Some((location, place)) => match location.to_str() {
            Some(location) => {
                below.conf = file::Conf { location, folder, python }.read(reading, Some(&place), &wanted, &mut below);
            }
            None => reading.problems.push(Problem::new(place, "the configuration's name is not UTF-8")),
        },
        None if folder.join(DEFAULT_FILE).exists() => {
            let conf = file::Conf { location: DEFAULT_FILE, folder, python };
            below.conf = conf.read(reading, None, &wanted, &mut below);
        }
        None => {}
    }
    reading.layer(defaults(), None);
    below
}

/// Variables that have given gunicorn's defaults for long, and that hosting platforms set. (`WEB_CONCURRENCY` is read
/// with `workers`, `PORT` with `bind`.)
fn defaults() -> Layer {
    let mut layer = Layer::default();
    let mut push = |variable: &str, key: &str, value: fn(&str) -> String| {
        if let Some(text) = std::env::var(variable).ok().filter(|text| !text.trim().is_empty()) {
            let source = Source::Environment(variable.to_owned());
            let _ = layer.push(&SCHEMA, key, Foreign::Text(value(&text)), source);
        }
    };
    push("FORWARDED_ALLOW_IPS", "forwarded_allow_ips", str::to_owned);
    push("SENDFILE", "sendfile", |text| matches!(text.to_lowercase().as_str(), "y" | "1" | "yes" | "true").to_string());
    layer
}

/// What was given and changes nothing, each with a word on why.
pub fn idle(values: &Values) -> Vec<String> {
    let idle = known::KNOWN.iter().filter(|known| known.how == How::Idle && known.setting().is_some());
    let given = idle.filter(|known| values.is_set(known.name));
    given
        .map(|known| {
            values.problem(known.name, format!("{} has no meaning here: {}", known.name, known.words)).to_string()
        })
        .collect()
}

/// Every name that has a meaning in a configuration file, joined by commas.
fn names() -> String {
    let own = SCHEMA.settings().flat_map(|setting| std::iter::once(&setting.key).chain(setting.aliases).copied());
    let theirs = known::KNOWN.iter().map(|known| known.name);
    own.chain(theirs).map(|name| name.replace('-', "_")).collect::<Vec<_>>().join(",")
}

/// For the test that compares the table with gunicorn's own.
pub fn table_json() -> String {
    let row = |known: &table::Known| {
        let setting = known.setting();
        let nothing = match known.how {
            How::Refused(nothing) | How::Edge(nothing) => Some(nothing),
            _ => None,
        };
        json!({
            "name": known.name,
            "flags": known.flags,
            "short": known.short,
            "switch": known.switch,
            "has_flag": known.has_flag(),
            "hook": known.how == How::Hook,
            "refused": nothing,
            "differs": matches!(known.how, How::Different | How::Idle),
            "words": known.words,
            "key": setting.map(|setting| setting.key),
        })
    };
    json!(known::KNOWN.iter().map(row).collect::<Vec<_>>()).to_string()
}

/// For the same test: what a command line comes to under gunicorn's names, or what is wrong with it.
pub fn effective_json(arguments: &[OsString], python: &[OsString], folder: &Path) -> String {
    match crate::load::load(arguments, python, folder) {
        Ok(loaded) => json!({ "effective": loaded.config.gunicorn, "warnings": loaded.warnings }),
        Err(problems) => json!({ "problems": problems.0.iter().map(ToString::to_string).collect::<Vec<_>>() }),
    }
    .to_string()
}
