//! The settings as they came out, each with where it came from.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::kind::{Kind, Value};
use crate::{Address, Problem, Section, Setting, all};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Default,
    File {
        path: String,
        /// 0 when it is not known.
        line: usize,
    },
    /// The variable's name.
    Environment(String),
    /// `--body-limit`
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File { path, line: 0 } => f.write_str(path),
            Source::File { path, line } => write!(f, "{path}:{line}"),
            Source::Environment(name) | Source::Flag(name) => f.write_str(name),
        }
    }
}

impl Source {
    /// The place to name in a problem.
    pub(crate) fn place(&self, key: &str) -> String {
        match self {
            Source::Default => key.to_owned(),
            Source::File { path, line: 0 } => format!("{path}: {key}"),
            Source::File { path, line } => format!("{path}:{line}: {key}"),
            Source::Environment(name) | Source::Flag(name) => name.clone(),
        }
    }
}

pub(crate) struct Entry {
    pub(crate) setting: &'static Setting,
    pub(crate) value: Value,
    pub(crate) source: Source,
    /// The file that holds it, of `X_FILE`.
    pub(crate) inside: Option<PathBuf>,
    /// What was given cannot be read, which is told already; the value is the default.
    pub(crate) broken: bool,
}

/// What stands in a secret's place.
pub const HIDDEN: &str = "(hidden)";

impl Entry {
    fn hidden(&self) -> bool {
        self.setting.secret && self.source != Source::Default
    }
}

/// What [`Schema::load`](crate::Schema::load) gives. Asking for a key that the schema does not declare, or as another
/// kind than declared, is a mistake in the program and panics.
pub struct Values {
    pub(crate) sections: &'static [Section],
    pub(crate) entries: HashMap<&'static str, Entry>,
    pub(crate) positionals: Vec<String>,
    pub(crate) file: Option<PathBuf>,
    pub(crate) blocks: Vec<Block>,
    /// Of a table in the file: where it begins, `edge.toml:12: site.route`.
    pub(crate) place: String,
    /// It has keys that are no settings, or values that are of another kind, which is told already.
    pub(crate) slips: bool,
}

/// One of a file's tables: `[[site]]`, `[upstreams.node]`.
pub struct Block {
    pub key: &'static str,
    /// `[upstreams.NAME]` rather than `[[site]]`.
    pub named: bool,
    /// The name, or the place among its like, from 1.
    pub name: String,
    pub values: Values,
}

impl Values {
    fn entry(&self, key: &str) -> &Entry {
        self.entries.get(key).unwrap_or_else(|| panic!("setting {key} is not declared"))
    }

    fn wrong(&self, key: &str, asked: &str) -> ! {
        panic!("setting {key} is {:?}, asked for as {asked}", self.entry(key).setting.kind)
    }

    pub fn bool(&self, key: &str) -> bool {
        match self.entry(key).value {
            Value::Bool(value) => value,
            _ => self.wrong(key, "bool"),
        }
    }

    pub fn int(&self, key: &str) -> i64 {
        match self.entry(key).value {
            Value::Int(value) => value,
            _ => self.wrong(key, "int"),
        }
    }

    pub fn size(&self, key: &str) -> u64 {
        match self.entry(key).value {
            Value::Size(value) => value,
            _ => self.wrong(key, "size"),
        }
    }

    pub fn duration(&self, key: &str) -> Duration {
        match self.entry(key).value {
            Value::Duration(value) => value,
            _ => self.wrong(key, "duration"),
        }
    }

    /// Text, a choice, a path or an address, as written.
    pub fn text(&self, key: &str) -> &str {
        match &self.entry(key).value {
            Value::Text(value) => value,
            _ => self.wrong(key, "text"),
        }
    }

    /// `None` when it is empty.
    pub fn path(&self, key: &str) -> Option<PathBuf> {
        let text = self.text(key);
        (!text.is_empty()).then(|| PathBuf::from(text))
    }

    /// `None` when it is empty.
    pub fn address(&self, key: &str) -> Option<Address> {
        // It was checked when it was read; only a setting of another kind can fail here.
        let text = self.text(key);
        (!text.is_empty()).then(|| text.parse().unwrap_or_else(|_| self.wrong(key, "address")))
    }

    pub fn list(&self, key: &str) -> &[String] {
        match &self.entry(key).value {
            Value::List(list) => list,
            _ => self.wrong(key, "list"),
        }
    }

    /// A list of addresses.
    pub fn addresses(&self, key: &str) -> Vec<Address> {
        let read = |text: &String| text.parse().unwrap_or_else(|_| self.wrong(key, "addresses"));
        self.list(key).iter().map(read).collect()
    }

    /// Whatever its kind.
    pub fn value(&self, key: &str) -> &Value {
        &self.entry(key).value
    }

    /// Was it given, by flag, environment or file?
    pub fn is_set(&self, key: &str) -> bool {
        *self.source(key) != Source::Default
    }

    pub fn source(&self, key: &str) -> &Source {
        &self.entry(key).source
    }

    /// The tables of that name, in the file's order.
    pub fn blocks(&self, key: &str) -> impl Iterator<Item = &Block> {
        self.blocks.iter().filter(move |block| block.key == key)
    }

    /// What stood on the command line beside the flags.
    pub fn positionals(&self) -> &[String] {
        &self.positionals
    }

    /// The configuration file that was read, if any.
    pub fn file(&self) -> Option<&std::path::Path> {
        self.file.as_deref()
    }

    /// A problem with a value that its kind alone could not find; it points to where the value came from.
    pub fn problem(&self, key: &str, message: impl Into<String>) -> Problem {
        let follows = self.entry(key).broken || (self.slips && !self.is_set(key));
        let problem = match self.source(key) {
            Source::Default if !self.place.is_empty() => Problem::new(format!("{}.{key}", self.place), message),
            source => Problem::new(source.place(key), message),
        };
        problem.following(follows)
    }

    /// A problem with the table as a whole; nothing but the message where these are the service's own settings.
    pub fn problem_here(&self, message: impl Into<String>) -> Problem {
        let broken = self.entries.values().any(|entry| entry.broken);
        Problem::new(self.place.clone(), message).following(broken || self.slips)
    }

    /// What the key is declared as.
    pub fn setting(&self, key: &str) -> &'static Setting {
        self.entry(key).setting
    }

    /// The value as text; a secret's is hidden.
    pub fn show(&self, key: &str) -> String {
        let entry = self.entry(key);
        if entry.hidden() { HIDDEN.to_owned() } else { show(&self.shown_value(key), &entry.setting.kind) }
    }

    /// The value with what its entries hide left out; for a secret ask [`Values::show`].
    pub fn shown_value(&self, key: &str) -> Cow<'_, Value> {
        let entry = self.entry(key);
        match (&entry.value, entry.setting.masked) {
            (Value::List(list), Some(masked)) => {
                let shown = list.iter().map(|text| masked(text).unwrap_or_else(|| text.clone()));
                Cow::Owned(Value::List(shown.collect()))
            }
            (value, _) => Cow::Borrowed(value),
        }
    }

    /// The value as a TOML file has it; a secret's is hidden.
    pub fn toml(&self, key: &str) -> String {
        let entry = self.entry(key);
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        if entry.hidden() {
            return quoted(HIDDEN);
        }
        match &*self.shown_value(key) {
            Value::List(list) => {
                format!("[{}]", list.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", "))
            }
            value @ (Value::Bool(_) | Value::Int(_)) => show(value, &entry.setting.kind),
            value => quoted(&show(value, &entry.setting.kind)),
        }
    }

    /// Every key, in the table's order.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> + '_ {
        all(self.sections).map(|setting| setting.key)
    }

    /// What these are values of, section by section.
    pub fn sections(&self) -> &'static [Section] {
        self.sections
    }

    /// The tables in it, of whatever name, in the file's order.
    pub fn tables(&self) -> &[Block] {
        &self.blocks
    }

    /// Where the table begins: `edge.toml:12: site.route`; empty for the service's own settings.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Every file that the settings name, here and in the tables: those that hold values, and the values that are paths.
    pub fn named_files(&self, which: &dyn Fn(&Setting) -> bool) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for setting in all(self.sections).filter(|setting| which(setting)) {
            let Some(entry) = self.entries.get(setting.key) else { continue };
            files.extend(entry.inside.clone());
            match (&entry.value, setting.kind) {
                (Value::Text(path), Kind::Path) if !path.is_empty() => files.push(path.into()),
                (Value::List(paths), Kind::List(Kind::Path) | Kind::Lines(Kind::Path)) => {
                    files.extend(paths.iter().map(PathBuf::from));
                }
                _ => {}
            }
        }
        files.extend(self.blocks.iter().flat_map(|block| block.values.named_files(which)));
        files
    }

    /// Every setting as text, in the table's order, secrets hidden.
    pub fn shown(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        self.keys().map(|key| (key, self.show(key)))
    }
}

fn show(value: &Value, kind: &Kind) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Size(bytes) => {
            let units = [("GB", 30), ("MB", 20), ("KB", 10)];
            let whole = units.iter().find(|(_, shift)| *bytes > 0 && bytes % (1 << shift) == 0);
            whole.map_or_else(|| bytes.to_string(), |(unit, shift)| format!("{}{unit}", bytes >> shift))
        }
        Value::Duration(time) if time.subsec_millis() == 0 => format!("{}s", time.as_secs()),
        Value::Duration(time) => format!("{}ms", time.as_millis()),
        Value::Text(text) => text.clone(),
        Value::List(list) => {
            debug_assert!(kind.is_list());
            list.join(if matches!(kind, Kind::Lines(_)) { "\n" } else { "," })
        }
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.shown()).finish()
    }
}
