//! Headers that the configuration adds, sets and removes, in requests and in answers.

use crate::template::{Scope, Template};
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};
use std::sync::Arc;

/// In the order in which they are done.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Changes(Arc<[Change]>);

#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    name: HeaderName,
    what: What,
}

#[derive(Clone, Debug, PartialEq)]
enum What {
    Remove,
    Set(Value),
    Add(Value),
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Fixed(HeaderValue),
    Filled(Template),
}

/// The settings' ends: `request_headers_set`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Remove,
    Set,
    Add,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Request,
    Response,
}

impl Change {
    /// `Name: value`, or a name alone to remove. `Err` is a sentence.
    pub fn parse(text: &str, verb: Verb, direction: Direction) -> Result<Self, String> {
        let (name, value) = match verb {
            Verb::Remove => (text, ""),
            _ => text.split_once(':').ok_or_else(|| format!("expected Name: value, got {text:?}"))?,
        };
        let name = HeaderName::from_bytes(name.trim().as_bytes())
            .map_err(|_| format!("{:?} is no header's name", name.trim()))?;
        refuse(&name, verb, direction)?;
        let value = value.trim();
        let what = match verb {
            Verb::Remove => What::Remove,
            Verb::Set => What::Set(Value::parse(value)?),
            Verb::Add => What::Add(Value::parse(value)?),
        };
        Ok(Self { name, what })
    }
}

impl Value {
    fn parse(text: &str) -> Result<Self, String> {
        // The texts between variables must be a header's, too; what fills them is looked at each time.
        let fixed = HeaderValue::from_str(text).map_err(|_| format!("{text:?} is no header's value"))?;
        if text.contains('$') { Template::parse(text, None).map(Self::Filled) } else { Ok(Self::Fixed(fixed)) }
    }

    /// `None` where it has come to nothing, or to what no header may hold.
    fn filled(&self, fill: &impl Fn(&Template) -> String) -> Option<HeaderValue> {
        match self {
            Self::Fixed(value) => Some(value.clone()),
            Self::Filled(template) => HeaderValue::try_from(fill(template)).ok(),
        }
        .filter(|value| !value.is_empty())
    }
}

/// What the edge alone may say.
fn refuse(name: &HeaderName, verb: Verb, direction: Direction) -> Result<(), String> {
    let connection = matches!(
        *name,
        header::CONNECTION
            | header::TRANSFER_ENCODING
            | header::CONTENT_LENGTH
            | header::TE
            | header::TRAILER
            | header::UPGRADE
            | header::EXPECT
    ) || matches!(name.as_str(), "keep-alive" | "proxy-connection" | "http2-settings");
    if connection {
        return Err(format!("{name} is about the connection or the message's length; only the edge itself says it"));
    }
    if name.as_str().starts_with("x-monodon-") || name.as_str().starts_with("x-accel-") {
        return Err(format!("{name} is between the edge and the application"));
    }
    if *name == header::DATE && direction == Direction::Response && verb == Verb::Remove {
        return Err("Date stands in every answer (RFC 9110, section 6.6.1)".into());
    }
    if *name == header::HOST && direction == Direction::Request && verb != Verb::Set {
        return Err("Host can be set, neither added nor removed: a request has one".into());
    }
    Ok(())
}

impl Changes {
    pub fn new(changes: Vec<Change>) -> Self {
        Self(changes.into())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As in nginx, setting to nothing is removing.
    pub fn apply(&self, headers: &mut HeaderMap, fill: impl Fn(&Template) -> String) {
        for Change { name, what } in self.0.iter() {
            match what {
                What::Remove => drop(headers.remove(name)),
                What::Set(value) => match value.filled(&fill) {
                    Some(value) => drop(headers.insert(name, value)),
                    None => drop(headers.remove(name)),
                },
                What::Add(value) => {
                    if let Some(value) = value.filled(&fill) {
                        headers.append(name, value);
                    }
                }
            }
        }
    }

    /// The same, with a scope that is there.
    pub fn apply_in(&self, headers: &mut HeaderMap, scope: &Scope<'_>) {
        self.apply(headers, |template| template.fill(scope));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(list: &[(Verb, &str)]) -> Changes {
        Changes::new(list.iter().map(|(verb, text)| Change::parse(text, *verb, Direction::Response).unwrap()).collect())
    }

    fn apply(list: &[(Verb, &str)]) -> Vec<(String, String)> {
        let mut headers = HeaderMap::new();
        headers.insert("server", HeaderValue::from_static("app"));
        headers.append("set-cookie", HeaderValue::from_static("a=1"));
        headers.append("set-cookie", HeaderValue::from_static("b=2"));
        let scope = Scope {
            host: "shop.example",
            scheme: "https",
            path: "/a b",
            target: "/a%20b?q",
            query: Some("q"),
            captures: None,
        };
        changes(list).apply_in(&mut headers, &scope);
        let mut all: Vec<_> =
            headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        all.sort();
        all
    }

    #[test]
    fn in_their_order() {
        let all = apply(&[
            (Verb::Remove, "Set-Cookie"),
            (Verb::Add, "Set-Cookie: c=3, d=4"),
            (Verb::Set, "Server:edge"),
            (Verb::Set, "X-Where: $scheme://$host$uri"),
            (Verb::Add, "X-Where: $request_uri"),
            (Verb::Set, "X-Args: ${args}"),
            (Verb::Set, "X-Empty:"),
        ]);
        let expected = [
            ("server", "edge"),
            ("set-cookie", "c=3, d=4"),
            ("x-args", "q"),
            ("x-where", "/a%20b?q"),
            ("x-where", "https://shop.example/a%20b"),
        ];
        assert_eq!(all, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(apply(&[(Verb::Set, "Server:"), (Verb::Remove, "set-cookie")]), []);
    }

    #[test]
    fn what_may_not_be_said() {
        use Direction::{Request, Response};
        for (text, verb, direction, words) in [
            ("X-Foo", Verb::Set, Response, "expected Name: value"),
            ("X Foo: 1", Verb::Set, Response, "no header's name"),
            (": 1", Verb::Set, Response, "no header's name"),
            ("X-Foo: a\r\nX-Bar: b", Verb::Set, Response, "no header's value"),
            ("X-Foo: a\nb $host", Verb::Add, Response, "no header's value"),
            ("X-Foo\r\nX-Bar: b", Verb::Add, Response, "no header's name"),
            ("X-Foo: $nothing", Verb::Set, Response, "is no variable"),
            ("X-Foo: $1", Verb::Set, Request, "is no group"),
            ("Content-Length: 1", Verb::Set, Response, "only the edge itself says it"),
            ("transfer-encoding: chunked", Verb::Add, Request, "only the edge itself says it"),
            ("Connection", Verb::Remove, Response, "only the edge itself says it"),
            ("Upgrade: h2c", Verb::Set, Request, "only the edge itself says it"),
            ("Keep-Alive: 5", Verb::Set, Response, "only the edge itself says it"),
            ("X-Accel-Redirect: /x", Verb::Set, Request, "between the edge and the application"),
            ("X-Monodon-Process: 1/1/1", Verb::Set, Response, "between the edge and the application"),
            ("Host", Verb::Remove, Request, "a request has one"),
            ("Host: a", Verb::Add, Request, "a request has one"),
        ] {
            let told = Change::parse(text, verb, direction).unwrap_err();
            assert!(told.contains(words), "{text:?}: {told}");
        }
        assert!(Change::parse("Host: inner.example", Verb::Set, Request).is_ok());
    }
}
