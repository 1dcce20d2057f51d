//! What a setting's value may be, and reading it from text: sizes as nginx and Docker write them (1024-based), durations
//! with their unit.

use std::fmt;
use std::time::Duration;

use crate::{Address, Setting};

#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Bool,
    Int {
        min: i64,
        max: i64,
    },
    /// `512`, `64k`, `32MB`, `1GiB`; 1024-based whatever it is written like.
    Size,
    /// `30` (seconds), `500ms`, `5m`, `1h`, `1d`.
    Duration,
    Text,
    Choice(&'static [&'static str]),
    Path,
    /// `127.0.0.1:8080`, `[::1]:8080`, `:8080`, `name:8080`, `unix:/run/app.sock`
    Address,
    /// One of those to listen on, by TCP.
    Listen,
    /// Entries separated by commas or on lines of their own.
    List(&'static Kind),
    /// A list whose entries may have commas in them: one a line, or the flag once for each.
    Lines(&'static Kind),
}

/// A value that has been read.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Bool(bool),
    Int(i64),
    Size(u64),
    Duration(Duration),
    /// Text, a choice, a path, an address.
    Text(String),
    List(Vec<String>),
}

impl fmt::Display for Kind {
    /// "expected …"
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Bool => f.write_str("true or false"),
            Kind::Int { min: i64::MIN, max: i64::MAX } => f.write_str("a whole number"),
            Kind::Int { min, max: i64::MAX } => write!(f, "a whole number of at least {min}"),
            Kind::Int { min, max } => write!(f, "a whole number from {min} to {max}"),
            Kind::Size => f.write_str("a size such as 32MB"),
            Kind::Duration => f.write_str("a duration such as 30s, 500ms or 5m"),
            Kind::Text => f.write_str("text"),
            Kind::Choice(choices) => {
                f.write_str("one of ")?;
                for (index, choice) in choices.iter().enumerate() {
                    write!(f, "{}{choice}", if index == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
            Kind::Path => f.write_str("a path"),
            Kind::Address => f.write_str("an address such as 127.0.0.1:8080, app:8080 or unix:/run/app.sock"),
            Kind::Listen => f.write_str("an address to listen on such as 127.0.0.1:8080, [::1]:8080 or :8080"),
            Kind::List(item) | Kind::Lines(item) => write!(f, "a list, each {item}"),
        }
    }
}

impl Kind {
    /// The word for the value in help and reference: `--body-limit SIZE`.
    pub(crate) fn placeholder(&self) -> &'static str {
        match self {
            Kind::Bool => "",
            Kind::Int { .. } => "NUMBER",
            Kind::Size => "SIZE",
            Kind::Duration => "DURATION",
            Kind::Text => "TEXT",
            Kind::Choice(_) => "CHOICE",
            Kind::Path => "PATH",
            Kind::Address | Kind::Listen => "ADDRESS",
            Kind::List(item) | Kind::Lines(item) => item.placeholder(),
        }
    }

    pub(crate) fn is_list(&self) -> bool {
        matches!(self, Kind::List(_) | Kind::Lines(_))
    }

    /// Reads one value; `Err` is a sentence that says what was expected and, unless it is secret, what was there.
    pub(crate) fn read(&self, text: &str, secret: bool) -> Result<Value, String> {
        let text = text.trim();
        let value = match self {
            Kind::Bool => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Some(Value::Bool(true)),
                "false" | "no" | "off" | "0" => Some(Value::Bool(false)),
                _ => None,
            },
            Kind::Int { min, max } => text.parse().ok().filter(|n| min <= n && n <= max).map(Value::Int),
            Kind::Size => parse_size(text).map(Value::Size),
            Kind::Duration => parse_duration(text).map(Value::Duration),
            Kind::Text => Some(Value::Text(text.to_owned())),
            Kind::Choice(choices) => {
                let choice = choices.iter().find(|choice| choice.eq_ignore_ascii_case(text));
                choice.map(|choice| Value::Text((*choice).to_owned()))
            }
            Kind::Path => (!text.contains('\0')).then(|| Value::Text(text.to_owned())),
            Kind::Address | Kind::Listen => {
                if text.is_empty() {
                    Some(Value::Text(String::new()))
                } else {
                    match text.parse::<Address>() {
                        Ok(address) if matches!(self, Kind::Listen) && address.socket().is_none() => None,
                        Ok(_) => Some(Value::Text(text.to_owned())),
                        Err(reason) => return Err(format!("expected {self}, {}: {reason}", got(text, secret))),
                    }
                }
            }
            Kind::List(item) | Kind::Lines(item) => {
                let mut list = Vec::new();
                let commas = matches!(self, Kind::List(_));
                let ends = |c: char| c == '\n' || (commas && c == ',');
                for part in text.split(ends).map(str::trim).filter(|part| !part.is_empty()) {
                    list.push(item.read_item(part, secret)?);
                }
                Some(Value::List(list))
            }
        };
        value.ok_or_else(|| format!("expected {self}, {}", got(text, secret)))
    }

    /// One entry of a list: checked as its kind, kept as it is written (choices in their own spelling).
    pub(crate) fn read_item(&self, text: &str, secret: bool) -> Result<String, String> {
        Ok(match self.read(text, secret)? {
            Value::Text(text) => text,
            _ => text.trim().to_owned(),
        })
    }
}

pub(crate) fn got(text: &str, secret: bool) -> String {
    if secret { "got something else (secret, not shown)".to_owned() } else { format!("got {text:?}") }
}

/// The declared default; an empty one is the kind's nothing.
pub(crate) fn default_value(setting: &Setting) -> Result<Value, String> {
    if !setting.default.is_empty() {
        return setting.kind.read(setting.default, setting.secret);
    }
    Ok(match setting.kind {
        Kind::Bool => Value::Bool(false),
        Kind::Int { .. } => Value::Int(0),
        Kind::Size => Value::Size(0),
        Kind::Duration => Value::Duration(Duration::ZERO),
        Kind::Text | Kind::Choice(_) | Kind::Path | Kind::Address | Kind::Listen => Value::Text(String::new()),
        Kind::List(_) | Kind::Lines(_) => Value::List(Vec::new()),
    })
}

/// `512`, `64k`, `32MB`, `1.5GiB`: bytes.
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let unit = unit.to_ascii_lowercase();
    let shift = match unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit) {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    scale(number, 1 << shift)
}

/// `30` (seconds), `500ms`, `1.5s`, `5m`, `1h`, `2d`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let millis = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    scale(number, millis).map(Duration::from_millis)
}

/// `32 MB` → `32`, `MB`
fn split_unit(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    number.starts_with(|c: char| c.is_ascii_digit()).then_some((number, unit.trim()))
}

/// A decimal number times a factor, exactly where it is whole; `None` when it does not fit.
fn scale(number: &str, factor: u64) -> Option<u64> {
    if !number.contains('.') {
        return number.parse::<u64>().ok()?.checked_mul(factor);
    }
    let product = number.parse::<f64>().ok()? * factor as f64;
    // Beyond 2^53 a fraction has no meaning any more.
    (product <= 9.0e15).then_some(product.round() as u64)
}
