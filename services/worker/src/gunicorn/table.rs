//! gunicorn's settings and what each of them is here: the reference page, `monodon-worker import`, what is refused and
//! with which sentence, and the hooks' `cfg` follow from this one table.

use monodon_settings::{Refused, Setting};

use super::known::KNOWN;
use crate::settings::SCHEMA;

/// What a setting of gunicorn's is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// The same; the words, if any, tell of another default.
    Same,
    /// The same by another name.
    Renamed(&'static str),
    /// It does something else, too, or less; the words tell.
    Different,
    /// A function in the configuration file.
    Hook,
    /// Accepted, and changes nothing.
    Idle,
    /// The proxy before the worker does it; the values are those that ask for nothing.
    Edge(&'static [&'static str]),
    /// The words say what to use instead.
    Refused(&'static [&'static str]),
}

/// What its value is under gunicorn, and so in the hooks' `cfg`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Is {
    Bool,
    Int,
    /// A number that people write in octal.
    Octal,
    /// None when it is empty.
    Text,
    /// Empty text stays text.
    Plain,
    List,
    /// A list, written with commas.
    Words,
    Dict,
    Hook,
}

#[derive(Debug, Clone, Copy)]
pub struct Known {
    pub name: &'static str,
    /// Flags without their dashes, where they are not the name itself with dashes.
    pub flags: &'static [&'static str],
    pub short: Option<char>,
    /// Its flag takes no value.
    pub switch: bool,
    pub is: Is,
    pub how: How,
    pub words: &'static str,
}

impl Known {
    pub const fn new(name: &'static str, is: Is, how: How, words: &'static str) -> Self {
        Self { name, flags: &[], short: None, switch: false, is, how, words }
    }

    pub const fn flags(self, flags: &'static [&'static str]) -> Self {
        Self { flags, ..self }
    }

    pub const fn short(self, short: char) -> Self {
        Self { short: Some(short), ..self }
    }

    pub const fn switch(self) -> Self {
        Self { switch: true, ..self }
    }

    /// The key here; none for what is refused, for hooks, and for what has not been built.
    pub fn setting(&self) -> Option<&'static Setting> {
        match self.how {
            How::Renamed(key) => SCHEMA.setting(key),
            _ => SCHEMA.setting(self.name),
        }
    }

    /// Is it a setting, rather than a function or the file's own name?
    #[cfg(test)]
    pub fn has_place(&self) -> bool {
        !matches!(self.how, How::Hook) && self.name != "config"
    }

    /// Some stand in the configuration file alone.
    pub fn has_flag(&self) -> bool {
        let file = ["wsgi_app", "tmp_upload_dir", "secure_scheme_headers", "logconfig_dict", "default_proc_name"];
        self.is != Is::Hook && !file.contains(&self.name)
    }
}

pub fn known(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name)
}

const COUNT: usize = {
    let mut count = 0;
    let mut at = 0;
    while at < KNOWN.len() {
        if matches!(KNOWN[at].how, How::Refused(_) | How::Edge(_)) {
            count += 1;
        }
        at += 1;
    }
    count
};

/// What the schema refuses, with its sentence.
pub const REFUSED: [Refused; COUNT] = {
    let empty = Refused { key: "", aliases: &[], short: None, switch: false, nothing: &[], words: "" };
    let mut all = [empty; COUNT];
    let mut next = 0;
    let mut at = 0;
    while at < KNOWN.len() {
        let known = KNOWN[at];
        if let How::Refused(nothing) | How::Edge(nothing) = known.how {
            all[next] = Refused {
                key: known.name,
                aliases: known.flags,
                short: known.short,
                switch: known.switch,
                nothing,
                words: known.words,
            };
            next += 1;
        }
        at += 1;
    }
    all
};
