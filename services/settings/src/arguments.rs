//! The command line: `--key value`, `--key=value`, `-k value`, `--flag` and `--no-flag`, `--key-file PATH`, positionals.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::load::{Given, Raw};
use crate::nearest::nearest;
use crate::{Kind, Problem, Problems, Schema, Setting, Source};

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
    no.or_else(inside)
}

pub(crate) fn read(schema: &Schema, args: &[OsString], problems: &mut Problems) -> Arguments {
    let mut out = Arguments { given: Vec::new(), config: None, positionals: Vec::new() };
    let mut rest = args.iter().map(|arg| arg.to_str()).peekable();
    let mut only_positionals = false;
    while let Some(arg) = rest.next() {
        let Some(arg) = arg else {
            problems.push(Problem::new("", "an argument is not UTF-8"));
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
        let (flag, meant, inline) = match arg.strip_prefix("--") {
            Some(long) => {
                let (name, inline) = match long.split_once('=') {
                    Some((name, value)) => (name, Some(value)),
                    None => (long, None),
                };
                (format!("--{name}"), meaning(schema, &name.replace('_', "-")), inline)
            }
            None => {
                let mut chars = arg.trim_start_matches('-').chars();
                let letter = chars.next().unwrap_or_default();
                let inline = Some(chars.as_str()).filter(|value| !value.is_empty());
                let own = schema.settings().find(|setting| setting.short == Some(letter));
                let meant = own.map(Meaning::Value).or_else(|| (letter == 'c').then_some(Meaning::Config));
                // `-w4` and `-w=4` alike.
                (format!("-{letter}"), meant, inline.map(|value| value.strip_prefix('=').unwrap_or(value)))
            }
        };
        let Some(meant) = meant else {
            problems.push(unknown(schema, &flag));
            continue;
        };
        let switch = match &meant {
            Meaning::Value(setting) if matches!(setting.kind, Kind::Bool) => Some((*setting, "true")),
            Meaning::No(setting) => Some((*setting, "false")),
            _ => None,
        };
        let value = match (inline, switch) {
            (Some(_), Some((setting, "false"))) => {
                problems.push(Problem::new(flag, format!("takes no value; write {}=…", setting.flag())));
                continue;
            }
            (Some(value), _) => value.to_owned(),
            (None, Some((_, value))) => value.to_owned(),
            // What starts with two dashes is the next flag: the value was forgotten.
            (None, None) => match rest.next_if(|next| next.is_none_or(|next| !is_long(next))) {
                Some(Some(value)) => value.to_owned(),
                Some(None) => {
                    problems.push(Problem::new(flag, "its value is not UTF-8"));
                    continue;
                }
                None => {
                    problems.push(Problem::new(flag, "needs a value"));
                    continue;
                }
            },
        };
        match meant {
            Meaning::Config => out.config = Some((value.into(), flag)),
            Meaning::Value(setting) | Meaning::No(setting) => {
                out.given.push(Given { setting, raw: Raw::Text(value), source: Source::Flag(flag) });
            }
            Meaning::Inside(setting) => {
                out.given.push(Given { setting, raw: Raw::Inside(value), source: Source::Flag(flag) });
            }
        }
    }
    out
}

fn is_long(text: &str) -> bool {
    text.len() > 2 && text.starts_with("--")
}

fn unknown(schema: &Schema, flag: &str) -> Problem {
    let typed = flag.trim_start_matches('-');
    let names = schema.settings().flat_map(|setting| std::iter::once(&setting.key).chain(setting.aliases));
    let guess = if flag.starts_with("--") { nearest(typed, names.copied().chain(["config"])) } else { None };
    Problem::new(
        flag,
        match guess {
            Some(name) => format!("no such flag; did you mean --{}?", name.replace('_', "-")),
            None => format!("no such flag; monodon-{} --help lists them", schema.service),
        },
    )
}
