//! Flag over environment over file over default, put together.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::arguments::Arguments;
use crate::environment::Environment;
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

impl Given {
    fn within(mut self, folder: &Path) -> Self {
        if let Raw::Inside(path) = &mut self.raw {
            *path = folder.join(&*path).display().to_string();
        }
        self
    }
}

#[derive(Debug)]
pub(crate) enum Raw {
    Text(String),
    /// Entries of a list that are whole as they are: a TOML array's.
    Items(Vec<String>),
    /// `X_FILE`: the path of a file that holds the value.
    Inside(String),
    /// Of another kind than the setting; told already.
    Wrong,
}

/// What the command line and the environment gave. What other sources give goes below: the layer added first wins over
/// those that follow.
pub struct Reading {
    schema: &'static Schema,
    /// More may be added while layers are.
    pub problems: Problems,
    arguments: Arguments,
    environment: Environment,
    below: Vec<Vec<Given>>,
    blocks: Vec<file::Block>,
    slips: bool,
    /// Nothing can be known of what the file says.
    unread: bool,
    file: Option<PathBuf>,
    folder: PathBuf,
}

/// A layer that some other program gave; see [`Reading::layer`].
#[derive(Default)]
pub struct Layer(Vec<Given>);

impl Layer {
    /// `None` when there is no such setting.
    pub fn push(&mut self, schema: &Schema, name: &str, given: Foreign, source: Source) -> Option<()> {
        let setting = schema.find(name)?;
        let raw = match given {
            Foreign::Text(text) => Raw::Text(text),
            Foreign::Items(items) => Raw::Items(items),
        };
        self.0.push(Given { setting, raw, source });
        Some(())
    }
}

/// A value as another program wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foreign {
    Text(String),
    /// The entries of a list, whole as they are.
    Items(Vec<String>),
}

impl Schema {
    /// Reads all layers. `args` is what follows the verb; `file` is where the configuration file is looked for when
    /// neither `--config` nor `MONODON_…_CONFIG` names one, and may be missing there. Everything wrong is told at once.
    pub fn load(
        &'static self,
        args: &[OsString],
        env: impl Iterator<Item = (OsString, OsString)>,
        file: Option<&Path>,
    ) -> Result<Values, Problems> {
        self.layers(args, env, file).finish()
    }

    /// The same, for a service that looks for what is wrong beyond that: the values with the default in the place of what
    /// cannot be read, and what is wrong so far. `Err`: the file says nothing, for it cannot be read.
    pub fn load_all(
        &'static self,
        args: &[OsString],
        env: impl Iterator<Item = (OsString, OsString)>,
        file: Option<&Path>,
    ) -> Result<(Values, Problems), Problems> {
        let reading = self.layers(args, env, file);
        if reading.unread { Err(reading.problems) } else { Ok(reading.values()) }
    }

    fn layers(
        &'static self,
        args: &[OsString],
        env: impl Iterator<Item = (OsString, OsString)>,
        file: Option<&Path>,
    ) -> Reading {
        let mut reading = self.read(args, env);
        match (reading.config(), file) {
            (Some((path, place)), _) => reading.toml(&path, Some(&place)),
            (None, Some(path)) => reading.toml(path, None),
            (None, None) => {}
        }
        reading
    }

    /// The two upper layers.
    pub fn read(&'static self, args: &[OsString], env: impl Iterator<Item = (OsString, OsString)>) -> Reading {
        let mut problems = Problems::default();
        let arguments = arguments::read(self, args, "", &mut problems);
        let environment = environment::read(self, env, &mut problems);
        Reading {
            schema: self,
            problems,
            arguments,
            environment,
            below: Vec::new(),
            blocks: Vec::new(),
            slips: false,
            unread: false,
            file: None,
            folder: PathBuf::new(),
        }
    }
}

impl Reading {
    /// Where relative names of files begin, if not where the process works.
    pub fn begin_in(&mut self, folder: &Path) {
        self.folder = folder.to_owned();
    }

    /// The configuration file that a flag or a variable names, and that flag or variable.
    pub fn config(&self) -> Option<(PathBuf, String)> {
        self.arguments.config.clone().or_else(|| self.environment.config.clone())
    }

    /// The text of a setting as the layers so far give it, not checked; for what decides which layers there are.
    pub fn peek(&self, key: &str) -> Option<&str> {
        let layers = [&self.arguments.given, &self.environment.given].into_iter().chain(&self.below);
        layers.flat_map(|layer| layer.iter().rev()).find_map(|given| match &given.raw {
            Raw::Text(text) if given.setting.key == key => Some(text.as_str()),
            _ => None,
        })
    }

    /// A command line that stands elsewhere, such as in a variable, which its problems name. What it says of a
    /// configuration file comes back; it must not name anything beside the flags.
    pub fn command_line(&mut self, args: &[OsString], place: &str) -> Option<(PathBuf, String)> {
        let read = arguments::read(self.schema, args, &format!("{place}: "), &mut self.problems);
        if let [first, ..] = read.positionals.as_slice() {
            self.problems.push(Problem::new(place, format!("only flags are read there, not {first:?}")));
        }
        self.below.push(read.given);
        read.config
    }

    /// What another program has found, in a file or elsewhere.
    pub fn layer(&mut self, layer: Layer, file: Option<PathBuf>) {
        self.below.push(layer.0);
        self.file = file.or(self.file.take());
    }

    /// A TOML file; with no `place` that names it, it may be missing.
    pub fn toml(&mut self, path: &Path, place: Option<&str>) {
        match (std::fs::read_to_string(self.folder.join(path)), place) {
            (Ok(text), _) => {
                let read = file::read(self.schema, path, &text, &mut self.problems);
                self.below.push(read.given);
                self.blocks = read.blocks;
                self.slips = read.slips;
                self.unread = read.unread;
                self.file = Some(path.to_owned());
            }
            (Err(error), Some(place)) => {
                self.unread = true;
                self.problems.push(Problem::new(place, format!("cannot read {}: {error}", path.display())));
            }
            (Err(error), None) if error.kind() == std::io::ErrorKind::NotFound => {}
            (Err(error), None) => {
                self.unread = true;
                self.problems.push(Problem::new(path.display().to_string(), format!("cannot be read: {error}")));
            }
        }
    }

    /// All layers on top of the defaults.
    pub fn finish(self) -> Result<Values, Problems> {
        let (values, problems) = self.values();
        problems.or(values)
    }

    fn values(self) -> (Values, Problems) {
        let Self { schema, mut problems, arguments, environment, below, blocks, slips, unread: _, file, folder } = self;
        let layers = below.into_iter().rev().chain([environment.given, arguments.given]);
        let layers = layers.map(|layer| layer.into_iter().map(|given| given.within(&folder)).collect());
        let mut values = values(schema.sections, layers, blocks, &mut problems);
        // A name that nobody knows, wherever it was given, is one that is missing here.
        values.slips = slips || !problems.is_empty();
        values.positionals = arguments.positionals;
        values.file = file;
        (values, problems)
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
            Ok(value) => {
                let source = Source::Default;
                entries.insert(setting.key, Entry { setting, value, source, inside: None, broken: false });
            }
            Err(wrong) => problems.push(Problem::new(setting.key, wrong)),
        }
    }
    for layer in layers {
        for (setting, given, source, inside) in read_layer(layer, problems) {
            let broken = given.is_none();
            let default = || kind::default_value(setting).ok();
            if let Some(value) = given.or_else(default) {
                entries.insert(setting.key, Entry { setting, value, source, inside, broken });
            }
        }
    }
    let blocks = blocks.into_iter().map(|file::Block { table, name, place, layer }| {
        let mut values = values(table.sections, [layer.given], layer.blocks, problems);
        values.place = place;
        values.slips = layer.slips;
        Block { key: table.key, named: table.named, name, values }
    });
    Values {
        blocks: blocks.collect(),
        sections,
        entries,
        positionals: Vec::new(),
        file: None,
        place: String::new(),
        slips: false,
    }
}

/// What a layer gives for a setting (`None`: it cannot be read), where, and in which file the value stands by itself.
type Found = (&'static Setting, Option<Value>, Source, Option<PathBuf>);

/// Reads the texts of one layer: lists given more than once add up, of anything else the last stands.
fn read_layer(layer: Vec<Given>, problems: &mut Problems) -> Vec<Found> {
    let mut values: Vec<Found> = Vec::new();
    for Given { setting, raw, source } in layer {
        let mut inside = None;
        let read = match raw {
            Raw::Text(text) => setting.kind.read(&text, setting.secret).map(Some),
            Raw::Items(items) => read_items(setting, &items).map(Some),
            Raw::Inside(path) => {
                let text = std::fs::read_to_string(&path).map_err(|error| format!("cannot read {path}: {error}"));
                inside = Some(PathBuf::from(path));
                let read = text.and_then(|text| {
                    // Neither the mark at its beginning nor the end of its line is meant.
                    let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']);
                    setting.kind.read(text, setting.secret)
                });
                read.map(Some)
            }
            Raw::Wrong => Ok(None),
        };
        let value = read.unwrap_or_else(|message| {
            problems.push(Problem::new(source.place(setting.key), message));
            None
        });
        match (values.iter_mut().find(|(known, ..)| known.key == setting.key), value) {
            (Some((_, Some(Value::List(all)), ..)), Some(Value::List(more))) => all.extend(more),
            (Some(known), value) => *known = (setting, value, source, inside),
            (None, value) => values.push((setting, value, source, inside)),
        }
    }
    values
}

fn read_items(setting: &Setting, items: &[String]) -> Result<Value, String> {
    match setting.kind {
        crate::Kind::List(item) | crate::Kind::Lines(item) => {
            items.iter().map(|text| item.read_item(text, setting.secret)).collect::<Result<_, _>>().map(Value::List)
        }
        kind => Err(format!("expected {kind}, got a list")),
    }
}
