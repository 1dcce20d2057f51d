//! Patterns of file names: `*.css`, `fonts/*`.

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    pattern: String,
    /// For the path within the folder, not for the last part of it alone.
    path: bool,
}

impl Glob {
    pub fn new(pattern: &str) -> Self {
        let path = pattern.contains('/');
        Self { pattern: pattern.trim_start_matches('/').to_owned(), path }
    }

    /// `name` is the path within the folder.
    pub fn fits(&self, name: &str) -> bool {
        let text = if self.path { name } else { name.rsplit('/').next().unwrap_or(name) };
        fits(self.pattern.as_bytes(), text.as_bytes())
    }
}

/// Never more than the product of both lengths: only the last star is tried again.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut of) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(&byte) = text.get(at) {
        match pattern.get(of) {
            Some(b'*') => {
                of += 1;
                star = Some((of, at));
            }
            Some(&wanted) if wanted == byte || wanted == b'?' => {
                at += 1;
                of += 1;
            }
            _ => {
                let Some((after, from)) = star else { return false };
                star = Some((after, from + 1));
                (of, at) = (after, from + 1);
            }
        }
    }
    pattern.get(of..).unwrap_or_default().iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths() {
        for (pattern, name, expected) in [
            ("*.css", "a/b.css", true),
            ("*.css", "a.css/b", false),
            ("*", "x", true),
            ("?.js", "a.js", true),
            ("?.js", "ab.js", false),
            ("*a*b", "xaxbxb", true),
            ("*a*b", "xaxbxbx", false),
            ("*ab", "xxab", true),
            ("fonts/*", "fonts/x/y.woff", true),
            ("/fonts/*", "fonts/x", true),
            ("fonts/*", "other/fonts/x", false),
            ("", "", true),
        ] {
            assert_eq!(Glob::new(pattern).fits(name), expected, "{pattern} {name}");
        }
    }
}
