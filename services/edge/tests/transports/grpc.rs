//! gRPC calls through the edge: both ways at once, with trailers, and through a reload.

use crate::application::{Application, Pki};
use crate::at;
use crate::common::{self, Edge, PATIENCE, Setup};
use bytes::Bytes;
use http::Request;
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::path::Path;
use tokio::sync::mpsc;

type Client = hyper::client::conn::http2::SendRequest<UnsyncBoxBody<Bytes, Infallible>>;

/// A gRPC call in which each message is answered before the next is sent.
struct Call {
    sender: mpsc::UnboundedSender<Bytes>,
    body: hyper::body::Incoming,
}

impl Call {
    async fn begin(client: &mut Client) -> Self {
        let (sender, mut receiver) = mpsc::unbounded_channel::<Bytes>();
        let outgoing = futures_util::stream::poll_fn(move |cx| {
            receiver.poll_recv(cx).map(|message| message.map(|message| Ok(Frame::data(message))))
        });
        let ask = Request::post("https://localhost/grpc")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(StreamBody::new(outgoing).boxed_unsync())
            .unwrap();
        let response = tokio::time::timeout(PATIENCE, client.send_request(ask)).await.unwrap().unwrap();
        assert_eq!(response.status(), 200);
        Self { sender, body: response.into_body() }
    }

    async fn frame(&mut self) -> Option<Frame<Bytes>> {
        tokio::time::timeout(PATIENCE, self.body.frame()).await.unwrap().map(Result::unwrap)
    }

    async fn echo(&mut self, message: &'static str) {
        self.sender.send(message.into()).unwrap();
        assert_eq!(self.frame().await.unwrap().into_data().unwrap(), message);
    }

    /// To its trailers.
    async fn end(mut self) {
        self.sender = mpsc::unbounded_channel().0;
        let trailers = loop {
            match self.frame().await.unwrap().into_trailers() {
                Ok(trailers) => break trailers,
                Err(frame) => assert!(frame.data_ref().is_some_and(Bytes::is_empty), "{frame:?}"),
            }
        };
        assert_eq!(trailers["grpc-status"], "0");
        assert!(self.frame().await.is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_streams_both_ways_and_ends_with_trailers() {
    let app = Application::start(None, true);
    let text = at(&format!("servers = ['{}']\nprotocol = 'h2'", app.address));
    let edge = tokio::task::spawn_blocking(move || Setup::default().file(&text).start()).await.unwrap();
    let mut call = Call::begin(&mut connect(&edge, &edge.ca()).await).await;
    for message in ["one", "two", "three", "four", "five"] {
        call.echo(message).await;
    }
    call.end().await;
    assert_eq!(app.seen.last().1["te"], "trailers");
}

/// It stays at its server, which is the upstream's no more; the next call on the same connection goes to the new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grpc_call_lives_through_a_reload() {
    let pki = Pki::new("127.0.0.1", false, &["h2"]);
    for tls in [false, true] {
        let [old, new] = [(); 2].map(|()| Application::start(tls.then(|| pki.server.clone()), true));
        let [before, after] = [&old, &new].map(|app| {
            let scheme = if tls { "grpcs" } else { "grpc" };
            let ca = if tls { format!("tls_ca = '{}'", pki.path("ca.pem")) } else { String::new() };
            at(&format!("servers = ['{scheme}://{}']\n{ca}", app.address))
        });
        let edge = tokio::task::spawn_blocking(move || Setup::default().file(&before).start()).await.unwrap();
        let mut client = connect(&edge, &edge.ca()).await;
        let mut call = Call::begin(&mut client).await;
        call.echo("before").await;
        edge.rewrite(&after);
        edge.signal("HUP");
        let elsewhere = async {
            while new.seen.requests.lock().unwrap().is_empty() {
                Call::begin(&mut client).await.end().await;
            }
        };
        tokio::time::timeout(PATIENCE, elsewhere).await.unwrap();
        call.echo("after").await;
        call.echo("and on").await;
        call.end().await;
    }
}

async fn connect(edge: &Edge, ca: &Path) -> Client {
    let connector = tokio_rustls::TlsConnector::from(common::client::client_config(ca, &["h2"]));
    let stream = tokio::net::TcpStream::connect(edge.https).await.unwrap();
    let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let (client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    client
}
