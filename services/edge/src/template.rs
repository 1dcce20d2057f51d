//! Texts with places to fill in: `https://$host$request_uri`, `/new/$1`. The variables are nginx's.

mod groups;

use crate::escape;
use regex::Captures;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable(Variable),
    /// Of the route's pattern: `$1`.
    Group(usize),
    /// `$name`
    Named(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variable {
    Host,
    Scheme,
    Uri,
    RequestUri,
    Args,
    IsArgs,
}

/// What the variables stand for in one request.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// Lower case, without port.
    pub host: &'a str,
    pub scheme: &'a str,
    /// The normalised path, decoded.
    pub path: &'a str,
    /// Path and query as the client wrote them.
    pub target: &'a str,
    pub query: Option<&'a str>,
    pub captures: Option<&'a Captures<'a>>,
}

impl Template {
    /// `groups` are those of the route's pattern, by number and name; `Err` is a sentence.
    pub fn parse(text: &str, pattern: Option<&regex::Regex>) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            let (before, after) = rest.split_at(at);
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            let after = after.strip_prefix('$').unwrap_or_default();
            let braced = after.strip_prefix('{');
            let name = braced.unwrap_or(after);
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            // `$1x` is the first group and an x; `$host_name` is one name.
            let digits = name.len() - name.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let length = if digits > 0 { digits } else { name.find(|c| !word(c)).unwrap_or(name.len()) };
            let (name, mut left) = name.split_at(length);
            if braced.is_some() {
                left = left.strip_prefix('}').ok_or_else(|| format!("${{{name} has no closing brace"))?;
            }
            pieces.push(Piece::named(name, pattern)?);
            rest = left;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    /// What came from a path that was decoded is encoded again; a value that is a target already stays as it is.
    pub fn fill(&self, scope: &Scope<'_>) -> String {
        let mut out = String::with_capacity(128);
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Group(number) => escape::path(scope.capture(|captures| captures.get(*number)), &mut out),
                Piece::Named(name) => escape::path(scope.capture(|captures| captures.name(name)), &mut out),
                Piece::Variable(Variable::Host) => out.push_str(scope.host),
                Piece::Variable(Variable::Scheme) => out.push_str(scope.scheme),
                Piece::Variable(Variable::Uri) => escape::path(scope.path, &mut out),
                Piece::Variable(Variable::RequestUri) => out.push_str(scope.target),
                Piece::Variable(Variable::Args) => out.push_str(scope.query.unwrap_or_default()),
                Piece::Variable(Variable::IsArgs) if scope.query.is_some_and(|query| !query.is_empty()) => {
                    out.push('?');
                }
                Piece::Variable(Variable::IsArgs) => {}
            }
        }
        out
    }
}

impl Template {
    /// What comes of it in some request, for a look at what it is made of; groups are empty.
    pub fn sample(&self) -> String {
        let (host, scheme, path, target) = ("a.example", "https", "/", "/?a=b");
        self.fill(&Scope { host, scheme, path, target, query: Some("a=b"), captures: None })
    }

    pub fn begins_with_group(&self) -> bool {
        matches!(self.0.first(), Some(Piece::Group(_) | Piece::Named(_)))
    }

    /// Whether it does so in every request.
    pub fn begins_with_slash(&self, pattern: Option<&regex::Regex>) -> bool {
        match self.0.first() {
            Some(Piece::Group(number)) => groups::begin_with_slash(pattern, |group| group.index as usize == *number),
            Some(Piece::Named(name)) => groups::begin_with_slash(pattern, |group| group.name.as_deref() == Some(name)),
            _ => self.sample().starts_with('/'),
        }
    }
}

impl Template {
    /// Whether it leads to the request's own host, which one of HTTP/1.0 need not name.
    pub fn leads_to_host(&self, scope: &Scope<'_>) -> bool {
        let led = |host| authority(&self.fill(&Scope { host, ..*scope })).to_owned();
        led("") != led("a")
    }

    /// The same with nothing encoded: a file's name.
    pub fn plain(&self, scope: &Scope<'_>) -> String {
        let mut out = String::with_capacity(128);
        for piece in &self.0 {
            out.push_str(match piece {
                Piece::Text(text) => text,
                Piece::Group(number) => scope.capture(|captures| captures.get(*number)),
                Piece::Named(name) => scope.capture(|captures| captures.name(name)),
                Piece::Variable(Variable::Host) => scope.host,
                Piece::Variable(Variable::Scheme) => scope.scheme,
                Piece::Variable(Variable::Uri) => scope.path,
                Piece::Variable(Variable::RequestUri) => scope.target,
                Piece::Variable(Variable::Args) => scope.query.unwrap_or_default(),
                Piece::Variable(Variable::IsArgs) => "",
            });
        }
        out
    }
}

/// Of an address that has one.
fn authority(address: &str) -> &str {
    let (scheme, rest) = address.split_once("//").unwrap_or(("/", ""));
    if scheme.contains('/') { "" } else { rest.split(['/', '?', '#']).next().unwrap_or_default() }
}

impl<'a> Scope<'a> {
    fn capture(&self, find: impl FnOnce(&'a Captures<'a>) -> Option<regex::Match<'a>>) -> &'a str {
        self.captures.and_then(find).map_or("", |found| found.as_str())
    }
}

impl Piece {
    fn named(name: &str, pattern: Option<&regex::Regex>) -> Result<Self, String> {
        let variable = match name {
            "host" => Variable::Host,
            "scheme" => Variable::Scheme,
            "uri" => Variable::Uri,
            "request_uri" => Variable::RequestUri,
            "args" | "query_string" => Variable::Args,
            "is_args" => Variable::IsArgs,
            "" => return Err("a $ stands before nothing; variables are $host, $scheme, $uri, $request_uri, $args, $is_args, and $1 or $name of the pattern".into()),
            name => {
                let groups = pattern.map_or(0, regex::Regex::captures_len);
                if let Ok(number) = name.parse::<usize>() {
                    return if (1..groups).contains(&number) {
                        Ok(Self::Group(number))
                    } else {
                        Err(format!("${number} is no group of the route's pattern, which has {}", groups.saturating_sub(1)))
                    };
                }
                let known = pattern.is_some_and(|pattern| pattern.capture_names().flatten().any(|known| known == name));
                return if known {
                    Ok(Self::Named(name.to_owned()))
                } else {
                    Err(format!("${name} is no variable and no group of the route's pattern; variables are $host, $scheme, $uri, $request_uri, $args, $is_args"))
                };
            }
        };
        Ok(Self::Variable(variable))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regex::Regex;

    #[test]
    fn variables_and_groups() {
        let pattern = Regex::new("^/old/(?<rest>.*)$").unwrap();
        let captures = pattern.captures("/old/a b?").unwrap();
        let scope = Scope {
            host: "shop.example",
            scheme: "https",
            path: "/old/a b?",
            target: "/old/a%20b%3f?x=1",
            query: Some("x=1"),
            captures: Some(&captures),
        };
        for (text, filled) in [
            ("https://$host$request_uri", "https://shop.example/old/a%20b%3f?x=1"),
            ("/new/$1$is_args$args", "/new/a%20b%3F?x=1"),
            ("/new/${rest}x", "/new/a%20b%3Fx"),
            ("$scheme://${host}:8443$uri", "https://shop.example:8443/old/a%20b%3F"),
            ("/plain", "/plain"),
        ] {
            assert_eq!(Template::parse(text, Some(&pattern)).unwrap().fill(&scope), filled, "{text}");
        }
    }

    #[test]
    fn what_is_no_variable() {
        let pattern = Regex::new("(a)").unwrap();
        for text in ["$2", "$nothing", "a $", "${host"] {
            assert!(Template::parse(text, Some(&pattern)).is_err(), "{text}");
        }
        assert!(Template::parse("$1", None).is_err());
    }
}
