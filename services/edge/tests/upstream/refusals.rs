//! HTTP/2 servers that say that they have not looked at a request.

use crate::kit::Kit;
use bytes::Bytes;
use http::{Method, Response};
use monodon_edge::buffer::Buffered;
use monodon_edge::upstream::UpstreamError;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Clone, Copy)]
enum Refuses {
    Never,
    /// Its first stream of all.
    Once,
    Always,
    /// Each connection takes leave of its first stream.
    GoesAway,
}

struct Server {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Server {
    fn start(refuses: Refuses) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<AtomicUsize>::default();
        let count = asked.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, refuses, count.clone()));
                }
            });
        });
        Self { address, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: tokio::net::TcpStream, refuses: Refuses, asked: Arc<AtomicUsize>) {
    if matches!(refuses, Refuses::GoesAway) {
        return go_away(&mut stream, &asked).await;
    }
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        let before = asked.fetch_add(1, Ordering::SeqCst);
        if matches!(refuses, Refuses::Always) || (matches!(refuses, Refuses::Once) && before == 0) {
            respond.send_reset(h2::Reason::REFUSED_STREAM);
        } else {
            let mut body = respond.send_response(Response::new(()), false).unwrap();
            body.send_data(Bytes::from_static(b"ok"), true).unwrap();
        }
    }
}

/// GOAWAY that leaves out the first request, and the end.
async fn go_away(stream: &mut tokio::net::TcpStream, asked: &AtomicUsize) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let _ = stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
    if stream.read_exact(&mut [0; 24]).await.is_err() {
        return;
    }
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).await.is_err() {
            return;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        if stream.read_exact(&mut vec![0; length]).await.is_err() {
            return;
        }
        if head[3] == 1 {
            break;
        }
    }
    asked.fetch_add(1, Ordering::SeqCst);
    let _ = stream.write_all(&[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).await;
    let _ = stream.shutdown().await;
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

fn kit(servers: &[&Server], budget: u32) -> Kit {
    let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
    Kit::with(&addresses, |config| {
        config.upstream.transport.http2 = true;
        config.upstream.balancing.retry_budget = budget;
    })
}

#[test]
fn once_is_asked_again_at_once_whatever_it_is() {
    let server = Server::start(Refuses::Once);
    let kit = kit(&[&server], 10);
    kit.run(async |thread| {
        let body = Buffered::memory("a=b".into());
        assert_eq!(thread.send(Method::POST, "/", body).await.unwrap().status(), 200);
        assert!(thread.1.get().retried);
        assert_eq!(server.asked(), 2);
    });
}

#[test]
fn who_refuses_again_is_let_be() {
    for refuses in [Refuses::Always, Refuses::GoesAway] {
        let alone = Server::start(refuses);
        kit(&[&alone], 10).run(async |thread| {
            assert!(matches!(thread.get("/").await, Err(UpstreamError::Refused)));
            assert_eq!(alone.asked(), 2);
        });
        // Another may take it.
        let (bad, good) = (Server::start(refuses), Server::start(Refuses::Never));
        kit(&[&bad, &good], 100).run(async |thread| {
            for _ in 0..10 {
                let body = Buffered::memory("a=b".into());
                assert_eq!(thread.send(Method::POST, "/", body).await.unwrap().status(), 200);
            }
            assert_eq!(good.asked(), 10);
        });
    }
}

#[test]
fn asking_more_than_once_again_has_its_budget() {
    let servers = [Server::start(Refuses::Always), Server::start(Refuses::Always)];
    let asked = || servers.iter().map(Server::asked).sum::<usize>();
    kit(&servers.each_ref(), 0).run(async |thread| {
        for requests in 1..5 {
            assert!(matches!(thread.get("/").await, Err(UpstreamError::Refused)));
            assert_eq!(asked(), requests * 2);
        }
    });
    let servers = [Server::start(Refuses::Always), Server::start(Refuses::Always)];
    let asked = || servers.iter().map(Server::asked).sum::<usize>();
    kit(&servers.each_ref(), 10).run(async |thread| {
        for _ in 0..50 {
            assert!(thread.get("/").await.is_err());
        }
        // Ten are there from the start, and every tenth request brings one.
        assert!((110..=115).contains(&asked()), "{}", asked());
    });
}
