//! What the client can read.

use http::{HeaderMap, header};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    Html,
    Json,
    /// JSON for who names RFC 9457's type.
    Problem,
    Text,
}

impl Format {
    /// What the client prefers; among equals in the order of the variants. Who takes anything (curl, scripts) gets text:
    /// browsers always name HTML.
    pub fn wanted(headers: &HeaderMap) -> Self {
        let mut best = (0, Self::Text);
        let fields = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        for entry in fields.flat_map(|field| field.split(',')) {
            let mut parts = entry.split(';').map(str::trim);
            let format = match parts.next().unwrap_or_default() {
                "text/html" | "application/xhtml+xml" => Self::Html,
                "application/problem+json" => Self::Problem,
                "text/plain" => Self::Text,
                media if media == "application/json" || media.ends_with("+json") => Self::Json,
                _ => continue,
            };
            // In thousandths; what is no number counts as none.
            let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(1000, thousandths);
            if weight > best.0 || (weight == best.0 && weight > 0 && (format as u8) < best.1 as u8) {
                best = (weight, format);
            }
        }
        best.1
    }

    pub fn media(self) -> &'static str {
        match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Json => "application/json",
            Self::Problem => "application/problem+json",
            Self::Text => "text/plain; charset=utf-8",
        }
    }

    /// Of a file that may stand for it.
    pub fn kind(self) -> Self {
        if self == Self::Problem { Self::Json } else { self }
    }

    /// By a file's name.
    pub fn of_file(path: &std::path::Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "html" | "htm" => Some(Self::Html),
            "json" => Some(Self::Json),
            "txt" => Some(Self::Text),
            _ => None,
        }
    }
}

fn thousandths(text: &str) -> u32 {
    let quality = text.parse::<f32>().ok().filter(|quality| (0.0..=1.0).contains(quality)).unwrap_or(0.0);
    (quality * 1000.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn preferences() {
        for (accept, format) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Format::Html),
            ("*/*", Format::Text),
            ("image/avif,image/webp,*/*;q=0.8", Format::Text),
            ("application/json", Format::Json),
            ("application/json, text/plain, */*", Format::Json),
            ("application/vnd.api+json", Format::Json),
            ("application/problem+json, application/json", Format::Json),
            ("application/problem+json", Format::Problem),
            ("text/html;q=0.1, application/json", Format::Json),
            ("text/html;q=0, text/plain;q=0.5", Format::Text),
            ("text/html;level=1;q=0.9, text/plain;q=0.5", Format::Html),
            ("text/html;q=nonsense", Format::Text),
            (";;;,,q=1", Format::Text),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(Format::wanted(&headers), format, "{accept}");
        }
        assert_eq!(Format::wanted(&HeaderMap::new()), Format::Text);
    }

    #[test]
    fn any_bytes() {
        let words = [
            "text/html",
            "application/json",
            "+json",
            "*/*",
            "text/plain",
            ";",
            ",",
            "q=",
            " ",
            "0.5",
            "1e9",
            "-1",
            "NaN",
            "\u{e9}",
        ];
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..20_000 {
            let text: String = (0..random.usize(..12)).map(|_| random.choice(words).unwrap()).collect();
            let mut headers = HeaderMap::new();
            headers.append(header::ACCEPT, HeaderValue::from_bytes(text.as_bytes()).unwrap());
            let plain = !["html", "json"].iter().any(|word| text.contains(word));
            assert!(!plain || Format::wanted(&headers) == Format::Text, "{text}");
        }
    }
}
