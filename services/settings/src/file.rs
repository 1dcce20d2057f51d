//! The configuration file: flat TOML, each problem with its line.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::kind::got;
use crate::load::{Given, Raw};
use crate::nearest::nearest;
use crate::{Kind, Problem, Problems, Schema, Source};

pub(crate) fn read(schema: &Schema, path: &Path, text: &str, problems: &mut Problems) -> Vec<Given> {
    let path = path.display().to_string();
    let line = |offset: usize| 1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let at = error.span().map_or(1, |span| line(span.start));
        problems.push(Problem::new(format!("{path}:{at}"), error.message().trim().replace('\n', ", ")));
    }
    if !errors.is_empty() {
        // What could be made of the rest may be wrong only because of the slip before it.
        return Vec::new();
    }
    let mut given = Vec::new();
    for (name, value) in table.get_ref() {
        let at = line(name.span().start);
        let key = name.get_ref();
        let place = format!("{path}:{at}: {key}");
        let plain = schema.find(key).map(|setting| (setting, false));
        let found = plain.or_else(|| schema.find(key.strip_suffix("_file")?).map(|setting| (setting, true)));
        let Some((setting, inside)) = found else {
            let guess = nearest(key, schema.settings().map(|setting| setting.key));
            problems.push(Problem::new(
                place,
                match guess {
                    Some(guess) => format!("no such setting; did you mean {guess}?"),
                    None if matches!(value.get_ref(), DeValue::Table(_)) => "no such setting; the file is flat".into(),
                    None => format!("no such setting; monodon-{} --help lists them", schema.service),
                },
            ));
            continue;
        };
        let raw = if inside { text_of(value, &Kind::Path).map(as_inside) } else { text_of(value, &setting.kind) };
        match raw {
            Ok(raw) => given.push(Given { setting, raw, source: Source::File { path: path.clone(), line: at } }),
            Err(_) if setting.secret => {
                problems.push(Problem::new(place, format!("expected {}, {}", setting.kind, got("", true))));
            }
            Err(what) => problems.push(Problem::new(place, format!("expected {}, got {what}", setting.kind))),
        }
    }
    given
}

fn as_inside(raw: Raw) -> Raw {
    match raw {
        Raw::Text(path) => Raw::Inside(path),
        other => other,
    }
}

/// A TOML value as the text that the other layers would have; `Err` names what was there instead.
fn text_of(value: &Spanned<DeValue<'_>>, kind: &Kind) -> Result<Raw, String> {
    // Text too: `threads` is `auto` or a number.
    let number = matches!(kind, Kind::Int { .. } | Kind::Size | Kind::Duration | Kind::Text);
    match value.get_ref() {
        DeValue::String(text) => Ok(Raw::Text(text.to_string())),
        DeValue::Integer(integer) if number => {
            let value = i128::from_str_radix(integer.as_str(), integer.radix());
            value.map(|value| Raw::Text(value.to_string())).map_err(|_| "a number that is too large".into())
        }
        DeValue::Float(float) if matches!(kind, Kind::Size | Kind::Duration) => {
            Ok(Raw::Text(float.as_str().to_owned()))
        }
        DeValue::Boolean(value) if matches!(kind, Kind::Bool) => Ok(Raw::Text(value.to_string())),
        DeValue::Array(items) => {
            let Kind::List(item) = kind else { return Err("a list".into()) };
            let mut texts = Vec::new();
            for value in items.iter() {
                match text_of(value, item)? {
                    Raw::Text(text) => texts.push(text),
                    _ => return Err("a list in a list".into()),
                }
            }
            Ok(Raw::Items(texts))
        }
        DeValue::Integer(value) => Err(format!("the number {value}; put it in quotes")),
        DeValue::Float(value) => Err(format!("the number {value}; put it in quotes")),
        DeValue::Boolean(value) => Err(format!("{value}")),
        DeValue::Datetime(_) => Err("a date; put it in quotes".into()),
        DeValue::Table(_) => Err("a table; the file is flat".into()),
    }
}
