//! The command line: `--key value`, `--key=value`, `-k value`, `--flag` and `--no-flag`, `--key-file PATH`, positionals.

use std::ffi::OsString;
use std::iter::Peekable;
use std::path::PathBuf;

use crate::load::{Given, Raw};
use crate::nearest::nearest;
use crate::{Kind, Problem, Problems, Refused, Schema, Setting, Source};

pub(crate) struct Arguments {
    pub(crate) given: Vec<Given>,
    pub(crate) config: Option<(PathBuf, String)>,
    pub(crate) positionals: Vec<String>,
}

/// Is `--help` (or another such word, as given) among the arguments, before any `--`?
pub fn asks_for(args: &[OsString], words: &[&str]) -> bool {
    args.iter().take_while(|arg| *arg != "--").any(|arg| words.iter().any(|word| arg == word))
}

/// What a flag's name stands for.
enum Meaning {
    Config,
    Value(&'static Setting),
    /// `--no-flag`
    No(&'static Setting),
    /// `--key-file`
    Inside(&'static Setting),
    Refused(&'static Refused),
}

fn meaning(schema: &Schema, name: &str) -> Option<Meaning> {
    if name == "config" {
        return Some(Meaning::Config);
    }
    if let Some(setting) = schema.find(name) {
        return Some(Meaning::Value(setting));
    }
    let bool = |setting: &&'static Setting| matches!(setting.kind, Kind::Bool);
    let no = name.strip_prefix("no-").and_then(|rest| schema.find(rest)).filter(bool).map(Meaning::No);
    let inside = || name.strip_suffix("-file").and_then(|rest| schema.find(rest)).map(Meaning::Inside);
    no.or_else(inside).or_else(|| schema.refused(name).map(Meaning::Refused))
}

/// `place` stands before each flag when it is named: where this command line comes from, when it is not the process's.
pub(crate) fn read(schema: &Schema, args: &[OsString], place: &str, problems: &mut Problems) -> Arguments {
    let mut out = Arguments { given: Vec::new(), config: None, positionals: Vec::new() };
    let mut rest = args.iter().map(|arg| arg.to_str()).peekable();
    let mut only_positionals = false;
    while let Some(arg) = rest.next() {
        let Some(arg) = arg else {
            problems.push(Problem::new(place.trim_end_matches(": "), "an argument is not UTF-8"));
            continue;
        };
        if only_positionals || arg == "-" || !arg.starts_with('-') {
            out.positionals.push(arg.to_owned());
            continue;
        }
        if arg == "--" {
            only_positionals = true;
            continue;
        }
        if let Some(long) = arg.strip_prefix("--") {
            let (name, inline) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (long, None),
            };
            let meant = meaning(schema, &name.replace('_', "-"));
            one(schema, &format!("--{name}"), meant, inline, &mut rest, place, &mut out, problems);
            continue;
        }
        let mut chars = arg.trim_start_matches('-').chars();
        while let Some(letter) = chars.next() {
            let meant = short(schema, letter);
            let switch = meant.as_ref().is_some_and(is_switch);
            let inline = Some(chars.as_str()).filter(|value| !value.is_empty());
            // `-w4` and `-w=4` alike; after a switch come more letters: `-Dw4`.
            let inline = match inline {
                Some(value) if !switch => Some(value.strip_prefix('=').unwrap_or(value)),
                Some(value) => value.strip_prefix('='),
                None => None,
            };
            let last = !switch || inline.is_some() || chars.as_str().is_empty();
            one(schema, &format!("-{letter}"), meant, inline, &mut rest, place, &mut out, problems);
            if last {
                break;
            }
        }
    }
    out
}

fn short(schema: &Schema, letter: char) -> Option<Meaning> {
    let own = schema.settings().find(|setting| setting.short == Some(letter)).map(Meaning::Value);
    let config = || (letter == 'c').then_some(Meaning::Config);
    let refused = || schema.refused.iter().find(|refused| refused.short == Some(letter)).map(Meaning::Refused);
    own.or_else(config).or_else(refused)
}

fn is_switch(meaning: &Meaning) -> bool {
    match meaning {
        Meaning::Value(setting) => matches!(setting.kind, Kind::Bool),
        Meaning::No(_) => true,
        Meaning::Refused(refused) => refused.switch,
        Meaning::Config | Meaning::Inside(_) => false,
    }
}

/// One flag with its value, which may be the next argument.
#[allow(clippy::too_many_arguments, reason = "the loop of `read`, taken apart")]
fn one<'a>(
    schema: &Schema,
    flag: &str,
    meant: Option<Meaning>,
    inline: Option<&str>,
    rest: &mut Peekable<impl Iterator<Item = Option<&'a str>>>,
    place: &str,
    out: &mut Arguments,
    problems: &mut Problems,
) {
    let named = format!("{place}{flag}");
    let Some(meant) = meant else {
        return problems.push(unknown(schema, flag, place));
    };
    let value = match (inline, &meant) {
        (Some(_), Meaning::No(setting)) => {
            return problems.push(Problem::new(named, format!("takes no value; write {}=…", setting.flag())));
        }
        (Some(value), _) => value.to_owned(),
        (None, Meaning::No(_)) => "false".to_owned(),
        (None, meant) if is_switch(meant) => "true".to_owned(),
        // Its value may be left out: the next argument is one only if it can be.
        (None, Meaning::Value(Setting { kind, alone: Some(alone), .. })) => {
            let value =
                rest.next_if(|next| next.is_some_and(|next| !next.starts_with('-') && kind.read(next, true).is_ok()));
            value.flatten().unwrap_or(alone).to_owned()
        }
        // What starts with two dashes is the next flag: the value was forgotten.
        (None, _) => match rest.next_if(|next| next.is_none_or(|next| !is_long(next))) {
            Some(Some(value)) => value.to_owned(),
            Some(None) => return problems.push(Problem::new(named, "its value is not UTF-8")),
            None => return problems.push(Problem::new(named, "needs a value")),
        },
    };
    let (setting, raw) = match meant {
        Meaning::Refused(refused) if refused.asks_for_nothing(&value) => return,
        Meaning::Refused(refused) => return problems.push(Problem::new(named, refused.words)),
        Meaning::Config => {
            out.config = Some((value.into(), named));
            return;
        }
        Meaning::Value(setting) | Meaning::No(setting) => (setting, Raw::Text(value)),
        Meaning::Inside(setting) => (setting, Raw::Inside(value)),
    };
    out.given.push(Given { setting, raw, source: Source::Flag(named) });
}

fn is_long(text: &str) -> bool {
    text.len() > 2 && text.starts_with("--")
}

fn unknown(schema: &Schema, flag: &str, place: &str) -> Problem {
    let typed = flag.trim_start_matches('-');
    let names = schema.settings().flat_map(|setting| std::iter::once(&setting.key).chain(setting.aliases));
    let guess = if flag.starts_with("--") { nearest(typed, names.copied().chain(["config"])) } else { None };
    Problem::new(
        format!("{place}{flag}"),
        match guess {
            Some(name) => format!("no such flag; did you mean --{}?", name.replace('_', "-")),
            None => format!("no such flag; monodon-{} --help lists them", schema.service),
        },
    )
}
