//! Many processes' files into one set of families, by the rules of prometheus_client's `multiprocess.py`.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::file::Value;
use super::kind::Kind;
use super::names;

/// What may be kept of what applications make up: beyond it, series are dropped and counted.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub series: usize,
    /// Of names, labels and help.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { series: 100_000, bytes: 64 << 20 }
    }
}

/// Values that are not shown, by reason.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Dropped {
    /// More than the limits allow.
    pub limit: u64,
    /// Its name is one of the worker's own, or another metric's.
    pub name: u64,
    /// Its key says nothing that can be told.
    pub key: u64,
}

#[derive(Default)]
pub struct Merge {
    limits: Limits,
    families: BTreeMap<Box<str>, Family>,
    samples: Vec<Sample>,
    /// Where a key's value goes, so that the key of the second and later files need not be looked into. Not for kinds
    /// that keep processes apart.
    known: HashMap<Kind, HashMap<Box<str>, Option<usize>>>,
    places: HashMap<Identity, usize>,
    bytes: usize,
    pub dropped: Dropped,
}

struct Family {
    kind: Kind,
    help: Box<str>,
    samples: Vec<usize>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Identity {
    family: Box<str>,
    name: Box<str>,
    labels: Labels,
    /// Of a histogram's bucket: the bits of its upper bound.
    bound: Option<u64>,
}

type Labels = Box<[(Box<str>, Box<str>)]>;

pub struct Sample {
    pub name: Box<str>,
    /// Sorted by name; without a bucket's `le`.
    pub labels: Labels,
    /// Of a histogram's bucket: the upper bound, and how the application writes it.
    pub bound: Option<(f64, Box<str>)>,
    /// And its time.
    value: Option<(f64, f64)>,
}

impl Sample {
    pub fn value(&self) -> f64 {
        self.value.map_or(0.0, |(value, _)| value)
    }
}

struct Parsed {
    family: Box<str>,
    name: Box<str>,
    labels: Labels,
    bound: Option<(f64, Box<str>)>,
    help: Box<str>,
}

impl Parsed {
    /// None for what has no name in the text format, or would spoil the whole page.
    fn of(kind: Kind, process: &str, key: &str) -> Option<Self> {
        type Key = (String, String, BTreeMap<String, String>, String);
        let (family, name, mut labels, help) = serde_json::from_str::<Key>(key).ok()?;
        let mut bound = None;
        if kind == Kind::Histogram
            && let Some(text) = labels.remove("le")
        {
            let number: f64 = text.parse().ok().filter(|number: &f64| !number.is_nan())?;
            // Zero is zero, with or without a sign.
            bound = Some((number + 0.0, text.into_boxed_str()));
        }
        if kind.apart() {
            labels.insert("pid".to_owned(), process.to_owned());
        }
        let labels: BTreeMap<Box<str>, Box<str>> = {
            let given = labels.len();
            let tidy = labels.into_iter().map(|(name, value)| (names::label(name).into(), value.into()));
            Some(tidy.collect::<BTreeMap<Box<str>, _>>()).filter(|labels| labels.len() == given)?
        };
        let nameless = |name: &str| name.is_empty() || name.starts_with("__");
        if family.is_empty() || name.is_empty() || labels.keys().any(|name| nameless(name)) {
            return None;
        }
        let labels = labels.into_iter().collect();
        Some(Self { family: family.into(), name: names::metric(name).into(), labels, bound, help: help.into() })
    }
}

impl Merge {
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Values of one file; `process` is the file's, for gauges that are told apart.
    pub fn add<'a>(&mut self, kind: Kind, process: &str, values: impl Iterator<Item = Value<'a>>) {
        for value in values {
            let place = match self.known.get(&kind).and_then(|known| known.get(value.key)) {
                Some(place) => *place,
                None => self.meet(kind, process, value.key),
            };
            if let Some(sample) = place.and_then(|place| self.samples.get_mut(place)) {
                let from = (value.value, value.timestamp);
                match &mut sample.value {
                    Some(value) => kind.join(value, from),
                    // The first one stands as it is: a minimum is not that of it and 0.
                    none => *none = Some(from),
                }
            }
        }
    }

    /// A key that was not seen yet in files of this kind.
    fn meet(&mut self, kind: Kind, process: &str, key: &str) -> Option<usize> {
        if self.samples.len() >= self.limits.series || self.bytes + 3 * key.len() > self.limits.bytes {
            self.dropped.limit += 1;
            return None;
        }
        let place = self.place(kind, process, key);
        if !kind.apart() {
            self.bytes += key.len();
            self.known.entry(kind).or_default().insert(key.into(), place);
        }
        place
    }

    fn place(&mut self, kind: Kind, process: &str, key: &str) -> Option<usize> {
        let Some(Parsed { family, name, labels, bound, help }) = Parsed::of(kind, process, key) else {
            self.dropped.key += 1;
            return None;
        };
        let known = self.families.entry(family.clone()).or_insert_with(|| {
            self.bytes += help.len();
            Family { kind, help, samples: Vec::new() }
        });
        if known.kind != kind {
            self.dropped.name += 1;
            return None;
        }
        let bits = bound.as_ref().map(|(number, _)| number.to_bits());
        let identity = Identity { family, name: name.clone(), labels: labels.clone(), bound: bits };
        let place = *self.places.entry(identity).or_insert_with(|| {
            known.samples.push(self.samples.len());
            self.bytes += 2 * key.len();
            self.samples.push(Sample { name, labels, bound, value: None });
            self.samples.len() - 1
        });
        Some(place)
    }

    /// How many series there are.
    pub fn series(&self) -> usize {
        self.samples.len()
    }

    /// Writes all families whose names are not taken, in the text format 0.0.4.
    pub fn write(&mut self, taken: &HashSet<&str>, out: &mut String) {
        let mut used: HashSet<Box<str>> = HashSet::new();
        for (name, family) in &self.families {
            let mut shown: Vec<&Sample> = family.samples.iter().filter_map(|place| self.samples.get(*place)).collect();
            if matches!(family.kind, Kind::Gauge { mode: super::kind::Mode::MostRecent, .. }) {
                // A gauge that nobody has set yet has no time, and no value.
                shown.retain(|sample| sample.value.is_some_and(|(_, time)| time > 0.0));
            }
            let mut told: HashSet<&str> = shown.iter().map(|sample| &*sample.name).collect();
            let title = names::metric(match family.kind {
                Kind::Counter => format!("{name}_total"),
                _ => name.to_string(),
            });
            told.insert(&title);
            let foreign = |name: &&str| name.starts_with("monodon_") || taken.contains(name) || used.contains(*name);
            if told.iter().any(foreign) {
                self.dropped.name += shown.len() as u64;
                continue;
            }
            used.extend(told.into_iter().map(Box::from));
            super::text::write(&title, family.kind, &family.help, shown, out);
        }
    }
}

#[cfg(test)]
mod tests;
