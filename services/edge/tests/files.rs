//! Routes that are file trees: where a path leads to, what is tried, what a folder shows, and how long it is kept.
#![allow(clippy::unwrap_used)]

mod common;

use common::client::request;
use common::{Edge, Setup, Upstream, get, write};

struct Site {
    edge: Edge,
    upstream: Upstream,
    dir: tempfile::TempDir,
}

impl Site {
    /// `DIR` stands for a folder with files, `APP` for an upstream that says "application PATH".
    fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        write(&root.join("index.html"), "home");
        write(&root.join("about.html"), "about");
        write(&root.join("docs/index.html"), "docs");
        write(&root.join("docs/deep/page.txt"), "page");
        write(&root.join("assets/app.js"), "code");
        write(&root.join("assets/app.5af66c1b1797.js"), "hashed");
        write(&root.join("assets/site.css"), "style");
        write(&root.join("list/b.txt"), "bb");
        write(&root.join("list/<a> & \"b\".txt"), "a");
        write(&root.join("list/sub/x"), "x");
        write(&root.join("list/.hidden"), "SECRET");
        write(&root.join("list/.folder/x"), "SECRET");
        write(&root.join(".env"), "SECRET");
        write(&root.join(".well-known/security.txt"), "contact");
        std::os::unix::fs::symlink("b.txt", root.join("list/link")).unwrap();
        let upstream = Upstream::start(|seen, stream| {
            common::upstream::reply(stream, 200, &[], format!("application {}", seen.path()))
        });
        let text = text.replace("DIR", root.to_str().unwrap()).replace("APP", &upstream.address.to_string());
        Self { edge: Setup::default().plain().file(&text).start(), upstream, dir }
    }

    fn text(&self, path: &str) -> String {
        let answer = get(self.edge.http, path, &[]);
        match answer.status {
            200 => answer.text(),
            301 => format!("301 {}", answer.header("location").unwrap()),
            status => status.to_string(),
        }
    }

    fn all(&self, cases: &[(&str, &str)]) {
        for (path, text) in cases {
            assert_eq!(self.text(path), *text, "{path}");
        }
    }
}

#[test]
fn root_and_files() {
    let site = Site::new(
        "[[site]]\n\
         [[site.route]]\npath = '/'\nroot = 'DIR'\n\
         [[site.route]]\npath = '/d/'\nfiles = 'DIR/docs'\n\
         [[site.route]]\nexact = '/about'\nfiles = 'DIR/about.html'\n\
         [[site.route]]\npattern = '^/assets/.*[.]css$'\nroot = 'DIR'\nexpires = '1h'\n\
         [[site.route]]\nexact = '/index.html'\nroot = 'DIR'\nindex = []\n",
    );
    site.all(&[
        ("/", "home"),
        ("/index.html", "home"),
        ("/about.html", "about"),
        ("/about", "about"),
        ("/docs/", "docs"),
        ("/docs", "301 /docs/"),
        ("/docs?a=b", "301 /docs/?a=b"),
        ("/docs/deep/", "404"),
        ("/docs/deep", "404"),
        ("/docs/deep/page.txt", "page"),
        ("/d/", "docs"),
        ("/d", "301 /d/"),
        ("/d/deep/page.txt", "page"),
        ("/d/../.env", "404"),
        ("/.env", "404"),
        ("/.well-known/security.txt", "contact"),
        ("/.well-known/../.env", "404"),
        ("/assets/site.css", "style"),
        ("/list/link", "404"),
        ("/missing", "404"),
    ]);
    assert_eq!(request(site.edge.http, "POST", "/about", &["Content-Length: 0"]).status, 405);
    assert_eq!(get(site.edge.http, "/assets/site.css", &[]).header("cache-control"), Some("max-age=3600"));
}

#[test]
fn single_page_application_with_an_upstream_behind() {
    let site = Site::new(
        "upstream = ['APP']\n[upstreams.api]\nservers = ['APP']\n[[site]]\n\
         [[site.route]]\npath = '/'\nroot = 'DIR'\ntry_files = ['$uri', '$uri.html', '$uri/', '/index.html']\n\
         [[site.route]]\npath = '/api/'\nroot = 'DIR'\ntry_files = ['$uri', '@api']\n\
         [[site.route]]\npath = '/app/'\nroot = 'DIR'\ntry_files = ['$uri', '/gone.html', '=410']\n\
         [[site.route]]\npath = '/q/'\nroot = 'DIR'\ntry_files = ['$uri', '/api/x?from=$uri&$args']\n\
         [[site.route]]\npattern = '^/old/(.*)[.]php$'\nroot = 'DIR'\ntry_files = ['/$1.html', '@default']\n\
         [[site.route]]\npath = '/d/'\nfiles = 'DIR/docs'\ntry_files = ['$uri', '/d/index.html', '=404']\n\
         [[site.route]]\npath = '/round/'\nroot = 'DIR'\ntry_files = ['$uri', '/round/again']\n",
    );
    site.all(&[
        ("/", "home"),
        ("/about", "about"),
        ("/some/deep/link", "home"),
        ("/docs", "301 /docs/"),
        ("/docs/", "docs"),
        ("/docs/deep/", "home"),
        ("/assets/app.js", "code"),
        ("/.env", "home"),
        ("/api/users?x=1", "application /api/users?x=1"),
        ("/app/x", "410"),
        ("/q/a%20b?y=2", "application /api/x?from=/q/a%20b&y=2"),
        ("/old/about.php", "about"),
        ("/old/other.php?a=1", "application /old/other.php?a=1"),
        ("/old/../about.php", "home"),
        ("/d/deep/page.txt", "page"),
        ("/d/none", "docs"),
        ("/round/x", "500"),
    ]);
    // What is no file may be posted to.
    let posted = request(site.edge.http, "POST", "/api/users", &["Content-Length: 0"]);
    assert_eq!((posted.status, posted.text().as_str()), (200, "application /api/users"));
    assert_eq!(site.upstream.last().line, "POST /api/users HTTP/1.1");
    assert_eq!(request(site.edge.http, "POST", "/about.html", &["Content-Length: 0"]).status, 405);
    let line = site.edge.access_line(|line| line["path"] == "/round/x");
    assert_eq!(line["reason"], "internal_redirect_cycle");
}

#[test]
fn files_are_served_while_every_upstream_is_down() {
    let port = common::free_port();
    let site = Site::new(&format!(
        "upstream = ['127.0.0.1:{port}']\n[[site]]\n\
         [[site.route]]\npath = '/'\nroot = 'DIR'\ntry_files = ['$uri', '$uri/', '@default']\n"
    ));
    site.all(&[("/", "home"), ("/about.html", "about"), ("/x", "502")]);
}

#[test]
fn listing() {
    let site = Site::new(
        "[[site]]\n\
         [[site.route]]\npath = '/'\nroot = 'DIR'\nautoindex = true\n\
         [[site.route]]\npath = '/off/'\nfiles = 'DIR/list'\n",
    );
    site.all(&[("/", "home"), ("/list", "301 /list/"), ("/off/", "404"), ("/list/link", "404")]);
    site.all(&[("/list?a=b&c", "301 /list/?a=b&c"), ("/list/.folder/", "404"), ("/list/.folder", "404")]);
    let page = get(site.edge.http, "/list/", &[]);
    let text = page.text();
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(text.contains("href=\"sub/\">sub/<") && text.contains("href=\"b.txt\">b.txt<"), "{text}");
    assert!(text.contains("%3Ca%3E%20%26%20%22b%22.txt\">&lt;a&gt; &amp; &quot;b&quot;.txt<"), "{text}");
    assert!(!text.contains("hidden") && !text.contains("link\""), "{text}");
    let json = get(site.edge.http, "/list/", &["Accept: application/json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
    let names: Vec<&str> = json.as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["sub", "<a> & \"b\".txt", "b.txt"]);
    assert_eq!((json[0]["type"].as_str(), json[2]["size"].as_u64()), (Some("directory"), Some(2)));
}

#[test]
fn how_long_clients_keep_them() {
    let site = Site::new(
        "expires = '1d'\n[[site]]\n\
         [[site.route]]\npath = '/'\nroot = 'DIR'\n\
         cache_control = ['*.css=public, max-age=7', 'docs/*=no-store']\n\
         [[site.route]]\npath = '/epoch/'\nfiles = 'DIR'\nexpires = 'epoch'\n\
         [[site.route]]\npath = '/off/'\nfiles = 'DIR'\nexpires = 'off'\n\
         [[site.route]]\npath = '/users/'\nfiles = 'DIR'\nuploads = true\n",
    );
    for (path, cache_control, expires) in [
        ("/assets/site.css", "public, max-age=7", false),
        ("/docs/deep/page.txt", "no-store", false),
        ("/about.html", "max-age=86400", true),
        ("/assets/app.5af66c1b1797.js", "public, max-age=31536000, immutable", false),
        ("/epoch/about.html", "no-cache", true),
        ("/off/about.html", "public, max-age=60", false),
        ("/users/about.html", "private, max-age=60", false),
    ] {
        let answer = get(site.edge.http, path, &[]);
        assert_eq!(answer.header("cache-control"), Some(cache_control), "{path}");
        assert_eq!(answer.header("expires").is_some(), expires, "{path}");
        let etag = format!("If-None-Match: {}", answer.header("etag").unwrap());
        let unchanged = get(site.edge.http, path, &[&etag]);
        assert_eq!((unchanged.status, unchanged.header("cache-control")), (304, Some(cache_control)), "{path}");
    }
}

#[test]
fn bounded_ranges() {
    let site = Site::new(
        "[[site]]\n\
         [[site.route]]\npath = '/'\nroot = 'DIR'\nmax_ranges = 2\n\
         [[site.route]]\npath = '/none/'\nfiles = 'DIR'\nmax_ranges = 0\n",
    );
    let status = |path: &str, range: &str| get(site.edge.http, path, &[&format!("Range: bytes={range}")]).status;
    assert_eq!([status("/about.html", "0-0,2-2"), status("/about.html", "0-0,2-2,4-4")], [206, 200]);
    assert_eq!(status("/none/about.html", "0-0"), 200);
    assert_eq!(get(site.edge.http, "/none/about.html", &[]).header("accept-ranges"), None);
}

/// As long, and made in the same instant, as tools do it that set all times to the commit's.
#[test]
fn a_sibling_of_the_same_length_and_time_has_a_tag_of_its_own() {
    let site = Site::new("[[site]]\n[[site.route]]\npath = '/'\nroot = 'DIR'\n");
    let assets = site.dir.path().join("assets");
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    for (name, text) in [("same.css", "plain words"), ("same.css.gz", "other words")] {
        write(&assets.join(name), text);
        std::fs::File::options().write(true).open(assets.join(name)).unwrap().set_modified(then).unwrap();
    }
    let ask = |fields: &[&str]| get(site.edge.http, "/assets/same.css", fields);
    let (plain, sibling) = (ask(&[]), ask(&["Accept-Encoding: gzip"]));
    assert_eq!((plain.text(), sibling.text()), ("plain words".into(), "other words".into()));
    let tag = format!("If-None-Match: {}", plain.header("etag").unwrap());
    assert_eq!(ask(&[&tag]).status, 304);
    let other = ask(&[&tag, "Accept-Encoding: gzip"]);
    assert_eq!((other.status, other.text().as_str()), (200, "other words"), "not the one that is kept");
}

#[test]
fn precompressed_siblings() {
    let site = Site::new(
        "[[site]]\n\
         [[site.route]]\npath = '/'\nroot = 'DIR'\n\
         [[site.route]]\npath = '/off/'\nfiles = 'DIR'\nprecompressed = false\n",
    );
    let assets = site.dir.path().join("assets");
    write(&assets.join("app.js.br"), "brotli");
    write(&assets.join("app.js.gz"), "gz");
    write(&assets.join("site.css.gz"), "old");
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    std::fs::File::options().write(true).open(assets.join("site.css.gz")).unwrap().set_modified(old).unwrap();
    let ask = |path: &str, accept: &str| get(site.edge.http, path, &[&format!("Accept-Encoding: {accept}")]);
    let mut tags = Vec::new();
    for (accept, coding, text) in [
        ("gzip, br", Some("br"), "brotli"),
        ("gzip", Some("gzip"), "gz"),
        ("br;q=0.1, gzip;q=0.9", Some("gzip"), "gz"),
        ("zstd", None, "code"),
        ("identity", None, "code"),
    ] {
        let answer = ask("/assets/app.js", accept);
        assert_eq!((answer.header("content-encoding"), answer.text().as_str()), (coding, text), "{accept}");
        assert_eq!(answer.header("vary"), Some("Accept-Encoding"), "{accept}");
        assert_eq!(answer.header("content-type"), Some("text/javascript; charset=utf-8"));
        let tag = answer.header("etag").unwrap().to_owned();
        let unchanged = get(
            site.edge.http,
            "/assets/app.js",
            &[&format!("Accept-Encoding: {accept}"), &format!("If-None-Match: {tag}")],
        );
        assert_eq!((unchanged.status, unchanged.header("vary")), (304, Some("Accept-Encoding")), "{accept}");
        assert_eq!((unchanged.header("content-encoding"), unchanged.header("content-type")), (None, None), "{accept}");
        tags.push(tag);
    }
    assert_ne!(tags[0], tags[1]);
    assert_ne!(tags[1], tags[3]);
    let part = get(site.edge.http, "/assets/app.js", &["Accept-Encoding: br", "Range: bytes=1-2"]);
    assert_eq!((part.status, part.text().as_str(), part.header("content-range")), (206, "ro", Some("bytes 1-2/6")));
    assert_eq!(ask("/assets/site.css", "gzip").text(), "style", "an older sibling is another file's");
    assert_eq!(ask("/off/assets/app.js", "br").text(), "code");
    // They come and go.
    std::fs::remove_file(assets.join("app.js.br")).unwrap();
    common::until("the sibling is gone", || ask("/assets/app.js", "gzip, br").text() == "gz");
    write(&assets.join("app.js.zst"), "zstd");
    common::until("a sibling has come", || ask("/assets/app.js", "zstd").text() == "zstd");
}

#[test]
fn wrong_settings_are_told_with_their_place() {
    for (route, wrong) in [
        ("path = '/'\nroot = '/x'\nfiles = '/y'", "edge.toml:2: site.route: needs one of"),
        ("pattern = 'x'\nfiles = '/y'", "edge.toml:4: files: goes with `path` or `exact`"),
        ("exact = '/x'\nfiles = '/y/..'", "edge.toml:4: files: with `exact` it is the file itself"),
        ("path = '/'\nclose = true\ntry_files = ['$uri', '=404']", "edge.toml:5: try_files: goes with files or root"),
        ("path = '/'\nroot = '/x'\ntry_files = ['/index.html']", "edge.toml:5: try_files: needs at least two"),
        ("path = '/'\nroot = '/x'\ntry_files = ['=404', '$uri']", "edge.toml:5: try_files: =404 can only be the last"),
        ("path = '/'\nroot = '/x'\ntry_files = ['$uri', '=200']", "expected a status from =400 to =599"),
        ("path = '/'\nroot = '/x'\ntry_files = ['$uri', '@none']", "edge.toml:5: try_files: no upstream of that name"),
        ("path = '/'\nroot = '/x'\ntry_files = ['$nothing', '=404']", "$nothing is no variable"),
        ("path = '/'\nroot = '/x'\ntry_files = ['/../x', '=404']", "has a dot segment"),
        ("path = '/'\nroot = '/x'\ntry_files = ['index.html', '=404']", "expected a path such as /index.html"),
        ("path = '/a/'\nfiles = '/x'\ntry_files = ['$uri', '/index.html', '=404']", "is not below /a/"),
        ("path = '/'\nroot = '/x'\nindex = ['a/b']", "edge.toml:5: index: expected a file's plain name"),
        ("path = '/'\nroot = '/x'\nexpires = 'soon'", "edge.toml:5: expires: expected a time such as 30d"),
        ("path = '/'\nroot = '/x'\ncache_control = ['*.css']", "edge.toml:5: cache_control: expected PATTERN=VALUE"),
        (
            "path = '/'\nroot = '/x'\nmax_ranges = 1000",
            "edge.toml:5: max_ranges: expected a whole number from 0 to 100",
        ),
        ("path = '/'\nroot = '/x'\nautoindex = 'x'", "edge.toml:5: autoindex: expected true or false"),
    ] {
        let text = format!("[[site]]\n[[site.route]]\n{route}\n");
        let told = common::problems(&text);
        assert!(told.contains(wrong), "{wrong:?} is not in {told}");
    }
}

#[test]
fn small_files_are_kept_compressed() {
    let site = Site::new(
        "[[site]]\n\
         [[site.route]]\npath = '/'\nroot = 'DIR'\n\
         [[site.route]]\npath = '/mine/'\nfiles = 'DIR'\ncompress_private = false\n\
         [[site.route]]\npath = '/off/'\nfiles = 'DIR'\ncompress = 'off'\n",
    );
    let text = "the same again and again, ".repeat(4000);
    write(&site.dir.path().join("long.txt"), &text);
    write(&site.dir.path().join("long.png"), &text);
    for (accept, coding) in [("gzip", "gzip"), ("br", "br"), ("zstd, gzip, br", "zstd")] {
        let accept = format!("Accept-Encoding: {accept}");
        let ask = |more: &str| get(site.edge.http, "/long.txt", &[&accept, more]);
        assert_eq!(ask("X-A: b").header("content-encoding"), Some(coding));
        // Of what is made on the way nobody knows how long it will be.
        common::until("its kept form is there", || ask("X-A: b").header("content-length").is_some());
        let kept = ask("X-A: b");
        assert_eq!((kept.status, kept.header("content-encoding")), (200, Some(coding)));
        assert_eq!(kept.header("vary"), Some("Accept-Encoding"));
        assert!(kept.body.len() < 1000 && kept.header("content-length") == Some(&kept.body.len().to_string()));
        let etag = format!("If-None-Match: {}", kept.header("etag").unwrap());
        assert_eq!(ask(&etag).status, 304);
        let part = ask("Range: bytes=2-5");
        assert_eq!((part.status, part.header("content-encoding"), part.text().as_str()), (206, None, &text[2..6]));
    }
    let plain = get(site.edge.http, "/long.txt", &[]);
    assert_eq!((plain.text(), plain.header("vary")), (text.clone(), Some("Accept-Encoding")));
    let kept = get(site.edge.http, "/long.txt", &["Accept-Encoding: gzip"]);
    let weak = format!("W/{}", plain.header("etag").unwrap());
    assert_eq!(kept.header("etag"), Some(&*weak), "no other representation has its strong tag");
    // Its length would tell of what one client's secrets are like.
    let mine = |more: &str| get(site.edge.http, "/mine/long.txt", &["Accept-Encoding: gzip", more]);
    common::until("its kept form is there", || {
        let answer = mine("X-A: b");
        answer.header("content-encoding") == Some("gzip") && answer.header("content-length").is_some()
    });
    for secret in ["Cookie: session=1", "Authorization: Bearer x"] {
        assert_eq!((mine(secret).header("content-encoding"), mine(secret).text()), (None, text.clone()), "{secret}");
    }
    let refused = get(site.edge.http, "/off/long.txt", &["Accept-Encoding: gzip"]);
    assert_eq!((refused.text(), refused.header("vary")), (text.clone(), None));
    let picture = get(site.edge.http, "/long.png", &["Accept-Encoding: gzip"]);
    assert_eq!((picture.text(), picture.header("vary")), (text, None));
    // Another version of the file is compressed anew.
    write(&site.dir.path().join("long.txt"), "other ".repeat(1000));
    let length = || get(site.edge.http, "/long.txt", &["Accept-Encoding: identity"]).body.len();
    common::until("the new file is served", || length() == 6000);
    let unpacked = |answer: common::Answer| {
        use std::io::Read;
        let mut out = Vec::new();
        flate2::read::GzDecoder::new(&answer.body[..]).read_to_end(&mut out).unwrap();
        out.len()
    };
    let gzip = get(site.edge.http, "/long.txt", &["Accept-Encoding: gzip"]);
    assert_eq!(unpacked(gzip), 6000);
}
