//! The configuration file in Python: executed in a process that ends at once, its settings read from the JSON that it
//! prints.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use monodon_settings::{Foreign, Layer, Problem, Reading, Source};
use serde::Deserialize;
use serde_json::Value;

use super::Below;
use crate::settings::SCHEMA;

/// A configuration that waits for something is a mistake, and the start waits for it.
const LONGEST: Duration = Duration::from_secs(30);

/// What `monodon/gunicorn_conf.py` prints.
#[derive(Deserialize)]
struct Answer {
    path: String,
    #[serde(default)]
    settings: Vec<Found>,
    #[serde(default)]
    unknown: Vec<Unknown>,
    failed: Option<String>,
    #[serde(default)]
    line: usize,
    #[serde(default)]
    traceback: String,
}

/// A variable that has the name of a setting.
#[derive(Deserialize)]
struct Found {
    name: String,
    /// 0: not known.
    line: usize,
    #[serde(default)]
    value: Value,
    /// Why it cannot be what it stands for.
    wrong: Option<String>,
    /// It is a function; the zygote takes it from the file itself.
    #[serde(default)]
    hook: bool,
    /// It is of Python's own kind; whoever uses it takes it from the file itself.
    #[serde(default)]
    object: bool,
}

#[derive(Deserialize)]
struct Unknown {
    name: String,
    line: usize,
    /// Neither a function nor a class.
    plain: bool,
}

pub fn read(
    reading: &mut Reading,
    location: &str,
    place: Option<&str>,
    python: &[OsString],
    wanted: impl Fn(&str) -> bool,
    below: &mut Below,
) {
    let here = std::env::current_dir().unwrap_or_default();
    let module = location.strip_prefix("python:");
    let path = here.join(location.strip_prefix("file:").unwrap_or(location));
    let place = place.unwrap_or(location);
    if module.is_none() {
        match std::fs::read_to_string(&path) {
            Err(error) => {
                return reading.problems.push(Problem::new(place, format!("cannot read {}: {error}", path.display())));
            }
            Ok(text) if !wanted(&text) => return,
            Ok(_) => {}
        }
    }
    let answer = match execute(location, python) {
        Ok(answer) => answer,
        Err(message) => return reading.problems.push(Problem::new(place, message)),
    };
    let shown = shown(&answer.path, &here);
    let at = |line: usize| if line > 0 { format!("{shown}:{line}") } else { shown.clone() };
    if let Some(failed) = &answer.failed {
        let message = format!("the configuration cannot be executed: {failed}\n{}", answer.traceback);
        return reading.problems.push(Problem::new(at(answer.line), message));
    }
    let mut layer = Layer::default();
    for found in answer.settings {
        let name = &found.name;
        let wrong = |message: String| Problem::new(format!("{}: {name}", at(found.line)), message);
        if let Some(message) = found.wrong {
            reading.problems.push(wrong(message));
            continue;
        }
        if found.hook || found.object {
            continue;
        }
        if let Some(refused) = SCHEMA.refused(name) {
            reading.problems.push(wrong(refused.words.to_owned()));
            continue;
        }
        match foreign(&found.value) {
            Ok(None) => {}
            Ok(Some(value)) => {
                let source = Source::File { path: shown.clone(), line: found.line };
                // A name that is none was not asked for.
                let _ = layer.push(&SCHEMA, name, value, source);
            }
            Err(message) => reading.problems.push(wrong(message)),
        }
    }
    for unknown in answer.unknown.iter().filter(|unknown| unknown.plain) {
        if let Some(meant) = SCHEMA.nearest(&unknown.name) {
            let place = at(unknown.line);
            below.warnings.push(format!("{place}: {} is no setting; was {meant} meant?", unknown.name));
        }
    }
    reading.layer(layer, Some(PathBuf::from(&answer.path)));
    below.conf = Some(if module.is_some() { location.to_owned() } else { path.display().to_string() });
}

/// Within the folder, as one would name it there.
fn shown(path: &str, here: &Path) -> String {
    Path::new(path).strip_prefix(here).unwrap_or(Path::new(path)).display().to_string()
}

fn execute(location: &str, python: &[OsString]) -> Result<Answer, String> {
    let (program, flags) = python.split_first().ok_or("no Python interpreter is known")?;
    let mut command = Command::new(program);
    command.args(flags).args(["-m", "monodon.gunicorn_conf"]).arg(location).arg(super::names());
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{} cannot be executed: {error}", program.display()))?;
    let mut stdout = child.stdout.take().ok_or("no pipe")?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        // Nobody listens any more when it has taken too long.
        let _ = sender.send(stdout.read_to_string(&mut text).map(|_| text));
    });
    let text = receiver.recv_timeout(LONGEST);
    if text.is_err() {
        // It may have ended this moment.
        let _ = child.kill();
    }
    let status = child.wait();
    let text =
        text.map_err(|_| format!("the configuration {location} has run for {} s and was stopped", LONGEST.as_secs()))?;
    let text = text.map_err(|error| error.to_string())?;
    serde_json::from_str(&text).map_err(|_| {
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        format!("the process that executes {location} has ended ({status}) and said nothing")
    })
}

/// None: not set.
fn foreign(value: &Value) -> Result<Option<Foreign>, String> {
    Ok(Some(match value {
        Value::Null => return Ok(None),
        Value::Array(items) => {
            let texts = items.iter().map(|item| match foreign(item)? {
                Some(Foreign::Text(text)) => Ok(text),
                _ => Err(format!("expected a list of plain values, got {value}")),
            });
            Foreign::Items(texts.collect::<Result<_, String>>()?)
        }
        Value::String(text) => Foreign::Text(text.clone()),
        other => Foreign::Text(other.to_string()),
    }))
}
