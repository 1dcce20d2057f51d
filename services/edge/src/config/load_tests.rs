//! Reading the configuration: what is given, what follows, what is refused and in which words.

use super::*;
use crate::config::{Cidr, Limits, Timeouts, UpstreamAddress, UpstreamCheck};
use std::time::Duration;

fn read(args: &[&str]) -> Result<Config, String> {
    let args: Vec<OsString> = args.iter().map(Into::into).collect();
    load(&args, std::iter::empty()).map_err(|problems| problems.to_string())
}

#[test]
fn zero_file_use() {
    let config = read(&[
        "--http",
        "127.0.0.1:8080",
        "--https",
        "127.0.0.1:8443",
        "--upstream",
        "127.0.0.1:8000",
        "--static",
        "/static/=/srv/static",
        "--static",
        "/static/deep=/srv/deep",
        "--state",
        "/tmp/state",
        "--threads",
        "3",
    ])
    .unwrap();
    assert_eq!(config.listen.http, ["127.0.0.1:8080".parse().unwrap()]);
    assert_eq!(config.listen.https, ["127.0.0.1:8443".parse().unwrap()]);
    assert_eq!(config.listen.threads, 3);
    let address = UpstreamAddress::Tcp { host: "127.0.0.1".into(), port: 8000 };
    assert_eq!(config.upstreams[0].upstream.servers, [address.into()]);
    assert_eq!(config.files[0].prefix, "/static/deep/", "the longest prefix comes first");
    assert_eq!(config.spool.dir, Path::new("/tmp/state/spool"));
    assert!(config.tls.http_listener);
}

#[test]
fn everything_wrong_is_told_at_once() {
    let told = read(&[
        "--http",
        "name:80",
        "--static",
        "static",
        "--threads",
        "0",
        "--trusted-proxies",
        "10.0.0.0/33",
        "--domains",
        "a_b",
        "--status-page",
        "/status",
        "--upstream-check",
        "9102",
    ])
    .unwrap_err();
    for part in [
        "--http: expected an address to listen on",
        "--static: expected /prefix/=DIR, got \"static\"",
        "--threads: expected auto or a number from 1 to 256, got \"0\"",
        "--trusted-proxies: expected a network",
        "--domains: expected a name",
        "--status-page: needs a status_password",
        "--status-page: needs status_upstream",
        "--upstream-check: expected :PORT/PATH",
    ] {
        assert!(told.contains(part), "{part:?} is not in {told}");
    }
    assert!(serving(&[], std::iter::empty()).err().unwrap().to_string().contains("nothing to listen on"));
}

#[test]
fn a_port_alone_is_both_families() {
    let config = read(&["--http", ":8080", "--upstream-check", ":9102/readyz"]).unwrap();
    assert_eq!(config.listen.http.len(), 2);
    assert_eq!(config.upstreams[0].upstream.check, Some(UpstreamCheck { port: Some(9102), path: "/readyz".into() }));
}

#[test]
fn networks() {
    let contains = |network: &str, address: &str| Cidr::parse(network).unwrap().contains(address.parse().unwrap());
    assert!(contains("10.0.0.0/8", "10.200.1.1"));
    assert!(contains("10.0.0.0/8", "::ffff:10.200.1.1"));
    assert!(!contains("10.0.0.0/8", "11.0.0.1"));
    assert!(contains("0.0.0.0/0", "1.2.3.4"));
    assert!(contains("fd00::/8", "fd12::1"));
    assert!(!contains("0.0.0.0/0", "fd12::1"));
    assert!(contains("192.0.2.7", "192.0.2.7"));
    assert!(contains("::ffff:10.0.0.0/104", "10.1.2.3"));
    assert!(!contains("::ffff:10.0.0.0/104", "11.1.2.3"));
    assert_eq!(Cidr::parse("::ffff:10.0.0.0/64"), None);
}

/// DESIGN's table: what must strike before what.
#[test]
fn timeouts_are_in_order() {
    let defaults = read(&["--http", ":8080"]).unwrap();
    let timeouts = &defaults.timeouts;
    assert_eq!(*timeouts, Timeouts::default(), "the table and the type agree");
    assert_eq!(defaults.limits, Limits::default(), "the table and the type agree");
    let worker_timeout = Duration::from_secs(30);
    let worker_keepalive = Duration::from_secs(75);
    let stop_grace_period = Duration::from_secs(45);
    assert!(timeouts.connect < timeouts.queue);
    assert!(timeouts.queue < timeouts.first_byte);
    assert!(timeouts.first_byte > worker_timeout);
    assert!(timeouts.idle < worker_keepalive);
    assert!(timeouts.shutdown_delay + timeouts.graceful < stop_grace_period);
}

/// The problems of a file, without its folder.
pub(super) fn problems_of(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edge.toml");
    std::fs::write(&path, text).unwrap();
    let problems = read(&["--config", path.to_str().unwrap()]).err().unwrap_or_default();
    problems.replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn every_slip_in_a_route_is_told_with_its_place() {
    for (text, wrong) in [
        (
            "[[site]]\nhosts = ['a b']",
            "edge.toml:2: hosts: expected a name such as shop.example or *.shop.example, got \"a b\"",
        ),
        (
            "[[site]]\n[[site]]",
            "edge.toml:2: site: another site answers for every other host already; give this one hosts, without `default`",
        ),
        ("[[site]]\nhosts = ['a']\n[[site]]\nhosts = ['A']", "edge.toml:4: hosts: a belongs to another site already"),
        ("[[site]]\n[[site.route]]\nclose = true", "edge.toml:2: site.route: needs a path, an exact path or a pattern"),
        (
            "[[site]]\n[[site.route]]\npath = '/'\nexact = '/'\nclose = true",
            "edge.toml:2: site.route: takes one of path, exact and pattern",
        ),
        (
            "[[site]]\n[[site.route]]\npath = '/a/../b'\nclose = true",
            "edge.toml:3: path: expected a plain path such as /api/ (decoded, no . or .. segments), got \"/a/../b\"",
        ),
        (
            "[[site]]\n[[site.route]]\npath = '/'\nclose = true\n[[site.route]]\nexact = '/'\nclose = true\n\
             [[site.route]]\npath = '/'\nmethods = ['GET']\nclose = true\n[[site.route]]\npath = '/'\nrespond = ''",
            "edge.toml:12: site.route: no request gets here: edge.toml:2: site.route takes the same, and comes before it",
        ),
        (
            "[[site]]\n[[site.route]]\npattern = '('\nclose = true",
            "edge.toml:3: pattern: not a regular expression: error: unclosed group",
        ),
        (
            "[[site]]\n[[site.route]]\npath = '/'",
            "edge.toml:2: site.route: needs one of upstream, files, root, redirect, respond and close",
        ),
        (
            "[[site]]\n[[site.route]]\npath = '/'\nclose = true\nrespond = ''",
            "edge.toml:2: site.route: needs one of upstream, files, root, redirect, respond and close",
        ),
        (
            "[[site]]\n[[site.route]]\npath = '/'\nupstream = 'node'",
            "edge.toml:4: upstream: no upstream of that name; there is [upstreams.NAME] for default",
        ),
        (
            "[[site]]\n[[site.route]]\npath = '/'\nupstream = 'default'",
            "edge.toml:4: upstream: the setting `upstream`, which this names, is not set",
        ),
        (
            "[upstreams.node]",
            "edge.toml:1: upstreams.node.servers: an upstream needs at least one, such as [\"node:3000\"]",
        ),
        (
            "[upstreams.default]\nservers = ['a:1']",
            "edge.toml:1: upstreams.default: `default` is the upstream of the setting `upstream`; take another name",
        ),
        (
            "[[site]]\n[[site.route]]\npath = '/'\nredirect = '/$1'",
            "edge.toml:4: redirect: $1 is no group of the route's pattern, which has 0",
        ),
        (
            "[[site]]\n[[site.route]]\npath = '/'\nredirect = '/'\nstatus = 200",
            "edge.toml:5: status: 200 does not go with what this route does",
        ),
        (
            "[[site]]\n[[site.route]]\npath = '/'\nstatus = 204\nrespond = 'x'",
            "edge.toml:5: respond: an answer with status 204 has no text: leave it empty",
        ),
        (
            "[[site]]\n[[site.route]]\npath = '/'\nclose = true\nrewrite = '/'",
            "edge.toml:5: rewrite: goes with upstream, not with close",
        ),
        (
            "[[site]]\n[[site.route]]\npath = '/'\nclose = true\nmethods = ['get']",
            "edge.toml:5: methods: expected methods such as GET, got \"get\"",
        ),
        (
            "[[site]]\n[[site.route]]\npath = '/'\nclose = true\nheaders = ['a b']",
            "edge.toml:5: headers: expected a header's name or name=value, got \"a b\"",
        ),
    ] {
        assert_eq!(problems_of(text), wrong, "{text}");
    }
}

#[test]
fn where_a_route_leads_is_told() {
    let told = |pattern: &str, key: &str, value: &str| {
        let upstream = if key == "rewrite" { "upstream = 'n'\n" } else { "" };
        problems_of(&format!(
            "[upstreams.n]\nservers = ['a:1']\n[[site]]\n[[site.route]]\npattern = '{pattern}'\n{upstream}{key} = {value}\n"
        ))
    };
    for value in [
        "'/'",
        "'/new'",
        "'//b.example'",
        "'http://b.example:8080/$1'",
        "'https://b.example'",
        "'$scheme://b.example$request_uri'",
        "'${scheme}://$host$uri'",
        "'$uri/'",
        "'$request_uri#top'",
        "'$1'",
        "'${rest}'",
        "'/caf%C3%A9'",
    ] {
        assert_eq!(told("^/(?<rest>.*)$", "redirect", value), "", "{value}");
    }
    for value in ["''", "'new'", "'?a=b'", "'$host/a'", "'$args'", "'https://'", "'https:///a'", "'ftp://b.example/'"] {
        let wrong = "edge.toml:6: redirect: expected an address that begins with /, http:// or https://, got ";
        assert!(told("^/(.*)$", "redirect", value).starts_with(wrong), "{value}");
    }
    for value in [r#""/b c""#, r#""b c\r\nSet-Cookie: x=y""#, r#""/\tb""#, "'/caf\u{e9}'"] {
        for (line, key) in [(6, "redirect"), (7, "rewrite")] {
            let wrong =
                format!("edge.toml:{line}: {key}: expected signs of ASCII, without spaces (which are %20), got ");
            assert!(told("^/(.*)$", key, value).starts_with(&wrong), "{key} {value}");
        }
    }
    for (pattern, value) in [
        ("^/(.*)$", "'/$1$is_args$args'"),
        ("^/a(/.*)$", "'$1'"),
        ("^/a(?<rest>/.*)$", "'${rest}?x=$args'"),
        ("^/(.*)$", "'$uri'"),
        ("^/(.*)$", "'$request_uri'"),
    ] {
        assert_eq!(told(pattern, "rewrite", value), "", "{value}");
    }
    for (pattern, value) in [
        ("^/(.*)$", "'$1'"),
        ("^/a(/.*)?$", "'$1'"),
        ("^/(?<rest>.*)$", "'$rest'"),
        ("^/(.*)$", "'new'"),
        ("^/(.*)$", "''"),
        ("^/(.*)$", "'$is_args$args'"),
        ("^/(.*)$", "'https://b.example/'"),
    ] {
        let wrong =
            "edge.toml:7: rewrite: expected a target that begins with / in every request, such as /new/$1, got ";
        assert!(told(pattern, "rewrite", value).starts_with(wrong), "{value}");
    }
    let wrong = "edge.toml:7: rewrite: expected a target without #, got \"/a#b\"";
    assert_eq!(told("^/(.*)$", "rewrite", "'/a#b'"), wrong);
}

/// Bytes of a good file shuffled about: whatever comes of it, nothing panics.
#[test]
fn anything_can_be_read() {
    let good = "http = \":80\"\nupstream = [\"a:1\"]\n[upstreams.n]\nservers = [\"b:2\"]\n[[site]]\nhosts = [\"a.example\"]\n[[site.route]]\n\
                pattern = \"^/(.*)$\"\nredirect = \"/$1\"\n[[site.route]]\npath = \"/x/\"\nupstream = \"n\"\nstrip_prefix = true\nbody_limit = \"1MB\"\n";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edge.toml");
    let args = ["--config".into(), path.clone().into_os_string()];
    let mut random = fastrand::Rng::with_seed(11);
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..2_000 {
        let mut chars: Vec<char> = good.chars().collect();
        for _ in 0..random.usize(0..5) {
            let (from, to) = (random.usize(0..chars.len()), random.usize(0..chars.len()));
            match random.u8(0..3) {
                0 => chars.swap(from, to),
                1 => chars[from] = chars[to],
                _ => drop(chars.remove(from)),
            }
        }
        std::fs::write(&path, chars.into_iter().collect::<String>()).unwrap();
        match examine(&args, std::iter::empty()) {
            Ok((loaded, problems)) if problems.is_empty() => {
                taken += 1;
                assert!(toml::from_str::<toml::Table>(&crate::config::effective::toml(&loaded.values)).is_ok());
            }
            Ok((_, problems)) | Err(problems) => {
                refused += 1;
                assert!(!problems.to_string().is_empty());
            }
        }
    }
    assert!(taken > 100 && refused > 100, "{taken} taken, {refused} refused");
}

#[test]
fn an_admin_token_can_be_sent() {
    assert!(
        read(&["--http", ":8080", "--admin-token", "schl\u{fc}ssel"])
            .unwrap_err()
            .contains("--admin-token: expected letters")
    );
    assert_eq!(read(&["--http", ":8080", "--admin-token", "a b="]).unwrap().listen.admin_token, "a b=");
}
