//! One server of an upstream, with nginx's words behind its address: `10.0.0.1:80 weight=3 max_conns=20`.

use super::super::UpstreamAddress;
use super::super::load::Reader;
use super::Scheme;
use monodon_settings::{Address, parse_duration};
use std::time::Duration;

/// One server as it was written; a name may stand for many addresses, each of which has these words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub address: UpstreamAddress,
    /// How it is spoken to, where that stands before its address.
    pub scheme: Option<Scheme>,
    pub weight: u32,
    /// Only where none of the others can be used.
    pub backup: bool,
    /// Not used at all.
    pub down: bool,
    /// Only for clients whose sticky cookie leads there.
    pub drain: bool,
    /// Requests at once.
    pub max_conns: Option<u32>,
    pub max_fails: Option<u32>,
    pub fail_timeout: Option<Duration>,
    pub slow_start: Option<Duration>,
}

impl From<UpstreamAddress> for Server {
    fn from(address: UpstreamAddress) -> Self {
        Self {
            address,
            scheme: None,
            weight: 1,
            backup: false,
            down: false,
            drain: false,
            max_conns: None,
            max_fails: None,
            fail_timeout: None,
            slow_start: None,
        }
    }
}

impl Server {
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut words = text.split_ascii_whitespace();
        let address = words.next().unwrap_or_default();
        let (scheme, address) = Scheme::split(address)?;
        let address: Address = address.parse().map_err(|wrong| {
            format!(
                "expected an address such as node:3000, https://node, 10.0.0.1:80 or unix:/run/app.sock, got {address:?}: {wrong}"
            )
        })?;
        let mut server = Self { scheme, ..Self::from(Reader::address(address)?) };
        for word in words {
            server.word(word)?;
        }
        Ok(server)
    }

    fn word(&mut self, word: &str) -> Result<(), String> {
        let number = |value: &str, least: u32| {
            let number = value.parse().ok().filter(|number| (least..=1_000_000).contains(number));
            number.ok_or_else(|| format!("{word}: expected a whole number from {least} to 1000000"))
        };
        let time = |value: &str| {
            parse_duration(value).ok_or_else(|| format!("{word}: expected a duration such as 30s, 500ms or 5m"))
        };
        match word.split_once('=') {
            None if word == "backup" => self.backup = true,
            None if word == "down" => self.down = true,
            None if word == "drain" => self.drain = true,
            Some(("weight", value)) => self.weight = number(value, 1)?.min(10_000),
            // As in nginx, 0 is no bound.
            Some(("max_conns", value)) => self.max_conns = Some(number(value, 0)?).filter(|most| *most > 0),
            Some(("max_fails", value)) => self.max_fails = Some(number(value, 0)?),
            Some(("fail_timeout", value)) => self.fail_timeout = Some(time(value)?),
            Some(("slow_start", value)) => self.slow_start = Some(time(value)?),
            _ => {
                let known =
                    "weight=N, max_conns=N, max_fails=N, fail_timeout=TIME, slow_start=TIME, backup, down and drain";
                return Err(format!("{word:?} is not a word for a server; there are {known}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_nginx_s_words() {
        let address = UpstreamAddress::Tcp { host: "a".into(), port: 80 };
        assert_eq!(Server::parse("a:80"), Ok(Server::from(address.clone())));
        let words = "a:80 weight=3 max_conns=20 max_fails=2 fail_timeout=30s slow_start=1m backup drain down";
        assert_eq!(
            Server::parse(words),
            Ok(Server {
                address,
                scheme: None,
                weight: 3,
                backup: true,
                down: true,
                drain: true,
                max_conns: Some(20),
                max_fails: Some(2),
                fail_timeout: Some(Duration::from_secs(30)),
                slow_start: Some(Duration::from_secs(60)),
            })
        );
        assert!(Server::parse("unix:/run/a.sock  backup").unwrap().backup);
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, part) in [
            ("a", "the port is missing"),
            (":80", "expected a host and a port"),
            ("a:80 weight=0", "weight=0: expected a whole number from 1"),
            ("a:80 weight=x", "weight=x: expected a whole number"),
            ("a:80 fail_timeout=x", "fail_timeout=x: expected a duration"),
            ("a:80 backup=1", "is not a word for a server"),
            ("a:80 resolve", "is not a word for a server"),
        ] {
            let told = Server::parse(text).unwrap_err();
            assert!(told.contains(part), "{text}: {told}");
        }
    }
}
