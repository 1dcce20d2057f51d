//! Attempts against a CA in memory: what is stored when, and what the next attempt makes of it.

use super::*;
use crate::acme::records::authority_folder;
use crate::config::Tls;
use rcgen::{BasicConstraints, CertificateSigningRequestParams, IsCa, Issuer};
use rustls::sign::CertifiedKey;
use serde_json::json;
use std::sync::Mutex;

const NAME: &str = "www.example.com";
const URL: &str = "https://ca.test/order/1";

/// A CA that does what it is told.
#[derive(Default)]
struct Fake {
    state: Mutex<State>,
}

type Watch = Box<dyn Fn(&str) + Send>;

#[derive(Default)]
struct State {
    calls: Vec<&'static str>,
    status: &'static str,
    chain: String,
    /// Looking at an order fails with this.
    order_fails: Option<Fault>,
    /// The name cannot be checked.
    denies: bool,
    offers: Vec<&'static str>,
    /// Asked when the challenge is answered, and before finalizing.
    watch: Option<Watch>,
}

impl Fake {
    fn new(status: &'static str) -> Self {
        let fake = Self::default();
        fake.with(|state| (state.status, state.offers) = (status, vec!["tls-alpn-01", "http-01"]));
        fake
    }

    fn with<T>(&self, how: impl FnOnce(&mut State) -> T) -> T {
        how(&mut self.state.lock().unwrap())
    }

    fn called(&self, what: &'static str) -> usize {
        self.with(|state| state.calls.iter().filter(|call| **call == what).count())
    }

    fn note(&self, what: &'static str) {
        self.with(|state| {
            state.calls.push(what);
            if let Some(watch) = &state.watch {
                watch(what);
            }
        });
    }

    fn seen(&self) -> Order {
        let status = self.with(|state| state.status);
        let order = json!({"status": status, "certificate": "https://ca.test/cert", "authorizations": ["https://ca.test/authz"],
            "finalize": "https://ca.test/finalize", "error": {"type": "urn:x", "detail": "changed my mind"}});
        serde_json::from_value(order).unwrap()
    }
}

impl Authority for Fake {
    async fn new_order(&self, _: &str) -> Result<(String, Order), Failure> {
        self.note("new_order");
        self.with(|state| state.status = "pending");
        Ok((URL.into(), self.seen()))
    }

    async fn order(&self, _: &str) -> Result<Order, Failure> {
        self.note("order");
        match self.with(|state| state.order_fails) {
            Some(fault) => Err(Failure { fault, text: "no order".into() }),
            None => Ok(self.seen()),
        }
    }

    async fn authorization(&self, _: &str) -> Result<Auth, Failure> {
        let (denied, status, offers) = self.with(|state| {
            let status = if state.status == "pending" { "pending" } else { "valid" };
            (state.denies && state.calls.contains(&"answer"), status, state.offers.clone())
        });
        let status = if denied { "invalid" } else { status };
        let error = denied.then(|| json!({"type": "urn:dns", "detail": "SERVFAIL"}));
        let offers: Vec<_> = offers
            .iter()
            .map(|kind| json!({"type": kind, "url": "https://ca.test/chall", "token": "tok", "error": error}))
            .collect();
        let authorization =
            json!({"status": status, "identifier": {"type": "dns", "value": NAME}, "challenges": offers});
        Ok(serde_json::from_value(authorization).unwrap())
    }

    async fn answer(&self, _: &str) -> Result<(), Failure> {
        self.note("answer");
        self.with(|state| state.status = if state.denies { "pending" } else { "ready" });
        Ok(())
    }

    async fn finalize(&self, _: &str, csr: &[u8]) -> Result<Order, Failure> {
        self.note("finalize");
        let key = KeyPair::generate().unwrap();
        let mut root = CertificateParams::new(vec![]).unwrap();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let csr = CertificateSigningRequestParams::from_der(&csr.into()).unwrap();
        let chain = csr.signed_by(&Issuer::new(root, key)).unwrap().pem();
        self.with(|state| (state.chain, state.status) = (chain, "valid"));
        Ok(self.seen())
    }

    async fn certificate(&self, _: &str) -> Result<String, Failure> {
        self.note("certificate");
        Ok(self.with(|state| state.chain.clone()))
    }

    async fn tls_answer(&self, _: &Auth, name: &str) -> Result<(String, CertifiedKey), Failure> {
        let now = crate::tls::unix_now();
        let root = crate::tls::internal::Authority::in_memory(now).unwrap();
        let key = root.issue(&[name.to_owned()], now).unwrap().key;
        Ok(("https://ca.test/chall".into(), (*key).clone()))
    }

    async fn http_answer(&self, _: &Auth) -> Result<(String, String, String), Failure> {
        Ok(("https://ca.test/chall".into(), "tok".into(), "tok.key".into()))
    }
}

struct Bench {
    base: tempfile::TempDir,
    certificates: Arc<Certificates>,
    records: Records,
}

impl Bench {
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        let config = Tls { state: base.path().to_owned(), domains: vec![NAME.into()], ..Tls::default() };
        let records = Records::new(&authority_folder(base.path(), "https://ca.test/directory"), NAME);
        records.prepare().unwrap();
        Self { certificates: Certificates::open(&config).unwrap(), records, base }
    }

    fn attempt<'a>(&'a self, authority: &'a Fake) -> Attempt<'a, Fake> {
        Attempt {
            authority,
            certificates: &self.certificates,
            records: &self.records,
            name: NAME,
            prefer_http: false,
            http_possible: true,
            current: None,
        }
    }

    fn store_order(&self) {
        let key = KeyPair::generate().unwrap().serialize_pem();
        self.records.save_order(&StoredOrder { url: URL.into(), key }).unwrap();
    }
}

#[tokio::test]
async fn the_order_and_its_key_are_stored_before_the_ca_finalizes() {
    let bench = Bench::new();
    let fake = Fake::new("");
    let records = bench.records.clone();
    fake.with(|state| {
        state.watch = Some(Box::new(move |call| {
            if call == "answer" || call == "finalize" {
                assert!(records.order().unwrap().unwrap().key.contains("PRIVATE KEY"));
            }
        }));
    });
    let bundle = bench.attempt(&fake).obtain().await.unwrap();
    assert!(bundle.covers(NAME));
    assert_eq!((fake.called("new_order"), fake.called("finalize")), (1, 1));
    assert!(bench.records.order().unwrap().is_none());
    assert_eq!(bench.records.certificate().unwrap().unwrap().key.cert, bundle.key.cert);
}

#[tokio::test]
async fn an_order_that_was_cut_off_goes_on_wherever_it_was() {
    for status in ["pending", "ready"] {
        let bench = Bench::new();
        bench.store_order();
        let fake = Fake::new(status);
        bench.attempt(&fake).obtain().await.unwrap();
        assert_eq!(fake.called("new_order"), 0, "{status}");
    }
}

#[tokio::test]
async fn a_finalized_order_is_only_fetched() {
    let bench = Bench::new();
    bench.store_order();
    let key = KeyPair::from_pem(&bench.records.order().unwrap().unwrap().key).unwrap();
    let fake = Fake::new("valid");
    let own = CertificateParams::new(vec![NAME.into()]).unwrap().self_signed(&key).unwrap();
    fake.with(|state| state.chain = own.pem());
    bench.attempt(&fake).obtain().await.unwrap();
    assert_eq!((fake.called("new_order"), fake.called("finalize")), (0, 0));
}

#[tokio::test]
async fn an_order_whose_certificate_is_stored_is_not_used_for_the_renewal() {
    let bench = Bench::new();
    let fake = Fake::new("pending");
    bench.store_order();
    let leftover = bench.records.order().unwrap().unwrap();
    let bundle = bench.attempt(&fake).obtain().await.unwrap();
    bench.records.save_order(&leftover).unwrap();
    let renewal = Attempt { current: Some(&bundle), ..bench.attempt(&fake) };
    fake.with(|state| state.calls.clear());
    let next = renewal.obtain().await.unwrap();
    assert_eq!(fake.called("new_order"), 1);
    assert_ne!(next.key.cert, bundle.key.cert);
}

#[tokio::test]
async fn an_order_that_the_ca_does_not_know_is_replaced_and_one_it_cannot_show_is_kept() {
    let bench = Bench::new();
    bench.store_order();
    let fake = Fake::new("pending");
    fake.with(|state| state.order_fails = Some(Fault::Unreachable));
    assert_eq!(bench.attempt(&fake).obtain().await.unwrap_err().fault, Fault::Unreachable);
    assert!(bench.records.order().unwrap().is_some());
    let before = bench.records.order().unwrap().unwrap().key;
    fake.with(|state| state.order_fails = Some(Fault::Refused));
    // The fake goes on refusing, so the attempt fails; what counts is that a new order was made.
    assert!(bench.attempt(&fake).obtain().await.is_err());
    assert_eq!(fake.called("new_order"), 1);
    assert_ne!(bench.records.order().unwrap().unwrap().key, before);
}

#[tokio::test]
async fn a_name_that_cannot_be_checked_says_why_and_leaves_no_order() {
    let bench = Bench::new();
    let fake = Fake::new("");
    fake.with(|state| state.denies = true);
    let failure = bench.attempt(&fake).obtain().await.unwrap_err();
    assert_eq!(failure.fault, Fault::Refused);
    assert!(failure.text.contains("SERVFAIL"), "{}", failure.text);
    assert!(bench.records.order().unwrap().is_none());
}

#[tokio::test]
async fn the_other_challenge_is_answered_where_it_is_preferred_or_alone() {
    for (offers, prefer_http) in [(vec!["tls-alpn-01", "http-01"], true), (vec!["http-01"], false)] {
        let bench = Bench::new();
        let fake = Fake::new("");
        let certificates = bench.certificates.clone();
        fake.with(|state| {
            state.offers = offers;
            state.watch = Some(Box::new(move |call| {
                if call == "answer" {
                    assert_eq!(certificates.http_challenge("tok").unwrap(), "tok.key");
                }
            }));
        });
        let attempt = Attempt { prefer_http, ..bench.attempt(&fake) };
        attempt.obtain().await.unwrap();
        assert!(bench.certificates.http_challenge("tok").is_none(), "the answer is taken away");
        let closed = Attempt { http_possible: false, ..bench.attempt(&fake) };
        let tls = fake.with(|state| state.offers.contains(&"tls-alpn-01"));
        fake.with(|state| state.watch = None);
        assert_eq!(closed.obtain().await.is_ok(), tls);
    }
}

#[tokio::test]
async fn without_a_place_for_the_order_nothing_is_finalized() {
    let bench = Bench::new();
    let fake = Fake::new("");
    let folder = authority_folder(bench.base.path(), "https://ca.test/directory").join("names").join(NAME);
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, b"").unwrap();
    let failure = bench.attempt(&fake).obtain().await.unwrap_err();
    assert_eq!(failure.fault, Fault::Local);
    assert_eq!((fake.called("answer"), fake.called("finalize")), (0, 0));
}
