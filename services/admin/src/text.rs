//! A metrics page from figures that live elsewhere (shards of cells, a scoreboard, snapshots): families for the `prometheus` crate's encoder of
//! the text format 0.0.4, which owns HELP, TYPE and escaping.

use prometheus::TextEncoder;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

/// A sample's value.
pub trait Number {
    fn float(&self) -> f64;
}

macro_rules! whole {
    ($($kind:ty),*) => {$(
        impl Number for $kind {
            #[allow(clippy::cast_lossless, clippy::cast_precision_loss)] // exact up to 2^53, which is all that Prometheus holds
            fn float(&self) -> f64 {
                *self as f64
            }
        }
    )*};
}
whole!(u8, u16, u32, u64, usize, i32, i64, f64);

impl Number for bool {
    fn float(&self) -> f64 {
        f64::from(u8::from(*self))
    }
}

/// One family. Its HELP and TYPE are written with the first sample, so one without samples leaves no trace.
pub struct Family<'a> {
    out: &'a mut String,
    family: MetricFamily,
    kind: MetricType,
    begun: bool,
}

impl<'a> Family<'a> {
    pub fn counter(out: &'a mut String, name: &str, help: &str) -> Family<'a> {
        Self::new(out, name, help, MetricType::COUNTER)
    }

    pub fn gauge(out: &'a mut String, name: &str, help: &str) -> Family<'a> {
        Self::new(out, name, help, MetricType::GAUGE)
    }

    pub fn histogram(out: &'a mut String, name: &str, help: &str) -> Family<'a> {
        Self::new(out, name, help, MetricType::HISTOGRAM)
    }

    fn new(out: &'a mut String, name: &str, help: &str, kind: MetricType) -> Family<'a> {
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        Family { out, family, kind, begun: false }
    }

    #[allow(clippy::needless_pass_by_value)] // numbers: nobody wants to write & before each
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Number) -> &mut Self {
        self.simple(labels, None, value.float());
        self
    }

    /// A state-set: 1 for the state that holds, 0 for the others.
    pub fn states(&mut self, labels: &[(&str, &str)], states: &[&str], now: &str) -> &mut Self {
        for state in states {
            self.simple(labels, Some(("state", state)), (*state == now).float());
        }
        self
    }

    /// A histogram's lines. `counts` are per bucket, not cumulative; the last, beyond the bounds, is `+Inf`'s.
    pub fn buckets(&mut self, labels: &[(&str, &str)], bounds: &[f64], counts: &[u64], sum: f64) -> &mut Self {
        let mut total = 0;
        let mut buckets = Vec::with_capacity(bounds.len());
        let mut bounds = bounds.iter();
        for count in counts {
            total += count;
            let Some(bound) = bounds.next() else { break };
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(total);
            buckets.push(bucket);
        }
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(total);
        histogram.set_sample_sum(sum);
        let mut metric = Metric::from_label(pairs(labels, None));
        metric.set_histogram(histogram);
        self.write(metric);
        self
    }

    fn simple(&mut self, labels: &[(&str, &str)], last: Option<(&str, &str)>, value: f64) {
        let mut metric = Metric::from_label(pairs(labels, last));
        if self.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.write(metric);
    }

    /// The encoder takes whole families and our samples come one by one: what it writes ahead of the second and later ones is taken off again.
    fn write(&mut self, metric: Metric) {
        self.family.set_metric(vec![metric]);
        let start = self.out.len();
        if let Err(error) = TextEncoder::new().encode_utf8(std::slice::from_ref(&self.family), self.out) {
            tracing::error!(%error, family = self.family.name(), "a metrics family cannot be written");
        }
        if self.begun {
            let written = self.out.get(start..).unwrap_or_default();
            let head: usize = written.lines().take_while(|line| line.starts_with('#')).map(|line| line.len() + 1).sum();
            self.out.drain(start..start + head);
        } else {
            self.begun = true;
            self.family.set_help(String::new());
        }
    }
}

fn pairs(labels: &[(&str, &str)], last: Option<(&str, &str)>) -> Vec<LabelPair> {
    let pair = |(name, value): (&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    };
    labels.iter().copied().chain(last).map(pair).collect()
}

/// Backslash and newline are escaped everywhere, the quote in label values.
pub fn escape(text: &str, label: bool, out: &mut String) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if label => out.push_str("\\\""),
            c => out.push(c),
        }
    }
}
