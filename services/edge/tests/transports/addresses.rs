//! How servers are written: schemes, IPv6, sockets; and the flat upstream, which is spoken to like others.

use crate::application::{Application, Pki, Place};
use crate::common::{self, Connection, Edge, Setup, get};
use crate::edge;
use std::io::{Read, Write};
use std::sync::atomic::Ordering;

fn flat(text: &str) -> Edge {
    Setup::default().plain().file(text).start()
}

fn asks(edge: &Edge, app: &Application, what: &str) {
    for _ in 0..3 {
        assert_eq!(get(edge.http, "/a", &[]).status, 200, "{what}");
    }
    assert_eq!(app.seen.connections.load(Ordering::SeqCst), 1, "{what}: connections are kept");
}

#[test]
fn a_scheme_says_how_servers_are_spoken_to() {
    for (scheme, tls, http2) in [
        ("http", false, false),
        ("https", true, false),
        ("grpc", false, true),
        ("h2c", false, true),
        ("grpcs", true, true),
    ] {
        let pki = Pki::new("127.0.0.1", false, &[if http2 { "h2" } else { "http/1.1" }]);
        let app = Application::start(tls.then(|| pki.server.clone()), http2);
        let url = format!("{scheme}://{}", app.address);
        let ca = if tls { format!("tls_ca = '{}'\n", pki.path("ca.pem")) } else { String::new() };
        asks(&edge(&format!("servers = ['{url}']\n{ca}")), &app, &url);
    }
}

/// By file, by flags and by the environment, which for the flat upstream are the same.
#[test]
fn the_flat_upstream_is_spoken_to_as_others_are() {
    let pki = Pki::new("app.internal", true, &["http/1.1"]);
    let keys = [
        ("ca", pki.path("ca.pem")),
        ("server-name", "app.internal".to_owned()),
        ("certificate", pki.path("client.pem")),
        ("key", pki.path("client.key")),
    ];
    let app = Application::start(Some(pki.server.clone()), false);
    let mut text = format!("upstream = ['https://{}']\n", app.address);
    for (key, value) in &keys {
        text += &format!("upstream_tls_{} = '{value}'\n", key.replace('-', "_"));
    }
    asks(&flat(&text), &app, "file");
    let app = Application::start(Some(pki.server.clone()), false);
    let mut setup = Setup::default().plain().args(["--upstream", &app.address, "--upstream-tls"]);
    for (key, value) in &keys {
        setup = setup.args([&format!("--upstream-tls-{key}"), value]);
    }
    asks(&setup.start(), &app, "flags");
    let app = Application::start(Some(pki.server), false);
    let mut setup = Setup::default().plain().env("MONODON_EDGE_UPSTREAM", &format!("https://{}", app.address));
    for (key, value) in &keys {
        setup = setup.env(&format!("MONODON_EDGE_UPSTREAM_TLS_{}", key.replace('-', "_").to_uppercase()), value);
    }
    asks(&setup.start(), &app, "environment");
    // HTTP/2, and what one upstream says is not for another.
    let (app, other) = (Application::start(None, true), Application::start(None, false));
    let edge = flat(&format!(
        "upstream = ['{}']\nupstream_protocol = 'h2'\n[upstreams.other]\nservers = ['{}']\n\
         [[site]]\n[[site.route]]\npath = '/other'\nupstream = 'other'\n",
        app.address, other.address
    ));
    asks(&edge, &app, "h2");
    assert_eq!(get(edge.http, "/other", &[]).status, 200);
}

#[test]
fn ipv6_servers() {
    let pki = Pki::new("::1", false, &["http/1.1"]);
    for tls in [false, true] {
        let app = Application::at(&Place::V6, tls.then(|| pki.server.clone()), false);
        assert!(app.address.starts_with("[::1]:"));
        let scheme = if tls { "https://" } else { "" };
        let ca = if tls { format!("tls_ca = '{}'\n", pki.path("ca.pem")) } else { String::new() };
        asks(&edge(&format!("servers = ['{scheme}{} weight=2']\n{ca}", app.address)), &app, scheme);
    }
}

#[test]
fn unix_sockets_with_tls_and_http2() {
    let dir = tempfile::tempdir().unwrap();
    for (name, tls, http2) in [("a", false, false), ("b", true, false), ("c", false, true), ("d", true, true)] {
        let pki = Pki::new("app.internal", false, &[if http2 { "h2" } else { "http/1.1" }]);
        let place = Place::Unix(dir.path().join(name));
        let app = Application::at(&place, tls.then(|| pki.server.clone()), http2);
        let mut settings = format!("servers = ['{}']\n", app.address);
        if tls {
            settings += &format!("tls = true\ntls_ca = '{}'\ntls_server_name = 'app.internal'\n", pki.path("ca.pem"));
        }
        if http2 {
            settings += "protocol = 'h2'\n";
        }
        asks(&edge(&settings), &app, &settings);
    }
}

#[test]
fn the_client_s_address_goes_to_a_unix_socket_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let serve = std::thread::spawn(move || {
        loop {
            let (mut stream, _) = listener.accept().unwrap();
            let mut seen = Vec::new();
            let mut part = [0; 4096];
            while !seen.ends_with(b"\r\n\r\n") {
                match stream.read(&mut part).unwrap() {
                    // A check says nothing but whose it is.
                    0 => break,
                    read => seen.extend_from_slice(&part[..read]),
                }
            }
            if seen.ends_with(b"\r\n\r\n") {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
                return String::from_utf8(seen).unwrap();
            }
        }
    });
    let edge = flat(&format!("upstream = ['unix:{}']\nupstream_proxy_protocol = 'v1'\n", path.display()));
    let mut client = Connection::plain(edge.http).unwrap();
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").text(), "ok");
    let seen = serve.join().unwrap();
    assert!(seen.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 "), "{seen}");
}

#[test]
fn what_servers_cannot_be_is_said_with_place_and_key() {
    for (text, place, words) in [
        ("upstream = ['https://a/api']", "edge.toml:1: upstream:", "`strip_prefix` or `rewrite`"),
        (
            "upstream = ['https://a', 'http://b']",
            "edge.toml:1: upstream:",
            "https://a:443 and http://b:80 begin differently",
        ),
        ("upstream = ['https://a', 'b:1']", "edge.toml:1: upstream:", "https://a:443 and b:1 begin differently"),
        ("upstream = ['http://a']\nupstream_tls = true", "edge.toml:2: upstream_tls:", "http:// before the servers'"),
        (
            "upstream = ['a:1']\nupstream_tls_ca = '/x'",
            "edge.toml:2: upstream_tls_ca:",
            "without `upstream_tls = true`",
        ),
        ("upstream = ['grpc://a']\nupstream_protocol = 'http1'", "edge.toml:2: upstream_protocol:", "grpc:// before"),
        (
            "upstream = ['grpc://a']\nupstream_proxy_protocol = 'v2'",
            "edge.toml:2: upstream_proxy_protocol:",
            "many clients",
        ),
        ("upstream = ['unix:/x']\nupstream_tls = true", "upstream_tls_server_name:", "a unix socket has no name"),
        ("[upstreams.a]\nservers = ['http://a', 'https://b']", "edge.toml:2: servers:", "make them two upstreams"),
        ("[upstreams.a]\nservers = ['https://a']\ntls = false", "edge.toml:3: tls:", "https:// before the servers'"),
        ("[upstreams.a]\nservers = ['https://a', 'https://b']", "tls_server_name:", "a or b? one name is looked for"),
        ("[upstreams.a]\nservers = ['ws://a']", "edge.toml:2: servers:", "ws:// is not spoken to servers"),
    ] {
        let said = common::problems(text);
        assert!(said.contains(place) && said.contains(words), "{text}: {said}");
    }
}
