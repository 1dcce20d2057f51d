//! A small browser: HTTPS that checks the certificate, HTTP/1.1 or HTTP/2, cookies, forms. Redirects are left to the test.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, StatusCode, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

pub struct Browser {
    pub host: String,
    port: u16,
    config: ClientConfig,
    cookies: BTreeMap<String, String>,
}

#[derive(Debug)]
pub struct Page {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub http2: bool,
}

impl Page {
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's value, empty when it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap_or("(not ASCII)"))
    }

    /// The value of the form's hidden field `name`.
    #[must_use]
    pub fn field(&self, name: &str) -> String {
        let text = self.text();
        let tag = text.split('<').find(|tag| tag.starts_with("input") && tag.contains(&format!("name=\"{name}\"")));
        let value = tag.and_then(|tag| tag.split("value=\"").nth(1)).and_then(|rest| rest.split('"').next());
        value.unwrap_or_else(|| panic!("no field {name} in:\n{text}")).to_owned()
    }
}

/// A file for a form.
pub struct Upload<'a> {
    pub field: &'a str,
    pub name: &'a str,
    pub kind: &'a str,
    pub bytes: &'a [u8],
}

impl Browser {
    /// Visits `https://localhost:PORT`, trusting only this CA.
    #[must_use]
    pub fn new(port: u16, ca: &str) -> Self {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(ca.as_bytes()) {
            roots.add(root.expect("a PEM certificate")).expect("a CA certificate");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { host: "localhost".to_owned(), port, config, cookies: BTreeMap::new() }
    }

    /// A TLS connection on which `protocols` were offered.
    pub async fn connect(&self, protocols: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
        let mut config = self.config.clone();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        let name = ServerName::try_from(self.host.clone()).expect("a host name");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    #[must_use]
    pub fn origin(&self) -> String {
        format!("https://{}:{}", self.host, self.port)
    }

    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.get(name).map(String::as_str)
    }

    pub async fn get(&mut self, path: &str) -> Page {
        self.send("GET", path, &[], Bytes::new()).await.unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// Sends a form as a page of this site would, with the CSRF token of its cookie in the field Django wants.
    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let pairs: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
        let referer = format!("{}{path}", self.origin());
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("referer", &referer)];
        let sent = self.send("POST", path, &headers, pairs.join("&").into()).await;
        sent.unwrap_or_else(|error| panic!("POST {path}: {error}"))
    }

    /// The same with files, as multipart/form-data.
    pub async fn upload(&mut self, path: &str, fields: &[(&str, &str)], files: &[Upload<'_>]) -> Page {
        const BOUNDARY: &str = "monodon-test-boundary";
        let mut body = Vec::new();
        for (name, value) in fields {
            let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
            body.extend_from_slice(head.as_bytes());
        }
        for Upload { field, name, kind, bytes } in files {
            let what = format!("Content-Disposition: form-data; name=\"{field}\"; filename=\"{name}\"");
            body.extend_from_slice(format!("--{BOUNDARY}\r\n{what}\r\nContent-Type: {kind}\r\n\r\n").as_bytes());
            body.extend_from_slice(bytes);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        let referer = format!("{}{path}", self.origin());
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        let sent = self.send("POST", path, &[("content-type", &kind), ("referer", &referer)], body.into()).await;
        sent.unwrap_or_else(|error| panic!("POST {path}: {error}"))
    }

    /// One request over a new connection, by HTTP/2 where the server agrees.
    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Page, Box<dyn std::error::Error + Send + Sync>> {
        let stream = self.connect(&["h2", "http/1.1"]).await?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.origin()));
        if !http2 {
            request = request.uri(path).header(header::HOST, format!("{}:{}", self.host, self.port));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !self.cookies.is_empty() {
            let pairs: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header(header::COOKIE, pairs.join("; "));
        }
        let request = request.body(Full::new(body))?;
        let answer = if http2 {
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            sender.send_request(request).await?
        } else {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            sender.send_request(request).await?
        };
        let (parts, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        for cookie in parts.headers.get_all(header::SET_COOKIE) {
            let pair = cookie.to_str()?.split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                self.cookies.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
        Ok(Page { status: parts.status, headers: parts.headers, body, http2 })
    }
}

/// Percent-encoding for form values.
#[must_use]
pub fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
