//! A client that sends exactly what it is told, and reads one answer by its framing.

use super::PATIENCE;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The first value of a field; names are lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All values of a field.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

pub struct Connection {
    stream: Box<dyn Stream>,
    raw: TcpStream,
    rest: Vec<u8>,
}

impl Connection {
    pub fn plain(address: SocketAddr) -> io::Result<Self> {
        let raw = connect(address)?;
        Ok(Self { stream: Box::new(raw.try_clone()?), raw, rest: Vec::new() })
    }

    /// Leaves with a reset instead of an end.
    pub fn reset(self) {
        socket2::SockRef::from(&self.raw).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// TLS with this CA, SNI and ALPN.
    pub fn tls(address: SocketAddr, ca: &Path, name: &str, alpn: &[&str]) -> io::Result<Self> {
        let raw = connect(address)?;
        let config = client_config(ca, alpn);
        let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
        let mut session = rustls::ClientConnection::new(config, name).map_err(io::Error::other)?;
        let mut socket = raw.try_clone()?;
        session.complete_io(&mut socket)?;
        Ok(Self { stream: Box::new(rustls::StreamOwned::new(session, socket)), raw, rest: Vec::new() })
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())?;
        self.stream.flush()
    }

    /// No more will be sent.
    pub fn finish(&self) {
        let _ = self.raw.shutdown(std::net::Shutdown::Write);
    }

    /// Whether the other side closes without sending anything more.
    pub fn is_closed(&mut self) -> bool {
        self.rest.is_empty() && matches!(self.stream.read(&mut [0; 1]), Ok(0) | Err(_))
    }

    /// Whatever comes until the other side closes.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.rest);
        if let Err(error) = self.stream.read_to_end(&mut all) {
            assert_ne!(error.kind(), io::ErrorKind::WouldBlock, "it stays open");
        }
        all
    }

    fn more(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16384];
        let size = self.stream.read(&mut buffer)?;
        if size == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.rest.extend_from_slice(&buffer[..size]);
        Ok(())
    }

    /// The next head as it came, through the empty line.
    pub fn head(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.rest.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = self.rest.drain(..end + 4).collect::<Vec<u8>>();
                return Ok(String::from_utf8_lossy(&head).into_owned());
            }
            self.more()?;
        }
    }

    /// Exactly this many further bytes.
    pub fn bytes(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.rest.len() < length {
            self.more()?;
        }
        Ok(self.rest.drain(..length).collect())
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.rest.windows(2).position(|window| window == b"\r\n") {
                let line = self.rest.drain(..end + 2).collect::<Vec<u8>>();
                return Ok(String::from_utf8_lossy(&line).trim().to_owned());
            }
            self.more()?;
        }
    }

    /// The next chunk of a chunked body; the last is empty.
    pub fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let size = usize::from_str_radix(&self.line()?, 16).map_err(io::Error::other)?;
        let chunk = self.bytes(size)?;
        self.line()?;
        Ok(chunk)
    }

    /// The next answer that is not 100; `to_head`: it answers a HEAD.
    pub fn answer_to(&mut self, to_head: bool) -> io::Result<Answer> {
        let (head, status) = loop {
            let head = self.head()?;
            let status: u16 = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
            if status != 100 {
                break (head, status);
            }
        };
        let headers: Vec<(String, String)> = head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut answer = Answer { status, head, headers, body: Vec::new() };
        if to_head || status < 200 || matches!(status, 204 | 304) {
            return Ok(answer);
        }
        if answer.header("transfer-encoding").is_some() {
            loop {
                let size = usize::from_str_radix(&self.line()?, 16).map_err(io::Error::other)?;
                if size == 0 {
                    self.line()?;
                    break;
                }
                answer.body.extend(self.bytes(size)?);
                self.line()?;
            }
        } else if let Some(length) = answer.header("content-length") {
            let length = length.parse().map_err(io::Error::other)?;
            answer.body = self.bytes(length)?;
        } else {
            answer.body = self.read_to_end();
        }
        Ok(answer)
    }

    pub fn answer(&mut self) -> io::Result<Answer> {
        self.answer_to(false)
    }

    /// Sends and reads the answer.
    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        let request = request.as_ref();
        self.send(request).unwrap();
        self.answer_to(request.starts_with(b"HEAD ")).unwrap()
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Trusts this CA alone.
pub fn client_config(ca: &Path, alpn: &[&str]) -> Arc<rustls::ClientConfig> {
    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in rustls::pki_types::CertificateDer::pem_file_iter(ca).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

pub fn try_get(address: SocketAddr, path: &str) -> io::Result<Answer> {
    let mut connection = Connection::plain(address)?;
    connection.send(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"))?;
    connection.answer()
}

/// One plain GET with these further header lines.
pub fn get(address: SocketAddr, path: &str, fields: &[&str]) -> Answer {
    request(address, "GET", path, fields)
}

pub fn request(address: SocketAddr, method: &str, path: &str, fields: &[&str]) -> Answer {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let host =
        if fields.to_ascii_lowercase().contains("host:") { String::new() } else { format!("Host: {address}\r\n") };
    let mut connection = Connection::plain(address).unwrap();
    connection.ask(format!("{method} {path} HTTP/1.1\r\n{host}{fields}Connection: close\r\n\r\n"))
}
