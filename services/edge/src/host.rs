//! The host a request is for: read once, strictly, and compared with what the connection was opened for.

use http::{HeaderMap, Uri, header};

/// A valid host, lower case, without port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host<'a> {
    pub name: std::borrow::Cow<'a, str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// None given, and the version requires one.
    Missing,
    /// More than one, not a host, a port that is none.
    Malformed,
    /// `:authority` or an absolute target says another one than `Host` (RFC 9113, section 8.3.1).
    Disagrees,
}

/// The target's own authority wins over the field (RFC 9112, section 3.2.2) but must not disagree in HTTP/2.
pub fn of<'a>(uri: &'a Uri, headers: &'a HeaderMap, strict: bool) -> Result<Host<'a>, Wrong> {
    let mut fields = headers.iter().filter(|(name, _)| **name == header::HOST).map(|(_, value)| value);
    let field = fields.next();
    if fields.next().is_some() {
        return Err(Wrong::Malformed);
    }
    let field = field.map(|value| value.to_str().map_err(|_| Wrong::Malformed)).transpose()?;
    let text = match (uri.authority(), field) {
        (Some(authority), Some(field)) if strict && !authority.as_str().eq_ignore_ascii_case(field) => {
            return Err(Wrong::Disagrees);
        }
        (Some(authority), _) => authority.as_str(),
        (None, Some(field)) => field,
        (None, None) => return Err(Wrong::Missing),
    };
    Ok(Host { name: parse(text).ok_or(Wrong::Malformed)? })
}

/// `name[:port]`, `1.2.3.4[:port]`, `[v6][:port]`.
pub fn parse(text: &str) -> Option<std::borrow::Cow<'_, str>> {
    let (name, port) = if text.starts_with('[') {
        let end = text.find(']')?;
        let (name, rest) = text.split_at_checked(end + 1)?;
        name.get(1..end)?.parse::<std::net::Ipv6Addr>().ok()?;
        (name, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
    } else {
        match memchr::memchr(b':', text.as_bytes()).and_then(|at| text.split_at_checked(at)) {
            Some((name, port)) => (name, port.strip_prefix(':')),
            None => (text, None),
        }
    };
    if let Some(port) = port
        && !port.is_empty()
        // A number may begin with a plus, a port not.
        && (port.starts_with('+') || !port.parse::<u16>().is_ok_and(|port| port != 0))
    {
        return None;
    }
    // A trailing dot names the same host.
    let name = name.strip_suffix('.').unwrap_or(name);
    let bytes = name.as_bytes();
    let fine = |byte: u8| byte.is_ascii_alphanumeric() | matches!(byte, b'-' | b'.' | b'_');
    let empty_label = || name.starts_with('.') || bytes.windows(2).any(|pair| pair == b"..");
    // All bytes are looked at: stopping at the first odd one, the compiler could not take many at a time.
    let all_fine = || bytes.iter().fold(true, |good, byte| good & fine(*byte));
    if name.is_empty() || name.len() > 253 || (!name.starts_with('[') && (!all_fine() || empty_label())) {
        return None;
    }
    Some(if bytes.iter().fold(false, |found, byte| found | byte.is_ascii_uppercase()) {
        name.to_ascii_lowercase().into()
    } else {
        name.into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (text, name) in [
            ("shop.example", Some("shop.example")),
            ("Shop.Example:8443", Some("shop.example")),
            ("shop.example.", Some("shop.example")),
            ("a_b:80", Some("a_b")),
            ("[::1]:8443", Some("[::1]")),
            ("127.0.0.1", Some("127.0.0.1")),
            ("shop.example:", Some("shop.example")),
            ("", None),
            ("shop.example:0", None),
            ("shop.example:65536", None),
            ("shop.example:+80", None),
            ("shop.example:80:80", None),
            ("[::1", None),
            ("[::1]x", None),
            ("[nonsense]", None),
            ("a b", None),
            ("user@host", None),
            ("a/b", None),
            ("a..b", None),
        ] {
            assert_eq!(parse(text).as_deref(), name, "{text}");
        }
    }

    #[test]
    fn target_against_field() {
        let uri: Uri = "http://a.example/".parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "b.example".parse().unwrap());
        assert_eq!(of(&uri, &headers, true), Err(Wrong::Disagrees));
        assert_eq!(of(&uri, &headers, false).unwrap().name, "a.example");
        headers.append(header::HOST, "b.example".parse().unwrap());
        assert_eq!(of(&"/".parse().unwrap(), &headers, false), Err(Wrong::Malformed));
        assert_eq!(of(&"/".parse().unwrap(), &HeaderMap::new(), false), Err(Wrong::Missing));
    }
}
