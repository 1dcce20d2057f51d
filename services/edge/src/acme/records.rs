//! What is stored of one name: its certificate, the order that is under way, how the attempts went.
//!
//! Only a file that is certainly absent counts as absent. Whatever else keeps us from reading one is an error, and then
//! nothing is ordered: a hiccup of the storage must not cost an order at each start.

use super::backoff::Attempts;
use crate::tls::{bundle::Bundle, store};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// One name's folder.
#[derive(Clone, Debug)]
pub struct Records {
    folder: PathBuf,
}

/// An order that the CA knows, and the key its certificate will be for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredOrder {
    pub url: String,
    /// PEM.
    pub key: String,
}

/// Where everything of one CA is: a certificate of its staging service must never be taken for a real one.
pub fn authority_folder(state: &Path, directory: &str) -> PathBuf {
    let plain = directory.strip_prefix("https://").unwrap_or(directory);
    let name: String =
        plain.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' }).collect();
    state.join("acme").join(name)
}

impl Records {
    /// `name` is a host name that has been checked.
    pub fn new(authority: &Path, name: &str) -> Self {
        Self { folder: authority.join("names").join(name) }
    }

    /// Makes the folder, removes what a crash left in it.
    pub fn prepare(&self) -> Result<(), String> {
        store::folder(&self.folder).map_err(|error| say(&self.folder, "made", &error))?;
        store::sweep(&self.folder, store::LEFTOVER_AGE);
        Ok(())
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// The chain and its key are one file, so that they cannot part.
    pub fn certificate(&self) -> Result<Option<Bundle>, String> {
        let path = self.path("certificate.pem");
        let Some(bytes) = store::read(&path).map_err(|error| say(&path, "read", &error))? else { return Ok(None) };
        Bundle::from_pem(&bytes).map(Some).map_err(|why| spoilt(&path, &why))
    }

    pub fn save_certificate(&self, chain: &str, key: &str) -> Result<(), String> {
        self.save("certificate.pem", format!("{}\n{key}", chain.trim_end()).as_bytes())
    }

    pub fn order(&self) -> Result<Option<StoredOrder>, String> {
        self.json("order.json")
    }

    pub fn save_order(&self, order: &StoredOrder) -> Result<(), String> {
        self.save_json("order.json", order)
    }

    pub fn forget_order(&self) -> Result<(), String> {
        let path = self.path("order.json");
        store::remove(&path).map_err(|error| say(&path, "removed", &error))
    }

    pub fn attempts(&self) -> Result<Attempts, String> {
        Ok(self.json("attempts.json")?.unwrap_or_default())
    }

    pub fn save_attempts(&self, attempts: &Attempts) -> Result<(), String> {
        self.save_json("attempts.json", attempts)
    }

    fn json<T: for<'de> Deserialize<'de>>(&self, file: &str) -> Result<Option<T>, String> {
        let path = self.path(file);
        let Some(bytes) = store::read(&path).map_err(|error| say(&path, "read", &error))? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| spoilt(&path, &error.to_string()))
    }

    fn save_json(&self, file: &str, value: &impl Serialize) -> Result<(), String> {
        let bytes = serde_json::to_vec_pretty(value).map_err(|error| error.to_string())?;
        self.save(file, &bytes)
    }

    fn save(&self, file: &str, bytes: &[u8]) -> Result<(), String> {
        let path = self.path(file);
        store::write(&path, bytes).map_err(|error| say(&path, "written", &error))
    }
}

fn say(path: &Path, what: &str, error: &std::io::Error) -> String {
    format!("{} cannot be {what}: {error}", path.display())
}

fn spoilt(path: &Path, why: &str) -> String {
    format!("{}: {why}; repair it, or remove it to start anew", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ca_has_a_folder_of_its_own() {
        let state = Path::new("/s");
        let one = authority_folder(state, "https://acme-v02.api.example.org/directory");
        assert_eq!(one, Path::new("/s/acme/acme-v02.api.example.org_directory"));
        assert_ne!(one, authority_folder(state, "https://acme-staging-v02.api.example.org/directory"));
    }

    #[test]
    fn what_is_stored_comes_back_and_what_is_spoilt_is_an_error() {
        let base = tempfile::tempdir().unwrap();
        let records = Records::new(base.path(), "www.example.com");
        assert!(records.certificate().unwrap().is_none());
        assert_eq!(records.attempts().unwrap(), Attempts::default());
        records.prepare().unwrap();
        let order = StoredOrder { url: "https://ca/order/1".into(), key: "key".into() };
        records.save_order(&order).unwrap();
        assert_eq!(records.order().unwrap().unwrap(), order);
        records.forget_order().unwrap();
        assert!(records.order().unwrap().is_none());
        records.save("attempts.json", b"{").unwrap();
        assert!(records.attempts().unwrap_err().contains("remove it to start anew"));
        records.save("certificate.pem", b"").unwrap();
        assert!(records.certificate().is_err());
    }
}
