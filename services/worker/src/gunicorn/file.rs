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
pub struct Answer {
    pub path: String,
    #[serde(default)]
    pub settings: Vec<Found>,
    #[serde(default)]
    pub unknown: Vec<Unknown>,
    pub failed: Option<String>,
    #[serde(default)]
    pub line: usize,
    #[serde(default)]
    pub traceback: String,
}

/// A variable that has the name of a setting.
#[derive(Deserialize)]
pub struct Found {
    pub name: String,
    /// 0: not known.
    pub line: usize,
    #[serde(default)]
    pub value: Value,
    /// Why it cannot be what it stands for.
    pub wrong: Option<String>,
    /// It is a function; the zygote takes it from the file itself.
    #[serde(default)]
    pub hook: bool,
    /// It is of Python's own kind; whoever uses it takes it from the file itself.
    #[serde(default)]
    pub object: bool,
}

#[derive(Deserialize)]
pub struct Unknown {
    pub name: String,
    pub line: usize,
    /// Neither a function nor a class.
    pub plain: bool,
}

/// Where a configuration in Python is, and who executes it.
pub struct Conf<'a> {
    /// A path, `file:PATH` or `python:MODULE`.
    pub location: &'a str,
    /// Where relative paths begin.
    pub folder: &'a Path,
    pub python: &'a [OsString],
}

impl Conf<'_> {
    /// Adds what it says as a layer; gives its location for whoever executes it again. `place` has named it.
    pub fn read(
        &self,
        reading: &mut Reading,
        place: Option<&str>,
        wanted: impl Fn(&str) -> bool,
        below: &mut Below,
    ) -> Option<String> {
        let place = place.unwrap_or(self.location);
        match self.answer(wanted) {
            Ok(Some(answer)) => {
                let module = self.location.starts_with("python:");
                let location = if module { self.location.to_owned() } else { answer.path.clone() };
                self.take(answer, reading, below).then_some(location)
            }
            Ok(None) => None,
            Err(message) => {
                reading.problems.push(Problem::new(place, message));
                None
            }
        }
    }

    /// None when its text is not wanted.
    pub fn answer(&self, wanted: impl Fn(&str) -> bool) -> Result<Option<Answer>, String> {
        if !self.location.starts_with("python:") {
            let path = self.folder.join(self.location.strip_prefix("file:").unwrap_or(self.location));
            // Not text: a compiled file.
            let text = std::fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            if !wanted(&String::from_utf8_lossy(&text)) {
                return Ok(None);
            }
        }
        self.execute().map(Some)
    }

    /// False when it could not be executed.
    fn take(&self, answer: Answer, reading: &mut Reading, below: &mut Below) -> bool {
        let shown = shown(&answer.path, self.folder);
        let at = |line: usize| if line > 0 { format!("{shown}:{line}") } else { shown.clone() };
        if let Some(failed) = &answer.failed {
            let message = format!("the configuration cannot be executed: {failed}\n{}", answer.traceback);
            reading.problems.push(Problem::new(at(answer.line), message));
            return false;
        }
        let mut layer = Layer::default();
        for found in answer.settings {
            let name = &found.name;
            let wrong = |message: String| Problem::new(format!("{}: {name}", at(found.line)), message);
            if let Some(message) = found.wrong {
                reading.problems.push(wrong(message));
                continue;
            }
            if name == "config" {
                below
                    .warnings
                    .push(format!("{}: config means nothing in the file itself; use --config", at(found.line)));
                continue;
            }
            let refused = SCHEMA.setting(name).is_none().then(|| SCHEMA.refused(name)).flatten();
            if found.hook || found.object {
                if let Some(refused) = refused {
                    reading.problems.push(wrong(refused.words.to_owned()));
                }
                continue;
            }
            match (foreign(&found.value), refused) {
                (Ok(None), _) => {}
                (Ok(Some(Foreign::Items(items))), Some(_)) if items.is_empty() => {}
                (Ok(Some(Foreign::Text(text))), Some(refused)) if refused.asks_for_nothing(&text) => {}
                (_, Some(refused)) => reading.problems.push(wrong(refused.words.to_owned())),
                (Ok(Some(value)), None) => {
                    let source = Source::File { path: shown.clone(), line: found.line };
                    // A name that is none was not asked for.
                    let _ = layer.push(&SCHEMA, name, value, source);
                }
                (Err(message), None) => reading.problems.push(wrong(message)),
            }
        }
        for unknown in answer.unknown.iter().filter(|unknown| unknown.plain) {
            if let Some(meant) = SCHEMA.nearest(&unknown.name) {
                let place = at(unknown.line);
                below.warnings.push(format!("{place}: {} is no setting; was {meant} meant?", unknown.name));
            }
        }
        reading.layer(layer, Some(PathBuf::from(&answer.path)));
        true
    }

    fn execute(&self) -> Result<Answer, String> {
        let Self { location, folder, python } = self;
        let (program, flags) = python.split_first().ok_or("no Python interpreter is known")?;
        let mut command = Command::new(program);
        command.args(flags).args(["-m", "monodon.gunicorn_conf"]).arg(location).arg(super::names()).current_dir(folder);
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
        let text = text
            .map_err(|_| format!("the configuration {location} has run for {} s and was stopped", LONGEST.as_secs()))?;
        let text = text.map_err(|error| error.to_string())?;
        serde_json::from_str(&text).map_err(|_| {
            let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            format!("the process that executes {location} has ended ({status}) and said nothing")
        })
    }
}

/// Within the folder, as one would name it there.
fn shown(path: &str, here: &Path) -> String {
    Path::new(path).strip_prefix(here).unwrap_or(Path::new(path)).display().to_string()
}

/// None: not set.
pub fn foreign(value: &Value) -> Result<Option<Foreign>, String> {
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
