//! WebSockets: a tunnel only where one was asked for and granted.

use crate::fake::Fake;
use crate::kit::{Kit, parts, until};
use bytes::Bytes;
use http::Method;
use monodon_edge::buffer::Buffered;
use monodon_edge::upgrade;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[test]
fn bytes_go_both_ways_after_the_101_and_the_slot_is_free() {
    let fake = Fake::slotted(2, 1);
    let kit = Kit::new(&[fake.address]);
    kit.run(async |thread| {
        thread.learn().await;
        let (promise, handle) = upgrade::pair();
        let mut ask = parts(Method::GET, "/switch");
        ask.headers.insert("upgrade", "websocket".parse().unwrap());
        ask.headers.insert("connection", "Upgrade".parse().unwrap());
        ask.extensions.insert(handle);
        let response = thread.send_parts(ask, Buffered::empty()).await.unwrap();
        assert_eq!(response.status(), 101);
        assert_eq!(response.headers()["connection"], "upgrade");
        assert!(!response.headers().contains_key("x-monodon-process"));
        assert!(kit.metrics().contains("state=\"busy\"} 0"), "{}", kit.metrics());
        let (mut client, edge) = tokio::io::duplex(1024);
        assert!(promise.fulfil(Box::new(edge), Bytes::from_static(b"early ")));
        client.write_all(b"late").await.unwrap();
        let mut back = [0; 10];
        client.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"early late");
        assert_eq!(fake.seen("/switch")[0].fields["upgrade"], "websocket");
        assert_eq!(kit.connections(), 1, "the tunnel has the only one");
        drop(client);
        until("the server sees the end", || fake.state.live.load(Ordering::SeqCst) == 0).await;
        until("it is counted no more", || kit.connections() == 0).await;
    });
}

#[test]
fn an_upgrade_that_is_refused_is_an_answer() {
    let fake = Fake::slotted(1, 1);
    let kit = Kit::new(&[fake.address]);
    kit.run(async |thread| {
        let (promise, handle) = upgrade::pair();
        let mut ask = parts(Method::GET, "/hello");
        ask.headers.insert("upgrade", "websocket".parse().unwrap());
        ask.extensions.insert(handle);
        assert_eq!(thread.send_parts(ask, Buffered::empty()).await.unwrap().status(), 200);
        let (_client, edge) = tokio::io::duplex(1024);
        assert!(!promise.fulfil(Box::new(edge), Bytes::new()));
    });
}
