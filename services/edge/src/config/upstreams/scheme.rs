//! What stands before a server's address: `https://node`, `grpc://node:50051`.

use super::Server;
use std::borrow::Cow;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
    /// HTTP/2 in the clear.
    Grpc,
    Grpcs,
}

impl Scheme {
    /// The scheme, and the address with its port.
    pub(super) fn split(text: &str) -> Result<(Option<Self>, Cow<'_, str>), String> {
        let Some((word, rest)) = text.split_once("://").filter(|(word, _)| *word != "unix") else {
            return Ok((None, text.into()));
        };
        let scheme = match word.to_ascii_lowercase().as_str() {
            "http" => Self::Http,
            "https" => Self::Https,
            "grpc" | "h2c" => Self::Grpc,
            "grpcs" => Self::Grpcs,
            _ => {
                return Err(format!(
                    "{word}:// is not spoken to servers; there are http://, https://, grpc:// (h2c://) and grpcs://"
                ));
            }
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if !path.is_empty() {
            return Err(format!(
                "{path:?} behind {authority:?}: a server has no path, as nginx's proxy_pass may; `strip_prefix` or `rewrite` of the \
                 route change what is asked"
            ));
        }
        if authority.contains('@') {
            return Err("a server has no name and password before its host; `request_headers_set` sends them".into());
        }
        // Behind the bracket of an IPv6 address.
        let end = authority.rfind(']').unwrap_or(0);
        let has_port = authority.get(end..).unwrap_or_default().contains(':');
        let port = if scheme.tls() { 443 } else { 80 };
        let address =
            if has_port || authority.is_empty() { authority.into() } else { format!("{authority}:{port}").into() };
        Ok((Some(scheme), address))
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Grpc => "grpc",
            Self::Grpcs => "grpcs",
        }
    }

    pub fn tls(self) -> bool {
        matches!(self, Self::Https | Self::Grpcs)
    }

    pub fn http2(self) -> bool {
        matches!(self, Self::Grpc | Self::Grpcs)
    }

    /// All servers of an upstream are spoken to in one way.
    pub(super) fn agreed(servers: &[Server]) -> Result<(), String> {
        let Some(first) = servers.first() else { return Ok(()) };
        let Some(other) = servers.iter().find(|server| server.scheme != first.scheme) else { return Ok(()) };
        let shown = |server: &Server| match server.scheme {
            Some(scheme) => format!("{}://{}", scheme.name(), server.address),
            None => server.address.to_string(),
        };
        Err(format!(
            "all servers of an upstream are spoken to in one way: {} and {} begin differently; make them two upstreams, or \
             write the same before all",
            shown(first),
            shown(other)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_says_the_port() {
        for (text, scheme, address) in [
            ("node:3000", None, "node:3000"),
            ("unix:/run/a.sock", None, "unix:/run/a.sock"),
            ("unix:///run/a.sock", None, "unix:/run/a.sock"),
            ("http://node", Some(Scheme::Http), "node:80"),
            ("http://node:3000", Some(Scheme::Http), "node:3000"),
            ("HTTPS://api.example", Some(Scheme::Https), "api.example:443"),
            ("https://api.example:8443 weight=2", Some(Scheme::Https), "api.example:8443"),
            ("https://[::1]", Some(Scheme::Https), "[::1]:443"),
            ("https://[2001:db8::1]:8443", Some(Scheme::Https), "[2001:db8::1]:8443"),
            ("https://10.0.0.1", Some(Scheme::Https), "10.0.0.1:443"),
            ("grpc://app:50051", Some(Scheme::Grpc), "app:50051"),
            ("h2c://app", Some(Scheme::Grpc), "app:80"),
            ("grpcs://app", Some(Scheme::Grpcs), "app:443"),
        ] {
            let server = Server::parse(text).unwrap();
            assert_eq!((server.scheme, server.address.to_string().as_str()), (scheme, address), "{text}");
        }
    }

    #[test]
    fn what_a_server_cannot_have_is_said() {
        for (text, part) in [
            ("http://node/", "\"/\" behind \"node\": a server has no path"),
            ("https://node:1/api", "`strip_prefix` or `rewrite`"),
            ("https://node?a", "a server has no path"),
            ("ftp://node", "ftp:// is not spoken"),
            ("https://", "expected an address"),
            ("https://:443", "expected a host and a port"),
            ("https://me:secret@node", "request_headers_set"),
            ("https://2001:db8::1", "in brackets"),
            ("https://node:port", "is not a port"),
        ] {
            let told = Server::parse(text).unwrap_err();
            assert!(told.contains(part) && !told.contains("secret"), "{text}: {told}");
        }
    }
}
