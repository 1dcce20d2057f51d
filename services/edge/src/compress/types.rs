//! The media types that are compressed.

/// A list of `text/html`, `text/*` and `*`.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Types {
    all: bool,
    /// With the slash: `text/`.
    families: Vec<String>,
    exact: Vec<String>,
}

impl Types {
    pub fn none() -> Self {
        Self::default()
    }

    /// False where it is none.
    pub fn add(&mut self, text: &str) -> bool {
        let text = text.to_ascii_lowercase();
        if text == "*" || text == "*/*" {
            self.all = true;
            return true;
        }
        let Some((family, rest)) = text.split_once('/') else { return false };
        let word = |word: &str| {
            let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
            !word.is_empty() && word.bytes().all(token)
        };
        if !word(family) || (rest != "*" && !word(rest)) {
            return false;
        }
        if rest == "*" {
            self.families.push(format!("{family}/"));
        } else {
            self.exact.push(text);
        }
        true
    }

    /// By the value of Content-Type, parameters or not.
    pub fn has(&self, content_type: &[u8]) -> bool {
        let end = memchr::memchr(b';', content_type).unwrap_or(content_type.len());
        let essence = content_type.get(..end).unwrap_or_default().trim_ascii();
        if self.exact.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(essence)) {
            return true;
        }
        let begins =
            |start: &str| essence.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start.as_bytes()));
        // gRPC frames its messages itself, and compresses them.
        !begins("application/grpc") && (self.all || self.families.iter().any(|family| begins(family)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_families_and_all() {
        let types = |list: &[&str]| {
            let mut types = Types::none();
            list.iter().for_each(|text| assert!(types.add(text), "{text}"));
            types
        };
        let some = types(&["text/html", "image/svg+xml", "font/*"]);
        for (text, has) in [
            ("text/html", true),
            ("Text/HTML ; charset=utf-8", true),
            ("image/svg+xml;", true),
            ("font/otf", true),
            ("text/htm", false),
            ("text/html5", false),
            ("image/png", false),
            ("fonts/x", false),
            ("", false),
            (";text/html", false),
        ] {
            assert_eq!(some.has(text.as_bytes()), has, "{text}");
        }
        assert!(types(&["*"]).has(b"video/mp4") && !types(&["*"]).has(b"application/grpc+proto"));
        let family = types(&["application/*"]);
        assert!(
            family.has(b"application/json") && !family.has(b"application/grpc") && !family.has(b"application/grpc-web")
        );
        assert!(!Types::none().has(b"text/html"));
        for wrong in ["text", "/", "text/", "/html", "text/html; q=1", "te*/x", "text/h*", ""] {
            assert!(!Types::none().add(wrong), "{wrong}");
        }
    }
}
