//! One attempt to get one name's certificate: from where the last one stopped, to the stored certificate.

use super::authority::Authority;
use super::failure::{Failure, Fault, say};
use super::records::{Records, StoredOrder};
use crate::tls::{Certificates, bundle::Bundle};
use bytes::Bytes;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls_acme::acme::{Auth, AuthStatus, ChallengeType, Order, OrderStatus};
use std::sync::Arc;
use std::time::Duration;

/// When the CA is asked again, in milliseconds. Fixed, for rustls-acme does not show `Retry-After`.
const POLLS: [u64; 24] = [
    250, 500, 1000, 1000, 2000, 2000, 3000, 3000, 5000, 5000, 5000, 5000, 10_000, 10_000, 10_000, 10_000, 10_000,
    10_000, 10_000, 10_000, 10_000, 10_000, 10_000, 10_000,
];

/// What one attempt works with.
pub struct Attempt<'a, A> {
    pub authority: &'a A,
    pub certificates: &'a Certificates,
    pub records: &'a Records,
    pub name: &'a str,
    /// HTTP-01 where it is offered and port 80 is ours; else TLS-ALPN-01.
    pub prefer_http: bool,
    pub http_possible: bool,
    /// The certificate that is served now, if there is one.
    pub current: Option<&'a Bundle>,
}

/// A challenge's answer, served until this is dropped.
struct Posted<'a> {
    certificates: &'a Certificates,
    name: Option<&'a str>,
    token: Option<String>,
}

impl Drop for Posted<'_> {
    fn drop(&mut self) {
        self.certificates.change(|state| {
            if let Some(name) = self.name {
                state.set_challenge(name, None);
            }
            if let Some(token) = &self.token {
                state.set_token(token, None);
            }
        });
    }
}

impl<A: Authority> Attempt<'_, A> {
    /// The certificate, stored and good for the name.
    pub async fn obtain(&self) -> Result<Bundle, Failure> {
        let (stored, mut order) = match self.resumed().await? {
            Some(found) => found,
            None => self.ordered().await?,
        };
        let mut polls = POLLS.iter();
        loop {
            match &order.status {
                OrderStatus::Pending => {
                    for url in &order.authorizations {
                        self.authorize(url).await?;
                    }
                }
                OrderStatus::Ready => {
                    let csr = self.csr(&stored.key)?;
                    // The answer is an order too, but what counts is what the order's own address says next.
                    self.authority.finalize(&order.finalize, &csr).await?;
                }
                OrderStatus::Processing => {}
                OrderStatus::Valid { certificate } => {
                    let chain = self.authority.certificate(certificate).await?;
                    return self.store(&chain, &stored.key);
                }
                OrderStatus::Invalid => {
                    self.records.forget_order().map_err(Failure::local)?;
                    let why = order.error.as_ref().map_or_else(|| "no reason given".to_owned(), say);
                    return Err(Failure::refused(format!("the CA gave the order up: {why}")));
                }
            }
            pause(&mut polls, "the order to be ready").await?;
            order = self.authority.order(&stored.url).await?;
        }
    }

    /// The order of an attempt that was cut off, unless it is of no use any more.
    async fn resumed(&self) -> Result<Option<(StoredOrder, Order)>, Failure> {
        let Some(stored) = self.records.order().map_err(Failure::local)? else { return Ok(None) };
        // Cut off after the certificate was stored: that order has done its work.
        let used = self.current.is_some_and(|current| is_key_of(&stored.key, current));
        let order = if used { None } else { self.look(&stored.url).await? };
        match order {
            Some(order) if order.status != OrderStatus::Invalid => {
                tracing::info!(event = "acme_order_resumed", site = self.name, "going on with the stored order");
                Ok(Some((stored, order)))
            }
            _ => {
                self.records.forget_order().map_err(Failure::local)?;
                Ok(None)
            }
        }
    }

    /// The order there; none when the CA does not know it.
    async fn look(&self, url: &str) -> Result<Option<Order>, Failure> {
        match self.authority.order(url).await {
            Ok(order) => Ok(Some(order)),
            Err(failure) if failure.fault == Fault::Refused => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// A new order. Its address and the certificate's key are on the disk before anything else is done with it.
    async fn ordered(&self) -> Result<(StoredOrder, Order), Failure> {
        let key = KeyPair::generate().map_err(|error| Failure::local(error.to_string()))?.serialize_pem();
        let (url, order) = self.authority.new_order(self.name).await?;
        let stored = StoredOrder { url, key };
        self.records.save_order(&stored).map_err(Failure::local)?;
        tracing::info!(event = "acme_order", site = self.name, "a certificate is ordered");
        Ok((stored, order))
    }

    /// Shows the CA that the name leads to us.
    async fn authorize(&self, url: &str) -> Result<(), Failure> {
        let authorization = self.authority.authorization(url).await?;
        match authorization.status {
            AuthStatus::Valid => return Ok(()),
            AuthStatus::Pending => {}
            _ => return Err(self.denied(&authorization)),
        }
        let (challenge, _posted) = self.post(&authorization).await?;
        self.authority.answer(&challenge).await?;
        let mut polls = POLLS.iter();
        loop {
            pause(&mut polls, "the CA to look at the name").await?;
            let authorization = self.authority.authorization(url).await?;
            match authorization.status {
                AuthStatus::Valid => return Ok(()),
                AuthStatus::Pending => {}
                _ => return Err(self.denied(&authorization)),
            }
        }
    }

    fn denied(&self, authorization: &Auth) -> Failure {
        // The order is lost with it; the next attempt makes a new one.
        if let Err(problem) = self.records.forget_order() {
            return Failure::local(problem);
        }
        let told: Vec<String> =
            authorization.challenges.iter().filter_map(|challenge| challenge.error.as_ref()).map(say).collect();
        let why = if told.is_empty() { "no reason given".to_owned() } else { told.join("; ") };
        Failure::refused(format!("the CA could not check the name: {why}"))
    }

    /// Serves the answer to one of the challenges: its URL, and what takes the answer away again.
    async fn post(&self, authorization: &Auth) -> Result<(String, Posted<'_>), Failure> {
        let offered = |kind| authorization.challenges.iter().any(|challenge| challenge.typ == kind);
        let tls = offered(ChallengeType::TlsAlpn01);
        let http = offered(ChallengeType::Http01) && self.http_possible;
        if !tls && !http {
            return Err(Failure::refused("the CA offers no challenge that can be answered on our ports"));
        }
        if http && (self.prefer_http || !tls) {
            let (url, token, answer) = self.authority.http_answer(authorization).await?;
            self.certificates.change(|state| state.set_token(&token, Some(Bytes::from(answer))));
            return Ok((url, Posted { certificates: self.certificates, name: None, token: Some(token) }));
        }
        let (url, key) = self.authority.tls_answer(authorization, self.name).await?;
        self.certificates.change(|state| state.set_challenge(self.name, Some(Arc::new(key))));
        Ok((url, Posted { certificates: self.certificates, name: Some(self.name), token: None }))
    }

    fn csr(&self, key: &str) -> Result<Vec<u8>, Failure> {
        let say = |error: rcgen::Error| Failure::local(format!("the stored order's key: {error}"));
        let key = KeyPair::from_pem(key).map_err(say)?;
        let mut params = CertificateParams::new(vec![self.name.to_owned()]).map_err(say)?;
        params.distinguished_name = DistinguishedName::new();
        Ok(params.serialize_request(&key).map_err(say)?.der().to_vec())
    }

    fn store(&self, chain: &str, key: &str) -> Result<Bundle, Failure> {
        let pem = format!("{chain}\n{key}");
        let good = Bundle::from_pem(pem.as_bytes())
            .and_then(|bundle| if bundle.covers(self.name) { Ok(bundle) } else { Err("for another name".into()) });
        match good {
            Ok(bundle) => {
                self.records.save_certificate(chain, key).map_err(Failure::local)?;
                self.records.forget_order().map_err(Failure::local)?;
                Ok(bundle)
            }
            Err(why) => {
                self.records.forget_order().map_err(Failure::local)?;
                Err(Failure::refused(format!("the certificate that came is of no use: {why}")))
            }
        }
    }
}

async fn pause(polls: &mut std::slice::Iter<'_, u64>, what: &str) -> Result<(), Failure> {
    let Some(&milliseconds) = polls.next() else {
        return Err(Failure::unreachable(format!("waited too long for {what}")));
    };
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    Ok(())
}

fn is_key_of(pem: &str, bundle: &Bundle) -> bool {
    use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).is_ok_and(|key| Bundle::new(bundle.key.cert.clone(), key).is_ok())
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
