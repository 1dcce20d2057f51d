//! Basic and forward authentication over real sockets.
#![allow(clippy::unwrap_used)]

mod common;

use common::client::request;
use common::upstream::reply;
use common::{Connection, Edge, Setup, Upstream, get, problems, until};
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn edge(text: &str) -> Edge {
    Setup::default().plain().file(text).start()
}

fn counted(edge: &Edge, reason: &str, times: f64) {
    edge.counts(&format!("monodon_edge_http_request_errors_total{{site=\"_default\",reason=\"{reason}\"}}"), times);
}

/// A file of users with cheap hashes.
struct Users(tempfile::TempDir);

impl Users {
    fn new(users: &[(&str, &str)]) -> Self {
        let own = Self(tempfile::tempdir().unwrap());
        own.write(users);
        own
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("users")
    }

    fn write(&self, users: &[(&str, &str)]) {
        let line = |(name, password): &(&str, &str)| format!("{name}:{}\n", bcrypt::hash(password, 4).unwrap());
        self.replace(&users.iter().map(line).collect::<String>());
    }

    /// In one go: who looks at it meanwhile must not see half of it.
    fn replace(&self, text: &str) {
        let beside = self.path().with_extension("new");
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(&beside, self.path()).unwrap();
    }
}

fn basic(credentials: &str) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for part in credentials.as_bytes().chunks(3) {
        let bits = part.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - part.len()));
        for place in 0..4 {
            let sextet = alphabet[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= part.len() { char::from(sextet) } else { '=' });
        }
    }
    format!("Authorization: Basic {text}")
}

/// Editors on Windows put a byte order mark at a file's beginning: it is no part of the first name.
#[test]
fn a_file_of_users_may_begin_with_a_byte_order_mark() {
    let upstream = Upstream::saying("hello");
    let users = Users::new(&[]);
    let hash = |password: &str| bcrypt::hash(password, 4).unwrap();
    users.replace(&format!("\u{feff}alice:{}\r\nbob:{}\r\n", hash("one"), hash("two")));
    let edge = edge(&format!(
        "upstream = ['{}']\nbasic_auth = 'x'\nbasic_auth_users = '{}'\n",
        upstream.address,
        users.path().display()
    ));
    for credentials in ["alice:one", "bob:two"] {
        assert_eq!(get(edge.http, "/", &[&basic(credentials)]).status, 200, "{credentials}");
    }
}

/// Nothing is served without the password that one place asks for and another is wrong about.
#[test]
fn a_file_of_users_that_cannot_be_read_opens_nothing() {
    let users = Users::new(&[]);
    users.replace("alice:$apr1$not$known\n");
    let told = problems(&format!(
        "http = ':8080'\nbasic_auth_users = '{}'\n[[site]]\n[[site.route]]\npath = '/'\nrespond = 'secret'\nbasic_auth = 'Staff'\n",
        users.path().display()
    ));
    assert!(told.contains("edge.toml:2: basic_auth_users: "), "{told}");
}

#[test]
fn names_and_passwords() {
    let upstream = Upstream::saying("hello");
    let users = Users::new(&[("alice", "open: sesame"), ("bob", "caf\u{e9}")]);
    let edge = edge(&format!(
        "upstream = ['{}']\n[[site]]\nbasic_auth = 'Staff only'\nbasic_auth_users = '{}'\nremote_user_header = 'X-Remote-User'\n\
         [[site.route]]\npath = '/open'\nupstream = 'default'\nbasic_auth = 'off'\n",
        upstream.address,
        users.path().display()
    ));
    let refused = get(edge.http, "/", &[]);
    assert_eq!(refused.status, 401);
    assert_eq!(refused.header("www-authenticate"), Some("Basic realm=\"Staff only\", charset=\"UTF-8\""));
    for (credentials, status) in [
        ("alice:open: sesame", 200),
        ("bob:caf\u{e9}", 200),
        ("alice:open", 401),
        ("alice:", 401),
        ("carol:open: sesame", 401),
        ("alice", 401),
        (":open: sesame", 401),
        ("ALICE:open: sesame", 401),
    ] {
        // Twice: what is remembered must say the same.
        for _ in 0..2 {
            assert_eq!(get(edge.http, "/", &[&basic(credentials)]).status, status, "{credentials}");
        }
    }
    // The application learns the name, in no words but ours, and not the password.
    let spoofed = [basic("alice:open: sesame"), "X-Remote-User: root".into(), "X_Remote_User: root".into()];
    let spoofed: Vec<&str> = spoofed.iter().map(String::as_str).collect();
    assert_eq!(get(edge.http, "/", &[&spoofed[..], &["Connection: X-Remote-User, close"]].concat()).status, 200);
    let seen = upstream.last();
    assert_eq!(seen.all("x-remote-user"), ["alice"]);
    assert_eq!((seen.header("authorization"), seen.header("x_remote_user")), (None, None));
    assert_eq!(get(edge.http, "/open", &spoofed).status, 200);
    let seen = upstream.last();
    assert_eq!(seen.header("x-remote-user"), None, "a client cannot send it where nobody is asked, either");
    assert!(seen.header("authorization").is_some(), "the application's own");
    // Any way to write the path is the same path.
    for path in ["/open/../x", "/open%2f..%2fx", "//x", "/%6fpenx"] {
        assert_eq!(get(edge.http, path, &[]).status, 401, "{path}");
    }
    let two = [basic("alice:open: sesame"), basic("bob:x")];
    assert_eq!(get(edge.http, "/", &[&two[0], &two[1]]).status, 401, "two fields are one too many");
    counted(&edge, "unauthorized", 18.0);
    edge.access_line(|line| line["reason"] == "wrong_password");
    assert!(!edge.lines().iter().any(|line| line.contains("sesame")));
}

/// As cheap as it goes.
fn argon2id(password: &str) -> String {
    use argon2::password_hash::PasswordHasher;
    let params = argon2::Params::new(64, 1, 1, None).unwrap();
    let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    argon2.hash_password_with_salt(password.as_bytes(), b"saltsaltsalt").unwrap().to_string()
}

#[test]
fn argon2id_beside_bcrypt() {
    let upstream = Upstream::saying("hello");
    let users = Users::new(&[]);
    users.replace(&format!("alice:{}\nbob:{}\n", bcrypt::hash("one", 4).unwrap(), argon2id("two")));
    let edge = edge(&format!(
        "upstream = ['{}']\nbasic_auth = 'x'\nbasic_auth_users = '{}'\nremote_user_header = 'X-Remote-User'\n",
        upstream.address,
        users.path().display()
    ));
    for (credentials, status) in
        [("bob:two", 200), ("bob:tw", 401), ("bob:one", 401), ("alice:one", 200), ("alice:two", 401)]
    {
        // Twice: what is remembered must say the same.
        for _ in 0..2 {
            assert_eq!(get(edge.http, "/", &[&basic(credentials)]).status, status, "{credentials}");
        }
    }
    assert_eq!(get(edge.http, "/", &[&basic("bob:two")]).text(), "hello");
    assert_eq!(upstream.last().header("x-remote-user"), Some("bob"));
}

#[test]
fn users_are_read_again_when_they_change() {
    let upstream = Upstream::saying("hello");
    let users = Users::new(&[("alice", "one")]);
    let edge = edge(&format!(
        "upstream = ['{}']\nbasic_auth = 'x'\nbasic_auth_users = '{}'\n",
        upstream.address,
        users.path().display()
    ));
    let ask = |credentials: &str| get(edge.http, "/", &[&basic(credentials)]).status;
    assert_eq!((ask("alice:one"), ask("bob:two")), (200, 401));
    users.write(&[("bob", "two")]);
    until("the new users", || ask("bob:two") == 200);
    assert_eq!(ask("alice:one"), 401, "what was remembered of a user who is gone does not hold");
    // A broken file changes nothing.
    users.replace("bob:plain\n");
    until("the warning", || edge.lines().iter().any(|line| line.contains("the users read before stay")));
    assert_eq!((ask("bob:two"), ask("bob:plain")), (200, 401));
}

#[test]
fn many_at_once_are_looked_at_in_turn() {
    let upstream = Upstream::saying("hello");
    let users = Users::new(&[("alice", "one")]);
    let edge = edge(&format!(
        "upstream = ['{}']\nbasic_auth = 'x'\nbasic_auth_users = '{}'\n",
        upstream.address,
        users.path().display()
    ));
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let ask = |credentials: &'static str| scope.spawn(move || get(edge.http, "/", &[&basic(credentials)]).status);
        let asked: Vec<_> = (0..24).map(|place| ask(if place % 3 == 0 { "alice:one" } else { "alice:two" })).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    for (place, status) in answers.into_iter().enumerate() {
        assert_eq!(status, if place % 3 == 0 { 200 } else { 401 });
    }
}

/// A flood of guesses waits for the cores that look at passwords, so many at most; whoever was let in before notices nothing.
#[test]
fn more_guesses_than_may_wait_are_told_that_it_is_busy() {
    let upstream = Upstream::saying("hello");
    let users = Users::new(&[]);
    std::fs::write(users.path(), format!("alice:{}\n", bcrypt::hash("one", 10).unwrap())).unwrap();
    let edge = edge(&format!(
        "upstream = ['{}']\nbasic_auth = 'x'\nbasic_auth_users = '{}'\n",
        upstream.address,
        users.path().display()
    ));
    let ask = |credentials: &str| get(edge.http, "/", &[&basic(credentials)]);
    assert_eq!(ask("alice:one").status, 200);
    let guess = |number: usize| {
        let mut connection = Connection::plain(edge.http).unwrap();
        let credentials = basic(&format!("alice:{number}"));
        connection.send(format!("GET /guess HTTP/1.1\r\nHost: a\r\n{credentials}\r\n\r\n")).unwrap();
        connection
    };
    let mut guesses: Vec<Connection> = (0..400).map(guess).collect();
    edge.access_line(|line| line["reason"] == "auth_busy");
    assert_eq!(ask("alice:one").status, 200);
    let line = edge.access_line(|line| line["status"] == 503);
    assert_eq!((line["path"].as_str(), line["reason"].as_str()), (Some("/guess"), Some("auth_busy")));
    // Those that wait are looked at, and no more than that.
    let busy = guesses.iter_mut().rev().map(|guess| guess.answer().unwrap()).find(|answer| answer.status == 503);
    assert!(busy.unwrap().header("retry-after").is_some());
    drop(guesses);
    until("there is room again", || ask("alice:two").status == 401);
}

#[test]
fn an_address_or_a_password() {
    let upstream = Upstream::saying("hello");
    let users = Users::new(&[("alice", "one")]);
    let edge = edge(&format!(
        "upstream = ['{}']\ntrusted_proxies = ['127.0.0.1']\nallow = ['10.0.0.0/8']\nbasic_auth = 'x'\nbasic_auth_users = '{}'\n\
         [[site]]\nsatisfy = 'any'\n[[site.route]]\npath = '/both'\nupstream = 'default'\nsatisfy = 'all'\n",
        upstream.address,
        users.path().display()
    ));
    let good = basic("alice:one");
    for (path, client, credentials, status) in [
        ("/", "10.0.0.1", None, 200),
        ("/", "192.0.2.1", None, 401),
        ("/", "192.0.2.1", Some(&good), 200),
        ("/both", "10.0.0.1", None, 401),
        ("/both", "10.0.0.1", Some(&good), 200),
        ("/both", "192.0.2.1", Some(&good), 403),
    ] {
        let client = format!("X-Forwarded-For: {client}");
        let fields: Vec<&str> =
            [Some(client.as_str()), credentials.map(String::as_str)].into_iter().flatten().collect();
        assert_eq!(get(edge.http, path, &fields).status, status, "{path} {fields:?}");
    }
}

/// Whoever has the cookie may; without, off to the login page; `broken` and `late` as they say.
fn authority() -> Upstream {
    Upstream::start(|seen, stream| match seen.header("cookie").unwrap_or_default() {
        "session=good" => {
            let fields =
                [("Remote-User", "alice"), ("Remote-Groups", "staff"), ("Remote-Groups", "admins"), ("X-Other", "1")];
            reply(stream, 200, &fields, "ignored")
        }
        "session=empty" => reply(stream, 204, &[], ""),
        "session=bad" => reply(stream, 403, &[("X-Why", "no")], "not you"),
        "session=none" => reply(stream, 401, &[("WWW-Authenticate", "Bearer realm=\"sso\"")], "sign in"),
        "session=huge" => reply(stream, 403, &[], "x".repeat(70_000)),
        "session=broken" => reply(stream, 500, &[], "oops"),
        "session=elsewhere" => reply(stream, 404, &[("Remote-User", "alice")], ""),
        "session=known" => reply(stream, 304, &[("Remote-User", "alice")], ""),
        "session=gone" => false,
        "session=late" => {
            let _until_it_is_left = stream.read(&mut [0]);
            false
        }
        _ => reply(stream, 302, &[("Location", "https://sso.example/?rd=x"), ("Set-Cookie", "a=b")], ""),
    })
}

fn forward(upstream: &Upstream, authority: &Upstream) -> String {
    format!(
        "upstream = ['{}']\n[upstreams.sso]\nservers = ['{}']\n[[site]]\nforward_auth = 'sso/verify?x=1'\n\
         forward_auth_headers = ['Remote-User', 'Remote-Groups', 'Authorization']\nforward_auth_timeout = '20s'\n\
         [[site.route]]\npath = '/hurry'\nupstream = 'default'\nforward_auth_timeout = '300ms'\n\
         [[site.route]]\npath = '/open'\nupstream = 'default'\nforward_auth = 'off'\n",
        upstream.address, authority.address
    )
}

#[test]
fn somebody_else_decides() {
    let (upstream, authority) = (Upstream::saying("hello"), authority());
    let edge = edge(&forward(&upstream, &authority));
    let ask = |cookie: &str, fields: &[&str]| {
        let cookie = format!("Cookie: session={cookie}");
        get(edge.http, "/a/../page?q=1", &[&[cookie.as_str()], fields].concat())
    };
    // Names that the answer fills, in every spelling, are the answer's alone.
    let spoofed = ["Remote-User: root", "Remote_User: root", "REMOTE-GROUPS: root", "Authorization: Bearer mine"];
    let good = ask("good", &spoofed);
    assert_eq!((good.status, good.text().as_str()), (200, "hello"));
    let seen = upstream.last();
    assert_eq!(seen.all("remote-user"), ["alice"]);
    assert_eq!(seen.all("remote-groups"), ["staff", "admins"]);
    assert_eq!((seen.header("remote_user"), seen.header("x-other"), seen.header("authorization")), (None, None, None));
    let question = authority.last();
    assert_eq!(question.line, "GET /verify?x=1 HTTP/1.1");
    for (name, value) in [
        ("x-forwarded-method", "GET"),
        ("x-forwarded-uri", "/page?q=1"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("authorization", "Bearer mine"),
        ("x-original-url", "http://127.0.0.1/page?q=1"),
    ] {
        assert_eq!(question.all(name), [value], "{name}");
    }
    // A yes without names tells none.
    assert_eq!(ask("empty", &spoofed).status, 200);
    assert_eq!(upstream.last().header("remote-user"), None);
    let before = upstream.seen().len();
    let bad = ask("bad", &[]);
    assert_eq!((bad.status, bad.text().as_str(), bad.header("x-why")), (403, "not you", Some("no")));
    let none = ask("none", &[]);
    assert_eq!((none.status, none.header("www-authenticate")), (401, Some("Bearer realm=\"sso\"")));
    assert_eq!(none.header("cache-control"), Some("no-store"));
    let login = ask("", &[]);
    assert_eq!((login.status, login.header("location")), (302, Some("https://sso.example/?rd=x")));
    assert_eq!(login.header("set-cookie"), Some("a=b"));
    for cookie in ["huge", "broken", "elsewhere", "known", "gone"] {
        assert_eq!(ask(cookie, &[]).status, 502, "{cookie}");
    }
    assert_eq!(get(edge.http, "/hurry", &["Cookie: session=late"]).status, 504);
    assert_eq!(upstream.seen().len(), before, "none of these reached the application");
    counted(&edge, "unauthorized", 3.0);
    counted(&edge, "auth_service", 6.0);
    // Where nobody is asked, a client cannot send the names either, but its own credentials it can.
    assert_eq!(get(edge.http, "/open", &spoofed).status, 200);
    let seen = upstream.last();
    assert_eq!((seen.header("remote-user"), seen.header("authorization")), (None, Some("Bearer mine")));
}

/// Sign-on services send people back to where they came from.
#[test]
fn behind_a_proxy_with_tls_the_address_asked_for_is_that_of_the_client() {
    let (upstream, authority) = (Upstream::saying("hello"), authority());
    let edge = edge(&format!("trusted_proxies = ['127.0.0.1']\n{}", forward(&upstream, &authority)));
    for (proto, url) in [("https", "https://shop.example/a?b"), ("http", "http://shop.example/a?b")] {
        let proto = format!("X-Forwarded-Proto: {proto}");
        assert_eq!(get(edge.http, "/a?b", &["Host: shop.example", "Cookie: session=good", &proto]).status, 200);
        assert_eq!(authority.last().all("x-original-url"), [url]);
    }
}

#[test]
fn bodies_and_other_methods() {
    let (upstream, authority) = (Upstream::saying("hello"), authority());
    let edge = edge(&forward(&upstream, &authority));
    let mut connection = Connection::plain(edge.http).unwrap();
    let post = "POST /save HTTP/1.1\r\nHost: shop.example\r\nCookie: session=good\r\nContent-Type: text/plain\r\n\
                X-Forwarded-Uri: /evil\r\nX-Forwarded-Method: HEAD\r\nIf-None-Match: x\r\nIf-Match: x\r\n\
                If-Modified-Since: Sun, 09 Sep 2001 01:46:40 GMT\r\nRange: bytes=0-0\r\nIf-Range: x\r\nAccept-Encoding: gzip\r\n\
                Content-Length: 5\r\n\r\nhello";
    assert_eq!(connection.ask(post).status, 200);
    let (seen, question) = (upstream.last(), authority.last());
    assert_eq!((seen.line.as_str(), seen.body.as_slice()), ("POST /save HTTP/1.1", &b"hello"[..]));
    assert_eq!((question.line.as_str(), question.body.as_slice()), ("GET /verify?x=1 HTTP/1.1", &b""[..]));
    for (name, values) in [
        ("x-forwarded-method", &["POST"][..]),
        ("x-forwarded-uri", &["/save"]),
        ("x-forwarded-host", &["shop.example"]),
        ("host", &["shop.example"]),
        ("content-type", &[]),
        ("content-length", &[]),
        // What they are about is the page, not the question.
        ("if-none-match", &[]),
        ("if-match", &[]),
        ("if-modified-since", &[]),
        ("range", &[]),
        ("if-range", &[]),
        ("accept-encoding", &[]),
    ] {
        assert_eq!(question.all(name), values, "{name}");
    }
    // A refused upload does not reach anybody, and a HEAD gets no body.
    assert_eq!(connection.ask(post.replace("=good", "=bad")).status, 403);
    assert_eq!(upstream.seen().len(), 1);
    let mut connection = Connection::plain(edge.http).unwrap();
    let head = connection.ask("HEAD / HTTP/1.1\r\nHost: a\r\nCookie: session=bad\r\n\r\n");
    assert_eq!((head.status, head.header("content-length")), (403, Some("7")));
    assert_eq!(connection.ask("GET / HTTP/1.1\r\nHost: a\r\nCookie: session=bad\r\n\r\n").text(), "not you");
}

/// Whoever is asked is asked for a word, never for a tunnel; the application is, once he has said yes.
#[test]
fn who_asks_for_a_websocket_is_asked_who_he_is() {
    let authority = authority();
    let upstream = Upstream::start(|_, stream| {
        let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        std::io::Write::write_all(stream, head.as_bytes()).is_ok()
    });
    let edge = edge(&forward(&upstream, &authority));
    let ask = |cookie: &str| {
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let mut client = Connection::plain(edge.http).unwrap();
        client.ask(format!("GET /socket HTTP/1.1\r\nHost: a\r\nCookie: session={cookie}\r\n{upgrade}\r\n")).status
    };
    assert_eq!(ask("bad"), 403);
    assert!(upstream.seen().is_empty());
    assert_eq!(ask("good"), 101);
    for question in authority.seen() {
        assert_eq!((question.header("upgrade"), question.header("connection")), (None, None), "{question:?}");
    }
    assert_eq!(upstream.last().header("upgrade"), Some("websocket"));
    assert_eq!(upstream.last().all("remote-user"), ["alice"]);
}

#[test]
fn nothing_is_kept_of_an_answer_and_a_url_will_do() {
    let good = Arc::new(AtomicBool::new(true));
    let authority = {
        let good = good.clone();
        Upstream::start(move |_, stream| reply(stream, if good.load(Ordering::SeqCst) { 200 } else { 403 }, &[], ""))
    };
    let upstream = Upstream::saying("hello");
    let edge = edge(&format!(
        "upstream = ['{}']\n[[site]]\n[[site.route]]\npath = '/closed'\nupstream = 'default'\n\
         forward_auth = 'http://{}/api/verify'\n",
        upstream.address, authority.address
    ));
    assert_eq!(get(edge.http, "/closed", &[]).status, 200);
    let question = authority.last();
    assert_eq!(
        (question.path(), question.header("host")),
        ("/api/verify", Some(authority.address.to_string().as_str()))
    );
    good.store(false, Ordering::SeqCst);
    assert_eq!(get(edge.http, "/closed", &[]).status, 403);
    assert_eq!(get(edge.http, "/", &[]).status, 200);
    assert_eq!(authority.seen().len(), 2);
    assert_eq!(request(edge.http, "DELETE", "/closed", &["Content-Length: 0"]).status, 403);
}
