//! Which answers are compressed, what their headers say, and that nothing is held back or lost on the way.

use super::super::coding::tests::decompress;
use super::*;
use crate::body::BodyError;
use bytes::Bytes;
use futures_util::stream;
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

type Fields<'a> = &'a [(&'static str, &'a str)];

const HTML: (&str, &str) = ("content-type", "text/html; charset=utf-8");

fn options() -> Compress {
    let mut compress = Compress::default();
    assert!(compress.types.add("text/*"));
    compress
}

fn page() -> String {
    "<p>again and again</p>".repeat(200)
}

fn answer(status: u16, fields: Fields<'_>, body: Body) -> Response<Body> {
    let builder =
        fields.iter().fold(Response::builder().status(status), |builder, (name, value)| builder.header(*name, *value));
    builder.body(body).unwrap()
}

fn apply_to(options: &Compress, method: &str, asked: Fields<'_>, response: Response<Body>) -> Response<Body> {
    let builder =
        asked.iter().fold(Request::builder().method(method), |builder, (name, value)| builder.header(*name, *value));
    let (parts, ()) = builder.body(()).unwrap().into_parts();
    apply(options, &Seen::of(options, &parts), &parts.method, response, &Arc::default())
}

fn of(method: &str, asked: Fields<'_>, status: u16, fields: Fields<'_>) -> Response<Body> {
    apply_to(&options(), method, asked, answer(status, fields, Body::full(page())))
}

fn collect(body: Body) -> Result<Vec<u8>, BodyError> {
    futures_util::FutureExt::now_or_never(body.collect()).unwrap().map(|all| all.to_bytes().to_vec())
}

#[test]
fn a_page_is_compressed_and_says_so() {
    for (asked, coding) in [("gzip", Coding::Gzip), ("br", Coding::Br), ("gzip, deflate, br, zstd", Coding::Zstd)] {
        let fields =
            [HTML, ("etag", "\"abc\""), ("accept-ranges", "bytes"), ("content-length", "4400"), ("vary", "Cookie")];
        let response = of("GET", &[("accept-encoding", asked)], 200, &fields);
        let headers = response.headers();
        assert_eq!(headers["content-encoding"], coding.name());
        assert_eq!(headers["etag"], "W/\"abc\"");
        assert!(!headers.contains_key("accept-ranges") && !headers.contains_key("content-length"));
        let vary: Vec<_> = headers.get_all("vary").iter().collect();
        assert_eq!(vary, ["Cookie", "Accept-Encoding"]);
        let length = response.body().size_hint().exact().unwrap();
        assert!(length < 400);
        assert_eq!(decompress(&collect(response.into_body()).unwrap(), coding), page().as_bytes());
    }
}

#[test]
fn what_stays_as_it_is() {
    let gzip = [("accept-encoding", "gzip")];
    for (status, fields) in [
        (200, &[HTML, ("content-encoding", "br")][..]),
        (200, &[HTML, ("content-encoding", "identity")]),
        (200, &[HTML, ("cache-control", "public, No-Transform")]),
        (206, &[HTML, ("content-range", "bytes 0-1/2")]),
        (200, &[HTML, ("content-range", "bytes 0-1/2")]),
        (200, &[HTML, ("repr-digest", "sha-256=:x:")]),
        (204, &[HTML]),
        (304, &[HTML]),
        (101, &[HTML]),
        (200, &[("content-type", "image/png")]),
        (200, &[]),
    ] {
        let response = of("GET", &gzip, status, fields);
        assert!(!response.headers().contains_key("vary"), "{status} {fields:?}");
        assert_eq!(
            response.headers().get("content-encoding"),
            fields
                .iter()
                .find(|field| field.0 == "content-encoding")
                .map(|field| HeaderValue::from_str(field.1).unwrap())
                .as_ref()
        );
        assert_eq!(collect(response.into_body()).unwrap(), page().as_bytes(), "{status} {fields:?}");
    }
}

#[test]
fn the_uncompressed_variant_varies_too() {
    for asked in [&[][..], &[("accept-encoding", "identity")], &[("accept-encoding", "nonsense;q=7")]] {
        let response = of("GET", asked, 200, &[HTML]);
        assert_eq!(response.headers()["vary"], "Accept-Encoding");
        assert!(!response.headers().contains_key("content-encoding"));
    }
    for vary in ["accept-encoding", "Cookie , Accept-Encoding", "*"] {
        let response = of("GET", &[("accept-encoding", "gzip")], 200, &[HTML, ("vary", vary)]);
        assert_eq!(response.headers().get_all("vary").iter().count(), 1, "{vary}");
    }
}

#[test]
fn length_counts() {
    let short = |asked: &str| {
        let response =
            answer(200, &[HTML], Body::full("short and short and short and short and short and short and short"));
        apply_to(&options(), "GET", &[("accept-encoding", asked)], response)
    };
    let response = short("gzip");
    assert!(!response.headers().contains_key("vary") && !response.headers().contains_key("content-encoding"));
    assert_eq!(short("gzip, identity;q=0").headers()["content-encoding"], "gzip");
    // What cannot be made smaller is not.
    let mut random = fastrand::Rng::with_seed(3);
    let noise: Vec<u8> = (0..5000).map(|_| random.u8(..)).collect();
    let response = apply_to(
        &options(),
        "GET",
        &[("accept-encoding", "gzip")],
        answer(200, &[HTML, ("etag", "\"a\"")], Body::full(noise.clone())),
    );
    assert_eq!(response.headers()["etag"], "\"a\"");
    assert_eq!(collect(response.into_body()).unwrap(), noise);
}

#[test]
fn secrets_are_left_alone_when_asked() {
    let mut secret = options();
    secret.private = false;
    let gzip = ("accept-encoding", "gzip");
    let plain = || answer(200, &[HTML], Body::full(page()));
    for asked in [&[gzip, ("cookie", "a=1")][..], &[gzip, ("authorization", "Basic x")]] {
        assert!(!apply_to(&secret, "GET", asked, plain()).headers().contains_key("content-encoding"));
        assert!(apply_to(&options(), "GET", asked, plain()).headers().contains_key("content-encoding"));
    }
    let sets = answer(200, &[HTML, ("set-cookie", "a=1")], Body::full(page()));
    assert!(!apply_to(&secret, "GET", &[gzip], sets).headers().contains_key("content-encoding"));
    assert!(apply_to(&secret, "GET", &[gzip], plain()).headers().contains_key("content-encoding"));
}

#[test]
fn a_head_says_what_a_get_would() {
    let gzip = [("accept-encoding", "gzip")];
    for (fields, body) in [(&[HTML, ("content-length", "4400")][..], Body::empty()), (&[HTML], Body::full(page()))] {
        let response = apply_to(&options(), "HEAD", &gzip, answer(200, fields, body));
        assert_eq!(response.headers()["content-encoding"], "gzip");
        assert!(!response.headers().contains_key("content-length"));
        assert_eq!(response.body().size_hint().exact(), Some(0));
    }
    let short = apply_to(&options(), "HEAD", &gzip, answer(200, &[HTML, ("content-length", "10")], Body::empty()));
    assert_eq!(short.headers()["content-length"], "10");
}

#[test]
fn off_is_off() {
    let mut off = options();
    off.codings.clear();
    let response = apply_to(&off, "GET", &[("accept-encoding", "gzip")], answer(200, &[HTML], Body::full(page())));
    assert_eq!(response.headers().len(), 1);
}

/// Parts as they come; what is `None` has to be waited for once.
struct Parts(Vec<Option<Result<Bytes, BodyError>>>);

impl http_body::Body for Parts {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.0.is_empty() {
            return Poll::Ready(None);
        }
        match self.0.remove(0) {
            Some(part) => Poll::Ready(Some(part.map(Frame::data))),
            None => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

fn streamed(coding: Coding, parts: Vec<Option<Result<Bytes, BodyError>>>) -> Body {
    let response = answer(200, &[("content-type", "text/event-stream")], Body::stream(Parts(parts)));
    let response = apply_to(&options(), "GET", &[("accept-encoding", coding.name())], response);
    assert_eq!(response.headers()["content-encoding"], coding.name());
    response.into_body()
}

#[test]
fn what_is_there_goes_out_before_a_wait() {
    for coding in Coding::ALL {
        let event = |text: &'static str| Some(Ok(Bytes::from_static(text.as_bytes())));
        let mut body =
            streamed(coding, vec![event("data: 1\n\n"), event("data: 2\n\n"), None, None, event("data: 3\n\n"), None]);
        let mut frames: Vec<Vec<u8>> = Vec::new();
        let mut waits = 0;
        loop {
            match Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(None) => break,
                Poll::Ready(Some(frame)) => frames.push(frame.unwrap().into_data().unwrap().to_vec()),
                Poll::Pending => waits += 1,
            }
        }
        // Two events that came together, the third, and the end.
        assert_eq!((frames.len(), waits), (3, 1), "{coding:?}: flushed once each, not at a wait with nothing new");
        assert_eq!(decompress(&frames.concat(), coding), b"data: 1\n\ndata: 2\n\ndata: 3\n\n");
    }
}

#[test]
fn a_broken_body_has_no_end() {
    for coding in Coding::ALL {
        let parts = vec![Some(Ok(Bytes::from(page()))), None, Some(Err(BodyError::Gone))];
        let mut body = streamed(coding, parts);
        let mut all = Vec::new();
        let error = loop {
            match Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Some(Ok(frame))) => all.extend(frame.into_data().unwrap()),
                Poll::Ready(Some(Err(error))) => break error,
                Poll::Ready(None) => panic!("it ended as if it were whole"),
                Poll::Pending => {}
            }
        };
        assert!(matches!(error, BodyError::Gone));
        assert!(!all.is_empty());
    }
}

#[test]
fn a_large_body_lets_others_in() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let local = tokio::task::LocalSet::new();
    let text = Bytes::from("one line after the other, ".repeat(100_000));
    local.block_on(&runtime, async {
        let turns = std::rc::Rc::new(std::cell::Cell::new(0));
        let others = turns.clone();
        let other = tokio::task::spawn_local(async move {
            loop {
                others.set(others.get() + 1);
                tokio::task::yield_now().await;
            }
        });
        for coding in Coding::ALL {
            turns.set(0);
            let parts = StreamBody::new(stream::iter([Ok::<_, BodyError>(Frame::data(text.clone()))]));
            let response = answer(200, &[HTML], Body::stream(parts));
            let response = apply_to(&options(), "GET", &[("accept-encoding", coding.name())], response);
            let all = tokio::task::spawn_local(response.into_body().collect()).await.unwrap().unwrap().to_bytes();
            assert_eq!(decompress(&all, coding), text);
            // 64 KiB at a turn.
            assert!(turns.get() >= text.len() / (64 << 10), "{coding:?}: {}", turns.get());
        }
        other.abort();
    });
}

#[test]
fn coders_are_bounded() {
    let mut bodies: Vec<Body> = (0..64).map(|_| streamed(Coding::Gzip, vec![None])).collect();
    let extra = || answer(200, &[HTML], Body::stream(Parts(vec![Some(Ok(Bytes::from(page())))])));
    let gzip = [("accept-encoding", "gzip")];
    let response = apply_to(&options(), "GET", &gzip, extra());
    assert!(!response.headers().contains_key("content-encoding"));
    assert_eq!(collect(response.into_body()).unwrap(), page().as_bytes());
    bodies.pop();
    assert_eq!(apply_to(&options(), "GET", &gzip, extra()).headers()["content-encoding"], "gzip");
}
