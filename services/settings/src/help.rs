//! The settings' part of `--help`.

use std::fmt::Write;

use crate::{Kind, Schema, Setting};

const WIDTH: usize = 88;
const INDENT: usize = 10;

impl Schema {
    /// Every flag with its words, default and variable, wrapped for a terminal. The usage line is the service's own.
    pub fn help(&self) -> String {
        let mut out = String::from("Settings (flag over environment over file over default):\n");
        let config = format!("A TOML file of settings. [env: {}CONFIG]", self.prefix());
        entry(&mut out, "  -c, --config FILE", &config);
        for section in self.sections {
            let _ = writeln!(out, "\n{}:", section.title);
            for setting in section.settings {
                entry(&mut out, &heading(setting), &self.words(setting));
            }
        }
        out.push_str("\nAny setting may be read from a file: --NAME-file PATH, NAME_file, …_NAME_FILE.\n");
        out
    }

    fn words(&self, setting: &Setting) -> String {
        let mut words = setting.words.to_owned();
        if let Kind::Choice(choices) = setting.kind {
            let _ = write!(words, " [one of: {}]", choices.join(", "));
        }
        if !setting.default.is_empty() && !setting.secret {
            let _ = write!(words, " [default: {}]", setting.default);
        }
        if setting.kind.is_list() {
            let lines = matches!(setting.kind, Kind::Lines(_));
            words.push_str(if lines { " [may be repeated]" } else { " [may be repeated, or separated by commas]" });
        }
        let _ = write!(words, " [env: {}]", self.variable(setting));
        words
    }
}

/// `  -w, --workers NUMBER`
fn heading(setting: &Setting) -> String {
    let mut line = match setting.short {
        Some(short) => format!("  -{short}, "),
        None => "      ".to_owned(),
    };
    let flag = setting.flag();
    match setting.kind {
        Kind::Bool => {
            let _ = write!(line, "{flag}, --no-{}", &flag[2..]);
        }
        kind if setting.alone.is_some() => {
            let _ = write!(line, "{flag} [{}]", kind.placeholder());
        }
        kind => {
            let _ = write!(line, "{flag} {}", kind.placeholder());
        }
    }
    for alias in setting.aliases {
        let _ = write!(line, ", --{}", alias.replace('_', "-"));
    }
    line
}

fn entry(out: &mut String, heading: &str, words: &str) {
    out.push_str(heading);
    let mut column = usize::MAX / 2;
    for word in words.split(' ').filter(|word| !word.is_empty()) {
        let width = word.chars().count();
        if column + 1 + width > WIDTH {
            let _ = write!(out, "\n{:INDENT$}", "");
            column = INDENT;
        } else {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += width;
    }
    out.push('\n');
}
