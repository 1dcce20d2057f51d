//! Prometheus' text format 0.0.4: families with their HELP and TYPE once, label values escaped.

use std::fmt::Write;

/// A sample's value.
pub trait Number {
    fn write(&self, out: &mut String);
}

macro_rules! whole {
    ($($kind:ty),*) => {$(
        impl Number for $kind {
            fn write(&self, out: &mut String) {
                let _ = write!(out, "{self}");
            }
        }
    )*};
}
whole!(u8, u16, u32, u64, usize, i32, i64);

impl Number for f64 {
    fn write(&self, out: &mut String) {
        let _ = match *self {
            f64::INFINITY => out.write_str("+Inf"),
            f64::NEG_INFINITY => out.write_str("-Inf"),
            value => write!(out, "{value}"),
        };
    }
}

impl Number for bool {
    fn write(&self, out: &mut String) {
        out.push(if *self { '1' } else { '0' });
    }
}

/// One family. Its HELP and TYPE are written with the first sample, so one without samples leaves no trace.
pub struct Family<'a> {
    out: &'a mut String,
    name: &'a str,
    help: &'a str,
    kind: &'static str,
    begun: bool,
}

impl<'a> Family<'a> {
    pub fn counter(out: &'a mut String, name: &'a str, help: &'a str) -> Family<'a> {
        Family { out, name, help, kind: "counter", begun: false }
    }

    pub fn gauge(out: &'a mut String, name: &'a str, help: &'a str) -> Family<'a> {
        Family { out, name, help, kind: "gauge", begun: false }
    }

    pub fn histogram(out: &'a mut String, name: &'a str, help: &'a str) -> Family<'a> {
        Family { out, name, help, kind: "histogram", begun: false }
    }

    #[allow(clippy::needless_pass_by_value)] // numbers: nobody wants to write & before each
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Number) -> &mut Self {
        self.line("", labels, None, &value);
        self
    }

    /// A state-set: 1 for the state that holds, 0 for the others.
    pub fn states(&mut self, labels: &[(&str, &str)], states: &[&str], now: &str) -> &mut Self {
        for state in states {
            self.line("", labels, Some(("state", state)), &(*state == now));
        }
        self
    }

    /// A histogram's lines. `counts` are per bucket, not cumulative; the last, beyond the bounds, is `+Inf`'s.
    pub fn buckets(&mut self, labels: &[(&str, &str)], bounds: &[f64], counts: &[u64], sum: f64) -> &mut Self {
        let mut total = 0;
        let mut bounds = bounds.iter();
        for count in counts {
            total += count;
            match bounds.next() {
                Some(bound) => self.line("_bucket", labels, Some(("le", &bound.to_string())), &total),
                None => break,
            }
        }
        self.line("_bucket", labels, Some(("le", "+Inf")), &total);
        self.line("_sum", labels, None, &sum);
        self.line("_count", labels, None, &total);
        self
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], last: Option<(&str, &str)>, value: &dyn Number) {
        if !self.begun {
            self.begun = true;
            self.out.push_str("# HELP ");
            self.out.push_str(self.name);
            self.out.push(' ');
            escape(self.help, false, self.out);
            let _ = write!(self.out, "\n# TYPE {} {}\n", self.name, self.kind);
        }
        self.out.push_str(self.name);
        self.out.push_str(suffix);
        let mut open = false;
        for (name, value) in labels.iter().copied().chain(last) {
            self.out.push(if open { ',' } else { '{' });
            open = true;
            self.out.push_str(name);
            self.out.push_str("=\"");
            escape(value, true, self.out);
            self.out.push('"');
        }
        if open {
            self.out.push('}');
        }
        self.out.push(' ');
        value.write(self.out);
        self.out.push('\n');
    }
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
