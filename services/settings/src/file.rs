//! The configuration file: TOML, each problem with its line.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::kind::got;
use crate::load::{Given, Raw};
use crate::nearest::nearest;
use crate::{Kind, Problem, Problems, Schema, Section, Source, Table, all, find};

/// What a table of the file says, and the tables in it.
#[derive(Default)]
pub(crate) struct Layer {
    pub(crate) given: Vec<Given>,
    pub(crate) blocks: Vec<Block>,
    /// Something in it is no setting, or of another kind.
    pub(crate) slips: bool,
    /// It is not TOML.
    pub(crate) unread: bool,
}

/// One `[[site]]` or `[upstreams.node]`.
pub(crate) struct Block {
    pub(crate) table: &'static Table,
    /// The name, or the place among its like, from 1.
    pub(crate) name: String,
    /// `edge.toml:12: site.route`
    pub(crate) place: String,
    pub(crate) layer: Layer,
}

pub(crate) fn read(schema: &Schema, path: &Path, text: &str, problems: &mut Problems) -> Layer {
    let mut reader = Reader { path: path.display().to_string(), text, schema, problems };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let at = error.span().map_or(1, |span| reader.line(span.start));
        let place = format!("{}:{at}", reader.path);
        reader.problems.push(Problem::new(place, error.message().trim().replace('\n', ", ")));
    }
    if !errors.is_empty() {
        // What could be made of the rest may be wrong only because of the slip before it.
        return Layer { unread: true, ..Layer::default() };
    }
    reader.table("", schema.sections, schema.tables, table.get_ref())
}

struct Reader<'a> {
    path: String,
    text: &'a str,
    schema: &'a Schema,
    problems: &'a mut Problems,
}

impl Reader<'_> {
    fn line(&self, offset: usize) -> usize {
        1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
    }

    /// `above` is the table's own name with a point, nothing for the file itself.
    fn table(
        &mut self,
        above: &str,
        sections: &'static [Section],
        tables: &'static [Table],
        table: &DeTable<'_>,
    ) -> Layer {
        let mut layer = Layer::default();
        for (name, value) in table {
            let line = self.line(name.span().start);
            let key = name.get_ref();
            let place = format!("{}:{line}: {above}{key}", self.path);
            if let Some(table) = tables.iter().find(|table| table.key == key.as_ref()) {
                self.blocks(table, &format!("{above}{key}"), &place, value.get_ref(), &mut layer.blocks);
                continue;
            }
            let plain = find(sections, key).map(|setting| (setting, false));
            let found = plain.or_else(|| find(sections, key.strip_suffix("_file")?).map(|setting| (setting, true)));
            let Some((setting, inside)) = found else {
                if let Some(refused) = self.schema.refused(key).filter(|_| above.is_empty()) {
                    let value = match value.get_ref() {
                        DeValue::String(text) => text.to_string(),
                        DeValue::Integer(number) => number.to_string(),
                        DeValue::Boolean(value) => value.to_string(),
                        _ => "a list or table".to_owned(),
                    };
                    if !refused.asks_for_nothing(&value) {
                        layer.slips = true;
                        self.problems.push(Problem::new(place, refused.words));
                    }
                    continue;
                }
                layer.slips = true;
                let known = all(sections).map(|setting| setting.key).chain(tables.iter().map(|table| table.key));
                let message = match nearest(key, known) {
                    Some(guess) => format!("no such setting; did you mean {guess}?"),
                    None if above.is_empty() => {
                        format!("no such setting; monodon-{} --help lists them", self.schema.service)
                    }
                    None => "no such setting here; the reference lists them".into(),
                };
                self.problems.push(Problem::new(place, message));
                continue;
            };
            let raw = if inside { text_of(value, &Kind::Path).map(as_inside) } else { text_of(value, &setting.kind) };
            let raw = raw.unwrap_or_else(|what| {
                let message = if setting.secret {
                    format!("expected {}, {}", setting.kind, got("", true))
                } else {
                    format!("expected {}, got {what}", setting.kind)
                };
                self.problems.push(Problem::new(place, message));
                Raw::Wrong
            });
            layer.given.push(Given { setting, raw, source: Source::File { path: self.path.clone(), line } });
        }
        layer
    }

    fn blocks(&mut self, table: &'static Table, key: &str, place: &str, value: &DeValue<'_>, blocks: &mut Vec<Block>) {
        match value {
            DeValue::Table(named) if table.named => {
                for (name, value) in named {
                    let place = format!("{}:{}: {key}.{}", self.path, self.line(name.span().start), name.get_ref());
                    let DeValue::Table(inner) = value.get_ref() else {
                        let message = format!("expected a table, [{key}.{}]", name.get_ref());
                        self.problems.push(Problem::new(place, message));
                        continue;
                    };
                    let layer = self.table(&format!("{key}.{}.", name.get_ref()), table.sections, table.tables, inner);
                    blocks.push(Block { table, name: name.get_ref().to_string(), place, layer });
                }
            }
            DeValue::Array(several) if !table.named => {
                for (index, value) in several.iter().enumerate() {
                    let place = format!("{}:{}: {key}", self.path, self.line(value.span().start));
                    let DeValue::Table(inner) = value.get_ref() else {
                        self.problems.push(Problem::new(place, format!("expected a table, [[{key}]]")));
                        continue;
                    };
                    let layer = self.table(&format!("{key}."), table.sections, table.tables, inner);
                    blocks.push(Block { table, name: (index + 1).to_string(), place, layer });
                }
            }
            _ if table.named => self.problems.push(Problem::new(place, format!("expected tables, [{key}.NAME]"))),
            _ => self.problems.push(Problem::new(place, format!("expected tables, [[{key}]]"))),
        }
    }
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
            let (Kind::List(item) | Kind::Lines(item)) = kind else { return Err("a list".into()) };
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
        DeValue::Table(_) => Err("a table".into()),
    }
}
