//! Commands that look at a configuration: `explain`, `check`, `fmt`.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Setup, Upstream, binary, get, write};
use serde_json::Value;
use std::path::Path;

const FILE: &str = r#"http = ":8080"
upstream = "127.0.0.1:8000"
body_limit = "10MB"
deny = ["192.0.2.0/24"]

[upstreams.node]
servers = ["127.0.0.1:3000"]

[[site]]
hosts = ["shop.example"]
body_limit = "20MB"

[[site.route]]
path = "/api/write/"
methods = ["POST"]
upstream = "node"

[[site.route]]
path = "/api/"
headers = ["x-beta"]
upstream = "node"
rewrite = "/beta$uri"

[[site.route]]
path = "/api/"
upstream = "node"
strip_prefix = true
log_requests = false

[[site.route]]
pattern = "^/old/(.*)$"
redirect = "/new/$1"

[[site.route]]
exact = "/gone"
close = true
"#;

fn run(folder: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let output = binary().args(args).current_dir(folder).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("edge.toml"), FILE);
    folder
}

fn explain(folder: &Path, args: &[&str]) -> Value {
    let (code, out, told) = run(folder, &[&["explain"], args, &["--json"]].concat());
    assert_eq!(code, Some(0), "{told}");
    serde_json::from_str(&out).unwrap()
}

#[test]
fn a_request_is_explained() {
    let folder = folder();
    let told = explain(folder.path(), &["http://shop.example/api/write/x?q=1"]);
    assert_eq!((&told["site"]["place"], &told["path"]), (&"edge.toml:9: site".into(), &"/api/write/x".into()));
    let why: Vec<&str> = told["routes"].as_array().unwrap().iter().filter_map(|one| one["why_not"].as_str()).collect();
    assert_eq!(
        why,
        [
            "the path is another",
            "the path does not match it",
            "the method is GET, not POST",
            "the header x-beta is missing"
        ]
    );
    assert_eq!(told["routes"][4]["place"], "edge.toml:24: site.route");
    assert_eq!((&told["upstream"]["upstream"], &told["upstream"]["target"]), (&"node".into(), &"/write/x?q=1".into()));
    let header = |told: &Value, name: &str| {
        let all = told["upstream"]["headers"].as_array().unwrap().clone();
        all.iter().find(|pair| pair[0] == name).map(|pair| pair[1].as_str().unwrap().to_owned())
    };
    assert_eq!(header(&told, "x-forwarded-prefix").as_deref(), Some("/api"));
    assert_eq!(header(&told, "x-forwarded-for").as_deref(), Some("203.0.113.1"));
    let option = |told: &Value, key: &str| {
        let all = told["options"].as_array().unwrap();
        let one = all.iter().find(|one| one["key"] == key).unwrap();
        format!("{} {} {}", one["value"], one["level"].as_str().unwrap(), one["source"].as_str().unwrap())
    };
    assert_eq!(option(&told, "body_limit"), "\"20MB\" site edge.toml:11");
    assert_eq!(option(&told, "log_requests"), "false route edge.toml:28");
    assert_eq!(option(&told, "security_headers"), "true default default");

    let told = explain(folder.path(), &["shop.example/api/write/", "--method", "POST"]);
    assert_eq!(told["route"], "/api/write/");
    let told =
        explain(folder.path(), &["/api/x", "-H", "X-Beta: 1", "-H", "X-Forwarded-For: 8.8.8.8", "--client=192.0.3.1"]);
    assert_eq!(told["upstream"]["target"], "/beta/api/x");
    assert_eq!(
        header(&told, "x-forwarded-for").as_deref(),
        Some("192.0.3.1"),
        "what anyone may claim is not passed on"
    );
    assert_eq!(explain(folder.path(), &["/old/a%20b"])["outcome"], "redirect 308 Permanent Redirect to /new/a%20b");
    assert_eq!(explain(folder.path(), &["/gone"])["failure"], "closed");
    assert_eq!(
        explain(folder.path(), &["-c", "edge.toml", "/gone"])["failure"],
        "closed",
        "settings may stand before it"
    );
    assert_eq!(explain(folder.path(), &["/x"])["takes"], "upstream");
    assert_eq!(explain(folder.path(), &["http://other.example/"])["failure"], "no_site");
    let told = explain(folder.path(), &["/x", "--client", "192.0.2.9"]);
    assert_eq!((&told["failure"], &told["upstream"]), (&"denied".into(), &Value::Null), "filters are asked, too");

    let (code, text, _) = run(folder.path(), &["explain", "http://shop.example/api/x"]);
    assert_eq!(code, Some(0));
    for part in [
        "route     path /api/ (edge.toml:18: site.route): no: the header x-beta is missing",
        "route     path /api/ (edge.toml:24: site.route): takes it",
        "  GET /x\n",
        "An answer with a page would carry",
        "  x-content-type-options: nosniff\n",
        "body_limit = \"20MB\" (site, edge.toml:11)",
        "others have their defaults; --all shows them",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    assert!(!folder.path().join("state").exists() && std::fs::read_dir(folder.path()).unwrap().count() == 1);
}

/// What stands before the answer, in order; what was looked for; why this route.
#[test]
fn filters_and_files_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("www/page.html"), "page");
    let text = format!(
        "http = ':8080'\nhttps = ':8443'\nupstream = '127.0.0.1:8000'\nstatic = '/static/={dir}/static'\n\
         [limits.api]\nrate = '1/s'\n[limits.all]\nrate = '9/s'\n\
         [[site]]\nhosts = ['shop.example']\nlimit = ['all', 'api']\ndeny = ['192.0.2.0/24']\n\
         [[site.route]]\npath = '/sso/'\nupstream = 'default'\nforward_auth = 'http://authelia:9091/api/verify?x=1'\n\
         requests_per_client = 3\nallow_methods = ['GET']\nblock_scanners = true\n\
         [[site.route]]\npath = '/any/'\nupstream = 'default'\nforward_auth = 'http://authelia:9091/'\nsatisfy = 'any'\nallow = ['10.0.0.0/8']\n\
         [[site.route]]\npath = '/'\nroot = '{dir}/www'\ntry_files = ['$uri', '$uri.html', '$uri/', '@default']\n\
         [[site.route]]\npath = '/off/'\nupstream = 'default'\nmaintenance = true\n",
        dir = folder.path().display()
    );
    write(&folder.path().join("edge.toml"), &text);
    let filters = |told: &Value| -> Vec<String> {
        let all = told["filters"].as_array().unwrap().iter();
        all.map(|one| format!("{}: {}", one["filter"].as_str().unwrap(), one["says"].as_str().unwrap())).collect()
    };
    let (passes, counts) = ("allow, deny: lets it pass", "limit: counts it by all, api");
    let sso = explain(folder.path(), &["https://shop.example/sso/x"]);
    assert_eq!(
        filters(&sso),
        [
            passes,
            "allow_methods: lets it pass",
            "block_scanners: lets it pass",
            "requests_per_client: counts it; 3 at a time may pass",
            counts,
            "forward_auth: would ask http://authelia:9091/api/verify?x=1; taken for a yes here",
        ]
    );
    assert_eq!(sso["upstream"]["target"], "/sso/x");
    assert_eq!(filters(&explain(folder.path(), &["/sso/x", "--client", "192.0.2.1"])), ["allow, deny: refuses it"]);
    let posted = explain(folder.path(), &["/sso/x", "--method", "POST"]);
    assert_eq!(filters(&posted), [passes, "allow_methods: refuses it"]);
    let any = filters(&explain(folder.path(), &["/any/"]));
    assert_eq!(any[0], "allow, deny: does not know the address; credentials will do (satisfy = \"any\")");
    assert!(any[2].starts_with("forward_auth: would ask"), "{any:?}");
    let any = filters(&explain(folder.path(), &["/any/", "--client", "10.0.0.1"]));
    assert_eq!(any, ["allow, deny: lets it pass without credentials (satisfy = \"any\")", counts]);
    assert_eq!(filters(&explain(folder.path(), &["/off/"])), [passes, counts, "maintenance: refuses it"]);
    let moved = explain(folder.path(), &["http://shop.example/sso/x"]);
    assert_eq!(filters(&moved).last().unwrap(), "https: redirects it");
    assert!(moved["outcome"].as_str().unwrap().contains("permanent once the certificate is public"), "{moved}");

    let looked = |told: &Value| -> Vec<(String, bool)> {
        let all = told["files"].as_array().unwrap().iter();
        all.map(|one| (one["name"].as_str().unwrap().to_owned(), one["exists"] == true)).collect()
    };
    let page = explain(folder.path(), &["/page"]);
    assert_eq!(looked(&page), [("page".into(), false), ("page.html".into(), true)]);
    assert_eq!((&page["answer"]["status"], &page["upstream"]), (&200.into(), &Value::Null));
    let none = explain(folder.path(), &["/none"]);
    assert_eq!(looked(&none).len(), 3);
    assert_eq!(
        (&none["upstream"]["target"], &none["routes"][3]["why"]),
        (&"/none".into(), &"the longest prefix".into())
    );
    let (code, text, _) = run(folder.path(), &["explain", "/page"]);
    assert_eq!(code, Some(0));
    let dir = folder.path().display();
    for part in [
        "takes it: the longest prefix\n".to_owned(),
        format!("filter    {passes}\nfilter    {counts}\nfile      \"page\" in {dir}/www: is not there\n"),
        format!("file      \"page.html\" in {dir}/www: is there\n"),
    ] {
        assert!(text.contains(&part), "{part:?} is not in {text}");
    }
}

/// Explained and done are the same.
#[test]
fn what_is_explained_is_what_happens() {
    let upstream = Upstream::saying("hello");
    let text = FILE
        .replace("http = \":8080\"\n", "")
        .replace("127.0.0.1:3000", &upstream.address.to_string())
        .replace("127.0.0.1:8000", &upstream.address.to_string());
    let edge = Setup::default().plain().file(&text).start();
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("edge.toml"), &text);
    let targets =
        ["/api/x?a=b", "/api/write/y", "/%61pi/x", "/old/a", "/x//y/../z", "/a%2f..%2f..", "/api", "/%", "/old/%0a"];
    for target in targets {
        let answer = get(edge.http, target, &["Host: shop.example"]);
        let told = explain(folder.path(), &[&format!("http://shop.example{target}")]);
        assert_eq!(told["answer"]["status"], answer.status, "{target}: {told}");
        if let Some(asked) = told["upstream"]["target"].as_str() {
            assert_eq!(upstream.last().path(), asked, "{target}");
        }
    }
}

/// Clients name the host in the handshake without its port and its last dot, and not where it is an address.
#[test]
fn the_host_of_a_url_is_told_as_clients_tell_it() {
    let folder = tempfile::tempdir().unwrap();
    let route = "[[site.route]]\npath = '/'\nrespond = 'x'\n";
    let text = format!("https = ':8443'\n[[site]]\nhosts = ['shop.example']\n{route}[[site]]\n{route}");
    write(&folder.path().join("edge.toml"), text);
    for (url, more, status) in [
        ("https://shop.example/x", &[][..], 200),
        ("https://Shop.Example:8443/x", &[], 200),
        ("https://shop.example./x", &[], 200),
        ("https://[::1]/x", &[], 200),
        ("https://[::1]:8443/x", &[], 200),
        ("https://127.0.0.1:8443/x", &[], 200),
        ("https://[::1/x", &[], 400),
        ("/x?to=http://shop.example/", &[], 200),
        ("shop.example?to=http://shop.example/", &[], 200),
        ("https://shop.example/x", &["--header", "Host: other.example"], 421),
        ("https://[::1]/x", &["--header", "Host: other.example"], 200),
    ] {
        let told = explain(folder.path(), &[&[url], more].concat());
        assert_eq!(told["answer"]["status"], status, "{url}: {told}");
    }
}

#[test]
fn explain_says_what_is_wrong() {
    let folder = folder();
    for (args, words) in [
        (&["explain"][..], "which URL?"),
        (&["explain", "--config", "edge.toml"], "which URL?"),
        (&["explain", "ftp://a/"], "expected http:// or https://"),
        (&["explain", "/", "--header", "x"], "--header: expected 'Name: value'"),
        (&["explain", "/", "--client", "me"], "--client: expected an address"),
        (&["explain", "/", "--method"], "--method: needs a value"),
        (&["explain", "/", "--config", "nothing.toml"], "cannot read nothing.toml"),
        (&["explain", "/", "--nonsense"], "no such flag"),
    ] {
        let (code, _, told) = run(folder.path(), args);
        assert!(code == Some(2) && told.contains(words), "{args:?}: {told}");
    }
}

#[test]
fn check_looks_at_the_world() {
    let folder = folder();
    let path = folder.path().join("edge.toml");
    assert_eq!(run(folder.path(), &["check"]), (Some(0), "the configuration is good\n".into(), String::new()));
    let text = FILE
        .replace("127.0.0.1:3000", "nowhere.invalid:3000")
        .replace("close = true", "close = true\n[[site.route]]\npath = \"/f/\"\nfiles = \"nothing\"");
    write(&path, &text);
    let (code, out, told) = run(folder.path(), &["check"]);
    assert_eq!((code, out.as_str()), (Some(0), "the configuration is good, with 2 warnings\n"), "{told}");
    assert!(told.contains("warning: upstream node: nowhere.invalid does not resolve"), "{told}");
    assert!(told.contains("edge.toml:39: files: nothing is not there"), "{told}");
    assert_eq!(run(folder.path(), &["check", "--strict"]).0, Some(2));
    // What cannot work is an error, beside all others.
    write(
        &path,
        text.replace("body_limit = \"20MB\"", "body_limit = \"lots\"\naccess_log = \"/nowhere/at/all.log\"")
            .replace("[[site]]", "[[site]]\nhots = 1"),
    );
    let (code, _, told) = run(folder.path(), &["check", "--access-log", "/nowhere/at/all.log"]);
    assert_eq!(code, Some(2));
    for part in [
        "site.hots: no such setting",
        "body_limit: expected a size",
        "--access-log: the folder /nowhere/at is not there",
        "warning: ",
    ] {
        assert!(told.contains(part), "{part:?} is not in {told}");
    }
}

#[test]
fn fmt_writes_or_only_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edge.toml");
    write(&path, "  http=':80' # here\n[[ site ]]\n hosts=['a.example']\n");
    let (code, _, told) = run(folder.path(), &["fmt", "--check", "edge.toml"]);
    assert!(code == Some(1) && told.contains("edge.toml is not in the usual form"), "{told}");
    assert_eq!(run(folder.path(), &["fmt", "edge.toml"]).0, Some(0));
    let formatted = std::fs::read_to_string(&path).unwrap();
    assert_eq!(formatted, "http = \":80\" # here\n\n[[site]]\nhosts = [\"a.example\"]\n");
    assert_eq!(run(folder.path(), &["fmt", "--check", "edge.toml"]).0, Some(0));
    write(&path, "a = 1\nb = [\n");
    let (code, _, told) = run(folder.path(), &["fmt", "edge.toml"]);
    assert!(code == Some(2) && told.contains("edge.toml:"), "{told}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "a = 1\nb = [\n", "it stays as it is");
    assert_eq!(run(folder.path(), &["fmt"]).0, Some(2));
    assert_eq!(run(folder.path(), &["fmt", "nothing.toml"]).0, Some(2));
}

/// Every edge.toml of the guides is one.
#[test]
fn the_guides_are_right() {
    let guides = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide")).unwrap();
    let texts = guides.map(|guide| std::fs::read_to_string(guide.unwrap().path()).unwrap());
    // The worker's and gunicorn's files are others.
    let texts: Vec<_> = texts.filter(|text| !text.starts_with("# From gunicorn")).collect();
    assert!(texts.len() >= 4, "edge, files, headers, compression");
    for block in texts.iter().flat_map(|text| text.split("```toml\n").skip(1)) {
        let block = block.split("```").next().unwrap();
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("edge.toml"), block);
        // Where to listen and who the application is compose.yaml says, not each of these.
        let (code, _, told) =
            run(folder.path(), &["check", "--http", "127.0.0.1:8080", "--upstream", "127.0.0.1:8000"]);
        assert_eq!(code, Some(0), "{told}\n{block}");
        assert_eq!(run(folder.path(), &["fmt", "--check", "edge.toml"]).0, Some(0), "in the usual form: {block}");
        if !block.contains("/old/") {
            continue;
        }
        let told = explain(folder.path(), &["https://shop.example/old/a", "--client", "192.0.2.1"]);
        assert_eq!(told["answer"]["status"], 308);
        assert_eq!(explain(folder.path(), &["https://shop.example/admin/"])["answer"]["status"], 403);
        assert_eq!(explain(folder.path(), &["https://shop.example/x"])["takes"], "upstream");
    }
}
