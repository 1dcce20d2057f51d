//! The part of the reference page on gunicorn's settings, from the table.

use std::fmt::Write;

use super::differences::DIFFERENCES;
use super::known::KNOWN;
use super::table::{How, Known};

/// Markdown, to follow the page of our own settings.
pub fn reference() -> String {
    let mut out = String::from(
        "\n## gunicorn's settings\n\n\
         Every setting of gunicorn 27, in the order of its documentation. *Same*: name and meaning are gunicorn's. *Renamed*: \
         the same by another name; gunicorn's is accepted. *Different*: it does what it says, and the words say what else. \
         *Hook*: a function in `gunicorn.conf.py`, see [hooks](worker-hooks.md). *No meaning*: accepted, changes nothing. *Edge*: the proxy before the worker \
         does it. *Refused*: exit code 2 with these words. What is refused or the edge's is accepted with a value that asks \
         for nothing, such as `spew = False`. No setting is ignored in silence.\n\n\
         A configuration file may be Python, as gunicorn's: `--config PATH`, `file:PATH` or `python:MODULE`, else \
         `./gunicorn.conf.py` where there is one; its variables may have our own settings' names too. It is executed in a \
         process that ends at once (so it must not wait for anything), and again in the process that calls the hooks; with a \
         relative path it is looked for where the worker was started, whatever `chdir` says. A flag wins over `MONODON_WORKER_…`, \
         that over `GUNICORN_CMD_ARGS` (read with `--gunicorn-env`), that over the file, that over `PORT`, `WEB_CONCURRENCY`, \
         `FORWARDED_ALLOW_IPS` and `SENDFILE`, those over the default.\n\n\
         | gunicorn | flags | here | words |\n|---|---|---|---|\n",
    );
    for known in KNOWN {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "| `{}` | {} | {} | {} |", known.name, flags(known), word(known), known.words);
    }
    out.push_str(DIFFERENCES);
    out
}

fn flags(known: &Known) -> String {
    if !known.has_flag() {
        return String::new();
    }
    let own = known.name.replace('_', "-");
    let long = if known.flags.is_empty() { vec![own.as_str()] } else { known.flags.to_vec() };
    let short = known.short.map(|short| format!("`-{short}`"));
    let long = long.into_iter().map(|flag| format!("`--{flag}`"));
    long.chain(short).collect::<Vec<_>>().join(", ")
}

fn word(known: &Known) -> String {
    let refused = matches!(known.how, How::Edge(_) | How::Refused(_));
    if known.setting().is_none() && known.has_place() && !refused {
        return "not yet".to_owned();
    }
    match known.how {
        How::Same => "same".to_owned(),
        How::Renamed(key) => format!("renamed: `{key}`"),
        How::Different => "different".to_owned(),
        How::Hook => "hook".to_owned(),
        How::Idle => "no meaning".to_owned(),
        How::Edge(_) => "edge".to_owned(),
        How::Refused(_) => "refused".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_what_the_table_says() {
        assert_eq!(KNOWN.len(), 120);
        for known in KNOWN {
            let refused = matches!(known.how, How::Edge(_) | How::Refused(_));
            assert!(!refused || known.setting().is_none(), "{}: refused, and a setting all the same", known.name);
            let told = matches!(known.how, How::Same | How::Hook | How::Renamed(_)) || !known.words.is_empty();
            assert!(told, "{}: its difference is not told", known.name);
        }
    }
}
