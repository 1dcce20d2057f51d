//! A metrics page read back: what `status` shows stands there already, for whoever else looks.

use std::collections::BTreeMap;

/// One series at the moment of a look.
#[derive(Debug, PartialEq)]
pub struct Sample {
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Sample {
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// All samples by the name before the braces.
#[derive(Default)]
pub struct Page(BTreeMap<String, Vec<Sample>>);

impl Page {
    /// Lines that are none are left out.
    pub fn read(text: &str) -> Self {
        let mut page = Self::default();
        for (name, sample) in text.lines().filter(|line| !line.starts_with('#')).filter_map(line) {
            page.0.entry(name.to_owned()).or_default().push(sample);
        }
        page
    }

    /// `monodon_edge_NAME`
    pub fn all(&self, name: &str) -> &[Sample] {
        self.0.get(&format!("monodon_edge_{name}")).map_or(&[], Vec::as_slice)
    }

    /// The sum over the series whose labels are these.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |sample: &&Sample| labels.iter().all(|(name, value)| sample.label(name) == *value);
        // The sum of nothing is -0.
        self.all(name).iter().filter(fits).map(|sample| sample.value).sum::<f64>() + 0.0
    }

    pub fn process(&self, name: &str) -> f64 {
        self.0.get(&format!("process_{name}")).and_then(|all| all.first()).map_or(0.0, |sample| sample.value)
    }

    /// Every value that a label has in a family.
    pub fn values(&self, name: &str, label: &str) -> Vec<&str> {
        let mut values: Vec<&str> = self.all(name).iter().map(|sample| sample.label(label)).collect();
        values.sort_unstable();
        values.dedup();
        values
    }
}

fn line(line: &str) -> Option<(&str, Sample)> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => labels(inside)?,
        None => (BTreeMap::new(), rest),
    };
    let value = rest.trim().split(' ').next()?.parse().ok()?;
    Some((name, Sample { labels, value }))
}

/// `a="b",c="d"}` and what follows it.
fn labels(text: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let (mut labels, mut rest) = (BTreeMap::new(), text);
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = quoted.char_indices();
        let end = loop {
            match chars.next()? {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        };
        labels.insert(name.to_owned(), value);
        rest = quoted.get(end + 1..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_and_without_labels() {
        let page = Page::read(
            "# HELP x y\nprocess_start_time_seconds 12.5\nmonodon_edge_a{x=\"1\",y=\"a \\\"b\\\\,}\"} 3\n\
             monodon_edge_a{x=\"2\",y=\"c\"} 4 1700000\nbroken{x=\"\n\nmonodon_edge_b 1e3\nmonodon_edge_c{} NaN\n",
        );
        assert_eq!(page.process("start_time_seconds"), 12.5);
        assert_eq!((page.sum("a", &[]), page.sum("a", &[("x", "2")]), page.sum("b", &[])), (7.0, 4.0, 1000.0));
        assert_eq!(page.values("a", "y"), ["a \"b\\,}", "c"]);
        assert!(page.all("broken").is_empty() && page.sum("c", &[]).is_nan());
    }
}
