//! Flag over environment over file over default, put together.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;

use crate::kind::{self, Value};
use crate::values::{Block, Entry};
use crate::{Problem, Problems, Schema, Section, Setting, Source, Values, all, arguments, environment, file};

/// A value as one layer gave it, not read yet.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) setting: &'static Setting,
    pub(crate) raw: Raw,
    pub(crate) source: Source,
}

#[derive(Debug)]
pub(crate) enum Raw {
    Text(String),
    /// Entries of a list that are whole as they are: a TOML array's.
    Items(Vec<String>),
    /// `X_FILE`: the path of a file that holds the value.
    Inside(String),
}

impl Schema {
    /// Reads all layers. `args` is what follows the verb; `file` is where the configuration file is looked for when
    /// neither `--config` nor `MONODON_…_CONFIG` names one, and may be missing there. Everything wrong is told at once.
    pub fn load(
        &self,
        args: &[OsString],
        env: impl Iterator<Item = (OsString, OsString)>,
        file: Option<&Path>,
    ) -> Result<Values, Problems> {
        let mut problems = Problems::default();
        let arguments = arguments::read(self, args, &mut problems);
        let environment = environment::read(self, env, &mut problems);

        let named = arguments.config.or(environment.config);
        let found = match &named {
            Some((path, place)) => match std::fs::read_to_string(path) {
                Ok(text) => Some((path.as_path(), text)),
                Err(error) => {
                    problems.push(Problem::new(place, format!("cannot read {}: {error}", path.display())));
                    None
                }
            },
            None => file.and_then(|path| match std::fs::read_to_string(path) {
                Ok(text) => Some((path, text)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                Err(error) => {
                    problems.push(Problem::new(path.display().to_string(), format!("cannot be read: {error}")));
                    None
                }
            }),
        };
        let from_file = found.as_ref().map(|(path, text)| file::read(self, path, text, &mut problems));

        let from_file = from_file.unwrap_or_default();
        let layers = [from_file.given, environment.given, arguments.given];
        let mut values = values(self.sections, layers, from_file.blocks, &mut problems);
        values.positionals = arguments.positionals;
        values.file = found.map(|(path, _)| path.to_owned());
        problems.or(values)
    }
}

/// The settings of the service, or of one of its file's tables: later layers over earlier ones.
fn values(
    sections: &'static [Section],
    layers: impl IntoIterator<Item = Vec<Given>>,
    blocks: Vec<file::Block>,
    problems: &mut Problems,
) -> Values {
    let mut entries: HashMap<&'static str, Entry> = HashMap::new();
    for setting in all(sections) {
        match kind::default_value(setting) {
            Ok(value) => drop(entries.insert(setting.key, Entry { setting, value, source: Source::Default })),
            Err(wrong) => problems.push(Problem::new(setting.key, wrong)),
        }
    }
    for layer in layers {
        for (setting, value, source) in read_layer(layer, problems) {
            entries.insert(setting.key, Entry { setting, value, source });
        }
    }
    let blocks = blocks.into_iter().map(|file::Block { table, name, place, layer }| {
        let mut values = values(table.sections, [layer.given], layer.blocks, problems);
        values.place = place;
        Block { key: table.key, name, values }
    });
    Values {
        blocks: blocks.collect(),
        order: all(sections).map(|setting| setting.key).collect(),
        entries,
        positionals: Vec::new(),
        file: None,
        place: String::new(),
    }
}

/// Reads the texts of one layer: lists given more than once add up, of anything else the last stands.
fn read_layer(layer: Vec<Given>, problems: &mut Problems) -> Vec<(&'static Setting, Value, Source)> {
    let mut values: Vec<(&'static Setting, Value, Source)> = Vec::new();
    for Given { setting, raw, source } in layer {
        let read = match raw {
            Raw::Text(text) => setting.kind.read(&text, setting.secret),
            Raw::Items(items) => read_items(setting, &items),
            Raw::Inside(path) => match std::fs::read_to_string(&path) {
                Ok(text) => setting.kind.read(text.trim_end_matches(['\r', '\n']), setting.secret),
                Err(error) => Err(format!("cannot read {path}: {error}")),
            },
        };
        match read {
            Err(message) => problems.push(Problem::new(source.place(setting.key), message)),
            Ok(value) => match (values.iter_mut().find(|(known, ..)| known.key == setting.key), value) {
                (Some((_, Value::List(all), _)), Value::List(more)) => all.extend(more),
                (Some(known), value) => *known = (setting, value, source),
                (None, value) => values.push((setting, value, source)),
            },
        }
    }
    values
}

fn read_items(setting: &Setting, items: &[String]) -> Result<Value, String> {
    match setting.kind {
        crate::Kind::List(item) => {
            items.iter().map(|text| item.read_item(text, setting.secret)).collect::<Result<_, _>>().map(Value::List)
        }
        kind => Err(format!("expected {kind}, got a list")),
    }
}
