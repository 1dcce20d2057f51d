//! `connect_timeout`: a server whose queue of connections is full does not answer the first packet.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Connection, Setup, get, until};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A listener that takes no more connections, and those that fill it.
struct Full {
    address: SocketAddr,
    _listener: socket2::Socket,
    _inside: Vec<TcpStream>,
}

fn full() -> Full {
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let connect = || TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok();
    let inside = std::iter::from_fn(connect).collect();
    Full { address, _listener: listener, _inside: inside }
}

#[test]
fn an_upstream_that_takes_no_connection_in_time_is_late_and_not_down() {
    let full = full();
    for (flat, own) in [("connect_timeout = '300ms'", ""), ("connect_timeout = '5m'", "connect_timeout = '300ms'")] {
        let settings = format!(
            "{flat}\n[upstreams.full]\nservers = ['{}']\n{own}\n[[site]]\n[[site.route]]\npath = '/'\nupstream = 'full'\n",
            full.address
        );
        let edge = Setup::default().plain().file(&settings).start();
        assert_eq!(get(edge.http, "/", &[]).status, 502, "{settings}");
        let line = edge.access_line(|line| line["status"] == 502);
        assert_eq!(line["reason"], "upstream_connect_timeout");
        let counted = "monodon_edge_http_request_errors_total{site=\"_default\",reason=\"upstream_connect\"}";
        until("it is counted", || edge.metric(counted) >= 1.0);
    }
}

#[test]
fn each_upstream_has_its_own_or_the_edge_s() {
    let full = full();
    for (flat, own) in [("10m", "200ms"), ("200ms", "10m")] {
        let edge = Setup::default()
            .plain()
            .file(&format!(
                "upstream = ['{address}']\nconnect_timeout = '{flat}'\n\
                 [upstreams.own]\nservers = ['{address}']\nconnect_timeout = '{own}'\n\
                 [[site]]\n[[site.route]]\npath = '/own/'\nupstream = 'own'\n",
                address = full.address
            ))
            .start();
        let (short, long) = if flat == "10m" { ("/own/", "/") } else { ("/", "/own/") };
        let mut patient = Connection::plain(edge.http).unwrap();
        patient.send(format!("GET {long} HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap();
        // By the default of a second the patient one would have had its answer before these have theirs.
        for _ in 0..12 {
            assert_eq!(get(edge.http, short, &[]).status, 502);
        }
        edge.access_line(|line| line["path"] == short);
        let answered =
            |line: &String| line.contains("\"log\":\"access\"") && line.contains(&format!("\"path\":\"{long}\""));
        assert!(!edge.lines().iter().any(answered), "{flat} {own}");
    }
}
