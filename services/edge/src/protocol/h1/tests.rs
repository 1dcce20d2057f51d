//! The parts of a connection that need no pipeline: bodies off the wire, and writing under a slow reader.

use super::reader::Reader;
use super::wire::{Expect, Wire};
use super::writer::{Parts, write_all};
use crate::body::{Body, BodyError};
use crate::protocol::pace::Pace;
use crate::timer::Timer;
use http_body_util::BodyExt;
use monodon_http1::Framing;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

fn wire(framing: Framing, expect: bool, limit: u64) -> (Rc<RefCell<Wire<DuplexStream>>>, DuplexStream) {
    let (ours, theirs) = duplex(1024);
    let wire = Rc::new(RefCell::new(Wire::new(ours)));
    wire.borrow_mut().begin(framing, expect, limit);
    (wire, theirs)
}

async fn collect(wire: &Rc<RefCell<Wire<DuplexStream>>>) -> Result<Vec<u8>, BodyError> {
    Ok(Body::stream(Reader::new(wire.clone())).collect().await?.to_bytes().to_vec())
}

#[tokio::test]
async fn a_body_ends_where_its_length_says() {
    let (wire, mut client) = wire(Framing::Length(5), false, 10);
    client.write_all(b"helloGET /").await.unwrap();
    assert_eq!(collect(&wire).await.unwrap(), b"hello");
    assert_eq!(&wire.borrow().buf[..], b"GET /", "the next request's bytes stay");
}

#[tokio::test]
async fn a_chunked_body_is_decoded_and_bounded() {
    let (wire, mut client) = wire(Framing::Chunked, false, 6);
    client.write_all(b"5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nX-Trailer: 1\r\n\r\nGET").await.unwrap();
    assert_eq!(collect(&wire).await.unwrap(), b"hello!");
    assert_eq!(&wire.borrow().buf[..], b"GET");
    for (text, expected) in
        [("7\r\n", "TooLarge"), ("5 \r\n", "Bad(\"chunk_size\")"), ("2\r\nabc", "Bad(\"chunk_end\")")]
    {
        let (wire, mut client) = self::wire(Framing::Chunked, false, 6);
        client.write_all(text.as_bytes()).await.unwrap();
        assert_eq!(format!("{:?}", collect(&wire).await.unwrap_err()), expected);
        assert!(!wire.borrow().body_done());
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error() {
    for framing in [Framing::Length(5), Framing::Chunked] {
        let (wire, mut client) = wire(framing, false, 10);
        client.write_all(b"4\r\nh").await.unwrap();
        drop(client);
        assert!(matches!(collect(&wire).await, Err(BodyError::Gone)));
        assert!(matches!(collect(&wire).await, Err(BodyError::Gone)), "and stays one");
    }
    let (wire, _client) = wire(Framing::Length(11), false, 10);
    assert!(matches!(collect(&wire).await, Err(BodyError::TooLarge)), "before a byte is read");
}

#[tokio::test]
async fn a_body_cannot_read_the_next_request() {
    let (wire, mut client) = wire(Framing::Length(5), false, 10);
    let old = Body::stream(Reader::new(wire.clone()));
    wire.borrow_mut().begin(Framing::Length(3), false, 10);
    client.write_all(b"abc").await.unwrap();
    assert!(matches!(old.collect().await, Err(BodyError::Gone)));
    assert_eq!(collect(&wire).await.unwrap(), b"abc");
}

#[tokio::test]
async fn continue_is_sent_when_the_body_is_wanted() {
    let (wire, mut client) = wire(Framing::Length(2), true, 10);
    let client = tokio::spawn(async move {
        let mut answer = [0; 25];
        client.read_exact(&mut answer).await.unwrap();
        client.write_all(b"ok").await.unwrap();
        answer
    });
    assert!(wire.borrow().expect == Expect::Wanted, "not before");
    assert_eq!(collect(&wire).await.unwrap(), b"ok");
    assert_eq!(&client.await.unwrap(), b"HTTP/1.1 100 Continue\r\n\r\n");

    let (wire, mut client) = self::wire(Framing::Length(2), true, 10);
    wire.borrow_mut().buf.extend_from_slice(b"ok");
    assert_eq!(collect(&wire).await.unwrap(), b"ok");
    drop(wire);
    let mut nothing = Vec::new();
    client.read_to_end(&mut nothing).await.unwrap();
    assert!(nothing.is_empty(), "the body was there already");

    let (wire, mut client) = self::wire(Framing::Length(2), true, 10);
    wire.borrow_mut().buf.extend_from_slice(b"o");
    client.write_all(b"k").await.unwrap();
    let mut body = Body::stream(Reader::new(wire.clone()));
    while body.frame().await.transpose().unwrap().is_some() {}
    drop((wire, body));
    client.read_to_end(&mut nothing).await.unwrap();
    assert!(nothing.is_empty(), "a part of it was");
}

#[tokio::test]
async fn parts_arrive_in_order_whatever_the_transport_takes() {
    let (wire, mut client) = wire(Framing::None, false, 0);
    let read = tokio::spawn(async move {
        let mut all = Vec::new();
        client.read_to_end(&mut all).await.unwrap();
        all
    });
    let data = vec![b'd'; 100_000];
    let mut expected = Vec::new();
    for data in [&data[..10], &data, &[]] {
        let (mut head, tail) = (b"head".to_vec(), &b"tail"[..]);
        expected.extend_from_slice(&[&head, data, tail].concat());
        let mut pace = Pace::new(Duration::from_secs(30), 0);
        write_all(&wire, Parts { head: &mut head, data, tail }, &mut pace, &mut Timer::new()).await.unwrap();
        assert!(head.is_empty());
    }
    drop(wire);
    assert!(read.await.unwrap() == expected);
}

#[tokio::test]
async fn a_reader_that_stands_still_is_given_up() {
    let (wire, _client) = wire(Framing::None, false, 0);
    let mut pace = Pace::new(Duration::from_millis(20), 0);
    let parts = Parts { head: &mut Vec::new(), data: &[0; 5000], tail: b"" };
    let error = write_all(&wire, parts, &mut pace, &mut Timer::new()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
}
