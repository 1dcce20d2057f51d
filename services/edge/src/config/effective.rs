//! The settings in force with where each came from, secrets hidden: for people (TOML), programs (JSON) and comparing (a
//! number). Made from the settings' tables, so that a new setting is in it by itself.

use monodon_settings::{Block, Value, Values};
use serde_json::{Map, json};
use std::fmt::Write;

/// A file as one could have written it: every flat setting with where it came from, and of the tables what they say.
pub fn toml(values: &Values) -> String {
    let mut out = String::new();
    for section in values.sections() {
        let _ = writeln!(out, "{}# {}", if out.is_empty() { "" } else { "\n" }, section.title);
        for setting in section.settings {
            let _ = writeln!(out, "{} = {} # {}", setting.key, values.toml(setting.key), values.source(setting.key));
        }
    }
    tables(values, "", &mut out);
    out
}

fn tables(values: &Values, above: &str, out: &mut String) {
    for block in values.tables() {
        let (heading, name) = heading(block, above);
        let place = block.values.place().rsplit_once(": ").map_or("", |(place, _)| place);
        let _ = writeln!(out, "\n{heading} # {place}");
        for key in block.values.keys().filter(|key| block.values.is_set(key)) {
            let _ = writeln!(out, "{key} = {}", block.values.toml(key));
        }
        tables(&block.values, &name, out);
    }
}

/// `[[site.route]]` or `[upstreams.node]`, and what tables in it begin with.
fn heading(block: &Block, above: &str) -> (String, String) {
    if block.named {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let bare = !block.name.is_empty() && block.name.chars().all(plain);
        let name = if bare { block.name.clone() } else { format!("{:?}", block.name) };
        let name = format!("{above}{}.{name}", block.key);
        (format!("[{name}]"), format!("{name}."))
    } else {
        (format!("[[{above}{}]]", block.key), format!("{above}{}.", block.key))
    }
}

/// The same for programs.
pub fn json(values: &Values) -> serde_json::Value {
    let settings = values
        .keys()
        .map(|key| json!({"key": key, "value": plain(values, key), "source": values.source(key).to_string()}));
    json!({"settings": settings.collect::<Vec<_>>(), "tables": json_tables(values)})
}

fn json_tables(values: &Values) -> Vec<serde_json::Value> {
    let table = |block: &Block| {
        let values = &block.values;
        json!({
            "table": block.key, "name": block.name, "place": values.place(), "settings": said(values),
            "tables": json_tables(values),
        })
    };
    values.tables().iter().map(table).collect()
}

/// What a table says itself.
pub fn said(values: &Values) -> Map<String, serde_json::Value> {
    let set = values.keys().filter(|key| values.is_set(key));
    set.map(|key| (key.to_owned(), plain(values, key))).collect()
}

/// A value in JSON's own kinds where it has them.
pub fn plain(values: &Values, key: &str) -> serde_json::Value {
    match &*values.shown_value(key) {
        _ if values.setting(key).secret => json!(values.show(key)),
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::List(list) => json!(list),
        _ => json!(values.show(key)),
    }
}

/// Which configuration this is: the same number for the same settings (secrets apart), wherever they stand. At most 48 bits,
/// which is what a metric's value holds exactly.
pub fn hash(values: &Values) -> u64 {
    let mut text = String::new();
    flat(values, &mut text);
    digest(text.as_bytes()) & 0xffff_ffff_ffff
}

fn flat(values: &Values, out: &mut String) {
    for (key, value) in values.shown() {
        let _ = writeln!(out, "{key}={value:?}");
    }
    for block in values.tables() {
        let _ = writeln!(out, "[{} {:?}]", block.key, block.name);
        flat(&block.values, out);
        out.push_str("[]\n");
    }
}

/// FNV-1a: the same on every machine and in every version. It tells apart what has changed, and guards nothing.
pub fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
