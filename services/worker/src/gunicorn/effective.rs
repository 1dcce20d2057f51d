//! Every effective value under gunicorn's name and of gunicorn's kind: what hooks find in `cfg`.

use monodon_settings::{Value, Values};
use serde_json::{Map, json};

use super::known::KNOWN;
use super::table::{How, Is, Known};
use crate::config::Config;

type Json = serde_json::Value;

pub fn effective(values: &Values, config: &Config) -> Map<String, Json> {
    let mut all: Map<String, Json> = KNOWN.iter().map(|known| (known.name.to_owned(), value(known, values))).collect();
    // What had to be found out.
    let folder = config.chdir.as_ref().unwrap_or(&config.folder);
    let named = values.text("default_proc_name");
    for (name, value) in [
        ("default_proc_name", json!(if named.is_empty() { &config.app } else { named })),
        ("config", json!(config.gunicorn_conf.as_deref().unwrap_or("./gunicorn.conf.py"))),
        ("wsgi_app", json!(config.app)),
        ("workers", json!(config.workers)),
        ("accesslog", accesslog(values.text("accesslog"))),
        ("chdir", json!(folder.display().to_string())),
    ] {
        all.insert(name.to_owned(), value);
    }
    all
}

fn accesslog(text: &str) -> Json {
    match text {
        "" | "off" => Json::Null,
        "stdout" => json!("-"),
        place => json!(place),
    }
}

fn value(known: &Known, values: &Values) -> Json {
    let is = known.is;
    let Some(setting) = known.setting() else {
        // What is refused is not asked for.
        return match known.how {
            How::Refused([first, ..]) | How::Edge([first, ..]) => of_text(is, first),
            _ => of_text(is, ""),
        };
    };
    match values.value(setting.key) {
        Value::Bool(value) if is == Is::Bool => json!(value),
        Value::Bool(value) => json!(value.to_string()),
        Value::Int(value) => json!(value),
        Value::Size(bytes) => json!(bytes),
        Value::Duration(time) if time.subsec_nanos() == 0 => json!(time.as_secs()),
        Value::Duration(time) => json!(time.as_secs_f64()),
        Value::Text(text) => of_text(is, text),
        Value::List(list) if matches!(is, Is::List | Is::Words) => json!(list),
        // gunicorn has it in one text, separated by commas.
        Value::List(list) => of_text(is, &list.join(",")),
    }
}

fn of_text(is: Is, text: &str) -> Json {
    match is {
        Is::Bool => json!(text == "true"),
        Is::Int => text.parse::<i64>().map_or(json!(0), |number| json!(number)),
        Is::Octal => json!(octal(text).unwrap_or(0)),
        Is::Text if text.is_empty() => Json::Null,
        Is::Text | Is::Plain => json!(text),
        Is::List | Is::Words => {
            json!(text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect::<Vec<_>>())
        }
        Is::Dict => serde_json::from_str(text).unwrap_or_else(|_| json!({})),
        Is::Hook => Json::Null,
    }
}

/// As gunicorn reads it: `022` and `0o22` are octal, `18` is not.
fn octal(text: &str) -> Option<i64> {
    match text.strip_prefix("0o").or_else(|| text.strip_prefix('0').filter(|rest| !rest.is_empty())) {
        Some(digits) => i64::from_str_radix(digits, 8).ok(),
        None => text.parse().ok(),
    }
}
