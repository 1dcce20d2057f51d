//! Prometheus pages of several services into one: each sample says where it is from, each family is declared once, and
//! a page that is broken is left out whole, for half a page would lie.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;

use monodon_admin::text::escape;

/// Samples of one page; more means somebody's labels ran away.
const SAMPLES: usize = 20_000;

#[derive(Debug, Default)]
pub struct Merged {
    families: BTreeMap<String, Family>,
    seen: HashSet<String>,
}

#[derive(Debug, Default, Clone)]
struct Family {
    help: Option<String>,
    kind: Option<String>,
    lines: Vec<String>,
}

/// One line of a page that is a sample.
#[derive(Debug, PartialEq)]
pub struct Sample<'a> {
    pub name: &'a str,
    pub labels: Vec<(&'a str, String)>,
    pub value: &'a str,
}

impl Sample<'_> {
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(own, _)| *own == name).map(|(_, value)| value.as_str())
    }

    pub fn number(&self) -> f64 {
        number(self.value).unwrap_or(f64::NAN)
    }
}

impl Merged {
    /// Takes a page in, all of it or nothing. `extra` labels are put on the samples for which `marks` says so.
    pub fn add(&mut self, page: &str, extra: &[(&str, &str)], marks: impl Fn(&str) -> bool) -> Result<(), String> {
        let mut families: BTreeMap<&str, Family> = BTreeMap::new();
        let mut keys = Vec::new();
        let mut fresh = HashSet::new();
        let mut current: Option<(&str, String)> = None;
        for (index, line) in page.lines().enumerate() {
            let line = line.trim_end_matches('\r');
            let broken = |what: &str| format!("line {}: {what}", index + 1);
            if line.trim().is_empty() {
                continue;
            }
            if let Some(comment) = line.strip_prefix('#') {
                let mut words = comment.trim_start().splitn(3, ' ');
                match (words.next(), words.next(), words.next()) {
                    (Some("HELP"), Some(name), help) if is_name(name) => {
                        families.entry(name).or_default().help.get_or_insert_with(|| help.unwrap_or("").to_owned());
                    }
                    (Some("TYPE"), Some(name), Some(kind)) if is_name(name) => {
                        let kind = kind.trim();
                        if !["counter", "gauge", "histogram", "summary", "untyped"].contains(&kind) {
                            return Err(broken("unknown TYPE"));
                        }
                        let family = families.entry(name).or_default();
                        if family.kind.is_some() || !family.lines.is_empty() {
                            return Err(broken("TYPE comes twice or after samples"));
                        }
                        family.kind = Some(kind.to_owned());
                        current = Some((name, kind.to_owned()));
                    }
                    (Some("HELP" | "TYPE"), ..) => return Err(broken("a broken HELP or TYPE")),
                    _ => {}
                }
                continue;
            }
            let sample = parse(line).ok_or_else(|| broken("not a sample"))?;
            let name = match &current {
                Some((family, kind)) if belongs(sample.name, family, kind) => family,
                _ => sample.name,
            };
            let rendered = render(&sample, if marks(sample.name) { extra } else { &[] });
            if keys.len() >= SAMPLES {
                return Err(broken("too many samples"));
            }
            let key = rendered.key;
            if self.seen.contains(&key) || !fresh.insert(key.clone()) {
                return Err(broken("a sample comes twice"));
            }
            keys.push(key);
            families.entry(name).or_default().lines.push(rendered.line);
        }
        // Only now that the whole page is known to be good.
        for (name, family) in families {
            if family.lines.is_empty() {
                continue;
            }
            let own = self.families.entry(name.to_owned()).or_default();
            if own.lines.is_empty() {
                *own = family;
            } else if own.kind == family.kind {
                own.lines.extend(family.lines);
            }
            // A family that two pages declare differently stays what the first says.
        }
        self.seen.extend(keys);
        Ok(())
    }

    pub fn render(&self) -> String {
        let mut out = String::new();
        for (name, family) in &self.families {
            if let Some(help) = &family.help {
                let _ = writeln!(out, "# HELP {name} {help}");
            }
            if let Some(kind) = &family.kind {
                let _ = writeln!(out, "# TYPE {name} {kind}");
            }
            for line in &family.lines {
                out.push_str(line);
                out.push('\n');
            }
        }
        out
    }
}

/// All samples of a page that can be read; for the status page, which takes what it gets.
pub fn samples(page: &str) -> impl Iterator<Item = Sample<'_>> {
    page.lines().filter(|line| !line.starts_with('#')).filter_map(parse)
}

fn belongs(sample: &str, family: &str, kind: &str) -> bool {
    let Some(rest) = sample.strip_prefix(family) else { return false };
    match kind {
        "histogram" => matches!(rest, "" | "_bucket" | "_sum" | "_count"),
        "summary" => matches!(rest, "" | "_sum" | "_count"),
        _ => rest.is_empty(),
    }
}

struct Rendered {
    /// Name and labels: what may be there once.
    key: String,
    line: String,
}

fn render(sample: &Sample<'_>, extra: &[(&str, &str)]) -> Rendered {
    let mut key = String::with_capacity(96);
    key.push_str(sample.name);
    let mut separator = '{';
    let mut put = |name: &str, exported: bool, value: &str| {
        key.push(separator);
        separator = ',';
        key.push_str(if exported { "exported_" } else { "" });
        key.push_str(name);
        key.push_str("=\"");
        escape(value, true, &mut key);
        key.push('"');
    };
    for (name, value) in extra {
        put(name, false, value);
    }
    for (name, value) in &sample.labels {
        // As Prometheus does with labels of the target's that it sets itself.
        put(name, extra.iter().any(|(own, _)| own == name), value);
    }
    if separator == ',' {
        key.push('}');
    }
    Rendered { line: format!("{key} {}", sample.value), key }
}

/// `name{label="value"} 1.5 [timestamp]`; the timestamp is left out, for the page is of now.
fn parse(line: &str) -> Option<Sample<'_>> {
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))?;
    let (name, mut rest) = line.split_at(end);
    if !is_name(name) {
        return None;
    }
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside.trim_start();
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once('=')?;
            let label = label.trim();
            if !is_name(label) || label.contains(':') {
                return None;
            }
            let (value, after) = quoted(after.trim_start())?;
            labels.push((label, value));
            rest = after.trim_start();
            match rest.strip_prefix(',') {
                Some(after) => rest = after.trim_start(),
                None if rest.starts_with('}') => {}
                None => return None,
            }
        }
        rest = rest.get(1..)?;
    }
    if !rest.starts_with([' ', '\t']) && labels.is_empty() {
        return None;
    }
    let mut words = rest.split_ascii_whitespace();
    let value = words.next()?;
    number(value)?;
    if words.next().is_some_and(|timestamp| timestamp.parse::<i64>().is_err()) || words.next().is_some() {
        return None;
    }
    Some(Sample { name, labels, value })
}

fn quoted(text: &str) -> Option<(String, &str)> {
    let inside = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut chars = inside.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, inside.get(at + 1..)?)),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                c @ ('\\' | '"') => value.push(c),
                _ => return None,
            },
            c => value.push(c),
        }
    }
    None
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" | "Nan" => Some(f64::NAN),
        text => text.parse().ok(),
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == ':')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}
