use super::*;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use x509_parser::prelude::{FromDer, X509Certificate};

const NOW: u64 = 1_800_000_000;

fn verify(root: &Authority, leaf: &Bundle, name: &str, now: u64) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root.pem().as_bytes()).unwrap()).unwrap();
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), crate::tls::config::provider()).build().unwrap();
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now));
    let name = ServerName::try_from(name).unwrap();
    verifier.verify_server_cert(&leaf.key.cert[0], &[], &name, &[], now).map(|_| ())
}

#[test]
fn the_chain_verifies_for_its_names_and_its_time() {
    let root = Authority::in_memory(NOW).unwrap();
    let leaf = root.issue(&["shop.lan".into(), "10.1.2.3".into(), "localhost".into()], NOW).unwrap();
    for name in ["localhost", "shop.lan", "127.0.0.1", "::1", "10.1.2.3"] {
        verify(&root, &leaf, name, NOW).unwrap();
    }
    assert!(verify(&root, &leaf, "other.lan", NOW).is_err());
    assert!(verify(&root, &leaf, "localhost", NOW + 91 * DAY).is_err());
    let other = Authority::in_memory(NOW).unwrap();
    assert!(verify(&other, &leaf, "localhost", NOW).is_err());
}

#[test]
fn the_profile_is_one_that_browsers_take() {
    let root = Authority::in_memory(NOW).unwrap();
    let pem = CertificateDer::from_pem_slice(root.pem().as_bytes()).unwrap();
    let (_, certificate) = X509Certificate::from_der(&pem).unwrap();
    let constraints = certificate.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
    let usage = certificate.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.key_cert_sign() && !usage.value.digital_signature());
    let name = certificate.subject().iter_common_name().next().unwrap().as_str().unwrap().to_owned();
    assert!(name.starts_with("Monodon internal CA ") && name.ends_with("2027-01-15"), "{name}");
    assert!(name.len() <= 64);

    let leaf = root.issue(&[], NOW).unwrap();
    let (_, certificate) = X509Certificate::from_der(&leaf.key.cert[0]).unwrap();
    assert!(leaf.not_after - leaf.not_before <= 90 * DAY);
    assert!(!certificate.is_ca());
    assert!(certificate.extended_key_usage().unwrap().unwrap().value.server_auth);
    assert!(certificate.key_usage().unwrap().unwrap().value.digital_signature());
    let serial = certificate.raw_serial();
    assert!(serial.len() == 16 && serial[0] < 0x80);
    let (_, second) = (0, root.issue(&[], NOW).unwrap());
    let (_, second) = X509Certificate::from_der(&second.key.cert[0]).unwrap();
    assert_ne!(serial, second.raw_serial());
}

#[test]
fn the_root_is_kept_for_its_owner_alone_and_a_spoilt_one_is_not_replaced() {
    let base = tempfile::tempdir().unwrap();
    let (first, problem) = Authority::open(Some(base.path()), NOW).unwrap();
    assert!(problem.is_none());
    let path = base.path().join("internal-ca/root.pem");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(base.path().join("internal-ca")).unwrap().permissions().mode() & 0o777, 0o700);
    let public = std::fs::read_to_string(base.path().join("internal-ca/ca.pem")).unwrap();
    assert!(public.contains("BEGIN CERTIFICATE") && !public.contains("PRIVATE KEY"));
    let (second, _) = Authority::open(Some(base.path()), NOW + DAY).unwrap();
    assert_eq!(first.pem(), second.pem());

    std::fs::write(&path, b"spoilt").unwrap();
    let (third, problem) = Authority::open(Some(base.path()), NOW).unwrap();
    assert!(problem.unwrap().contains("root.pem"));
    assert_ne!(third.pem(), first.pem());
    assert_eq!(std::fs::read(&path).unwrap(), b"spoilt");
}

#[test]
fn a_root_near_its_end_is_replaced() {
    let base = tempfile::tempdir().unwrap();
    let (first, _) = Authority::open(Some(base.path()), NOW).unwrap();
    let (same, _) = Authority::open(Some(base.path()), NOW + 3000 * DAY).unwrap();
    assert_eq!(first.pem(), same.pem());
    let (next, problem) = Authority::open(Some(base.path()), NOW + 3600 * DAY).unwrap();
    assert!(problem.is_none());
    assert_ne!(first.pem(), next.pem());
    let leaf = next.issue(&[], NOW + 3600 * DAY).unwrap();
    verify(&next, &leaf, "localhost", NOW + 3600 * DAY).unwrap();
}

#[test]
fn two_thirds_of_a_life_is_when_it_is_renewed() {
    let leaf = Authority::in_memory(NOW).unwrap().issue(&[], NOW).unwrap();
    assert_eq!(leaf.two_thirds(), leaf.not_before + 60 * DAY);
    assert!(!leaf.expired(NOW + 89 * DAY));
    assert!(leaf.expired(NOW + 90 * DAY));
}
