//! `monodon-edge fmt FILE`: a configuration in the usual form. Order, comments and values stay; blanks, quotes and the breaking
//! of lists become the same everywhere.

use super::{Words, say, wrong_use};
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use toml_edit::{Array, Decor, DocumentMut, InlineTable, Item, KeyMut, RawString, Table, Value};

/// A list that is longer has a line for each entry.
const WIDTH: usize = 100;

pub fn run(args: &[OsString]) -> ExitCode {
    let mut words = Words::new(args);
    let check = words.flag("--check");
    let [file] = words.rest.as_slice() else {
        return wrong_use("fmt: which file? For example: monodon-edge fmt edge.toml (`-` is standard input)");
    };
    let name = file.to_string_lossy().into_owned();
    let standard = name == "-";
    let text = if standard {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    let text = match text {
        Ok(text) => text,
        Err(error) => return wrong_use(&format!("{name}: {error}")),
    };
    let formatted = match format(&text) {
        Ok(formatted) => formatted,
        Err((line, wrong)) => return wrong_use(&format!("{name}:{line}: {wrong}")),
    };
    match (formatted == text, check) {
        (true, true) => ExitCode::SUCCESS,
        (false, true) => {
            eprintln!("monodon-edge: {name} is not in the usual form; `monodon-edge fmt {name}` writes it so");
            ExitCode::FAILURE
        }
        (_, false) if standard => say(&formatted),
        (true, false) => ExitCode::SUCCESS,
        (false, false) => match write(Path::new(file), &formatted) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("monodon-edge: {name}: {error}");
                ExitCode::FAILURE
            }
        },
    }
}

/// In place, so that a file that is mounted by itself can be written; the whole text is there before a byte is.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = std::fs::File::options().write(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)
}

/// `Err`: the line, and why it is no TOML.
pub fn format(text: &str) -> Result<String, (usize, String)> {
    let text = text.replace("\r\n", "\n");
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        let at = error.span().map_or(0, |span| span.start);
        let line = 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
        (line, error.message().trim().replace('\n', ", "))
    })?;
    let end = comments(document.trailing());
    table(document.as_table_mut());
    document.set_trailing(end);
    let mut out = document.to_string().trim_start_matches('\n').trim_end().to_owned();
    if !out.is_empty() {
        out.push('\n');
    }
    // Whatever the form, what is said must be the same.
    let same = toml::from_str::<toml::Table>(&out).ok() == toml::from_str::<toml::Table>(&text).ok();
    if same { Ok(out) } else { Err((1, "cannot be written in the usual form".into())) }
}

fn table(table: &mut Table) {
    for (mut key, item) in table.iter_mut() {
        match item {
            Item::Table(inner) => {
                plain(&mut key);
                heading(inner);
                self::table(inner);
            }
            Item::ArrayOfTables(several) => {
                plain(&mut key);
                for inner in several.iter_mut() {
                    heading(inner);
                    self::table(inner);
                }
            }
            Item::Value(value) => {
                entry(&mut key);
                line(value, width(&key));
            }
            Item::None => {}
        }
    }
}

fn width(key: &KeyMut<'_>) -> usize {
    key.display_repr().len()
}

/// `[site]` with its comments above it, and a blank line above those. A table that is only part of a dotted name has none.
fn heading(table: &mut Table) {
    if table.is_dotted() {
        return;
    }
    let above = text(table.decor().prefix());
    let above = comments(&RawString::from(above));
    let behind = behind(table.decor());
    *table.decor_mut() = Decor::new(format!("\n{}", above.trim_start_matches('\n')), behind);
}

/// A key of a table's name: no blanks, no quotes that are not needed.
fn plain(key: &mut KeyMut<'_>) {
    let (leaf, dotted) = (key.leaf_decor().clone(), key.dotted_decor().clone());
    key.fmt();
    let keep = |decor: &Decor| Decor::new(comments_of(decor.prefix()), "");
    *key.leaf_decor_mut() = keep(&leaf);
    *key.dotted_decor_mut() = keep(&dotted);
}

/// A key before `=`, its comments above it.
fn entry(key: &mut KeyMut<'_>) {
    plain(key);
    key.leaf_decor_mut().set_suffix(" ");
}

/// A value to the end of its line.
fn line(value: &mut Value, used: usize) {
    let behind = behind(value.decor());
    usual(value, used + 3);
    *value.decor_mut() = Decor::new(" ", behind);
}

/// Quotes, and what is in lists and inline tables.
fn usual(value: &mut Value, used: usize) {
    match value {
        Value::String(string) => {
            let raw = string.as_repr().and_then(|repr| repr.as_raw().as_str()).unwrap_or_default();
            // A text over several lines was written so with intent, and escapes are nobody's to choose.
            let several = raw.starts_with("\"\"\"") || raw.starts_with("'''");
            if !several && !string.value().chars().any(char::is_control) {
                let decor = string.decor().clone();
                *value = Value::from(string.value().clone());
                *value.decor_mut() = decor;
            }
        }
        Value::Array(array) => list(array, used),
        Value::InlineTable(table) => inline(table, used),
        _ => {}
    }
}

fn list(array: &mut Array, used: usize) {
    let end = text(Some(array.trailing()));
    let decor = array.iter().map(|value| (text(value.decor().prefix()), text(value.decor().suffix())));
    let said: Vec<(String, String)> = decor.collect();
    let has_comments =
        end.contains('#') || said.iter().any(|(above, behind)| above.contains('#') || behind.contains('#'));
    for value in array.iter_mut() {
        usual(value, 0);
        value.decor_mut().clear();
    }
    array.set_trailing_comma(false);
    array.set_trailing("");
    for (place, value) in array.iter_mut().enumerate() {
        *value.decor_mut() = Decor::new(if place == 0 { "" } else { " " }, "");
    }
    if array.is_empty() || (!has_comments && used + array.to_string().trim().len() <= WIDTH) {
        if has_comments {
            array.set_trailing(format!("{}\n", indented(&end)));
        }
        return;
    }
    // What stands behind an entry's comma is before the next entry for the parser; its comments go above that one.
    for (place, value) in array.iter_mut().enumerate() {
        let (above, behind) = said.get(place).cloned().unwrap_or_default();
        let first = if behind.contains('#') { format!("{above}\n{behind}") } else { above };
        *value.decor_mut() = Decor::new(format!("{}\n    ", indented(&first)), "");
    }
    array.set_trailing_comma(true);
    array.set_trailing(format!("{}\n", indented(&end)));
}

fn inline(table: &mut InlineTable, used: usize) {
    let last = table.len().saturating_sub(1);
    for (place, (mut key, value)) in table.iter_mut().enumerate() {
        key.fmt();
        *key.leaf_decor_mut() = Decor::new(" ", " ");
        usual(value, used);
        *value.decor_mut() = Decor::new(" ", if place == last { " " } else { "" });
    }
}

/// The comments in what stands before something, a line each, with at most one blank line between them.
fn comments(raw: &RawString) -> String {
    let text = raw.as_str().unwrap_or_default();
    let mut out = String::new();
    let mut blank = false;
    // What follows the last line end is the indentation of what comes next.
    for line in text.split_inclusive('\n') {
        let whole = line.ends_with('\n');
        match line.trim() {
            "" => blank |= whole,
            comment => {
                if blank {
                    out.push('\n');
                }
                blank = false;
                out.push_str(comment);
                out.push('\n');
            }
        }
    }
    if blank {
        out.push('\n');
    }
    out
}

fn comments_of(raw: Option<&RawString>) -> String {
    raw.map(comments).unwrap_or_default()
}

/// Comments within a list.
fn indented(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| format!("\n    {line}")).collect()
}

/// The comment at a line's end.
fn behind(decor: &Decor) -> String {
    let comment = text(decor.suffix());
    let comment = comment.trim();
    if comment.is_empty() { String::new() } else { format!(" {comment}") }
}

fn text(raw: Option<&RawString>) -> String {
    raw.and_then(RawString::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
#[path = "fmt_tests.rs"]
mod tests;
