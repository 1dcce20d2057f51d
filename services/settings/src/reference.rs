//! The reference page of a service's settings, generated so that it cannot be wrong.

use std::fmt::Write;
use std::path::Path;

use crate::{Kind, Schema, Setting, Table};

impl Schema {
    /// The whole page, Markdown.
    pub fn reference(&self) -> String {
        let mut out = format!(
            "<!-- Generated from the service's settings table; change it there. UPDATE_REFERENCE=1 in its tests rewrites this page. -->\n\n\
             # Settings of monodon-{0}\n\n\
             A setting is a flag (`--body-limit 1MB`), a variable (`MONODON_EDGE_BODY_LIMIT=1MB`) or a key of a TOML file\n\
             (`body_limit = \"1MB\"`) that `--config FILE` or `{1}CONFIG` names; a flag wins over a variable, a variable over\n\
             the file. Any of them may instead name a file that holds the value: `--NAME-file`, `…_NAME_FILE`, `NAME_file`.\n\
             Sizes are 1024-based (`64KB`, `32m`, `1GiB`); durations are `30` or `30s`, `500ms`, `5m`, `1h`. In a variable, the\n\
             entries of a list are separated by commas; a flag may be repeated. An empty variable counts as not set.\n",
            self.service,
            self.prefix(),
        );
        for section in self.sections {
            let _ = writeln!(
                out,
                "\n## {}\n\n| key | flag | variable | value | default | what it does |\n|---|---|---|---|---|---|",
                section.title
            );
            for setting in section.settings {
                self.row(&mut out, setting);
            }
        }
        for table in self.tables {
            table.reference("", &mut out);
        }
        out
    }

    fn row(&self, out: &mut String, setting: &Setting) {
        let mut flag = format!("`{}`", setting.flag());
        if let Some(short) = setting.short {
            let _ = write!(flag, ", `-{short}`");
        }
        for alias in setting.aliases {
            let _ = write!(flag, ", `--{}`", alias.replace('_', "-"));
        }
        let _ = writeln!(out, "| `{}` | {flag} | `{}` | {}", setting.key, self.variable(setting), cells(setting));
    }

    /// For a test in each service: is the committed page what the table says? With `UPDATE_REFERENCE=1` it is rewritten.
    pub fn check_reference(&self, page: &Path) -> Result<(), String> {
        check_page(page, &self.reference())
    }
}

/// The same for a page that has more on it than the table.
pub fn check_page(page: &Path, wanted: &str) -> Result<(), String> {
    if std::env::var_os("UPDATE_REFERENCE").is_some_and(|value| value == "1") {
        if let Some(folder) = page.parent() {
            std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        }
        return std::fs::write(page, wanted).map_err(|error| format!("{}: {error}", page.display()));
    }
    match std::fs::read_to_string(page) {
        Ok(text) if text == wanted => Ok(()),
        Ok(_) => {
            Err(format!("{} is not what the settings table says; run the test with UPDATE_REFERENCE=1", page.display()))
        }
        Err(error) => Err(format!("{}: {error}; run the test with UPDATE_REFERENCE=1", page.display())),
    }
}

impl Table {
    fn reference(&self, above: &str, out: &mut String) {
        let key = format!("{above}{}", self.key);
        let heading = if self.named { format!("[{key}.NAME]") } else { format!("[[{key}]]") };
        let _ = writeln!(out, "\n## `{heading}`\n\n{}", self.words);
        for section in self.sections {
            if section.again {
                let keys: Vec<String> = section.settings.iter().map(|setting| format!("`{}`", setting.key)).collect();
                let _ = writeln!(out, "\n{}, as told above: {}.", section.title, keys.join(", "));
                continue;
            }
            if self.sections.len() > 1 {
                let _ = writeln!(out, "\n### {}", section.title);
            }
            out.push_str("\n| key | value | default | what it does |\n|---|---|---|---|\n");
            for setting in section.settings {
                let _ = writeln!(out, "| `{}` | {}", setting.key, cells(setting));
            }
        }
        for table in self.tables {
            table.reference(&format!("{key}."), out);
        }
    }
}

/// Value, default and words: what all rows have.
fn cells(setting: &Setting) -> String {
    let value = match setting.kind {
        Kind::Choice(choices) => choices.iter().map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(", "),
        kind => kind.to_string(),
    };
    let default = if setting.default.is_empty() { String::new() } else { format!("`{}`", setting.default) };
    let secret = if setting.secret { " Secret: never shown." } else { "" };
    format!("{} | {} | {}{secret} |", cell(&value), cell(&default), cell(setting.words))
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
