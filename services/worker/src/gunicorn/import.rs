//! `monodon-worker import gunicorn.conf.py`: the same as a TOML file of ours, with a word on each of its settings.

use std::ffi::OsString;
use std::fmt::Write;
use std::path::Path;

use monodon_settings::{Layer, Source};

use super::file::{Conf, Found, foreign};
use super::table::{How, known};
use crate::settings::SCHEMA;

/// What to print; `Err` when the file cannot be executed.
pub fn import(location: &str, python: &[OsString], folder: &Path) -> Result<String, String> {
    let answer = Conf { location, folder, python }.answer(|_| true)?;
    let answer = answer.ok_or("nothing was read")?;
    if let Some(failed) = &answer.failed {
        return Err(format!("{}:{}: {failed}\n{}", answer.path, answer.line, answer.traceback));
    }
    let mut out = format!(
        "# {location} for monodon-worker. The Python file itself may stay the configuration (`--config {location}`);\n\
         # hooks are called from there alone.\n"
    );
    for found in &answer.settings {
        // Writing to a string cannot fail.
        let _ = write!(out, "\n{}", one(found));
    }
    for unknown in answer.unknown.iter().filter(|unknown| unknown.plain) {
        let guess = SCHEMA.nearest(&unknown.name).map(|name| format!("; was {name} meant?")).unwrap_or_default();
        let _ = write!(out, "\n# {} (line {}): no setting{guess}\n", unknown.name, unknown.line);
    }
    Ok(out)
}

fn one(found: &Found) -> String {
    let theirs = known(&found.name);
    let words = theirs.map_or("", |known| known.words);
    let head = |word: &str| {
        let end = if words.is_empty() { String::new() } else { format!(". {words}") };
        format!("# {} (line {}): {word}{end}\n", found.name, found.line)
    };
    if let Some(wrong) = &found.wrong {
        return format!("# {} (line {}): wrong: {wrong}\n", found.name, found.line);
    }
    if found.hook {
        return match theirs.map(|known| known.how) {
            Some(How::Hook) => head("a hook, called as under gunicorn when the Python file is the configuration"),
            _ => head("not accepted"),
        };
    }
    if found.object {
        return head("kept; it is taken from the Python file, which has to stay the configuration");
    }
    if SCHEMA.setting(&found.name).is_none() {
        let word = match theirs.map(|known| known.how) {
            Some(How::Edge(nothing)) if asks_for_nothing(found, nothing) => "left out, for it asks for nothing",
            Some(How::Refused(nothing)) if asks_for_nothing(found, nothing) => "left out, for it asks for nothing",
            Some(How::Edge(_)) => "done by the edge",
            _ => "not accepted",
        };
        return head(word);
    }
    match value(found) {
        Err(wrong) => format!("# {} (line {}): wrong: {wrong}\n", found.name, found.line),
        Ok((key, text)) => {
            let word = match theirs.map(|known| known.how) {
                Some(How::Idle) => "accepted, without meaning here".to_owned(),
                Some(How::Different) => "kept, and differs".to_owned(),
                Some(_) if key != found.name => format!("renamed to {key}"),
                Some(_) => "kept".to_owned(),
                None => "one of our own".to_owned(),
            };
            format!("{}{key} = {text}\n", head(&word))
        }
    }
}

fn asks_for_nothing(found: &Found, nothing: &[&str]) -> bool {
    matches!(foreign(&found.value), Ok(Some(monodon_settings::Foreign::Text(text))) if nothing.contains(&text.as_str()))
}

/// The key and its value as TOML, checked as any other.
fn value(found: &Found) -> Result<(&'static str, String), String> {
    let setting = SCHEMA.setting(&found.name).ok_or("no such setting")?;
    if let (true, Some(class)) = (setting.key == "worker_class", found.value.as_str()) {
        super::worker_class::check(class)?;
    }
    let mut reading = SCHEMA.read(&[], std::iter::empty());
    let mut layer = Layer::default();
    if let Some(value) = foreign(&found.value)? {
        // It is a setting, as was just seen.
        let _ = layer.push(&SCHEMA, &found.name, value, Source::Flag(found.name.clone()));
    }
    reading.layer(layer, None);
    let values = reading.finish().map_err(|problems| problems.to_string())?;
    Ok((setting.key, values.toml(setting.key)))
}
