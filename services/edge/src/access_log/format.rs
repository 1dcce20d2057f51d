//! A line's format, compiled when the configuration is read.

use super::Record;
use super::clock::Clock;
use super::text;
use super::variable::{self, AUTHORIZATION, Plain, Variable};
use crate::protocol::weight;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::time::Instant;

/// nginx's.
const COMBINED: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \
                        \"$http_referer\" \"$http_user_agent\"";

#[derive(Clone, Debug, PartialEq)]
pub struct Format {
    pieces: Vec<Piece>,
    escape: Escape,
    /// Headers that have to be kept until the line is written.
    asked: Vec<HeaderName>,
    answered: Vec<HeaderName>,
    /// Whether the upstream's address is.
    pub upstream: bool,
    /// Whether the size of the request's head is.
    pub sizes: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(Vec<u8>),
    Value(Variable),
}

/// nginx's `escape`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    Default,
    Json,
}

impl Format {
    /// A format string, or a format's name; `Err` is a sentence.
    pub fn parse(text: &str, escape: Escape) -> Result<Self, String> {
        if text.bytes().any(|byte| byte.is_ascii_control()) {
            return Err("a line cannot have control characters in it".into());
        }
        let text = if text == "combined" { COMBINED } else { text };
        let mut format =
            Self { pieces: Vec::new(), escape, asked: Vec::new(), answered: Vec::new(), upstream: false, sizes: false };
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            format.text(before);
            let braced = after.strip_prefix('{');
            let name = braced.unwrap_or(after);
            let length = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
            let (name, mut left) = name.split_at(length);
            if braced.is_some() {
                left = left.strip_prefix('}').ok_or_else(|| format!("${{{name} has no closing brace"))?;
            }
            let variable = format.variable(name)?;
            format.pieces.push(Piece::Value(variable));
            rest = left;
        }
        format.text(rest);
        if !format.pieces.iter().any(|piece| matches!(piece, Piece::Value(_))) {
            return Err(format!("expected json, combined, or a format with variables such as $status, got {text:?}"));
        }
        format.text("\n");
        Ok(format)
    }

    fn text(&mut self, text: &str) {
        match self.pieces.last_mut() {
            _ if text.is_empty() => {}
            Some(Piece::Text(last)) => last.extend_from_slice(text.as_bytes()),
            _ => self.pieces.push(Piece::Text(text.into())),
        }
    }

    fn variable(&mut self, name: &str) -> Result<Variable, String> {
        if let Some(plain) = Plain::named(name) {
            self.upstream |= plain == Plain::UpstreamAddr;
            self.sizes |= plain == Plain::RequestLength;
            return Ok(Variable::Plain(plain));
        }
        if let "content_length" | "content_type" = name {
            let header = if name == "content_type" { header::CONTENT_TYPE } else { header::CONTENT_LENGTH };
            return Ok(Variable::Request(keep(&mut self.asked, header)));
        }
        let told = |wrong: String| format!("${name}: {wrong}");
        if name == "remote_user" {
            return Ok(Variable::RemoteUser(keep(&mut self.asked, AUTHORIZATION)));
        }
        if let Some(header) = name.strip_prefix("sent_http_") {
            return Ok(Variable::Answer(keep(&mut self.answered, variable::header_name(header).map_err(told)?)));
        }
        if let Some(header) = name.strip_prefix("http_") {
            return Ok(Variable::Request(keep(&mut self.asked, variable::header_name(header).map_err(told)?)));
        }
        if let Some(cookie) = name.strip_prefix("cookie_").filter(|cookie| !cookie.is_empty()) {
            return Ok(Variable::Cookie(keep(&mut self.asked, header::COOKIE), cookie.to_owned()));
        }
        if let Some(argument) = name.strip_prefix("arg_").filter(|argument| !argument.is_empty()) {
            return Ok(Variable::Argument(argument.to_owned()));
        }
        Err(format!(
            "${name} is no variable; there are {}, remote_user, content_length, content_type, http_NAME, sent_http_NAME, cookie_NAME, arg_NAME",
            Plain::NAMES.join(", ")
        ))
    }

    /// What of a request's headers the line needs.
    pub fn of_request(&self, headers: &HeaderMap) -> Vec<Option<HeaderValue>> {
        self.asked.iter().map(|name| headers.get(name).cloned()).collect()
    }

    /// The same of an answer's.
    pub fn of_answer(&self, headers: &HeaderMap) -> Vec<Option<HeaderValue>> {
        self.answered.iter().map(|name| headers.get(name).cloned()).collect()
    }

    /// How large a request's head is, if the line says so.
    pub fn size_of_request(&self, parts: &Parts) -> u32 {
        if self.sizes { weight::short(weight::head(parts)) } else { 0 }
    }

    pub fn line(&self, out: &mut Vec<u8>, clock: &mut Clock, record: &Record, ended: Instant) {
        let escaped: fn(&mut Vec<u8>, Option<&[u8]>) = match self.escape {
            Escape::Default => |out, value| match value {
                Some(value) if !value.is_empty() => text::hex(out, value),
                // What is not there is a dash, as in nginx.
                _ => out.push(b'-'),
            },
            Escape::Json => |out, value| text::json(out, value.unwrap_or_default()),
        };
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Value(variable) => variable::write(variable, out, (clock, record, ended), escaped),
            }
        }
    }
}

/// Its place, where it is kept once.
fn keep(names: &mut Vec<HeaderName>, name: HeaderName) -> usize {
    names.iter().position(|known| *known == name).unwrap_or_else(|| {
        names.push(name);
        names.len() - 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces() {
        let format = Format::parse("a${status}b $http_x_y $cookie_sid $http_X_Y", Escape::Default).unwrap();
        assert_eq!(format.pieces.first(), Some(&Piece::Text(b"a".into())));
        assert_eq!(format.pieces.get(1), Some(&Piece::Value(Variable::Plain(Plain::Status))));
        assert_eq!(format.pieces.last(), Some(&Piece::Text(b"\n".into())));
        assert_eq!(format.asked, ["x-y", "cookie"], "each once");
    }

    #[test]
    fn what_is_no_format() {
        for (text, wrong) in [
            ("plain", "expected json, combined"),
            ("", "expected json, combined"),
            ("$nothing", "$nothing is no variable; there are remote_addr,"),
            ("$", "$ is no variable"),
            ("${status", "has no closing brace"),
            ("$http_authorization", "$http_authorization: authorization holds secrets"),
            ("$sent_http_set_cookie", "holds secrets"),
            ("$status\n", "control characters"),
            ("$http_", "is no header's name"),
            ("$cookie_", "is no variable"),
        ] {
            let told = Format::parse(text, Escape::Default).unwrap_err();
            assert!(told.contains(wrong), "{text:?}: {told}");
        }
    }
}
