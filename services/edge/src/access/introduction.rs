//! The PROXY header at the beginning of a connection: whose it is, told by a proxy that only passes bytes on.
//!
//! It is taken off the socket to the byte, so that TLS and HTTP find what follows as if nothing had been before.

use monodon_proxy_protocol::{Connection, Read, Versions, read};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// The longest that is read; headers with a certificate's names in their additional values are this long, not longer.
const LONGEST: usize = 8 << 10;

/// Why a connection is closed, for the log.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    Malformed(&'static str),
    Absent,
    TooLong,
    Late,
    Gone,
}

/// The client's address and the one it was accepted at; `None`: the connection is the proxy's own, or nobody knows whose.
pub async fn take(stream: &mut TcpStream, limit: Duration) -> Result<Option<(SocketAddr, SocketAddr)>, Refused> {
    tokio::time::timeout(limit, header(stream)).await.unwrap_or(Err(Refused::Late))
}

async fn header(stream: &mut TcpStream) -> Result<Option<(SocketAddr, SocketAddr)>, Refused> {
    let mut bytes: Vec<u8> = vec![0; 256];
    let mut have = 0;
    loop {
        if have == bytes.len() {
            if have >= LONGEST {
                return Err(Refused::TooLong);
            }
            bytes.resize((have * 2).min(LONGEST), 0);
        }
        let more = stream.peek(bytes.get_mut(have..).unwrap_or_default()).await.map_err(|_| Refused::Gone)?;
        if more == 0 {
            return Err(Refused::Gone);
        }
        let found = read(bytes.get(..have + more).unwrap_or_default(), Versions::Both);
        let (taken, whole) = match found.map_err(|malformed| Refused::Malformed(malformed.reason()))? {
            Read::Absent => return Err(Refused::Absent),
            // All that is there belongs to the header.
            Read::Unsure | Read::Partial => (more, None),
            Read::Complete(header) => (header.length.saturating_sub(have), Some(header.connection)),
        };
        let place = bytes.get_mut(have..have + taken).unwrap_or_default();
        stream.read_exact(place).await.map_err(|_: io::Error| Refused::Gone)?;
        have += taken;
        match whole {
            None => {}
            Some(Connection::Tcp { source, destination }) => return Ok(Some((source, destination))),
            Some(Connection::Local | Connection::Unknown) => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    const PATIENCE: Duration = Duration::from_secs(20);

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    type Taken = Result<Option<(SocketAddr, SocketAddr)>, Refused>;

    /// What is read of these parts, and what is left.
    fn taken(parts: &'static [&'static [u8]]) -> (Taken, Vec<u8>) {
        runtime().block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let sender = std::thread::spawn(move || {
                let mut client = std::net::TcpStream::connect(address).unwrap();
                client.set_nodelay(true).unwrap();
                for part in parts {
                    let _ = client.write_all(part);
                    std::thread::sleep(Duration::from_millis(3));
                }
                let _ = client.shutdown(std::net::Shutdown::Write);
                let _ = client.read(&mut [0; 1]);
            });
            let (mut stream, _) = listener.accept().await.unwrap();
            let told = take(&mut stream, PATIENCE).await;
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.unwrap();
            drop(stream);
            sender.join().unwrap();
            (told, rest)
        })
    }

    #[test]
    fn to_the_byte_however_it_comes() {
        let told = ("192.0.2.7:51234".parse().unwrap(), "192.0.2.1:443".parse().unwrap());
        const WAYS: &[&[&[u8]]] = &[
            &[b"PROXY TCP4 192.0.2.7 192.0.2.1 51234 443\r\nGET"],
            &[b"PRO", b"XY TCP4 192.0.2.7 192.0.2.1 51", b"234 443\r", b"\nGE", b"T"],
            &[b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc0\0\x02\x01\xc8\x22\x01\xbbGET"],
            &[b"\r\n\r\n\0\r\nQU", b"IT\n\x21\x11\0", b"\x0c\xc0\0\x02\x07\xc0\0\x02\x01\xc8\x22", b"\x01\xbbGET"],
            &[b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10\xc0\0\x02\x07\xc0\0\x02\x01\xc8\x22\x01\xbb\x04\0\x01\0GET"],
        ];
        for parts in WAYS {
            assert_eq!(taken(parts), (Ok(Some(told)), b"GET".to_vec()));
        }
        assert_eq!(taken(&[b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0GET"]), (Ok(None), b"GET".to_vec()));
        assert_eq!(taken(&[b"PROXY UNKNOWN\r\nGET"]), (Ok(None), b"GET".to_vec()));
    }

    #[test]
    fn what_is_refused() {
        assert_eq!(taken(&[b"GET / HTTP/1.1\r\n"]).0, Err(Refused::Absent));
        assert_eq!(
            taken(&[b"PROXY TCP4 192.0.2.7 x 1 2\r\n"]).0,
            Err(Refused::Malformed("PROXY line with a malformed address"))
        );
        assert_eq!(taken(&[b"PROXY TCP4 "]).0, Err(Refused::Gone));
        assert_eq!(taken(&[]).0, Err(Refused::Gone));
    }

    #[test]
    fn as_long_as_a_head_may_take() {
        runtime().block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            assert_eq!(take(&mut stream, Duration::from_millis(20)).await, Err(Refused::Late));
        });
    }
}
