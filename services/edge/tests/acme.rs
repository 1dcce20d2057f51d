//! The edge and a real CA: certificates are issued over the network with real validation, and kept through whatever
//! happens in between.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "acme/edge.rs"]
mod edge;
#[path = "acme/pebble.rs"]
mod pebble;

use common::{Connection, get};
use edge::{Edge, Place};
use monodon_edge::acme::{backoff::Attempts, records::Records, records::authority_folder};
use pebble::{Pebble, Wish, wait_for};
use std::net::TcpListener;

const NAME: &str = "www.example.com";

fn wish(place: &Place) -> Wish {
    Wish { http_port: place.http.port(), tls_port: place.https.port(), refused_nonces: 0, lifetime: 90 * 24 * 3600 }
}

#[test]
fn a_certificate_is_issued_while_half_the_nonces_are_refused_and_kept_through_restarts() {
    let place = Place::new(&[NAME]);
    let pebble = Pebble::start(place.folder(), &Wish { refused_nonces: 50, ..wish(&place) });
    let root = pebble.issued_root();
    let mut edge = Edge::start(&place, &pebble.directory, &pebble.roots);
    assert!(edge.serves("localhost", &edge.internal_root()));
    wait_for("the certificate", || edge.serves(NAME, &root).then_some(()));
    assert!(edge.serves("localhost", &edge.internal_root()), "other names keep the internal certificate");
    // Browsers trust it: they are told to come back by no other way.
    let mut client = Connection::tls(place.https, &root, NAME, &["http/1.1"]).unwrap();
    let answer = client.ask(format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n"));
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"), "{}", answer.head);
    wait_for("the orders to be counted", || (edge.metric("acme_orders_total{result=\"issued\"}") == 1).then_some(()));
    assert!(!edge.ready().contains("pending"), "{}", edge.ready());

    for _ in 0..3 {
        edge.stop();
        edge = Edge::start(&place, &pebble.directory, &pebble.roots);
        assert!(edge.serves(NAME, &root), "served from the first handshake");
        // The manager has looked, and sees no reason to do anything for weeks.
        let next = wait_for("the manager's look", || {
            Some(edge.metric(&format!("acme_next_attempt_timestamp_seconds{{site=\"{NAME}\"}}"))).filter(|at| *at > 0)
        });
        assert!(next > edge::now() + 30 * 24 * 3600);
    }
    assert_eq!(pebble.orders(), 1);
    edge.nothing_open_to_others();
}

/// An edge was killed when this was so, and before it had its certificate: where the test came too late, another is.
fn killed_when(what: &str, so: impl Fn(&Pebble, &Records) -> bool) -> (Place, Pebble, std::path::PathBuf) {
    wait_for("a kill in time", || {
        let place = Place::new(&[NAME]);
        let pebble = Pebble::start(place.folder(), &wish(&place));
        let root = pebble.issued_root();
        let records = place.records(&pebble.directory, NAME);
        let edge = Edge::start(&place, &pebble.directory, &pebble.roots);
        wait_for(what, || so(&pebble, &records).then_some(()));
        edge.kill();
        records.certificate().unwrap().is_none().then_some((place, pebble, root))
    })
}

#[test]
fn killed_after_ordering_it_goes_on_with_that_order() {
    let (place, pebble, root) = killed_when("the stored order", |_, records| records.order().unwrap().is_some());
    let edge = Edge::start(&place, &pebble.directory, &pebble.roots);
    wait_for("the certificate", || edge.serves(NAME, &root).then_some(()));
    assert_eq!(pebble.orders(), 1);
}

#[test]
fn killed_after_the_ca_has_issued_it_fetches_that_certificate() {
    let issued = |pebble: &Pebble, _: &Records| pebble.log().contains("Issued certificate");
    let (place, pebble, root) = killed_when("the CA to issue", issued);
    let edge = Edge::start(&place, &pebble.directory, &pebble.roots);
    wait_for("the certificate", || edge.serves(NAME, &root).then_some(()));
    assert_eq!((pebble.orders(), pebble.log().matches("Issued certificate").count()), (1, 1));
}

#[test]
fn a_ca_that_never_answers_is_in_nobodys_way() {
    let place = Place::new(&[NAME]);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = format!("https://{}/dir", silent.local_addr().unwrap());
    // Never reached as far as its certificate; any will do.
    let roots = place.folder().join("roots.pem");
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(&roots, rcgen::CertificateParams::new(vec![]).unwrap().self_signed(&key).unwrap().pem()).unwrap();
    let edge = Edge::start(&place, &directory, &roots);
    assert!(edge.serves(NAME, &edge.internal_root()));
    assert!(edge.ready().contains("pending"), "{}", edge.ready());
    wait_for("the first attempt to be given up", || edge.ready().contains("timed out").then_some(()));
    let next = edge.metric(&format!("acme_next_attempt_timestamp_seconds{{site=\"{NAME}\"}}"));
    assert!(next > edge::now() + 30, "the next attempt comes too soon");
    assert_eq!(edge.metric(&format!("acme_consecutive_failures{{site=\"{NAME}\"}}")), 1);
    assert!(edge.serves(NAME, &edge.internal_root()));

    // Nor does a restart try again before its time.
    edge.kill();
    let edge = Edge::start(&place, &directory, &roots);
    wait_for("the stored failure", || {
        (edge.metric(&format!("acme_consecutive_failures{{site=\"{NAME}\"}}")) == 1).then_some(())
    });
    assert_eq!(edge.metric(&format!("acme_next_attempt_timestamp_seconds{{site=\"{NAME}\"}}")), next);
}

#[test]
fn a_name_whose_dns_fails_holds_up_no_other() {
    let other = "broken.example.com";
    let place = Place::new(&[other, NAME]);
    let pebble = Pebble::start(place.folder(), &wish(&place));
    pebble.break_dns(other);
    let root = pebble.issued_root();
    let edge = Edge::start(&place, &pebble.directory, &pebble.roots);
    wait_for("the certificate", || edge.serves(NAME, &root).then_some(()));
    wait_for("the failure", || (edge.metric("acme_orders_total{result=\"failed\"}") == 1).then_some(()));
    assert!(edge.serves(other, &edge.internal_root()));
    let ready = edge.ready();
    assert!(ready.contains(other) && ready.contains("pending"), "{ready}");
}

#[test]
fn where_the_first_way_has_failed_the_second_is_http_on_port_80() {
    let place = Place::new(&[NAME]);
    // Nothing answers where the CA would look by TLS.
    let pebble = Pebble::start(place.folder(), &Wish { tls_port: common::free_port(), ..wish(&place) });
    let root = pebble.issued_root();
    let records = place.records(&pebble.directory, NAME);
    records.prepare().unwrap();
    records.save_attempts(&Attempts { consecutive_failures: 1, ..Attempts::default() }).unwrap();
    // The CA is on nobody's list, and counts for nothing.
    let closed = ["--deny", "all", "--allow-methods", "POST"];
    let edge = Edge::start_with(&place, &pebble.directory, &pebble.roots, &closed);
    wait_for("the certificate", || edge.serves(NAME, &root).then_some(()));
    let answer = get(place.http, "/.well-known/acme-challenge/unknown", &[&format!("Host: {NAME}")]);
    assert_eq!(answer.status, 403, "what is no challenge is as anything");
}

#[test]
fn a_certificate_is_renewed_ahead_of_its_end_without_a_restart() {
    let place = Place::new(&[NAME]);
    let pebble = Pebble::start(place.folder(), &Wish { lifetime: 20, ..wish(&place) });
    let root = pebble.issued_root();
    let edge = Edge::start(&place, &pebble.directory, &pebble.roots);
    let expiry = || edge.metric(&format!("certificate_not_after_timestamp_seconds{{site=\"{NAME}\",issuer=\"acme\"}}"));
    let first = wait_for("the certificate", || Some(expiry()).filter(|at| *at > 0));
    wait_for("the next certificate", || Some(expiry()).filter(|at| *at > first));
    assert!(edge::now() <= first, "it came too late");
    wait_for("the new one to be served", || edge.serves(NAME, &root).then_some(()));
}

#[test]
fn of_two_edges_on_one_folder_one_orders_and_both_serve() {
    let place = Place::new(&[NAME]);
    let pebble = Pebble::start(place.folder(), &wish(&place));
    let root = pebble.issued_root();
    let first = Edge::start(&place, &pebble.directory, &pebble.roots);
    let second = Edge::start(&place.beside(), &pebble.directory, &pebble.roots);
    wait_for("the certificate", || first.serves(NAME, &root).then_some(()));
    wait_for("the other's to be taken up", || second.serves(NAME, &root).then_some(()));
    assert_eq!(pebble.orders(), 1);
}

#[test]
fn a_store_that_cannot_be_read_is_not_taken_for_an_empty_one() {
    let place = Place::new(&[NAME]);
    let pebble = Pebble::start(place.folder(), &wish(&place));
    let authority = authority_folder(&place.state(), &pebble.directory);
    std::fs::create_dir_all(authority.join("names").join(NAME).join("certificate.pem")).unwrap();
    let _: Records = place.records(&pebble.directory, NAME);
    let edge = Edge::start(&place, &pebble.directory, &pebble.roots);
    wait_for("the warning", || edge.ready().contains("certificate.pem cannot be read").then_some(()));
    assert!(edge.serves(NAME, &edge.internal_root()));
    assert_eq!(pebble.orders(), 0);
}

#[test]
fn a_check_of_the_cas_outside_an_order_is_refused() {
    let place = Place::new(&[NAME]);
    let pebble = Pebble::start(place.folder(), &wish(&place));
    let edge = Edge::start(&place, &pebble.directory, &pebble.roots);
    let root = edge.internal_root();
    assert!(Connection::tls(place.https, &root, "localhost", &["acme-tls/1"]).is_err());
}
