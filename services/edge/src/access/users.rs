//! The file of `basic_auth_users`: a name and the hash of its password on each line, as `htpasswd -B` writes it.
//!
//! bcrypt and argon2id alone: of the others that htpasswd knows, a stolen file gives the passwords away within hours.

use arc_swap::ArcSwap;
use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params};
use aws_lc_rs::{digest, hmac};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

/// A hash that costs more is refused: a password that takes seconds to look at stops a server.
const BCRYPT_COSTS: std::ops::RangeInclusive<u32> = 4..=14;
/// In KiB: 256 MiB.
const ARGON2_MEMORY: u32 = 256 << 10;
const ARGON2_PASSES: u32 = 16;

/// A file of users, as it was read last.
#[derive(Debug)]
pub struct Users {
    path: PathBuf,
    known: ArcSwap<Known>,
}

/// Of one state of the file.
#[derive(Debug, Default)]
pub struct Known {
    /// Other users, another mark: what was remembered of the file before does not hold.
    mark: [u8; 32],
    hashes: HashMap<Box<str>, Hash>,
    /// Every hash once more: with one of them a name that is not there is looked at, so that it takes as long as a name that is.
    decoys: Vec<Hash>,
}

#[derive(Clone, Debug)]
enum Hash {
    Bcrypt(Arc<str>),
    Argon2(Arc<str>),
}

impl PartialEq for Users {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Users {
    pub fn open(path: &Path) -> Result<Arc<Self>, String> {
        let known = read(path)?;
        Ok(Arc::new(Self { path: path.to_owned(), known: ArcSwap::from_pointee(known) }))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn known(&self) -> Arc<Known> {
        self.known.load_full()
    }

    /// Reads it again. What cannot be read changes nothing: the users before stay.
    pub fn look(&self) {
        let known = self.known.load();
        match read(&self.path) {
            Ok(new) if new.mark != known.mark => {
                tracing::info!(path = %self.path.display(), users = new.hashes.len(), "users were read again");
                self.known.store(Arc::new(new));
            }
            Ok(_) => {}
            Err(problem) => tracing::warn!(problem, "basic_auth_users: the users read before stay"),
        }
    }
}

fn read(path: &Path) -> Result<Known, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Known::parse(&text).map_err(|problem| format!("{}:{problem}", path.display()))
}

impl Known {
    fn parse(text: &str) -> Result<Self, String> {
        let mut known = Self::default();
        known.mark.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
        // A byte order mark would be part of the first name, and nobody would see it.
        for (place, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |words: String| format!("{}: {words}", place + 1);
            let Some((name, hash)) = line.split_once(':').filter(|(name, _)| !name.is_empty()) else {
                return Err(wrong("expected NAME:HASH, as `htpasswd -nB NAME` writes it".into()));
            };
            // The name goes into a header.
            if name.chars().any(char::is_control) {
                return Err(wrong("the name has a control character".into()));
            }
            let hash = Hash::parse(hash).map_err(|words| wrong(format!("{name}: {words}")))?;
            known.decoys.push(hash.clone());
            if known.hashes.insert(name.into(), hash).is_some() {
                return Err(wrong(format!("{name} stands here twice")));
            }
        }
        Ok(known)
    }

    /// What these credentials are remembered by: worth nothing without this process's memory.
    pub fn ticket(&self, credentials: &[u8]) -> [u8; 32] {
        static KEY: LazyLock<hmac::Key> = LazyLock::new(|| {
            let random = aws_lc_rs::rand::SystemRandom::new();
            hmac::Key::generate(hmac::HMAC_SHA256, &random).unwrap_or_else(|_| unreachable!("no randomness"))
        });
        let mut context = hmac::Context::with_key(&KEY);
        context.update(&self.mark);
        context.update(credentials);
        let mut ticket = [0; 32];
        ticket.copy_from_slice(context.sign().as_ref());
        ticket
    }

    /// Slow, and as slow for a name that is not there.
    pub fn verify(&self, name: &str, password: &[u8]) -> bool {
        match (self.hashes.get(name), self.decoy(name)) {
            (Some(hash), _) => hash.verify(password),
            (None, Some(decoy)) => {
                std::hint::black_box(decoy.verify(password));
                false
            }
            (None, None) => false,
        }
    }

    /// Hashes cost differently. Were it always the same one, a name that takes another time would be known to be there; so each name has
    /// its own, always the same, which nobody can tell who does not have the file.
    fn decoy(&self, name: &str) -> Option<&Hash> {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&self.mark);
        context.update(name.as_bytes());
        let digest = context.finish();
        let number = digest.as_ref().first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
        self.decoys.get((number % self.decoys.len().max(1) as u64) as usize)
    }
}

impl Hash {
    fn parse(text: &str) -> Result<Self, String> {
        if ["$2a$", "$2b$", "$2y$"].iter().any(|kind| text.starts_with(kind)) {
            let parts: bcrypt::HashParts = text.parse().map_err(|error| format!("a malformed bcrypt hash: {error}"))?;
            return match parts.get_cost() {
                cost if BCRYPT_COSTS.contains(&cost) => Ok(Self::Bcrypt(text.into())),
                cost => Err(format!("bcrypt of cost {cost}; from 4 to 14 is taken")),
            };
        }
        if text.starts_with("$argon2id$") {
            let malformed = |error: &dyn std::fmt::Display| format!("a malformed argon2id hash: {error}");
            let hash = PasswordHash::new(text).map_err(|error| malformed(&error))?;
            let params = Params::try_from(&hash).map_err(|error| malformed(&error))?;
            if hash.salt.is_none() || hash.hash.is_none() {
                return Err("a malformed argon2id hash: no salt or no hash".into());
            }
            if params.m_cost() > ARGON2_MEMORY || params.t_cost() > ARGON2_PASSES || params.p_cost() > ARGON2_PASSES {
                return Err("argon2id that costs more than m=262144 (256 MiB), t=16, p=16".into());
            }
            return Ok(Self::Argon2(text.into()));
        }
        let kind = match text {
            text if text.starts_with("$apr1$") => "MD5",
            text if text.starts_with("{SHA}") => "SHA-1",
            text if text.starts_with("$5$") || text.starts_with("$6$") => "SHA crypt",
            _ => "an unknown kind, or plain text",
        };
        Err(format!("the hash is {kind}; only bcrypt (`htpasswd -B`) and argon2id are taken"))
    }

    fn verify(&self, password: &[u8]) -> bool {
        match self {
            Self::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
            Self::Argon2(hash) => {
                PasswordHash::new(hash).is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // "secret", as cheap as it goes.
    const BCRYPT: &str = "$2y$04$abcdefghijklmnopqrstuu";

    fn bcrypt_of(password: &str) -> String {
        bcrypt::hash(password, 4).unwrap()
    }

    fn argon2_of(password: &str) -> String {
        use argon2::password_hash::PasswordHasher;
        let params = Params::new(64, 1, 1, None).unwrap();
        let argon2 = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        argon2.hash_password_with_salt(password.as_bytes(), b"saltsaltsalt").unwrap().to_string()
    }

    #[test]
    fn both_kinds_of_hashes() {
        let text = format!("# staff\n\nalice:{}\nbob:{}\n", bcrypt_of("one"), argon2_of("two"));
        let known = Known::parse(&text).unwrap();
        for (name, password, good) in [
            ("alice", "one", true),
            ("bob", "two", true),
            ("alice", "two", false),
            ("bob", "one", false),
            ("carol", "one", false),
            ("alice", "", false),
        ] {
            assert_eq!(known.verify(name, password.as_bytes()), good, "{name} {password}");
        }
        let other = Known::parse(&format!("{text}\n# more")).unwrap();
        assert_eq!(known.ticket(b"alice:one"), known.ticket(b"alice:one"));
        assert_ne!(known.ticket(b"alice:one"), known.ticket(b"alice:onf"));
        assert_ne!(known.ticket(b"alice:one"), other.ticket(b"alice:one"), "another file, another ticket");
    }

    /// A name that is not there costs what some name that is there does: of cheap and dear hashes, each as often as there are such.
    #[test]
    fn names_that_are_not_there_take_as_long_as_others() {
        let text = format!("alice:{}\nbob:{}\ncarol:{}\n", bcrypt_of("one"), argon2_of("two"), argon2_of("three"));
        let known = Known::parse(&text).unwrap();
        let cheap = |name: &str| matches!(known.decoy(name), Some(Hash::Bcrypt(_)));
        let names: Vec<String> = (0..3000).map(|number| format!("nobody{number}")).collect();
        let count = names.iter().filter(|name| cheap(name)).count();
        assert!((800..1200).contains(&count), "{count}");
        assert!(names.iter().all(|name| cheap(name) == cheap(name)), "asked again, the same");
        let other = Known::parse(&format!("{text}# another file\n")).unwrap();
        let moved =
            names.iter().filter(|name| cheap(name) != matches!(other.decoy(name), Some(Hash::Bcrypt(_)))).count();
        assert!(moved > 500, "who does not have the file cannot tell: {moved}");
        assert!(Known::parse("").unwrap().decoy("x").is_none());
    }

    /// What `htpasswd -nbB` and `argon2` have written.
    #[test]
    fn hashes_of_other_programs() {
        let text = "u:$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC\n\
                    v:$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc\n";
        let known = Known::parse(text).unwrap();
        assert!(known.verify("u", b"myPassword") && known.verify("v", b"password"));
        assert!(!known.verify("u", b"myPasswor") && !known.verify("v", b"passwort"));
    }

    #[test]
    fn what_is_refused() {
        for (text, wrong) in [
            ("alice", "1: expected NAME:HASH, as `htpasswd -nB NAME` writes it"),
            (":x", "1: expected NAME:HASH, as `htpasswd -nB NAME` writes it"),
            ("\na:$apr1$x$y", "2: a: the hash is MD5; only bcrypt (`htpasswd -B`) and argon2id are taken"),
            ("a:{SHA}x", "1: a: the hash is SHA-1; only bcrypt (`htpasswd -B`) and argon2id are taken"),
            (
                "a:secret",
                "1: a: the hash is an unknown kind, or plain text; only bcrypt (`htpasswd -B`) and argon2id are taken",
            ),
            (
                "a:$2y$15$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC",
                "1: a: bcrypt of cost 15; from 4 to 14 is taken",
            ),
            (
                "a:$argon2id$v=19$m=524288,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
                "1: a: argon2id that costs more than m=262144 (256 MiB), t=16, p=16",
            ),
        ] {
            assert_eq!(Known::parse(text).unwrap_err(), wrong, "{text}");
        }
        assert!(Known::parse(&format!("a:{BCRYPT}")).unwrap_err().starts_with("1: a: a malformed bcrypt hash"));
        let twice = format!("a:{0}\na:{0}", bcrypt_of("x"));
        assert_eq!(Known::parse(&twice).unwrap_err(), "2: a stands here twice");
        assert!(!Known::parse("").unwrap().verify("a", b"b"));
    }
}
