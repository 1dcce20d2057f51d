//! The network's side: nonces that are refused, a CA that says nothing, an account key that cannot be read.

use super::*;
use crate::acme::failure::Fault;
use crate::tls::{internal::Authority as Internal, unix_now};
use std::sync::Mutex as StdMutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

struct Ca {
    client: Client,
    base: tempfile::TempDir,
    /// Request lines, in order.
    asked: Arc<StdMutex<Vec<String>>>,
}

/// A CA over TLS that answers each request line with what `answer` gives: status, more header lines, body.
async fn ca(answer: impl Fn(&str, usize) -> (u16, String, String) + Send + Sync + 'static) -> Ca {
    let base = tempfile::tempdir().unwrap();
    let internal = Internal::in_memory(unix_now()).unwrap();
    let roots = base.path().join("roots.pem");
    std::fs::write(&roots, internal.pem()).unwrap();
    let leaf = internal.issue(&[], unix_now()).unwrap();
    let resolver = Arc::new(rustls::sign::SingleCertAndKey::from(leaf.key));
    let builder =
        rustls::ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let tls = tokio_rustls::TlsAcceptor::from(Arc::new(builder.with_no_client_auth().with_cert_resolver(resolver)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let asked = Arc::new(StdMutex::new(Vec::<String>::new()));
    let seen = asked.clone();
    let own = url.clone();
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = tls.accept(tcp).await else { continue };
            let mut request = Vec::new();
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            let line = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned();
            let before = seen.lock().unwrap().iter().filter(|other| **other == line).count();
            seen.lock().unwrap().push(line.clone());
            let (status, headers, body) = match line.split(' ').nth(1).unwrap_or_default() {
                "/directory" => {
                    let body = format!(
                        r#"{{"newNonce":"{own}/nonce","newAccount":"{own}/account","newOrder":"{own}/order"}}"#
                    );
                    (200, String::new(), body)
                }
                "/nonce" => (200, "Replay-Nonce: bm9uY2U\r\n".into(), String::new()),
                "/account" => (201, format!("Location: {own}/account/1\r\n"), "{}".into()),
                path => answer(path, before),
            };
            let head =
                format!("HTTP/1.1 {status} x\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(body.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    let key = base.path().join("account.key");
    let client = Client::new(&format!("{url}/directory"), "a@example.com", Some(&roots), key).unwrap();
    Ca { client, base, asked }
}

fn problem(kind: &str) -> String {
    format!(r#"{{"type":"urn:ietf:params:acme:error:{kind}","detail":"no","status":400}}"#)
}

#[tokio::test]
async fn a_refused_nonce_is_only_bad_luck() {
    let ca = ca(|_, before| match before {
        0..3 => (400, String::new(), problem("badNonce")),
        _ => {
            let order = r#"{"status":"pending","authorizations":[],"finalize":"f"}"#;
            (201, "Location: https://ca.test/order/1\r\n".into(), order.into())
        }
    })
    .await;
    let (url, _) = ca.client.new_order("www.example.com").await.unwrap();
    assert_eq!(url, "https://ca.test/order/1");
    let orders = ca.asked.lock().unwrap().iter().filter(|line| line.starts_with("POST /order ")).count();
    assert_eq!(orders, 4);
}

#[tokio::test]
async fn anything_else_is_told_at_once_in_words() {
    let ca = ca(|_, _| (400, String::new(), problem("rejectedIdentifier"))).await;
    let failure = ca.client.new_order("www.example.com").await.unwrap_err();
    assert_eq!(failure.fault, Fault::Refused);
    assert_eq!(failure.text, "ordering: the CA answered 400 urn:ietf:params:acme:error:rejectedIdentifier: no");
    let orders = ca.asked.lock().unwrap().iter().filter(|line| line.starts_with("POST /order ")).count();
    assert_eq!(orders, 1);
}

#[tokio::test]
async fn an_account_that_is_gone_is_opened_again() {
    let ca = ca(|_, _| (400, String::new(), problem("accountDoesNotExist"))).await;
    assert!(ca.client.new_order("www.example.com").await.is_err());
    assert!(ca.client.new_order("www.example.com").await.is_err());
    let opened = ca.asked.lock().unwrap().iter().filter(|line| line.starts_with("POST /account ")).count();
    assert_eq!(opened, 2);
}

#[tokio::test]
async fn a_ca_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = tempfile::tempdir().unwrap();
    let directory = format!("https://{}/directory", listener.local_addr().unwrap());
    let mut client = Client::new(&directory, "a@example.com", None, base.path().join("account.key")).unwrap();
    client.timeout = Duration::from_millis(200);
    let failure = client.new_order("www.example.com").await.unwrap_err();
    assert_eq!(failure.fault, Fault::Unreachable);
    assert!(failure.text.contains("timed out"), "{}", failure.text);
}

#[tokio::test]
async fn an_account_key_that_cannot_be_read_is_not_replaced() {
    let ca = ca(|_, _| (500, String::new(), String::new())).await;
    let path = ca.base.path().join("account.key");
    std::fs::create_dir(&path).unwrap();
    let failure = ca.client.new_order("www.example.com").await.unwrap_err();
    assert_eq!(failure.fault, Fault::Local);
    assert!(ca.asked.lock().unwrap().is_empty(), "the CA was asked all the same");
}

#[test]
fn a_file_without_certificates_is_a_mistake_of_the_configuration() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("roots.pem");
    assert!(client_config(Some(&path)).unwrap_err().starts_with("acme_ca: "));
    std::fs::write(&path, "nothing").unwrap();
    assert!(client_config(Some(&path)).unwrap_err().contains("no PEM certificate"));
    assert!(client_config(None).is_ok());
}
