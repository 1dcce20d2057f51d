//! Numbers, times and texts as people read them.

/// For text and for attributes in double quotes.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// `512 B`, `3.4 MB`, `1.2 GB`; 1024-based, as the settings are.
pub fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["B", "KB", "MB", "GB"] {
        if value < 1000.0 {
            let whole = unit == "B" || value >= 100.0 || (value * 10.0).round() % 10.0 == 0.0;
            return if whole { format!("{value:.0} {unit}") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TB")
}

/// `850 µs`, `4.2 ms`, `1.3 s`
pub fn latency(seconds: f64) -> String {
    match seconds {
        s if s < 0.001 => format!("{:.0} µs", s * 1e6),
        s if s < 0.0995 => format!("{:.1} ms", s * 1e3),
        s if s < 0.9995 => format!("{:.0} ms", s * 1e3),
        s => format!("{s:.1} s"),
    }
}

/// `12 s`, `5 min`, `3 h`, `2 d`
pub fn span(seconds: f64) -> String {
    match seconds.max(0.0) {
        s if s < 60.0 => format!("{s:.0} s"),
        s if s < 3_600.0 => format!("{:.0} min", (s / 60.0).floor()),
        s if s < 86_400.0 => format!("{:.0} h {:.0} min", (s / 3_600.0).floor(), (s % 3_600.0 / 60.0).floor()),
        s => format!("{:.0} d {:.0} h", (s / 86_400.0).floor(), (s % 86_400.0 / 3_600.0).floor()),
    }
}

/// `0.4`, `12`, `1 250`
pub fn rate(value: f64) -> String {
    match value {
        v if v < 0.05 => "0".into(),
        v if v < 10.0 => format!("{v:.1}"),
        v if v < 1_000.0 => format!("{v:.0}"),
        v => format!("{:.0} {:03.0}", (v / 1_000.0).floor(), (v % 1_000.0).floor()),
    }
}

pub fn percent(ratio: f64) -> String {
    match ratio * 100.0 {
        p if p <= 0.0 => "0 %".into(),
        p if p < 0.1 => "< 0.1 %".into(),
        p if p < 10.0 => format!("{p:.1} %"),
        p => format!("{p:.0} %"),
    }
}

/// `12:03:44 UTC`
pub fn clock(at: f64) -> String {
    let second = at.max(0.0) as u64 % 86_400;
    format!("{:02}:{:02}:{:02} UTC", second / 3_600, second / 60 % 60, second % 60)
}

/// A bar that is filled to a ratio; the text beside it says the same.
pub fn bar(ratio: f64) -> String {
    let ratio = if ratio.is_finite() { ratio.clamp(0.0, 1.0) } else { 0.0 };
    let class = match ratio {
        r if r >= 0.95 => "bad",
        r if r >= 0.8 => "high",
        _ => "",
    };
    format!(
        "<svg class=\"bar {class}\" viewBox=\"0 0 100 4\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <rect class=\"track\" width=\"100\" height=\"4\"/><rect class=\"fill\" width=\"{:.1}\" height=\"4\"/></svg>",
        ratio * 100.0
    )
}

/// A line over the last minutes, from zero to its own maximum.
pub fn spark(values: &[f64], most: usize) -> String {
    if values.len() < 2 {
        return "<svg class=\"spark\" viewBox=\"0 0 100 24\" aria-hidden=\"true\"></svg>".into();
    }
    let top = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let step = 100.0 / (most.max(2) - 1) as f64;
    let first = 100.0 - step * (values.len() - 1) as f64;
    let points: Vec<String> = values
        .iter()
        .enumerate()
        .map(|(index, value)| {
            format!("{:.2},{:.2}", first + step * index as f64, 22.5 - 20.0 * (value / top).clamp(0.0, 1.0))
        })
        .collect();
    let line = points.join(" ");
    format!(
        "<svg class=\"spark\" viewBox=\"0 0 100 24\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <polygon points=\"{first:.2},24 {line} 100,24\"/><polyline points=\"{line}\"/></svg>"
    )
}
