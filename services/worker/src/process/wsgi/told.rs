//! What the header fields of a trusted peer say of its client.

use std::borrow::Cow;

use monodon_http1::target;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Forwarded {
    For,
    Host,
    Port,
    /// The application's mount point.
    Script,
    Other,
}

#[derive(Default)]
pub struct Told<'r> {
    /// Values of `X-Forwarded-For`.
    pub chain: Vec<&'r [u8]>,
    https: Option<bool>,
    contradicts: bool,
    pub host: Option<&'r [u8]>,
    port: Option<&'r [u8]>,
    pub script: Option<&'r [u8]>,
}

impl<'r> Told<'r> {
    pub fn note(&mut self, what: Forwarded, value: &'r [u8]) {
        match what {
            Forwarded::For => self.chain.push(value),
            Forwarded::Host => self.host = Some(last(value)).filter(|host| target::is_host(host)),
            Forwarded::Port => {
                self.port = Some(last(value)).filter(|port| !port.is_empty() && port.iter().all(u8::is_ascii_digit));
            }
            Forwarded::Script => self.script = Some(value),
            Forwarded::Other => {}
        }
    }

    /// One of `secure_scheme_headers` is there; `secure` is the value that means HTTPS.
    pub fn scheme(&mut self, value: &[u8], secure: &[u8]) {
        let value = last(value);
        // Some proxies name a WebSocket's scheme.
        let websocket = secure == b"https" && value.eq_ignore_ascii_case(b"wss");
        let https = value.eq_ignore_ascii_case(secure) || websocket;
        self.contradicts |= self.https.replace(https).is_some_and(|before| before != https);
    }

    /// Whether two fields say different schemes.
    pub fn contradicts(&self) -> bool {
        self.contradicts
    }

    pub fn https(&self) -> bool {
        self.https == Some(true)
    }

    pub fn port(&self) -> Option<Cow<'static, [u8]>> {
        if let Some(port) = self.port {
            return Some(Cow::Owned(port.to_vec()));
        }
        if let Some(port) = self.host.and_then(target::port_of) {
            return Some(Cow::Owned(port.to_string().into_bytes()));
        }
        self.https.map(|https| Cow::Borrowed(if https { b"443".as_slice() } else { b"80" }))
    }
}

/// Of several entries, the nearest proxy's, which is the last.
fn last(value: &[u8]) -> &[u8] {
    value.rsplit(|byte| *byte == b',').next().unwrap_or_default().trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_follows_from_what_the_proxy_says() {
        let mut told = Told::default();
        assert_eq!(told.port(), None);
        told.scheme(b"https", b"https");
        assert_eq!(told.port().as_deref(), Some(b"443".as_slice()));
        told.note(Forwarded::Host, b"example.org:8443");
        assert_eq!(told.port().as_deref(), Some(b"8443".as_slice()));
        told.note(Forwarded::Port, b"9443");
        assert_eq!(told.port().as_deref(), Some(b"9443".as_slice()));
        told.note(Forwarded::Port, b"x");
        assert_eq!(told.port, None);
    }

    #[test]
    fn schemes_that_differ_contradict() {
        let mut told = Told::default();
        told.scheme(b"http, HTTPS", b"https");
        told.scheme(b"on", b"on");
        assert!(told.https() && !told.contradicts());
        told.scheme(b"http", b"ssl");
        assert!(told.contradicts());
    }
}
