//! A merged family as text.

use std::fmt::Write;

use monodon_admin::text::escape;

use super::kind::Kind;
use super::merge::Sample;

pub fn write(title: &str, kind: Kind, help: &str, mut samples: Vec<&Sample>, out: &mut String) {
    if samples.is_empty() {
        return;
    }
    out.push_str("# HELP ");
    out.push_str(title);
    out.push(' ');
    escape(help, false, out);
    // Writing to a string does not fail.
    let _ = writeln!(out, "\n# TYPE {title} {}", kind.name());
    // A histogram's buckets come together, by their bounds, and before its sum.
    samples.sort_by(|a, b| {
        let bound = |sample: &Sample| sample.bound.as_ref().map_or(f64::NAN, |(bound, _)| *bound);
        a.labels.cmp(&b.labels).then_with(|| bound(a).total_cmp(&bound(b))).then_with(|| a.name.cmp(&b.name))
    });
    let mut samples = samples.into_iter().peekable();
    let mut count = 0.0;
    while let Some(sample) = samples.next() {
        let Some((_, bound)) = &sample.bound else {
            line(&sample.name, sample, None, sample.value(), out);
            continue;
        };
        count += sample.value();
        line(&sample.name, sample, Some(bound), count, out);
        let more = samples.peek().is_some_and(|next| next.bound.is_some() && next.labels == sample.labels);
        if !more {
            line(&format!("{title}_count"), sample, None, count, out);
            count = 0.0;
        }
    }
}

fn line(name: &str, sample: &Sample, bound: Option<&str>, value: f64, out: &mut String) {
    out.push_str(name);
    let labels = sample.labels.iter().map(|(name, value)| (&**name, &**value));
    let mut open = '{';
    for (name, value) in labels.chain(bound.map(|bound| ("le", bound))) {
        out.push(open);
        open = ',';
        out.push_str(name);
        out.push_str("=\"");
        escape(value, true, out);
        out.push('"');
    }
    if open == ',' {
        out.push('}');
    }
    out.push(' ');
    number(value, out);
    out.push('\n');
}

fn number(value: f64, out: &mut String) {
    if value.is_finite() {
        let _ = write!(out, "{value:?}");
    } else if value.is_nan() {
        out.push_str("NaN");
    } else {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    }
}
