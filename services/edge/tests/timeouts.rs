//! How long things may take, and how slowly they may go: by route, of clients and of applications.
#![allow(clippy::unwrap_used)]

mod common;

use common::frames::{self, Frames, block};
use common::{Connection, Edge, Setup, Upstream, get, until};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

fn say(stream: &mut TcpStream, text: &str) {
    let _ = stream.write_all(text.as_bytes());
}

/// More than sockets hold.
const LARGE: usize = 32 << 20;

/// An application that is slow in the way that its path says: for two seconds, with `/first` in it for seven, and with
/// `/short` until the edge has had enough. Who is to be served in time gets seconds for what takes no time at all.
fn slow() -> Upstream {
    Upstream::start(|seen, stream| {
        let path = seen.path();
        let wait = |stream: &mut TcpStream| match path {
            path if path.contains("/short") => {
                let _until_it_is_left = stream.read(&mut [0]);
            }
            path => std::thread::sleep(Duration::from_secs(if path.contains("/first") { 7 } else { 2 })),
        };
        match path {
            path if path.starts_with("/head") => wait(stream),
            path if path.starts_with("/part") => {
                say(stream, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
                wait(stream);
                say(stream, "hello");
                return true;
            }
            path if path.starts_with("/accel") => {
                say(stream, "HTTP/1.1 200 OK\r\nX-Accel-Buffering: no\r\nContent-Length: 10\r\n\r\nhello");
                wait(stream);
            }
            path if path.starts_with("/large") => {
                return common::upstream::reply(stream, 200, &[], "x".repeat(LARGE));
            }
            path if path.starts_with("/pump") => {
                say(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
                wait(stream);
                say(stream, "0\r\n\r\n");
                return true;
            }
            path if path.starts_with("/events") => {
                say(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
                wait(stream);
                say(stream, "data: 2\n\n");
                return false;
            }
            _ => {}
        }
        common::upstream::reply(stream, 200, &[], "hello")
    })
}

fn edge(upstream: &Upstream, text: &str) -> Edge {
    Setup::default().plain().file(&format!("upstream = ['{}']\n{text}", upstream.address)).start()
}

/// A connection that has asked, and how its answer ends.
fn ask(edge: &Edge, path: &str) -> (Connection, String) {
    let mut connection = Connection::plain(edge.http).unwrap();
    connection.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap();
    let head = connection.head().unwrap();
    (connection, head)
}

#[test]
fn of_the_upstream_by_route() {
    let upstream = slow();
    let edge = edge(
        &upstream,
        "[[site]]\n\
         [[site.route]]\npath = '/head/short'\nupstream = 'default'\nfirst_byte_timeout = '1s'\n\
         [[site.route]]\npath = '/part/short'\nupstream = 'default'\nread_timeout = '1s'\n\
         [[site.route]]\npath = '/pump/short'\nupstream = 'default'\nread_timeout = '1s'\n\
         [[site.route]]\npath = '/events/silent'\nupstream = 'default'\nread_timeout = '1s'\n\
         [[site.route]]\npath = '/part/first'\nupstream = 'default'\nfirst_byte_timeout = '5s'\nread_timeout = '30s'\n\
         [[site.route]]\npath = '/'\nupstream = 'default'\n",
    );
    assert_eq!(get(edge.http, "/head/short", &[]).status, 504);
    assert_eq!(get(edge.http, "/head", &[]).status, 200);
    assert_eq!(get(edge.http, "/part/short", &[]).status, 504);
    assert_eq!(get(edge.http, "/part/first", &[]).text(), "hellohello");
    let (mut connection, head) = ask(&edge, "/pump/short");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let rest = connection.read_to_end();
    assert!(rest.ends_with(b"hello\r\n"), "cut off, and seen to be: {}", String::from_utf8_lossy(&rest));
    assert_eq!(get(edge.http, "/pump", &[]).text(), "hello");
    // An event stream may be silent.
    assert_eq!(get(edge.http, "/events/silent", &[]).text(), "data: 1\n\ndata: 2\n\n");
}

/// The time is between two parts, not for all of them, whether their length was said or not.
#[test]
fn an_upstream_that_goes_on_is_not_late() {
    let upstream = Upstream::start(|seen, stream| {
        let chunked = seen.path() == "/chunked";
        let length = if chunked { "Transfer-Encoding: chunked" } else { "Content-Length: 8" };
        say(stream, &format!("HTTP/1.1 200 OK\r\n{length}\r\n\r\n"));
        for _ in 0..8 {
            std::thread::sleep(Duration::from_secs(1));
            say(stream, if chunked { "1\r\nz\r\n" } else { "z" });
        }
        say(stream, if chunked { "0\r\n\r\n" } else { "" });
        true
    });
    let edge = edge(&upstream, "read_timeout = '5s'\n");
    std::thread::scope(|scope| {
        for path in ["/length", "/chunked"] {
            let address = edge.http;
            scope.spawn(move || {
                let answer = get(address, path, &[]);
                assert_eq!((answer.status, answer.text().as_str()), (200, "zzzzzzzz"), "{path}");
            });
        }
    });
}

/// What is passed on as it comes is waited for no longer, and only while its client is not.
#[test]
fn of_an_answer_that_is_passed_on() {
    let upstream = slow();
    let settings = format!(
        "upstream = ['{}']\nread_timeout = '1s'\nmax_connections = 1\nbuffering = false\n[[site]]\n\
         [[site.route]]\npath = '/accel'\nupstream = 'default'\nbuffering = true\n\
         [[site.route]]\npath = '/large'\nupstream = 'default'\nread_timeout = '5s'\n\
         [[site.route]]\npath = '/whole'\nupstream = 'default'\nread_timeout = '30s'\n\
         [[site.route]]\npath = '/'\nupstream = 'default'\n",
        upstream.address
    );
    let plain = Setup::default().plain().file(&settings).start();
    for path in ["/part/short", "/accel/short"] {
        let (mut connection, head) = ask(&plain, path);
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert_eq!(connection.read_to_end(), b"hello", "{path} is cut off");
        // Its connection and its place are free again.
        assert_eq!(get(plain.http, "/whole", &[]).text(), "hello");
    }
    let (mut connection, _) = ask(&plain, "/pump/short");
    assert!(connection.read_to_end().ends_with(b"hello\r\n"), "no last chunk");
    // An event stream may be silent.
    assert_eq!(get(plain.http, "/events/silent", &[]).text(), "data: 1\n\ndata: 2\n\n");
    let edge = Setup::default().file(&settings.replace("max_connections = 1", "max_connections = 4")).start();
    let mut client = Frames::open(&edge, &edge.ca());
    let fields = [frames::GET[0], frames::GET[1], frames::GET[2], (":path", "/part/short")];
    client.write(frames::HEADERS, frames::WHOLE, 1, &block(&fields));
    let cut = client.until(|frame| frame.kind == frames::RST_STREAM).unwrap();
    assert_eq!((cut.stream, cut.code()), (1, frames::INTERNAL_ERROR));
    // Who takes nothing for longer than that lets the upstream wait, not the other way round.
    let mut idle = Connection::tls(edge.https, &edge.ca(), "localhost", &["http/1.1"]).unwrap();
    idle.send("GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert!(idle.head().unwrap().starts_with("HTTP/1.1 200"));
    for stream in [3, 5, 7, 9, 11, 13] {
        client.write(frames::HEADERS, frames::WHOLE, stream, &block(&fields));
        client.until(|frame| frame.kind == frames::RST_STREAM && frame.stream == stream).expect("it is cut off");
    }
    assert_eq!(idle.bytes(LARGE).unwrap().len(), LARGE);
}

/// Of a request that is passed on as it comes: while its client lets both of us wait, the upstream's time has not begun.
#[test]
fn a_client_that_pauses_is_no_fault_of_the_upstream() {
    let upstream = slow();
    let edge = edge(
        &upstream,
        "request_buffering = false\nfirst_byte_timeout = '300ms'\n[[site]]\n[[site.route]]\npath = '/'\nupstream = 'default'\n\
         body_timeout = '7s'\n[[site.route]]\npath = '/patient'\nupstream = 'default'\nfirst_byte_timeout = '5s'\n\
         [[site.route]]\npath = '/head'\nupstream = 'default'\n",
    );
    let post = |path: &str| {
        let mut connection = Connection::plain(edge.http).unwrap();
        connection.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")).unwrap();
        connection
    };
    let (mut silent, mut patient, mut late) = (post("/"), post("/patient"), post("/head/short"));
    // That takes longer than the upstream of either of the others may.
    assert_eq!(silent.answer().unwrap().status, 408);
    assert_eq!(edge.access_line(|line| line["status"] == 408)["reason"], "timeout_body");
    for connection in [&mut patient, &mut late] {
        connection.send("llo").unwrap();
    }
    assert_eq!(patient.answer().unwrap().text(), "hello");
    // From then on it counts.
    assert_eq!(late.answer().unwrap().status, 504);
}

/// Beside a second for all others: whose answer is to begin within its time has more.
const OF_THE_WHOLE: &str = "[[site]]\n[[site.route]]\npath = '/'\nupstream = 'default'\nrequest_timeout = '30s'\n\
    [[site.route]]\npath = '/head/short'\nupstream = 'default'\n\
    [[site.route]]\npath = '/head/long'\nupstream = 'default'\nrequest_timeout = 0\n\
    [[site.route]]\npath = '/body'\nupstream = 'default'\n\
    [[site.route]]\npath = '/events/short'\nupstream = 'default'\nrequest_timeout = '5s'\n";

#[test]
fn of_the_whole_request() {
    let upstream = slow();
    let edge = edge(&upstream, &format!("request_timeout = '1s'\n{OF_THE_WHOLE}"));
    assert_eq!(get(edge.http, "/head/short", &[]).status, 504);
    assert_eq!(edge.access_line(|line| line["status"] == 504)["reason"], "timeout_request");
    assert_eq!(get(edge.http, "/head/long", &[]).status, 200);
    assert_eq!(get(edge.http, "/", &[]).status, 200);
    let (mut connection, head) = ask(&edge, "/events/short");
    assert!(head.starts_with("HTTP/1.1 200"));
    let rest = String::from_utf8(connection.read_to_end()).unwrap();
    assert!(rest.contains("data: 1") && !rest.contains("data: 2") && !rest.ends_with("0\r\n\r\n"), "{rest}");
    // A body that does not come, either.
    let mut connection = Connection::plain(edge.http).unwrap();
    connection.send("POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe").unwrap();
    assert_eq!(connection.answer().unwrap().status, 504);
}

#[test]
fn of_the_whole_request_in_http2() {
    let upstream = slow();
    let file = format!("upstream = ['{}']\n{OF_THE_WHOLE}", upstream.address);
    let edge = Setup::default().file(&file).args(["--request-timeout", "1s"]).start();
    let mut client = Frames::open(&edge, &edge.ca());
    let path = |path| block(&[frames::GET[0], frames::GET[1], frames::GET[2], (":path", path)]);
    // Until it has answered once, nobody knows how many at a time the application takes.
    assert_eq!(client.ask(1, &path("/")), 200);
    assert_eq!(client.ask(3, &path("/head/short")), 504);
    assert_eq!(client.ask(7, &path("/events/short")), 200);
    let end = client.until(|frame| frame.stream == 7 && frame.kind == frames::RST_STREAM).unwrap();
    assert_eq!(end.code(), frames::CANCEL);
    assert_eq!(client.ask(9, &path("/")), 200);
}

#[test]
fn of_a_body_by_route() {
    let upstream = Upstream::saying("hello");
    let edge = edge(
        &upstream,
        "body_timeout = '300ms'\n[[site]]\n[[site.route]]\npath = '/'\nupstream = 'default'\n\
         [[site.route]]\npath = '/upload'\nupstream = 'default'\nbody_timeout = '60s'\n",
    );
    let post = |path: &str| {
        let mut connection = Connection::plain(edge.http).unwrap();
        connection.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")).unwrap();
        connection
    };
    let mut patient = post("/upload");
    assert_eq!(post("/").answer().unwrap().status, 408);
    patient.send("llo").unwrap();
    assert_eq!(patient.answer().unwrap().status, 200);
}

/// A client that does not read is cut off after its route's time, and holds no place at the application meanwhile.
/// A body that trickles is cut off however regularly its bytes come: the time between two of them is never up.
#[test]
fn a_body_that_trickles() {
    let upstream = slow();
    let edge = edge(
        &upstream,
        "min_rate = '1KB'\n[[site]]\n[[site.route]]\npath = '/'\nupstream = 'default'\n\
         [[site.route]]\npath = '/patient'\nupstream = 'default'\nmin_rate = 0\n",
    );
    let begin = |path: &str| {
        let stream = TcpStream::connect(edge.http).unwrap();
        stream.set_read_timeout(Some(common::PATIENCE)).unwrap();
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
        (&stream).write_all(head.as_bytes()).unwrap();
        stream
    };
    let (mut hasty, mut patient) = (begin("/"), begin("/patient"));
    let drops = [hasty.try_clone().unwrap(), patient.try_clone().unwrap()];
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let drip = std::thread::spawn(move || {
        while stopped.recv_timeout(Duration::from_millis(100)).is_err() {
            for mut stream in &drops {
                let _ = stream.write_all(b"1\r\nx\r\n");
            }
        }
    });
    let mut said = String::new();
    let _ = hasty.read_to_string(&mut said);
    assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    stop.send(()).unwrap();
    drip.join().unwrap();
    patient.write_all(b"0\r\n\r\n").unwrap();
    let mut said = String::new();
    let _ = patient.read_to_string(&mut said);
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
    assert_eq!(upstream.seen().iter().map(|seen| seen.path().to_owned()).collect::<Vec<_>>(), ["/patient"]);
}

#[test]
fn of_a_reader_by_route() {
    let upstream = Upstream::start(|seen, stream| {
        let size = if seen.path().starts_with("/big") { 64 << 20 } else { 5 };
        common::upstream::reply(stream, 200, &[], vec![b'x'; size])
    });
    let text = "max_connections = 1\n[[site]]\n[[site.route]]\npath = '/'\nupstream = 'default'\n\
                [[site.route]]\npath = '/big/short'\nupstream = 'default'\nsend_timeout = '500ms'\n";
    let edge = Setup::default().file(&format!("upstream = ['{}']\n{text}", upstream.address)).start();
    let ca = edge.ca();
    let ask = |path: &str| {
        let mut connection = Connection::tls(edge.https, &ca, "localhost", &["http/1.1"]).unwrap();
        connection.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).unwrap();
        connection
    };
    let mut patient = ask("/big");
    assert!(patient.head().unwrap().starts_with("HTTP/1.1 200"));
    let _stalled = ask("/big/short");
    until("it is cut off", || edge.metric("monodon_edge_answers_stalled_total") == 1.0);
    // The one connection to the application is free all along.
    assert_eq!(ask("/small").answer().unwrap().text(), "xxxxx");
    let mut left = 64 << 20;
    while left > 0 {
        left -= patient.bytes(left.min(1 << 20)).unwrap().len();
    }
    // And in HTTP/2, where only its stream ends.
    let mut client = Frames::open(&edge, &ca);
    let path = |path| block(&[frames::GET[0], frames::GET[1], frames::GET[2], (":path", path)]);
    assert_eq!(client.ask(1, &path("/big/short")), 200);
    let end = client.until(|frame| frame.kind == frames::RST_STREAM).unwrap();
    assert_eq!((end.stream, end.code()), (1, frames::CANCEL));
    client.write(frames::WINDOW_UPDATE, 0, 0, &[0, 1, 0, 0]);
    assert_eq!(client.ask(3, &path("/small")), 200);
}

#[test]
fn so_many_bytes_a_second() {
    let upstream = Upstream::start(|_, stream| common::upstream::reply(stream, 200, &[], vec![b'x'; 300_000]));
    let edge = edge(
        &upstream,
        "[[site]]\n[[site.route]]\npath = '/'\nupstream = 'default'\n\
         [[site.route]]\npath = '/slow'\nupstream = 'default'\nlimit_rate = '100KB'\nlimit_rate_after = '100KB'\n",
    );
    assert_eq!(get(edge.http, "/", &[]).body.len(), 300_000);
    let begun = std::time::Instant::now();
    let answer = get(edge.http, "/slow", &[]);
    assert_eq!((answer.body.len(), answer.header("content-length")), (300_000, Some("300000")));
    // What is free, and a second's worth at once; 95,200 bytes are left to be slowed: never faster than that.
    assert!(begun.elapsed() > Duration::from_millis(500), "{:?}", begun.elapsed());
}

/// Many that are slow in every way, beside one that is fast.
#[test]
fn slow_clients_leave_the_fast_unharmed() {
    let upstream = Upstream::start(|seen, stream| {
        let size = if seen.path() == "/big" { 8 << 20 } else { 5 };
        common::upstream::reply(stream, 200, &[], vec![b'x'; size])
    });
    let edge = edge(&upstream, "max_connections = 2\nhead_timeout = '60s'\nbody_timeout = '60s'\n");
    let mut held = Vec::new();
    for number in 0..500 {
        let mut connection = Connection::plain(edge.http).unwrap();
        let text = match number % 4 {
            0 => "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ",
            1 => "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nslow",
            2 => "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\nslow",
            // They ask, and do not read: but few, for each is 8 MB.
            _ if number < 40 => "GET /big HTTP/1.1\r\nHost: a\r\n\r\n",
            _ => "",
        };
        connection.send(text).unwrap();
        held.push(connection);
    }
    until("they are all there", || {
        edge.metric("monodon_edge_connections{protocol=\"http/1\",state=\"active\"}") >= 250.0
    });
    let mut fast = Connection::plain(edge.http).unwrap();
    for _ in 0..200 {
        assert_eq!(fast.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").text(), "xxxxx");
    }
    // None of the slow holds a place at the application, which has two.
    let seen = upstream.seen();
    assert!(seen.iter().all(|request| request.line.starts_with("GET")), "half a body is no request");
    // They go on as if nothing had been.
    held[0].send("1\r\n\r\n").unwrap();
    assert_eq!(held[0].answer().unwrap().status, 200);
    held[1].send(vec![b'x'; 100_000 - 4]).unwrap();
    assert_eq!(held[1].answer().unwrap().status, 200);
}

/// An application that does not wait for the request: the head of its answer (but for `/nothing`) comes at once, its five bytes (for
/// `/late`) when it has ten of the body. It tells each path when it has said so much, and once more when nobody is there any more.
fn early() -> (SocketAddr, mpsc::Receiver<String>) {
    let (tell, told) = mpsc::channel();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let tell = tell.clone();
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let lines: Vec<_> =
                    reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
                // The edge's own look at whether somebody is there has said nothing.
                let Some(path) = lines.first().and_then(|line| line.split(' ').nth(1)) else { return };
                let fields = match path {
                    "/events" => "Content-Type: text/event-stream",
                    "/pump" => "Transfer-Encoding: chunked",
                    _ => "Content-Length: 5",
                };
                if path != "/nothing" {
                    say(&mut stream, &format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n"));
                }
                tell.send(path.to_owned()).unwrap();
                if reader.read_exact(&mut [0; 10]).is_ok() && path == "/late" {
                    say(&mut stream, "hello");
                }
                let _ = reader.read_to_end(&mut Vec::new());
                tell.send(path.to_owned()).unwrap();
            });
        }
    });
    (address, told)
}

fn unbuffered(address: SocketAddr, text: &str) -> String {
    format!("upstream = ['{address}']\nrequest_buffering = false\nmax_connections = 8\n{text}")
}

/// One byte of ten.
fn begin(edge: &Edge, path: &str, fields: &str) -> Connection {
    let mut connection = Connection::plain(edge.http).unwrap();
    connection.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: 10\r\n\r\nh")).unwrap();
    connection
}

/// The same in HTTP/2.
fn begin_stream(client: &mut Frames, stream: u32, path: &str, fields: &[(&str, &str)]) {
    let fields = [&[frames::POST[0], frames::POST[1], frames::POST[2], (":path", path)], fields].concat();
    client.write(frames::HEADERS, frames::END_HEADERS, stream, &block(&fields));
    client.write(frames::DATA, 0, stream, b"h");
}

/// Whoever stops in the middle of an upload does not hold its upstream because the answer has begun; and it is not the upstream's fault.
#[test]
fn an_upload_that_stalls_behind_the_head_of_its_answer() {
    let (address, told) = early();
    let settings = unbuffered(address, "body_timeout = '5s'\nread_timeout = '10s'\n");
    let plain = Setup::default().plain().file(&settings).start();
    let edge = Setup::default().file(&settings).start();
    let mut streams = ["/events", "/pump"].map(|path| begin(&plain, path, ""));
    let mut whole = begin(&plain, "/whole", "");
    let mut client = Frames::open(&edge, &edge.ca());
    begin_stream(&mut client, 1, "/events", &[]);
    begin_stream(&mut client, 3, "/whole", &[]);
    for stream in &mut streams {
        assert!(stream.head().unwrap().starts_with("HTTP/1.1 200"));
        assert_eq!(stream.read_to_end(), b"", "no last chunk");
    }
    assert_eq!(whole.answer().unwrap().status, 408);
    assert_eq!(plain.access_line(|line| line["path"] == "/whole")["reason"], "timeout_body");
    let (mut answered, mut refused, mut cut) = (None, None, None);
    while let (None, _) | (_, None) = (refused, cut) {
        let frame = client.read().expect("the connection stays");
        match (frame.stream, frame.kind) {
            (1, frames::HEADERS) => answered = Some(frame.status()),
            (3, frames::HEADERS) => refused = Some(frame.status()),
            (1, frames::RST_STREAM) => cut = Some(frame.code()),
            _ => {}
        }
    }
    assert_eq!((answered, refused, cut), (Some(200), Some(408), Some(frames::INTERNAL_ERROR)));
    for _ in 0..2 * 5 {
        told.recv_timeout(common::PATIENCE).expect("the upstream is let go");
    }
}

/// Of a client that says it speaks gRPC nobody counts the pauses: the upstream's time runs on while he is silent.
#[test]
fn a_request_that_calls_itself_grpc_has_its_time() {
    let (address, told) = early();
    let settings = unbuffered(address, "first_byte_timeout = '5s'\nread_timeout = '5s'\n");
    let plain = Setup::default().plain().file(&settings).start();
    let edge = Setup::default().file(&settings).start();
    let unbuffered = Setup::default().plain().file(&format!("{settings}buffering = false\n")).start();
    // What answers at once first: until then one request at a time is sent.
    let mut silent = ["/whole", "/nothing"].map(|path| begin(&plain, path, "Content-Type: application/grpc\r\n"));
    let streams = [&plain, &unbuffered].map(|edge| begin(edge, "/pump", "Content-Type: application/grpc\r\n"));
    let mut client = Frames::open(&edge, &edge.ca());
    begin_stream(&mut client, 1, "/nothing", &[("content-type", "application/grpc")]);
    for silent in &mut silent {
        assert_eq!(silent.answer().unwrap().status, 504);
    }
    for mut stream in streams {
        assert!(stream.head().unwrap().starts_with("HTTP/1.1 200"));
        assert_eq!(stream.read_to_end(), b"", "no last chunk");
    }
    assert_eq!(client.until(|frame| frame.kind == frames::HEADERS).unwrap().status(), 504);
    for _ in 0..2 * 5 {
        told.recv_timeout(common::PATIENCE).expect("the upstream is let go");
    }
}

/// A short answer whose head has come before its request: the upstream's time for the rest begins when it has all it waits for.
#[test]
fn a_client_that_pauses_behind_the_head_of_its_answer() {
    let (address, told) = early();
    let settings = unbuffered(address, "read_timeout = '5s'\nbody_timeout = '60s'\nmin_rate = 0\n");
    let plain = Setup::default().plain().file(&settings).start();
    let edge = Setup::default().file(&settings).start();
    let mut late = begin(&plain, "/late", "");
    let mut client = Frames::open(&edge, &edge.ca());
    begin_stream(&mut client, 1, "/late", &[]);
    for _ in 0..2 {
        assert_eq!(told.recv_timeout(common::PATIENCE).unwrap(), "/late");
    }
    // It has all, and says nothing.
    let mut silent = begin(&plain, "/silent", "");
    silent.send("elloworld").unwrap();
    assert_eq!(silent.answer().unwrap().status, 504);
    late.send("elloworld").unwrap();
    assert_eq!(late.answer().unwrap().text(), "hello");
    client.write(frames::DATA, frames::END_STREAM, 1, b"elloworld");
    assert_eq!(client.until(|frame| frame.kind == frames::HEADERS).unwrap().status(), 200);
}
