//! Connections over real sockets to a server that says exactly what it is told to.

use super::{Fault, Upload, Wire};
use crate::body::Body;
use crate::buffer::Buffered;
use crate::upstream::answer::Head;
use crate::upstream::connect::Stream;
use bytes::Bytes;
use http::StatusCode;
use http_body::Frame;
use std::future::poll_fn;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn pair() -> (Wire, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (Wire::new(Stream::Tcp(client)), listener.accept().await.unwrap().0)
}

/// A connection on which a GET has been sent and these bytes have come, in pieces of `step`.
async fn answered(bytes: &[u8], step: usize, to_head: bool) -> (Wire, TcpStream) {
    let (mut wire, mut server) = pair().await;
    wire.begin(b"GET / HTTP/1.1\r\n\r\n".to_vec(), Upload::Done, to_head);
    let bytes = bytes.to_vec();
    let said = tokio::spawn(async move {
        server.set_nodelay(true).unwrap();
        // What lies unread makes the end of a connection a reset.
        server.read_exact(&mut [0; 18]).await.unwrap();
        for piece in bytes.chunks(step) {
            server.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        server
    });
    // Reading drives the writing.
    let asked = poll_fn(|cx| wire.poll_head(cx)).await;
    let server = said.await.unwrap();
    asked.unwrap();
    (wire, server)
}

async fn body(wire: &mut Wire) -> Result<(Vec<u8>, Option<http::HeaderMap>), Fault> {
    let (mut data, mut trailers) = (Vec::new(), None);
    while let Some(frame) = poll_fn(|cx| wire.poll_frame(cx)).await {
        match frame?.into_data() {
            Ok(part) => data.extend_from_slice(&part),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok((data, trailers))
}

#[tokio::test]
async fn answers_of_every_framing_in_pieces_of_every_size() {
    for (text, expected, again) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", true),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nX-T: 1\r\n\r\n",
            "hello",
            true,
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello", "hello", false),
        (
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n",
            "",
            true,
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more", "hello", false),
        ("HTTP/1.1 304 Same\r\nContent-Length: 5\r\n\r\n", "", true),
        ("HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nhello", "", false),
    ] {
        for step in [1, 2, 7, 1000] {
            let (mut wire, _server) = answered(text.as_bytes(), step, false).await;
            let head = wire.take_head(Head::read).unwrap();
            assert!(head.status.as_u16() >= 200);
            let (data, trailers) = body(&mut wire).await.unwrap();
            assert_eq!(data, expected.as_bytes(), "{text:?}");
            assert_eq!(trailers.is_some(), text.contains("X-T"), "{text:?}");
            if again {
                assert!(wire.is_reusable(), "{text:?}");
            } else {
                // What is too much may come later than what was asked for.
                let reusable = wire.is_reusable() && {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    wire.is_open()
                };
                assert!(!reusable, "{text:?}");
            }
        }
    }
}

#[tokio::test]
async fn to_the_end_of_the_connection_but_not_to_its_break() {
    for broken in [false, true] {
        let (mut wire, mut server) = answered(b"HTTP/1.0 200 OK\r\n\r\nhel", 100, false).await;
        wire.take_head(Head::read).unwrap();
        server.write_all(b"lo").await.unwrap();
        if broken {
            socket2::SockRef::from(&server).set_linger(Some(Duration::ZERO)).unwrap();
            assert_eq!(poll_fn(|cx| wire.poll_frame(cx)).await.unwrap().unwrap().into_data().unwrap()[..3], *b"hel");
        }
        drop(server);
        let result = body(&mut wire).await;
        assert_eq!(result.is_err(), broken);
        if let Ok((data, _)) = result {
            assert_eq!(data, b"hello");
        }
        assert!(!wire.is_reusable());
    }
}

#[tokio::test]
async fn a_cut_body_is_an_error_in_every_framing() {
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloworld\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
    ] {
        let (mut wire, server) = answered(text.as_bytes(), 1000, false).await;
        wire.take_head(Head::read).unwrap();
        drop(server);
        assert!(body(&mut wire).await.is_err(), "{text:?}");
        assert!(!wire.is_reusable());
    }
    let (mut wire, server) = answered(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", 1000, false).await;
    wire.take_head(Head::read).unwrap();
    drop(server);
    assert!(poll_fn(|cx| wire.poll_whole(cx)).await.is_err());
}

#[tokio::test]
async fn interim_answers_are_bounded_and_noise_is_said_to_be_noise() {
    let (mut wire, mut server) = pair().await;
    wire.begin(b"GET / HTTP/1.1\r\n\r\n".to_vec(), Upload::Done, false);
    server.write_all("HTTP/1.1 102 Wait\r\n\r\n".repeat(100).as_bytes()).await.unwrap();
    let fault = poll_fn(|cx| wire.poll_head(cx)).await.unwrap_err();
    assert!(matches!(fault, Fault::Malformed("too_many_interim_answers")), "{fault:?}");
    for (noise, reason) in [
        ("SSH-2.0-OpenSSH\r\n", "status_line"),
        ("HTTP/1.1 200 OK\nA: b\n\n", "bare_lf"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "length_and_encoding"),
    ] {
        let (mut wire, mut server) = pair().await;
        wire.begin(b"GET / HTTP/1.1\r\n\r\n".to_vec(), Upload::Done, false);
        server.write_all(noise.as_bytes()).await.unwrap();
        let fault = poll_fn(|cx| wire.poll_head(cx)).await.unwrap_err();
        assert!(matches!(fault, Fault::Malformed(said) if said == reason), "{noise:?}: {fault:?}");
    }
}

#[tokio::test]
async fn what_comes_unasked_ends_an_idle_connection() {
    for unasked in ["HTTP/1.1 408 Late\r\nContent-Length: 0\r\n\r\n", "x", ""] {
        let (mut wire, mut server) = answered(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 100, false).await;
        wire.take_head(Head::read).unwrap();
        assert!(wire.is_reusable() && wire.is_open() && wire.is_open_now());
        wire.rest();
        server.write_all(unasked.as_bytes()).await.unwrap();
        if unasked.is_empty() {
            drop(server);
        }
        // The runtime has not looked yet; the kernel knows.
        assert!(!wire.is_open_now());
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!wire.is_open());
    }
}

#[tokio::test]
async fn nothing_sent_is_told_apart_from_something_sent() {
    let (mut wire, server) = pair().await;
    socket2::SockRef::from(&server).set_linger(Some(Duration::ZERO)).unwrap();
    drop(server);
    tokio::time::sleep(Duration::from_millis(20)).await;
    wire.begin(b"POST / HTTP/1.1\r\n\r\n".to_vec(), Upload::Done, false);
    assert!(matches!(poll_fn(|cx| wire.poll_head(cx)).await, Err(Fault::Unsent)));
    let (mut wire, mut server) = pair().await;
    wire.begin(b"POST / HTTP/1.1\r\n\r\n".to_vec(), Upload::Done, false);
    let gone = tokio::spawn(async move {
        server.read_exact(&mut [0; 4]).await.unwrap();
    });
    assert!(matches!(poll_fn(|cx| wire.poll_head(cx)).await, Err(Fault::Ended)));
    assert!(wire.was_reset(), "bytes of ours lay unread");
    gone.await.unwrap();
}

#[tokio::test]
async fn an_early_answer_is_read_though_the_body_cannot_be_written() {
    let (mut wire, mut server) = pair().await;
    let big = Buffered::memory(Bytes::from(vec![b'x'; 8 << 20]));
    wire.begin(b"POST / HTTP/1.1\r\n\r\n".to_vec(), Upload::Buffered(big.replay()), false);
    let early = tokio::spawn(async move {
        server.read_exact(&mut [0; 16]).await.unwrap();
        server.write_all(b"HTTP/1.1 413 Large\r\nContent-Length: 3\r\n\r\nno!").await.unwrap();
        server.shutdown().await.unwrap();
    });
    poll_fn(|cx| wire.poll_head(cx)).await.unwrap();
    assert_eq!(wire.take_head(Head::read).unwrap().status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(body(&mut wire).await.unwrap().0, b"no!");
    assert!(!wire.is_reusable(), "the rest of the body would be taken for a request");
    early.await.unwrap();
}

#[tokio::test]
async fn a_live_body_is_sent_as_it_comes_and_its_break_is_not_its_end() {
    for broken in [false, true] {
        let (mut wire, mut server) = pair().await;
        let end = broken.then_some(Err(crate::body::BodyError::Gone));
        let parts = [Ok(Frame::data(Bytes::from("hello"))), Ok(Frame::data(Bytes::from("!")))];
        let parts = futures_util::stream::iter(parts.into_iter().chain(end));
        let live = Body::stream(http_body_util::StreamBody::new(parts));
        wire.begin(b"POST / HTTP/1.1\r\n\r\n".to_vec(), Upload::Chunked(live), false);
        let read = tokio::spawn(async move {
            let mut all = Vec::new();
            while !all.ends_with(b"\r\n0\r\n\r\n") && server.read_buf(&mut all).await.unwrap() > 0 {}
            let _ = server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
            String::from_utf8(all).unwrap()
        });
        let result = poll_fn(|cx| wire.poll_head(cx)).await;
        assert_eq!(matches!(result, Err(Fault::Upload(_))), broken);
        drop(wire);
        let whole = "POST / HTTP/1.1\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n";
        let seen = read.await.unwrap();
        assert_eq!(seen == whole, !broken, "{seen:?}");
    }
}

/// What is missing would be taken from the next request, what is too much for one.
#[tokio::test]
async fn a_body_of_another_length_than_was_said_ends_its_connection() {
    for (said, parts, sent) in [(11, 1, "hello"), (11, 3, "hellohello"), (10, 2, "hellohello")] {
        let (mut wire, mut server) = pair().await;
        let parts = (0..parts).map(|_| Ok(Frame::data(Bytes::from("hello"))));
        let parts = http_body_util::StreamBody::new(futures_util::stream::iter(parts));
        let live = Body::stream(Said { left: said, body: parts });
        wire.begin(b"POST / HTTP/1.1\r\n\r\n".to_vec(), Upload::Live(live), false);
        let result = tokio::time::timeout(Duration::from_millis(50), poll_fn(|cx| wire.poll_head(cx))).await;
        let kept = sent.len() == said as usize;
        if !kept {
            assert!(matches!(result, Ok(Err(Fault::Upload(_)))), "{said}: {result:?}");
        }
        let wanted = format!("POST / HTTP/1.1\r\n\r\n{sent}");
        let mut seen = vec![0; wanted.len()];
        server.read_exact(&mut seen).await.unwrap();
        assert_eq!(seen, wanted.as_bytes());
        // An answer that comes early makes it no better.
        server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        if kept {
            poll_fn(|cx| wire.poll_head(cx)).await.unwrap();
            wire.take_head(Head::read).unwrap();
        }
        assert_eq!(wire.is_reusable(), kept, "{said}");
        drop(wire);
        let mut more = Vec::new();
        let _ = server.read_to_end(&mut more).await;
        assert!(more.is_empty());
    }
}

/// Says how long it is, and need not be.
struct Said<B> {
    left: u64,
    body: B,
}

impl<B: http_body::Body<Data = Bytes> + Unpin> http_body::Body for Said<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        std::pin::Pin::new(&mut self.body).poll_frame(cx)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.left)
    }
}

/// What an upstream says before it is asked is nobody's answer, though the request that then cannot be written finds it there.
#[tokio::test]
async fn an_answer_that_nobody_asked_for_is_not_taken_for_one() {
    for unasked in
        ["HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nothers", "HTTP/1.1 408 Late\r\n\r\n", "HTTP/1.1 103 x\r\n\r\n"]
    {
        let (mut wire, mut server) = answered(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 100, false).await;
        wire.take_head(Head::read).unwrap();
        wire.rest();
        server.write_all(unasked.as_bytes()).await.unwrap();
        socket2::SockRef::from(&server).set_linger(Some(Duration::ZERO)).unwrap();
        drop(server);
        tokio::time::sleep(Duration::from_millis(20)).await;
        wire.begin(b"POST / HTTP/1.1\r\n\r\n".to_vec(), Upload::Done, false);
        let result = poll_fn(|cx| wire.poll_head(cx)).await;
        assert!(matches!(result, Err(Fault::Unsent)), "{unasked:?}: {result:?}");
    }
}

/// A client's and a server's end of TLS over a socket, each in this task, so that nothing is read that the test does not read.
async fn tls_pair() -> (Wire, tokio_rustls::server::TlsStream<TcpStream>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["app".to_owned()]).unwrap().self_signed(&key).unwrap();
    let secret = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let server = rustls::ServerConfig::builder_with_provider(crate::tls::config::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], secret)
        .unwrap();
    let settings = crate::config::UpstreamTls { server_name: "app".into(), ..Default::default() };
    let client = crate::upstream::tls::Tls::new(&settings, false).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = Stream::Tcp(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
    let accepted = listener.accept().await.unwrap().0;
    // What follows the tickets does not wait until they are acknowledged.
    accepted.set_nodelay(true).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(server));
    let (client, server) = tokio::join!(client.connect(stream), acceptor.accept(accepted));
    (Wire::new(Stream::Tls(Box::new(client.unwrap()))), server.unwrap())
}

/// What lies unread on an idle TLS connection: session tickets are no news, an end or an answer is.
#[tokio::test]
async fn the_end_of_an_idle_tls_connection_is_seen_before_it_is_used() {
    for end in ["nothing", "close_notify", "close", "reset", "an answer"] {
        // The server's tickets have come with the handshake, and nobody has read them.
        let (mut wire, mut server) = tls_pair().await;
        assert!(wire.is_open_now() && wire.is_open_now(), "{end}");
        match end {
            "close_notify" => server.shutdown().await.unwrap(),
            "close" => drop(server.into_inner().0),
            "reset" => {
                let (stream, _) = server.into_inner();
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            }
            "an answer" => {
                server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
                server.flush().await.unwrap();
            }
            _ => {
                // It serves on.
                wire.begin(b"GET / HTTP/1.1\r\n\r\n".to_vec(), Upload::Done, false);
                let serve = async {
                    server.read_exact(&mut [0; 18]).await.unwrap();
                    server.write_all(b"HTTP/1.1 204 No\r\n\r\n").await.unwrap();
                    server.flush().await.unwrap();
                };
                let (answer, ()) = tokio::join!(poll_fn(|cx| wire.poll_head(cx)), serve);
                answer.unwrap();
                wire.take_head(Head::read).unwrap();
                assert!(wire.is_reusable() && wire.is_open_now());
                continue;
            }
        }
        // The runtime has not looked yet; the kernel knows.
        assert!(!wire.is_open_now(), "{end}");
    }
}
