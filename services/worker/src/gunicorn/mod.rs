//! What people bring from gunicorn: its configuration file, its variable of flags, its names.

mod effective;
mod file;

use std::ffi::OsString;
use std::path::Path;

use monodon_settings::{Problem, Reading};

pub use effective::effective;

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
pub fn read(reading: &mut Reading, python: &[OsString], wanted: impl Fn(&str) -> bool) -> Below {
    let mut below = Below::default();
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
            Some(location) => file::read(reading, location, Some(&place), python, &wanted, &mut below),
            None => reading.problems.push(Problem::new(place, "the configuration's name is not UTF-8")),
        },
        None if Path::new(DEFAULT_FILE).exists() => {
            file::read(reading, DEFAULT_FILE, None, python, &wanted, &mut below);
        }
        None => {}
    }
    below
}

/// Every name that has a meaning in a configuration file, joined by commas.
fn names() -> String {
    let own = SCHEMA.settings().flat_map(|setting| std::iter::once(&setting.key).chain(setting.aliases).copied());
    let refused = SCHEMA.refused.iter().flat_map(|refused| refused.names).copied();
    own.chain(refused).map(|name| name.replace('-', "_")).collect::<Vec<_>>().join(",")
}
