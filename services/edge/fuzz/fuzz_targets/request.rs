//! Any bytes of a client through the whole edge: protocol, routes, filters, files and a real upstream that answers whatever comes. The first
//! byte says which protocol. Never a panic, every connection ends, and what HTTP/1 answers begins with a status line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use monodon_edge::access_log::Log;
use monodon_edge::buffer::Spool;
use monodon_edge::config::load;
use monodon_edge::connection::{ConnInfo, Protocol};
use monodon_edge::service::Thread;
use monodon_edge::snapshot::Snapshot;
use monodon_edge::tls::Certificates;
use monodon_edge::{drain, protocol};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const CONFIGURATION: &str = r#"
body_limit = "4KB"
compress_min_length = "1"
[[site]]
hosts = ["a.example", "*.a.example"]
[[site.route]]
path = "/files/"
files = "FOLDER"
[[site.route]]
pattern = "^/old/(?<rest>.*)$"
redirect = "https://b.example/$rest$is_args$args"
[[site.route]]
path = "/api/"
upstream = "default"
strip_prefix = true
[[site.route]]
exact = "/gone"
status = 410
[[site]]
block_scanners = true
"#;

struct Edge {
    runtime: tokio::runtime::Runtime,
    local: tokio::task::LocalSet,
    thread: Rc<Thread>,
    _control: drain::Control,
}

thread_local! {
    static EDGE: Edge = edge();
}

fn edge() -> Edge {
    let folder = std::env::temp_dir().join(format!("monodon-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("files")).expect("a folder for files");
    std::fs::write(folder.join("files/a.txt"), "some text, over and over. ".repeat(100)).expect("a file to serve");
    let file = folder.join("edge.toml");
    std::fs::write(&file, CONFIGURATION.replace("FOLDER", &folder.join("files").display().to_string())).expect("a configuration");
    let upstream = upstream();
    let args = [
        "--config".into(), file.into(), "--http".into(), "127.0.0.1:8080".into(), "--upstream".into(), upstream.to_string().into(),
        "--state".into(), folder.join("state").into(), "--log-level".into(), "error".into(),
    ];
    let config = load::load(&args, std::iter::empty()).unwrap_or_else(|problems| panic!("{problems}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    let (control, drain) = drain::channel();
    let thread = local.block_on(&runtime, async {
        let spool = Arc::new(Spool::open(&config.spool).expect("a spool"));
        let certificates = Certificates::open(&config.tls).expect("certificates");
        let log = Log::new(monodon_logging::Lines::open("off").expect("no log"));
        let snapshot = Arc::new(Snapshot::build(config, spool, None));
        Thread::new(0, snapshot, certificates, Arc::default(), log, drain)
    });
    Edge { runtime, local, thread, _control: control }
}

/// Answers what looks like a head, again and again, and does not care what it was.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut stream = stream;
                let (mut seen, mut part) = (Vec::new(), [0; 4096]);
                while let Ok(count @ 1..) = stream.read(&mut part) {
                    seen.extend_from_slice(&part[..count]);
                    if seen.windows(4).any(|four| four == b"\r\n\r\n") {
                        seen.clear();
                        let answer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";
                        if stream.write_all(answer.as_bytes()).is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    address
}

fuzz_target!(|data: &[u8]| {
    let Some((&kind, bytes)) = data.split_first() else { return };
    EDGE.with(|edge| {
        let answer = edge.local.block_on(&edge.runtime, async {
            let (mut client, server) = tokio::io::duplex(64 << 10);
            let protocol = if kind & 1 == 0 { Protocol::Http1 } else { Protocol::Http2 };
            let here = SocketAddr::from(([127, 0, 0, 1], 8080));
            let conn = Rc::new(ConnInfo::new(([192, 0, 2, 1], 5000).into(), here, None, protocol));
            let thread = edge.thread.clone();
            let serving = tokio::task::spawn_local(async move {
                match protocol {
                    Protocol::Http1 => protocol::h1::serve(server, thread, conn).await,
                    Protocol::Http2 => protocol::h2::serve(server, thread, conn).await,
                }
            });
            let talk = async {
                if protocol == Protocol::Http2 {
                    let _ = client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
                }
                let _ = client.write_all(bytes).await;
                let _ = client.shutdown().await;
                let mut answer = Vec::new();
                let _ = client.read_to_end(&mut answer).await;
                answer
            };
            // A client that half closes is believed for a moment; nothing may take longer than the shortest of the waits.
            let answer = tokio::time::timeout(Duration::from_secs(25), talk).await.expect("the connection does not end");
            serving.await.expect("a panic in the edge");
            answer
        });
        if kind & 1 == 0 {
            assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{:?}", String::from_utf8_lossy(&answer));
        }
    });
});
