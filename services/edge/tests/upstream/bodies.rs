//! Bodies both ways: buffered, spooled, bounded, broken off.

use crate::fake::{Fake, pattern};
use crate::kit::{Kit, read, until};
use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt, StreamBody};
use monodon_edge::body::{Body, BodyError};
use monodon_edge::buffer::{BodyLimits, BufferError, Buffered, collect};
use std::convert::Infallible;
use std::time::Duration;

const LIMITS: BodyLimits =
    BodyLimits { total: 4 << 20, memory: 64 << 10, wait: Duration::from_millis(100), min_rate: 240 };

fn parts_of(data: &[u8], size: usize) -> Body {
    let parts: Vec<_> = data
        .chunks(size)
        .map(|part| Ok::<_, BodyError>(http_body::Frame::data(Bytes::copy_from_slice(part))))
        .collect();
    Body::stream(StreamBody::new(futures_util::stream::iter(parts)))
}

#[test]
fn a_big_upload_is_spooled_and_arrives_whole() {
    let fake = Fake::slotted(1, 1);
    let kit = Kit::new(&[fake.address]);
    kit.run(async |thread| {
        for size in [0, 1, 8 << 10, 64 << 10, (64 << 10) + 1, 1_000_000] {
            let data = pattern(size);
            let body = collect(parts_of(&data, 8192), &LIMITS, &kit.spool).await.unwrap();
            assert_eq!(body.len(), size as u64);
            assert_eq!(body.in_file(), size > LIMITS.memory, "{size}");
            let path = format!("/upload/{size}");
            let response = thread.send(Method::POST, &path, body).await.unwrap();
            assert_eq!(response.headers()["x-body"], size.to_string());
            assert_eq!(fake.seen(&path)[0].body, data);
            assert_eq!(fake.seen(&path)[0].fields["content-length"], size.to_string());
        }
        assert!(kit.metrics().contains("monodon_edge_body_spool_files 0"), "{}", kit.metrics());
    });
}

#[test]
fn a_spooled_body_is_sent_a_second_time_as_the_first() {
    let fake = Fake::slotted(1, 1);
    let kit = Kit::new(&[fake.address]);
    kit.run(async |thread| {
        let data = pattern(300_000);
        let body = collect(parts_of(&data, 8192), &LIMITS, &kit.spool).await.unwrap();
        thread.send(Method::OPTIONS, "/die-once", body).await.unwrap();
        let seen = fake.seen("/die-once");
        assert_eq!(seen.len(), 2);
        assert!(seen.iter().all(|request| request.body == data));
    });
}

#[test]
fn the_limit_holds_with_and_without_a_length() {
    let kit = Kit::new(&[]);
    kit.run(async |_| {
        let limits = BodyLimits { total: 1000, ..LIMITS };
        let over = collect(Body::full(vec![0; 1001]), &limits, &kit.spool).await;
        assert!(matches!(over, Err(BufferError::TooLarge)));
        let over = collect(parts_of(&[0; 1001], 100), &limits, &kit.spool).await;
        assert!(matches!(over, Err(BufferError::TooLarge)));
        assert!(collect(parts_of(&[0; 1000], 100), &limits, &kit.spool).await.is_ok());
    });
}

#[test]
fn a_client_that_falls_silent_or_breaks_off_is_told_apart() {
    let kit = Kit::new(&[]);
    kit.run(async |_| {
        let silent = Body::stream(StreamBody::new(futures_util::stream::pending()));
        assert!(matches!(collect(silent, &LIMITS, &kit.spool).await, Err(BufferError::TooSlow)));
        for (error, gone) in [(BodyError::Gone, true), (BodyError::Bad("chunk_size"), false)] {
            let parts = [Ok(http_body::Frame::data(Bytes::from_static(b"x"))), Err(error)];
            let body = Body::stream(StreamBody::new(futures_util::stream::iter(parts)));
            let result = collect(body, &LIMITS, &kit.spool).await;
            assert_eq!(matches!(result, Err(BufferError::ClientGone)), gone);
            assert_eq!(matches!(result, Err(BufferError::BadRequest("chunk_size"))), !gone);
        }
    });
}

#[test]
fn without_room_in_the_spool_small_bodies_go_on() {
    let fake = Fake::slotted(2, 1);
    let kit = Kit::with(&[fake.address], |config| config.spool.limit = 100_000);
    kit.run(async |thread| {
        let big = collect(parts_of(&pattern(300_000), 8192), &LIMITS, &kit.spool).await;
        assert!(matches!(big, Err(BufferError::Disk(_))));
        assert!(collect(parts_of(&pattern(60_000), 8192), &LIMITS, &kit.spool).await.is_ok());
        // A response is read at its client's speed then, and loses nothing.
        let size = 8_000_000;
        let response = thread.get(&format!("/big/{size}")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(read(response).await.unwrap(), pattern(size));
    });
}

#[test]
fn answers_of_every_size_and_framing_arrive_whole() {
    let fake = Fake::slotted(1, 1);
    let kit = Kit::new(&[fake.address]);
    kit.run(async |thread| {
        for kind in ["big", "chunked", "until-end"] {
            for size in [0, 1, 5000, 65_535, 65_536, 65_537, 500_000, 5_000_000] {
                let response = thread.get(&format!("/{kind}/{size}")).await.unwrap();
                assert!(!response.headers().contains_key("transfer-encoding"));
                assert!(!response.headers().contains_key("x-monodon-process"));
                assert_eq!(read(response).await.unwrap(), pattern(size), "{kind} {size}");
            }
        }
        until("the slot is back", || kit.metrics().contains("state=\"busy\"} 0")).await;
        let head = thread.send(Method::HEAD, "/hello", Buffered::empty()).await.unwrap();
        assert_eq!(head.headers()["content-length"], "3");
    });
}

#[test]
fn an_answer_cut_short_never_looks_complete() {
    let fake = Fake::slotted(1, 1);
    let kit = Kit::new(&[fake.address]);
    kit.run(async |thread| {
        let mut response = thread.get("/cut").await.unwrap();
        assert_eq!(response.headers()["content-length"], "1000000");
        let first = response.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(first.into_data().unwrap(), "half");
        fake.state.gate.add_permits(1);
        assert!(response.body_mut().frame().await.unwrap().is_err());
        thread.learn().await;
    });
}

#[test]
fn an_early_refusal_reaches_the_client() {
    let fake = Fake::slotted(1, 1);
    let kit = Kit::new(&[fake.address]);
    kit.run(async |thread| {
        thread.learn().await;
        let data = pattern(4_000_000);
        for _ in 0..10 {
            let body = collect(parts_of(&data, 65_536), &LIMITS, &kit.spool).await.unwrap();
            let response = thread.send(Method::POST, "/early", body).await.unwrap();
            assert_eq!(response.status(), 401);
            assert_eq!(read(response).await.unwrap(), b"no!\n");
        }
    });
}

#[test]
fn a_body_that_fails_at_once_is_no_panic() {
    let kit = Kit::new(&[]);
    kit.run(async |_| {
        let empty =
            StreamBody::new(futures_util::stream::empty::<Result<_, Infallible>>()).map_err(|never| match never {});
        let body = collect(Body::stream(empty), &LIMITS, &kit.spool).await.unwrap();
        assert!(body.is_empty());
    });
}
