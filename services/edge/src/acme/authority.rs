//! What we need of a CA, behind a small trait, and the CA that is reached over the network.

use super::failure::{Failure, is_bad_nonce};
use crate::tls::{config::provider, store};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::sign::CertifiedKey;
use rustls_acme::acme::{Account, AcmeError, Auth, Directory, Order};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// No call takes longer. A CA that accepts a connection and says nothing must not stop the renewals.
const CALL: Duration = Duration::from_secs(20);

/// How often one call is made again because of its nonce. Each refusal is a matter of luck: with half of them refused,
/// one call in a million fails.
const NONCE_TRIES: u32 = 20;

/// Bounded: what a CA answers with is a few kilobytes. The calls are those of RFC 8555, section 7.
#[allow(async_fn_in_trait)] // Used inside this crate, on one thread.
pub trait Authority {
    /// The order and its URL.
    async fn new_order(&self, name: &str) -> Result<(String, Order), Failure>;
    async fn order(&self, url: &str) -> Result<Order, Failure>;
    async fn authorization(&self, url: &str) -> Result<Auth, Failure>;
    /// Tells the CA that it may look.
    async fn answer(&self, challenge_url: &str) -> Result<(), Failure>;
    async fn finalize(&self, url: &str, csr: &[u8]) -> Result<Order, Failure>;
    /// The chain in PEM.
    async fn certificate(&self, url: &str) -> Result<String, Failure>;
    /// What is to be served for a TLS-ALPN-01 challenge: the challenge's URL and the certificate.
    async fn tls_answer(&self, authorization: &Auth, name: &str) -> Result<(String, CertifiedKey), Failure>;
    /// What is to be served for an HTTP-01 challenge: the challenge's URL, the token, the answer.
    async fn http_answer(&self, authorization: &Auth) -> Result<(String, String, String), Failure>;
}

/// A CA, reached by rustls-acme's low-level calls. Those run on a reactor thread of their own, under any runtime.
pub struct Client {
    directory: String,
    contact: String,
    account_key: PathBuf,
    tls: Arc<ClientConfig>,
    timeout: Duration,
    /// Made at the first call, forgotten when the CA does not know it any more.
    account: Mutex<Option<Arc<Account>>>,
}

/// How the CA's own certificate is checked: by the roots of browsers, or by the file that is given.
pub fn client_config(roots: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let mut store = rustls::RootCertStore::empty();
    match roots {
        None => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let say = |why: String| format!("acme_ca: {}: {why}", path.display());
            let bytes = std::fs::read(path).map_err(|error| say(error.to_string()))?;
            for certificate in CertificateDer::pem_slice_iter(&bytes) {
                let certificate = certificate.map_err(|error| say(format!("not PEM certificates: {error}")))?;
                store.add(certificate).map_err(|error| say(error.to_string()))?;
            }
            if store.is_empty() {
                return Err(say("no PEM certificate in it".into()));
            }
        }
    }
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(store)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

impl Client {
    pub fn new(directory: &str, email: &str, roots: Option<&Path>, account_key: PathBuf) -> Result<Self, String> {
        Ok(Self {
            directory: directory.to_owned(),
            contact: format!("mailto:{email}"),
            account_key,
            tls: client_config(roots)?,
            timeout: CALL,
            account: Mutex::new(None),
        })
    }

    /// One call: with an end, and again when only its nonce was refused.
    async fn call<T, F>(&self, doing: &str, call: impl Fn() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, AcmeError>>,
    {
        let mut turn = 0;
        loop {
            match tokio::time::timeout(self.timeout, call()).await {
                Err(_) => {
                    let seconds = self.timeout.as_secs_f32();
                    return Err(Failure::unreachable(format!("{doing}: timed out, no answer within {seconds} s")));
                }
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) if is_bad_nonce(&error) && turn < NONCE_TRIES => {
                    turn += 1;
                    tokio::time::sleep(Duration::from_millis(20 * u64::from(turn))).await;
                }
                Ok(Err(error)) => return Err(Failure::from_acme(doing, &error)),
            }
        }
    }

    /// Our account at the CA. Asking for one with a key that the CA knows gives the one that is there.
    async fn account(&self) -> Result<Arc<Account>, Failure> {
        let mut slot = self.account.lock().await;
        if let Some(account) = &*slot {
            return Ok(account.clone());
        }
        let key = self.account_key()?;
        let directory =
            self.call("reading the CA's directory", || Directory::discover(&self.tls, &self.directory)).await?;
        let account = self
            .call("opening the account", || {
                Account::create_with_keypair(&self.tls, directory.clone(), [&self.contact], &key)
            })
            .await?;
        let account = Arc::new(account);
        *slot = Some(account.clone());
        Ok(account)
    }

    /// A key that cannot be read is an error, never a reason to make another account.
    fn account_key(&self) -> Result<Vec<u8>, Failure> {
        let path = &self.account_key;
        let say = |what: &str, error: std::io::Error| {
            Failure::local(format!("the account's key {} cannot be {what}: {error}", path.display()))
        };
        if let Some(key) = store::read(path).map_err(|error| say("read", error))? {
            return Ok(key);
        }
        let key = Account::generate_key_pair();
        if store::create(path, &key).map_err(|error| say("written", error))? {
            return Ok(key);
        }
        store::read(path)
            .map_err(|error| say("read", error))?
            .ok_or_else(|| Failure::local("the account's key is gone"))
    }

    /// A call in the account's name.
    async fn signed<T, F>(&self, doing: &str, call: impl Fn(Arc<Account>) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, AcmeError>>,
    {
        let account = self.account().await?;
        let result = self.call(doing, || call(account.clone())).await;
        if result.as_ref().is_err_and(Failure::account_is_gone) {
            *self.account.lock().await = None;
        }
        result
    }
}

impl Authority for Client {
    async fn new_order(&self, name: &str) -> Result<(String, Order), Failure> {
        self.signed("ordering", async |account| account.new_order(&self.tls, vec![name.to_owned()]).await).await
    }

    async fn order(&self, url: &str) -> Result<Order, Failure> {
        self.signed("looking at the order", async |account| account.order(&self.tls, url).await).await
    }

    async fn authorization(&self, url: &str) -> Result<Auth, Failure> {
        self.signed("looking at the authorization", async |account| account.auth(&self.tls, url).await).await
    }

    async fn answer(&self, challenge_url: &str) -> Result<(), Failure> {
        self.signed("answering the challenge", async |account| account.challenge(&self.tls, challenge_url).await).await
    }

    async fn finalize(&self, url: &str, csr: &[u8]) -> Result<Order, Failure> {
        self.signed("finalizing", async |account| account.finalize(&self.tls, url, csr).await).await
    }

    async fn certificate(&self, url: &str) -> Result<String, Failure> {
        self.signed("fetching the certificate", async |account| account.certificate(&self.tls, url).await).await
    }

    async fn tls_answer(&self, authorization: &Auth, name: &str) -> Result<(String, CertifiedKey), Failure> {
        let account = self.account().await?;
        let (challenge, key) = account
            .tls_alpn_01(&authorization.challenges, name.to_owned())
            .map_err(|error| Failure::from_acme("preparing the challenge", &error))?;
        Ok((challenge.url.clone(), key))
    }

    async fn http_answer(&self, authorization: &Auth) -> Result<(String, String, String), Failure> {
        let account = self.account().await?;
        let (challenge, answer) = account
            .http_01(&authorization.challenges)
            .map_err(|error| Failure::from_acme("preparing the challenge", &error))?;
        Ok((challenge.url.clone(), challenge.token.clone(), answer))
    }
}

#[cfg(test)]
#[path = "authority_tests.rs"]
mod tests;
