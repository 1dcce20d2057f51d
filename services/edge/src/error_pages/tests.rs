//! What clients read.

use super::*;
use crate::config::options::errors::Errors;

fn text(accept: Option<&'static str>, status: u16) -> (Response<Body>, String) {
    let mut headers = HeaderMap::new();
    if let Some(accept) = accept {
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
    }
    let status = StatusCode::from_u16(status).unwrap();
    let id = HeaderValue::from_static("abc123");
    let words = words::of(status, false);
    let told = Told { status, maintenance: false, method: &Method::GET, host: None, id: &id, words };
    let mut response = render(&told, &Errors::default(), Format::wanted(&headers));
    let bytes = response.body_mut().take_full().unwrap();
    (response, String::from_utf8(bytes.to_vec()).unwrap())
}

#[test]
fn speaks_what_is_asked_for() {
    let (response, page) = text(Some("text/html,application/xhtml+xml,*/*;q=0.8"), 502);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
    assert!(page.contains("<code>abc123</code>") && page.contains("502") && page.contains("Try again"));
    let (response, json) = text(Some("application/problem+json"), 503);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json["status"].as_u64(), json["request_id"].as_str()), (Some(503), Some("abc123")));
    assert_eq!((json["title"].as_str(), json["error"].as_str()), (Some("Busy"), Some("Busy")));
    assert!(text(Some("*/*"), 404).1.starts_with("404 Not found\n"));
    assert!(text(None, 503).0.headers().contains_key(header::RETRY_AFTER));
    assert_eq!(text(None, 418).1, "418 I'm a teapot\nRequest abc123\n");
}

/// A style that the policy does not know would be left out by the browser.
#[test]
fn the_policy_names_the_style() {
    let suite = rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let digest = suite.tls13().unwrap().common.hash_provider.hash(builtin::STYLE.as_bytes());
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut hash = String::new();
    for three in digest.as_ref().chunks(3) {
        let bits = three.iter().chain([&0, &0]).take(3).fold(0usize, |bits, byte| bits << 8 | usize::from(*byte));
        for place in 0..4 {
            let digit = if place > three.len() { b'=' } else { alphabet[bits >> (18 - 6 * place) & 63] };
            hash.push(char::from(digit));
        }
    }
    assert!(builtin::POLICY.contains(&format!("'sha256-{hash}'")), "{hash} is not in {}", builtin::POLICY);
}
