//! The environment: `MONODON_EDGE_BODY_LIMIT`, `…_FILE` for a file that holds the value, shared ones without a service's
//! name. An empty variable counts as not set: compose files pass `${X:-}` on.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::load::{Given, Raw};
use crate::nearest::nearest;
use crate::{Problem, Problems, Schema, Source};

pub(crate) struct Environment {
    pub(crate) given: Vec<Given>,
    pub(crate) config: Option<(PathBuf, String)>,
}

pub(crate) fn read(
    schema: &Schema,
    env: impl Iterator<Item = (OsString, OsString)>,
    problems: &mut Problems,
) -> Environment {
    let mut out = Environment { given: Vec::new(), config: None };
    let prefix = schema.prefix();
    let mut own: Vec<(String, OsString)> = Vec::new();
    for (name, value) in env {
        // The service's own name for a shared setting comes after the shared one, so that it wins.
        match name.into_string() {
            Ok(name) if name.starts_with("MONODON_") && !value.is_empty() => own.push((name, value)),
            _ => {}
        }
    }
    own.sort_by_key(|(name, _)| (name.starts_with(&prefix), name.clone()));

    let mut seen: Vec<(&'static str, String)> = Vec::new();
    for (name, value) in own {
        let (setting, inside) = match name.strip_prefix(&prefix) {
            Some("CONFIG") => {
                out.config = Some((PathBuf::from(value), name));
                continue;
            }
            Some(rest) => {
                let key = rest.to_lowercase();
                let plain = schema.find(&key).map(|setting| (setting, false));
                let found = plain.or_else(|| schema.find(key.strip_suffix("_file")?).map(|setting| (setting, true)));
                match found {
                    Some(found) => found,
                    None if is_service_link(rest, &value) => continue,
                    None if asks_for_nothing(schema, &key, &value) => continue,
                    None => {
                        problems.push(unknown(schema, &name, &key));
                        continue;
                    }
                }
            }
            None => {
                let key = name.strip_prefix("MONODON_").unwrap_or_default().to_lowercase();
                let shared = |key: &str| schema.settings().find(|setting| setting.shared && setting.key == key);
                let plain = shared(&key).map(|setting| (setting, false));
                match plain.or_else(|| shared(key.strip_suffix("_file")?).map(|setting| (setting, true))) {
                    Some(found) => found,
                    // Other programs of the project have variables, too: compose's, for example.
                    None => continue,
                }
            }
        };
        let Ok(value) = value.into_string() else {
            problems.push(Problem::new(name, "its value is not UTF-8"));
            continue;
        };
        let specific = name.starts_with(&prefix);
        if let Some((_, other)) =
            seen.iter().find(|(key, other)| *key == setting.key && other.starts_with(&prefix) == specific)
        {
            problems.push(Problem::new(name, format!("{other} is given, too; give one of them")));
            continue;
        }
        seen.push((setting.key, name.clone()));
        // A list that both a shared and an own variable give is the own one's.
        out.given.retain(|given| given.setting.key != setting.key);
        let raw = if inside { Raw::Inside(value) } else { Raw::Text(value) };
        out.given.push(Given { setting, raw, source: Source::Environment(name) });
    }
    out
}

/// What Kubernetes sets for a Service named `monodon-edge`: `…_SERVICE_HOST`, `…_PORT=tcp://…`, `…_PORT_80_TCP_ADDR`.
/// These are nobody's settings.
fn is_service_link(rest: &str, value: &std::ffi::OsStr) -> bool {
    let port = rest.find("PORT").map(|at| &rest[at + 4..]);
    let value = value.to_string_lossy();
    rest == "SERVICE_HOST"
        || rest.ends_with("_SERVICE_HOST")
        || rest.starts_with("SERVICE_PORT")
        || rest.contains("_SERVICE_PORT")
        || port.is_some_and(|tail| {
            (tail.is_empty() && (value.starts_with("tcp://") || value.starts_with("udp://")))
                || (tail.starts_with('_') && (tail.contains("_TCP") || tail.contains("_UDP")))
        })
}

fn asks_for_nothing(schema: &Schema, key: &str, value: &std::ffi::OsStr) -> bool {
    schema.refused(key).is_some_and(|refused| refused.asks_for_nothing(&value.to_string_lossy()))
}

fn unknown(schema: &Schema, name: &str, key: &str) -> Problem {
    if let Some(refused) = schema.refused(key) {
        return Problem::new(name, refused.words);
    }
    let guess = nearest(key, schema.settings().map(|setting| setting.key));
    let known = guess.and_then(|guess| schema.find(guess)).map(|setting| schema.variable(setting));
    Problem::new(
        name,
        match known {
            Some(known) => format!("no such setting; did you mean {known}?"),
            None => format!("no such setting; monodon-{} --help lists them", schema.service),
        },
    )
}
