//! Settings: each is declared once, in a const table of its service, and everything a person meets follows from that
//! entry: the flag, the key in the file, the environment variable, the check, the help text and the reference page.
//!
//! A flag wins over the environment, the environment over the file, the file over the default. Whatever is wrong is
//! told at once, each problem with the place it came from.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod address;
mod arguments;
mod environment;
mod file;
mod help;
mod kind;
mod load;
mod nearest;
mod problem;
mod reference;
#[cfg(test)]
mod tests;
mod values;

pub use address::Address;
pub use arguments::asks_for;
pub use kind::{Kind, Value, parse_duration, parse_size};
pub use load::{Foreign, Layer, Reading};
pub use problem::{Problem, Problems};
pub use reference::check_page;
pub use values::{Block, HIDDEN, Source, Values};

/// One setting of a service.
#[derive(Debug)]
pub struct Setting {
    /// `body_limit`: the key in the file; `--body-limit` and `MONODON_EDGE_BODY_LIMIT` follow from it.
    pub key: &'static str,
    pub kind: Kind,
    /// As one would write it; empty for "not set" (for text, paths, addresses and lists also the value).
    pub default: &'static str,
    /// One or two sentences for people, in the help and the reference.
    pub words: &'static str,
    /// All services share it: its variable has no service's name (`MONODON_DOMAINS`).
    pub shared: bool,
    /// Its value is never shown.
    pub secret: bool,
    /// How an entry of a list is shown that holds a secret; `None`: as it stands.
    pub masked: Option<fn(&str) -> Option<String>>,
    /// `-w`
    pub short: Option<char>,
    /// Other names it answers to, without dashes: what gunicorn or nginx call it.
    pub aliases: &'static [&'static str],
    /// What the flag means when it stands alone: its value may be left out. (A switch needs no telling.)
    pub alone: Option<&'static str>,
}

impl Setting {
    /// What a table's entries start from: `Setting { key: "bind", ..Setting::NEW }`.
    pub const NEW: Setting = Setting {
        key: "",
        kind: Kind::Text,
        default: "",
        words: "",
        shared: false,
        secret: false,
        masked: None,
        short: None,
        aliases: &[],
        alone: None,
    };

    /// `--body-limit`
    pub fn flag(&self) -> String {
        format!("--{}", self.key.replace('_', "-"))
    }

    fn answers_to(&self, name: &str) -> bool {
        same(self.key, name) || self.aliases.iter().any(|alias| same(alias, name))
    }
}

/// A dash is as good as an underscore.
fn same(own: &str, name: &str) -> bool {
    own.len() == name.len() && own.bytes().zip(name.bytes()).all(|(a, b)| a == b || (dash(a) && dash(b)))
}

fn dash(byte: u8) -> bool {
    matches!(byte, b'-' | b'_')
}

/// Settings that are about one thing; a heading in the help and in the reference.
#[derive(Debug)]
pub struct Section {
    pub title: &'static str,
    pub settings: &'static [Setting],
    /// Its settings are told elsewhere in the reference; here their names will do.
    pub again: bool,
}

impl Section {
    pub const fn new(title: &'static str, settings: &'static [Setting]) -> Self {
        Self { title, settings, again: false }
    }

    /// Settings that another table, or the flat level, has too.
    pub const fn again(title: &'static str, settings: &'static [Setting]) -> Self {
        Self { title, settings, again: true }
    }
}

/// A table of a service's file, of which there may be several: `[[site]]`, `[[site.route]]`, or by name `[upstreams.node]`.
/// Its settings have neither flag nor variable.
#[derive(Debug)]
pub struct Table {
    pub key: &'static str,
    /// `[upstreams.NAME]` rather than `[[site]]`.
    pub named: bool,
    /// What it is for, in the reference.
    pub words: &'static str,
    pub sections: &'static [Section],
    pub tables: &'static [Table],
}

/// The settings of one service.
#[derive(Debug)]
pub struct Schema {
    /// `edge`: the variables are then `MONODON_EDGE_…`, the binary `monodon-edge`.
    pub service: &'static str,
    pub sections: &'static [Section],
    /// In its file alone.
    pub tables: &'static [Table],
    /// What it does not have although another program does that people come from.
    pub refused: &'static [Refused],
}

/// A setting of another program that is not accepted here: whoever gives it is told what to use instead.
#[derive(Debug, Clone, Copy)]
pub struct Refused {
    pub key: &'static str,
    /// Other spellings of the flag.
    pub aliases: &'static [&'static str],
    pub short: Option<char>,
    /// Its flag takes no value.
    pub switch: bool,
    /// Values that ask for nothing that is not so anyway: they are accepted. An empty one always is.
    pub nothing: &'static [&'static str],
    /// The sentence.
    pub words: &'static str,
}

impl Refused {
    /// Is it no matter whether this value is given?
    pub fn asks_for_nothing(&self, value: &str) -> bool {
        let value = value.trim();
        value.is_empty() || self.nothing.iter().any(|one| one.eq_ignore_ascii_case(value))
    }
}

impl Schema {
    /// `MONODON_EDGE_`
    fn prefix(&self) -> String {
        format!("MONODON_{}_", self.service.to_uppercase())
    }

    /// All settings, section by section.
    pub fn settings(&self) -> impl Iterator<Item = &'static Setting> + Clone + use<> {
        all(self.sections)
    }

    /// The environment variable to tell people of.
    pub fn variable(&self, setting: &Setting) -> String {
        let key = setting.key.to_uppercase();
        if setting.shared { format!("MONODON_{key}") } else { format!("{}{key}", self.prefix()) }
    }

    fn find(&self, name: &str) -> Option<&'static Setting> {
        find(self.sections, name)
    }

    /// The setting by that key or alias, with dashes or underscores.
    pub fn setting(&self, name: &str) -> Option<&'static Setting> {
        self.find(name)
    }

    /// The key that somebody who mistyped one most likely meant.
    pub fn nearest(&self, typed: &str) -> Option<&'static str> {
        nearest::nearest(typed, self.settings().flat_map(|one| std::iter::once(&one.key).chain(one.aliases)).copied())
    }

    /// The entry of what is not accepted.
    pub fn refused(&self, name: &str) -> Option<&'static Refused> {
        self.refused.iter().find(|one| same(one.key, name) || one.aliases.iter().any(|alias| same(alias, name)))
    }

    /// What is wrong with the table itself; each service's tests want it empty.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = faults("", self.sections, self.tables, &["config", "help", "version"]);
        for table in self.tables {
            table.faults("", &mut faults);
        }
        faults
    }
}

impl Table {
    fn faults(&self, above: &str, faults: &mut Vec<String>) {
        let place = format!("{above}{}.", self.key);
        faults.extend(self::faults(&place, self.sections, self.tables, &[]));
        if self.words.is_empty() {
            faults.push(format!("{place} has no words"));
        }
        for table in self.tables {
            table.faults(&place, faults);
        }
    }
}

fn all(sections: &'static [Section]) -> impl Iterator<Item = &'static Setting> + Clone {
    sections.iter().flat_map(|section| section.settings)
}

fn find(sections: &'static [Section], name: &str) -> Option<&'static Setting> {
    // A setting's own key before another's alias.
    let own = |setting: &&Setting| setting.key.len() == name.len() && setting.key == name.replace('-', "_");
    all(sections).find(own).or_else(|| all(sections).find(|setting| setting.answers_to(name)))
}

fn faults(place: &str, sections: &'static [Section], tables: &[Table], taken: &[&str]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut names: Vec<String> =
        taken.iter().chain(tables.iter().map(|table| &table.key)).map(|name| (*name).to_owned()).collect();
    let mut shorts = vec!['c', 'h', 'V'];
    for setting in all(sections) {
        let key = format!("{place}{}", setting.key);
        for name in std::iter::once(&setting.key).chain(setting.aliases) {
            let name = name.replace('-', "_");
            if names.contains(&name) {
                faults.push(format!("{place}{name}: declared twice"));
            }
            names.push(name);
        }
        if let Some(short) = setting.short {
            if shorts.contains(&short) {
                faults.push(format!("-{short}: declared twice"));
            }
            shorts.push(short);
        }
        if let Err(wrong) = kind::default_value(setting) {
            faults.push(format!("{key}: default: {wrong}"));
        }
        if let Some(Err(wrong)) = setting.alone.map(|alone| setting.kind.read(alone, false)) {
            faults.push(format!("{key}: standing alone: {wrong}"));
        }
        if setting.words.is_empty() {
            faults.push(format!("{key}: has no words"));
        }
    }
    faults
}
