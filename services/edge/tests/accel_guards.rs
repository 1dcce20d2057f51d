//! Whom an application points to an internal route has to be let in there too, as in nginx, whose access phase runs again; and what an
//! internal upstream is told is what any is told.
#![allow(clippy::unwrap_used)]

mod common;

use common::client::request;
use common::upstream::{Seen, reply};
use common::{Edge, Setup, Upstream, get, write};

/// `/go/x` points to `/x`.
fn pointing(seen: &Seen, stream: &mut std::net::TcpStream) -> bool {
    match (seen.path(), seen.path().strip_prefix("/go")) {
        ("/script", _) => reply(stream, 200, &[("X-Accel-Redirect", "/some/wp-login.php")], ""),
        (_, Some(target)) => reply(stream, 200, &[("X-Accel-Redirect", target)], ""),
        _ => reply(stream, 200, &[], "from the store"),
    }
}

fn edge(text: &str) -> Edge {
    Setup::default().plain().file(text).start()
}

/// `basic_auth` for alice alone.
fn alone(dir: &tempfile::TempDir) -> String {
    let users = dir.path().join("users");
    write(&users, format!("alice:{}\n", bcrypt::hash("one", 4).unwrap()));
    format!("basic_auth = 'x'\nbasic_auth_users = '{}'\n", users.display())
}

/// `alice:one`
const ALICE: &str = "Authorization: Basic YWxpY2U6b25l";

#[test]
fn the_rules_of_the_internal_route_hold() {
    let upstream = Upstream::start(pointing);
    let dir = tempfile::tempdir().unwrap();
    for name in ["a.txt", "a.key", "wp-login.php"] {
        write(&dir.path().join("media").join(name), "private");
    }
    let route = |path: &str, more: &str| {
        let media = dir.path().join("media");
        format!("[[site.route]]\npath = '/{path}/'\nfiles = '{}'\ninternal = true\n{more}\n", media.display())
    };
    let text = [
        format!("upstream = ['{}']\ntrusted_proxies = ['127.0.0.1']\n", upstream.address),
        "[limits.few]\nrate = '1/h'\n[limits.all]\nrate = '1/h'\nburst = 8\n".into(),
        "[[site]]\nblock_scanners = true\nlimit = 'all'\n".into(),
        route("some", "deny = ['203.0.113.66']\ndeny_paths = ['\\.key$']"),
        route("locked", &alone(&dir)),
        route("posts", "allow_methods = ['POST']"),
        route("few", "limit = 'few'"),
    ];
    let edge = edge(&text.concat());
    for (path, fields, status) in [
        ("/go/some/a.txt", &["X-Forwarded-For: 127.0.0.1"][..], 200),
        ("/go/some/a.txt", &["X-Forwarded-For: 203.0.113.66"], 403),
        ("/go/some/a.key", &[], 403),
        // An application's own files are not what a scanner has asked for.
        ("/script", &[], 200),
        ("/wp-login.php", &[], 403),
        ("/go/locked/a.txt", &[], 401),
        ("/go/locked/a.txt", &[ALICE], 200),
        ("/go/few/a.txt", &[], 200),
        ("/go/few/a.txt", &[], 429),
    ] {
        assert_eq!(get(edge.http, path, fields).status, status, "{path} {fields:?}");
    }
    // As in nginx what was pointed to is asked for by GET.
    let posted = request(edge.http, "POST", "/go/posts/a.txt", &["Content-Length: 0"]);
    assert_eq!((posted.status, posted.header("allow")), (405, Some("POST")));
    // A limit that holds at both ends has counted each of them once, of one client eight by now.
    let answers = [(); 2].map(|()| get(edge.http, "/go/some/a.txt", &[]).status);
    assert_eq!(answers, [200, 429]);
}

/// A password is asked for once, its owner's name told wherever the request goes, the password nowhere.
#[test]
fn whom_the_edge_knows_is_told_to_an_internal_upstream() {
    let upstream = Upstream::start(pointing);
    let dir = tempfile::tempdir().unwrap();
    let edge = edge(&format!(
        "upstream = ['{}']\n[[site]]\nremote_user_header = 'X-Remote-User'\n{}\
         [[site.route]]\npath = '/store/'\nupstream = 'default'\ninternal = true\n\
         [[site.route]]\npath = '/open-store/'\nupstream = 'default'\ninternal = true\nbasic_auth = 'off'\n",
        upstream.address,
        alone(&dir)
    ));
    let spoofed =
        [ALICE, "X-Remote-User: root", "X-Forwarded-For: 6.6.6.6", "X-Real-IP: 6.6.6.6", "X-Request-ID: mine"];
    for path in ["/store/x", "/open-store/x"] {
        let answer = get(edge.http, &format!("/go{path}"), &spoofed);
        assert_eq!((answer.status, answer.text().as_str()), (200, "from the store"));
        let seen = upstream.seen();
        let [.., first, last] = &seen[..] else { panic!("{seen:?}") };
        assert_eq!((first.path(), last.path()), (format!("/go{path}").as_str(), path));
        assert_eq!(last.all("x-remote-user"), ["alice"], "{path}");
        assert_eq!(last.header("authorization"), None, "{path}");
        for name in ["x-forwarded-for", "x-real-ip", "x-forwarded-host", "x-forwarded-proto", "x-request-id", "host"] {
            assert_eq!(last.all(name), first.all(name), "{path} {name}");
            assert_eq!(last.all(name).len(), 1, "{path} {name}");
        }
        assert_eq!(last.header("x-real-ip"), Some("127.0.0.1"));
        assert_ne!(last.header("x-request-id"), Some("mine"));
    }
    assert_eq!(get(edge.http, "/go/open-store/x", &[]).status, 401);
}

/// He is asked about the client's own request, and about that once.
#[test]
fn forward_auth_is_asked_once_and_heard_everywhere() {
    let upstream = Upstream::start(pointing);
    let sso = Upstream::start(|seen, stream| match seen.header("cookie") {
        Some("good") => reply(stream, 200, &[("Remote-User", "alice")], ""),
        _ => reply(stream, 403, &[("X-Accel-Redirect", "/store/x")], "not you"),
    });
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("app/index.html"), "the app");
    let edge = edge(&format!(
        "upstream = ['{}']\n[upstreams.sso]\nservers = ['{}']\n[[site]]\nforward_auth_headers = ['Remote-User']\n\
         [[site.route]]\npath = '/go/'\nupstream = 'default'\nforward_auth = 'sso/verify'\n\
         [[site.route]]\npath = '/go/other/'\nupstream = 'default'\n\
         [[site.route]]\npath = '/app/'\nroot = '{dir}'\ntry_files = ['$uri', '/index']\nforward_auth = 'sso/verify'\n\
         [[site.route]]\nexact = '/index'\nfiles = '{dir}/app/index.html'\nforward_auth = 'sso/verify'\n\
         [[site.route]]\npath = '/other/'\nupstream = 'default'\nforward_auth = 'sso/verify'\ninternal = true\n\
         [[site.route]]\npath = '/store/'\nupstream = 'default'\ninternal = true\n",
        upstream.address,
        sso.address,
        dir = dir.path().display()
    ));
    // Where the first route has it, and where only the internal one does.
    for (number, path) in ["/go/./store/x?a=b", "/go/other/../other/x?a=b"].into_iter().enumerate() {
        let answer = request(edge.http, "POST", path, &["Cookie: good", "Remote-User: root", "Content-Length: 0"]);
        assert_eq!((answer.status, answer.text().as_str()), (200, "from the store"), "{path}");
        assert_eq!(upstream.last().all("remote-user"), ["alice"], "{path}");
        assert_eq!(sso.seen().len(), number + 1, "{path}");
        let question = sso.last();
        let plain = path.replace("/./", "/").replace("/other/../", "/");
        assert_eq!(question.header("x-forwarded-uri"), Some(plain.as_str()));
        assert_eq!(question.header("x-forwarded-method"), Some("POST"), "not what became of it");
    }
    assert_eq!(get(edge.http, "/app/page", &["Cookie: good"]).text(), "the app");
    assert_eq!((sso.seen().len(), sso.last().header("x-forwarded-uri")), (3, Some("/app/page")));
    // His refusal is an answer, and points nowhere.
    let before = upstream.seen().len();
    let refused = get(edge.http, "/go/store/x", &["Cookie: bad"]);
    assert_eq!((refused.status, refused.text().as_str()), (403, "not you"));
    assert_eq!(get(edge.http, "/go/other/x", &["Cookie: bad"]).status, 403);
    assert_eq!(upstream.seen().len(), before + 1, "only the application that points");
}

/// However an application writes where it points, and however a client what is tried: what the rules go by is what is asked for.
#[test]
fn one_path_by_every_detour() {
    let upstream = Upstream::start(|seen, stream| match seen.header("x-target") {
        Some(target) if seen.path() == "/point" => reply(stream, 200, &[("X-Accel-Redirect", target)], ""),
        _ => reply(stream, 200, &[], "from the store"),
    });
    let dir = tempfile::tempdir().unwrap();
    let edge = edge(&format!(
        "upstream = ['{}']\n[[site]]\n\
         [[site.route]]\npath = '/store/'\nupstream = 'default'\ninternal = true\n\
         [[site.route]]\npath = '/store/private/'\nupstream = 'default'\ninternal = true\ndeny = ['all']\n\
         [[site.route]]\npattern = '^/try/(.*)$'\nroot = '{}'\ntry_files = ['$uri', '/store/$1']\n",
        upstream.address,
        dir.path().display()
    ));
    let check = |how: &str, path: &str, target: &str, expected: Result<&str, u16>| {
        let before = upstream.seen().len();
        let answer = get(edge.http, path, &[&format!("X-Target: {target}")]);
        let last = upstream.seen().into_iter().skip(before).find(|seen| seen.path() != "/point");
        let found = match (answer.status, &last) {
            (200, Some(seen)) => Ok(seen.path()),
            (status, None) => Err(status),
            (status, Some(seen)) => panic!("{how}: {status}, but {seen:?}"),
        };
        assert_eq!(found, expected, "{how}");
    };
    for (target, expected) in [
        ("/store/x", Ok("/store/x")),
        ("/store/x?a=/../private/x", Ok("/store/x?a=/../private/x")),
        ("/store/x#y", Ok("/store/x%23y")),
        ("/store/private/../x", Ok("/store/x")),
        ("/store/private/..%2fx", Ok("/store/x")),
        ("/store/private%2f%2e%2e%2fx?a=b", Ok("/store/x?a=b")),
        ("/store/private\\..\\x", Ok("/store/x")),
        ("/store/%252e%252e/private/x", Ok("/store/%252e%252e/private/x")),
        ("/store/pri%2576ate/x", Ok("/store/pri%2576ate/x")),
        ("/store/private/x", Err(403)),
        ("/store/%70rivate/x", Err(403)),
        ("/store//private/x", Err(403)),
        ("/store/./private/x", Err(403)),
        ("/store/y/..%2fprivate/x", Err(403)),
        ("/store%2fprivate%2fx", Err(403)),
        ("/store\\private\\x", Err(403)),
        ("/store/%5cprivate%5cx", Err(403)),
        ("/store/../try/../point", Err(404)),
        ("/store/../../store/x", Err(404)),
        ("/store/%2e%2e%2f%2e%2e%2fx", Err(404)),
        ("/store/x%00", Err(404)),
        ("/store/x%0d%0aX-Injected: y", Err(404)),
        ("/store/x%", Err(404)),
        ("/store/x%zz", Err(404)),
        ("store/x", Err(404)),
        ("http://localhost/store/x", Err(404)),
        ("@default", Err(404)),
    ] {
        check(target, "/point", target, expected);
    }
    for (path, expected) in [
        ("/try/x", Ok("/store/x")),
        ("/try/a%20b?c=d", Ok("/store/a%20b")),
        ("/try/private/..%2fx", Ok("/store/x")),
        ("/try/%252e%252e/private/x", Ok("/store/%252e%252e/private/x")),
        ("/try/pri%2576ate/x", Ok("/store/pri%2576ate/x")),
        ("/try/x%3fa=b%23c", Ok("/store/x%3Fa=b%23c")),
        ("/try/private/x", Err(403)),
        ("/try/%70rivate/x", Err(403)),
        ("/try//private/x", Err(403)),
        ("/try/a%2f..%2fprivate/x", Err(403)),
        ("/try/a\\..\\private\\x", Err(403)),
        ("/try/x%00", Err(400)),
        ("/try/x%0d%0aX-Injected: y", Err(400)),
    ] {
        check(path, path, "", expected);
    }
}
