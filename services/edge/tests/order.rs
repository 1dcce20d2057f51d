//! What is asked first: the rules on addresses and the limits come before whatever the edge could answer by itself.
#![allow(clippy::unwrap_used)]

mod common;

use common::client::request;
use common::upstream::reply;
use common::{Connection, Edge, Setup, Upstream, get};

const STRANGER: &str = "X-Forwarded-For: 203.0.113.66";
const HOST: &str = "Host: shop.example";

fn denying(upstream: &Upstream, more: &str) -> String {
    format!(
        "upstream = ['{}']\ntrusted_proxies = ['127.0.0.1']\n{more}\
         [[site]]\nhosts = ['shop.example', 'www.shop.example']\ncanonical = 'shop.example'\ndeny = ['203.0.113.66']\n\
         [[site.route]]\npath = '/hidden/'\nupstream = 'default'\ninternal = true\n\
         [[site.route]]\npath = '/closed/'\nupstream = 'default'\nmaintenance = true\n\
         [[site.route]]\npath = '/for-all/'\nupstream = 'default'\nallow = ['all']\ndeny = []\n\
         [[site.route]]\npath = '/for-nobody/'\nupstream = 'default'\ndeny = ['all']\n",
        upstream.address
    )
}

fn options(edge: &Edge, fields: &[&str]) -> u16 {
    request(edge.http, "OPTIONS", "*", &[&[HOST, "Content-Length: 0"], fields].concat()).status
}

#[test]
fn whom_the_site_denies_learns_nothing() {
    let upstream = Upstream::saying("hello");
    let edge = Setup::default().plain().file(&denying(&upstream, "")).start();
    for (path, host, others) in [
        ("/", HOST, 200),
        ("/", "Host: www.shop.example", 307),
        ("/hidden/x", HOST, 404),
        ("/hidden/x", "Host: www.shop.example", 307),
        ("/closed/x", HOST, 503),
        ("/%zz", HOST, 400),
        ("/../x", HOST, 400),
        ("/.well-known/acme-challenge/x", HOST, 200),
    ] {
        assert_eq!(get(edge.http, path, &[host]).status, others, "{path} {host}");
        let answer = get(edge.http, path, &[host, STRANGER]);
        assert_eq!((answer.status, answer.header("location")), (403, None), "{path} {host}");
    }
    assert_eq!((options(&edge, &[]), options(&edge, &[STRANGER])), (204, 403));
    // A route's own rules hold for what leads there, too.
    assert_eq!(get(edge.http, "/for-all/x", &[HOST, STRANGER]).status, 200);
    assert_eq!(get(edge.http, "/for-all/x", &["Host: www.shop.example", STRANGER]).status, 307);
    assert_eq!(get(edge.http, "/for-nobody/x", &["Host: www.shop.example"]).status, 403);
    assert_eq!(edge.access_line(|line| line["path"] == "/closed/x" && line["status"] == 403)["reason"], "denied");
}

#[test]
fn before_the_way_to_https_too_and_a_password_behind_it() {
    let upstream = Upstream::saying("hello");
    let dir = tempfile::tempdir().unwrap();
    let users = dir.path().join("users");
    common::write(&users, format!("alice:{}\n", bcrypt::hash("one", 4).unwrap()));
    let more = format!("basic_auth = 'x'\nbasic_auth_users = '{}'\n", users.display());
    let edge = Setup::default().file(&denying(&upstream, &more)).start();
    for (path, status) in [("/", 307), ("/closed/x", 307), ("/hidden/x", 307), ("/for-nobody/x", 403)] {
        let answer = get(edge.http, path, &[HOST]);
        assert_eq!((answer.status, answer.header("www-authenticate")), (status, None), "{path}");
        assert_eq!(answer.header("location").is_some(), status == 307, "{path}");
        let answer = get(edge.http, path, &[HOST, STRANGER]);
        assert_eq!((answer.status, answer.header("location")), (403, None), "{path}");
    }
    assert_eq!((options(&edge, &[]), options(&edge, &[STRANGER])), (204, 403));
    assert!(upstream.seen().is_empty());
}

/// Whatever the answer: each of them counts.
#[test]
fn limits_count_what_the_edge_answers_by_itself() {
    let upstream = Upstream::saying("hello");
    let limited = |burst: usize| {
        let more = format!("limit = 'all'\n[limits.all]\nrate = '1/h'\nburst = {burst}\n");
        Setup::default().file(&denying(&upstream, &more)).start()
    };
    let edge = limited(4);
    let paths = ["/", "/hidden/x", "/closed/x", "/%zz"];
    let answers = paths.map(|path| get(edge.http, path, &[HOST]).status);
    assert_eq!((answers, options(&edge, &[])), ([307, 307, 307, 400], 204));
    assert_eq!(paths.map(|path| get(edge.http, path, &[HOST]).status), [429; 4]);
    assert_eq!(options(&edge, &[]), 429);
    // A refused one uses nothing up, and another client has its own.
    assert_eq!(get(edge.http, "/", &[HOST, STRANGER]).status, 403);
    assert_eq!(get(edge.http, "/", &[HOST, "X-Forwarded-For: 203.0.113.7"]).status, 307);
    let plain =
        Setup::default().plain().file(&denying(&upstream, "limit = 'all'\n[limits.all]\nrate = '1/h'\nburst = 2\n"));
    let edge = plain.start();
    let answers = ["/hidden/x", "/closed/x", "/"].map(|path| get(edge.http, path, &[HOST]).status);
    assert_eq!(answers, [404, 503, 200]);
    assert_eq!(["/hidden/x", "/closed/x", "/"].map(|path| get(edge.http, path, &[HOST]).status), [429; 3]);
}

/// The whole time begins with the request, not when somebody has said who it is.
#[test]
fn the_whole_time_counts_while_others_are_asked_who_it_is() {
    let upstream = Upstream::saying("hello");
    let sso = Upstream::start(|_, stream| {
        std::thread::sleep(std::time::Duration::from_secs(2));
        reply(stream, 200, &[], "")
    });
    let edge = Setup::default()
        .plain()
        .file(&format!(
            "upstream = ['{}']\nforward_auth = 'http://{}/verify'\nforward_auth_timeout = '30s'\nrequest_timeout = '300ms'\n",
            upstream.address, sso.address
        ))
        .start();
    assert_eq!(get(edge.http, "/", &[]).status, 504);
    assert_eq!(edge.access_line(|line| line["status"] == 504)["reason"], "timeout_request");
    assert!(upstream.seen().is_empty());
}

/// RFC 9110, section 15.5.6: what is refused for its method says which would do.
#[test]
fn a_405_says_what_is_allowed() {
    let upstream = Upstream::saying("hello");
    let dir = tempfile::tempdir().unwrap();
    common::write(&dir.path().join("a.txt"), "a");
    let folder = dir.path().display();
    let edge = Setup::default()
        .plain()
        .file(&format!(
            "[upstreams.app]\nservers = ['{}']\n[[site]]\n\
             [[site.route]]\npath = '/files/'\nfiles = '{folder}'\n\
             [[site.route]]\npath = '/posted/'\nfiles = '{folder}'\nallow_methods = ['GET', 'POST']\n\
             [[site.route]]\npath = '/tried/'\nfiles = '{folder}'\ntry_files = ['$uri', '@app']\n\
             [[site.route]]\npath = '/api/'\nupstream = 'app'\nmethods = ['GET']\n\
             [[site.route]]\npath = '/api/items/'\nupstream = 'app'\nmethods = ['PUT', 'GET', 'DELETE']\n\
             [[site.route]]\npath = '/api/items/'\nupstream = 'app'\nmethods = ['PATCH']\nheaders = ['x-beta']\n\
             [[site.route]]\npath = '/api/items/'\nupstream = 'app'\nmethods = ['MOVE']\ninternal = true\n\
             [[site.route]]\npath = '/dav/'\nupstream = 'app'\nallow_methods = ['PROPFIND']\n\
             [[site.route]]\npath = '/open/'\nupstream = 'app'\n",
            upstream.address
        ))
        .start();
    let any = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
    for (method, path, status, allow) in [
        ("POST", "/files/a.txt", 405, Some("GET, HEAD")),
        ("DELETE", "/files/none", 405, Some("GET, HEAD")),
        ("POST", "/posted/a.txt", 405, Some("GET, HEAD")),
        ("DELETE", "/posted/a.txt", 405, Some("GET, HEAD")),
        ("TRACE", "/files/a.txt", 405, Some("GET, HEAD")),
        ("TRACE", "/tried/a.txt", 405, Some(any)),
        ("TRACE", "/api/x", 405, Some("GET, HEAD")),
        ("TRACE", "/elsewhere", 405, Some(any)),
        ("POST", "/tried/a.txt", 405, Some("GET, HEAD")),
        ("POST", "/tried/none", 200, None),
        ("POST", "/api/x", 405, Some("GET, HEAD")),
        ("POST", "/api/items/x", 405, Some("PUT, GET, DELETE, HEAD")),
        ("PUT", "/api/items/x", 200, None),
        ("POST", "/dav/x", 405, Some("PROPFIND")),
        ("TRACE", "/open/x", 405, Some(any)),
        ("TRACE", "/dav/x", 405, Some("PROPFIND")),
        ("POST", "/elsewhere", 404, None),
    ] {
        let answer = request(edge.http, method, path, &["Content-Length: 0"]);
        assert_eq!((answer.status, answer.header("allow")), (status, allow), "{method} {path}");
    }
    let beta = request(edge.http, "POST", "/api/items/x", &["Content-Length: 0", "X-Beta: 1"]);
    assert_eq!(beta.header("allow"), Some("PATCH, PUT, GET, DELETE, HEAD"));
    let answer = Connection::plain(edge.http).unwrap().ask("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n");
    assert_eq!((answer.status, answer.header("allow")), (405, Some(any)));
}
