//! Handshakes in memory: what a client gets for the name and protocols it asks with.

use super::*;
use crate::drain;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};

fn settings(state: &Path) -> Tls {
    Tls { state: state.to_owned(), ..Tls::default() }
}

fn trusting(pem: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    roots
}

fn client(roots: RootCertStore, protocols: &[&[u8]]) -> Arc<ClientConfig> {
    let builder =
        ClientConfig::builder_with_provider(config::provider()).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

/// Both ends after the handshake, or what broke it.
fn shake(
    client: &Arc<ClientConfig>,
    server: &Arc<rustls::ServerConfig>,
    name: &str,
) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    let mut client = ClientConnection::new(client.clone(), ServerName::try_from(name.to_owned()).unwrap()).unwrap();
    let mut server = ServerConnection::new(server.clone()).unwrap();
    while client.is_handshaking() || server.is_handshaking() || client.wants_write() || server.wants_write() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok((client, server))
}

#[test]
fn localhost_works_at_once_and_the_root_outlives_a_restart() {
    let base = tempfile::tempdir().unwrap();
    let first = Certificates::open(&settings(base.path())).unwrap();
    let root = first.ca_pem();
    assert!(!root.contains("PRIVATE"));
    drop(first);
    let again = Certificates::open(&settings(base.path())).unwrap();
    assert_eq!(again.ca_pem(), root);
    let client = client(trusting(&root), &[b"h2", b"http/1.1"]);
    for name in ["localhost", "127.0.0.1", "::1"] {
        let (client, server) = shake(&client, &server_config(&again), name).unwrap();
        assert_eq!(client.alpn_protocol(), Some(&b"h2"[..]));
        assert_eq!(client.negotiated_key_exchange_group().unwrap().name(), rustls::NamedGroup::X25519MLKEM768);
        assert!(!is_challenge(&server));
    }
    assert!(shake(&client, &server_config(&again), "other.test").is_err());
}

#[test]
fn new_names_get_a_new_internal_certificate() {
    let base = tempfile::tempdir().unwrap();
    let certificates = Certificates::open(&settings(base.path())).unwrap();
    let server = server_config(&certificates);
    let client = client(trusting(&certificates.ca_pem()), &[]);
    assert!(shake(&client, &server, "shop.lan").is_err());
    let more =
        Tls { local_names: vec!["shop.lan".into()], domains: vec!["www.example.com".into()], ..settings(base.path()) };
    certificates.reconfigure(&more);
    shake(&client, &server, "shop.lan").unwrap();
    shake(&client, &server, "www.example.com").unwrap();
    assert!(!certificates.is_public("www.example.com"));
}

#[test]
fn names_below_localhost_work_at_once_and_are_bounded() {
    let base = tempfile::tempdir().unwrap();
    let certificates = Certificates::open(&settings(base.path())).unwrap();
    let server = server_config(&certificates);
    let client = client(trusting(&certificates.ca_pem()), &[b"h2"]);
    let leaf = |name: &str| shake(&client, &server, name).unwrap().0.peer_certificates().unwrap()[0].to_vec();
    let first = leaf("shop.localhost");
    let (_, parsed) = x509_parser::parse_x509_certificate(&first).unwrap();
    let names = parsed.subject_alternative_name().unwrap().unwrap().value.general_names.clone();
    assert!(names.iter().any(|name| name.to_string().contains("shop.localhost")), "{names:?}");
    assert_eq!(leaf("shop.localhost"), first, "it is kept");
    for number in 0..2 * LOCAL_NAMES {
        certificates.local(&format!("n{number}.localhost"));
    }
    assert_eq!(certificates.state().local.len(), LOCAL_NAMES);
    assert!(!certificates.is_public("shop.localhost"));
}

#[test]
fn a_session_is_resumed_without_a_cache() {
    let base = tempfile::tempdir().unwrap();
    let certificates = Certificates::open(&settings(base.path())).unwrap();
    let server = server_config(&certificates);
    let client = client(trusting(&certificates.ca_pem()), &[b"h2"]);
    let kind = |pair: (ClientConnection, ServerConnection)| pair.0.handshake_kind().unwrap();
    assert_eq!(kind(shake(&client, &server, "localhost").unwrap()), rustls::HandshakeKind::Full);
    assert_eq!(kind(shake(&client, &server, "localhost").unwrap()), rustls::HandshakeKind::Resumed);
}

#[test]
fn tls_1_2_is_spoken() {
    let base = tempfile::tempdir().unwrap();
    let certificates = Certificates::open(&settings(base.path())).unwrap();
    let builder = ClientConfig::builder_with_provider(config::provider());
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS12]).unwrap();
    let roots = trusting(&certificates.ca_pem());
    let client = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
    let (client, _) = shake(&client, &server_config(&certificates), "localhost").unwrap();
    assert_eq!(client.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
}

#[test]
fn a_challenge_is_for_the_ca_alone() {
    let base = tempfile::tempdir().unwrap();
    let certificates = Certificates::open(&settings(base.path())).unwrap();
    let server = server_config(&certificates);
    let other = Authority::in_memory(unix_now()).unwrap();
    let key = other.issue(&["new.example.com".into()], unix_now()).unwrap().key;
    let checker = client(trusting(other.pem()), &[config::ACME_TLS_ALPN]);
    assert!(shake(&checker, &server, "new.example.com").is_err(), "nothing is being checked");
    certificates.change(|state| state.set_challenge("new.example.com", Some(key)));
    let (_, connection) = shake(&checker, &server, "new.example.com").unwrap();
    assert!(is_challenge(&connection));
    let both = client(trusting(other.pem()), &[config::ACME_TLS_ALPN, b"h2"]);
    assert!(shake(&both, &server, "new.example.com").is_err(), "it got the challenge's certificate");
    certificates.change(|state| state.set_challenge("new.example.com", None));
    assert!(shake(&checker, &server, "new.example.com").is_err());
}

#[test]
fn an_answer_to_http_01_is_there_while_it_is_needed() {
    let base = tempfile::tempdir().unwrap();
    let certificates = Certificates::open(&settings(base.path())).unwrap();
    certificates.change(|state| state.set_token("abc", Some(Bytes::from_static(b"abc.key"))));
    assert_eq!(certificates.http_challenge("abc").unwrap(), "abc.key");
    assert!(certificates.http_challenge("abd").is_none());
    certificates.change(|state| state.set_token("abc", None));
    assert!(certificates.http_challenge("abc").is_none());
}

#[test]
fn a_state_that_cannot_be_used_is_told_and_the_site_is_served() {
    let base = tempfile::tempdir().unwrap();
    std::fs::write(base.path().join("internal-ca"), b"not a folder").unwrap();
    let certificates = Certificates::open(&settings(base.path())).unwrap();
    let problem = certificates.status().remove(0).problem.unwrap();
    assert!(problem.contains("temporary internal CA"), "{problem}");
    let client = client(trusting(&certificates.ca_pem()), &[]);
    shake(&client, &server_config(&certificates), "localhost").unwrap();
}

#[test]
fn a_stored_certificate_is_served_from_the_first_handshake() {
    let base = tempfile::tempdir().unwrap();
    let config = Tls {
        domains: vec!["www.example.com".into(), "broken.example.com".into()],
        acme_email: Some("a@example.com".into()),
        acme_directory: "https://ca.test/directory".into(),
        ..settings(base.path())
    };
    let ca = Authority::in_memory(unix_now()).unwrap();
    let (chain, key) = ca.issue_pem(&["www.example.com".into()], unix_now()).unwrap();
    let folder = crate::acme::records::authority_folder(base.path(), &config.acme_directory);
    let records = crate::acme::records::Records::new(&folder, "www.example.com");
    records.prepare().unwrap();
    records.save_certificate(&chain, &key).unwrap();
    let broken = folder.join("names/broken.example.com/certificate.pem");
    std::fs::create_dir_all(&broken).unwrap();

    let certificates = Certificates::open(&config).unwrap();
    assert!(certificates.is_public("www.example.com"));
    assert!(!certificates.is_public("broken.example.com"));
    shake(&client(trusting(ca.pem()), &[]), &server_config(&certificates), "www.example.com").unwrap();
    let status = certificates.status();
    assert_eq!(status[1].issuer, Issuer::Acme);
    assert!(status[1].problem.is_none());
    assert!(status[2].problem.as_ref().unwrap().contains("pending"), "{status:?}");
    let mut text = String::new();
    certificates.render(&mut text);
    assert!(
        text.contains("certificate_not_after_timestamp_seconds{site=\"www.example.com\",issuer=\"acme\"} "),
        "{text}"
    );
    assert!(text.contains("acme_consecutive_failures{site=\"www.example.com\"} 0"), "{text}");
}

#[test]
fn names_that_cannot_stand_in_a_certificate_are_refused() {
    let with = |name: &str| Certificates::open(&Tls { domains: vec![name.into()], ..Tls::default() });
    assert!(with("www.example.com").is_ok());
    for name in ["WWW.example.com", "https://example.com", "exa mple.com", "10.0.0.1/8", ""] {
        assert!(with(name).is_err(), "{name}");
    }
}

/// The manager may be given to any runtime.
#[test]
fn the_manager_can_be_sent_to_a_thread() {
    fn sendable<T: Send>(_: T) {}
    let certificates = Certificates::open(&Tls::default()).unwrap();
    let (_control, drain) = drain::channel();
    sendable(manage(certificates, drain));
}
