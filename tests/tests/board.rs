//! The example project on the whole stack, visited as people and attackers do. One stack for all of these tests: none changes what others see.

use std::{process::Command, sync::LazyLock, time::Duration};

use bytes::Bytes;
use hyper::StatusCode;
use monodon_tests::{
    browser::{Browser, Page, Upload},
    eventually, raw,
    stack::{Plan, Stack, free_port},
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(10);

static STACK: LazyLock<Stack> = LazyLock::new(|| {
    let stack = Plan::appliance("board").up();
    let _ = stack.must(&["exec", "-T", "worker", "python", "manage.py", "seed"]);
    stack
});

/// A visitor with an account of its own.
async fn member(name: &str) -> Browser {
    let mut browser = STACK.browser();
    let form = browser.get("/accounts/sign-up/").await;
    let token = form.field("csrfmiddlewaretoken");
    let password = "a long enough passphrase";
    let fields =
        [("csrfmiddlewaretoken", &*token), ("username", name), ("password1", password), ("password2", password)];
    let done = browser.post("/accounts/sign-up/", &fields).await;
    assert_eq!(done.status, StatusCode::FOUND, "{}", done.text());
    browser
}

/// The address behind the first `attribute="…needle…"` in a page.
fn link(page: &Page, needle: &str) -> String {
    let text = page.text();
    let found = text.split('"').find(|part| part.starts_with('/') && part.contains(needle));
    found.unwrap_or_else(|| panic!("no link with {needle} in:\n{text}")).to_owned()
}

/// A picture of one pixel.
fn png() -> Vec<u8> {
    const PIXEL: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\nIDATx\x9cc\0\x01\0\0\x05\0\x01\r\n-\xb4\0\0\0\0IEND\xaeB`\x82";
    PIXEL.to_vec()
}

#[tokio::test]
async fn the_board_answers_over_http2_with_a_certificate_of_the_internal_ca() {
    let page = STACK.browser().get("/").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.http2, "HTTP/2 was offered and not taken");
    assert!(page.text().contains("Breathing Hole"), "{}", page.text());
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    assert_eq!(page.header("x-frame-options"), "DENY");
    assert!(!page.header("x-request-id").is_empty());
    assert_eq!(page.header("strict-transport-security"), "", "no HSTS with the internal CA");
    assert_eq!(page.header("x-monodon-process"), "", "a header between services reached a client");
}

#[tokio::test]
async fn curl_gets_the_board_with_the_ca_that_the_stack_hands_out() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, STACK.ca()).expect("the CA is written");
    let url = STACK.browser().origin() + "/";
    let done = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--http2",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code} %{http_version}",
        ])
        .arg("--cacert")
        .arg(&ca)
        .arg(&url)
        .output()
        .expect("curl is there");
    assert_eq!(String::from_utf8_lossy(&done.stdout), "200 2", "{}", String::from_utf8_lossy(&done.stderr));
}

#[tokio::test]
async fn a_member_asks_with_a_picture_and_sees_it() {
    let mut browser = member("asker").await;
    let token = browser.get("/ask/").await.field("csrfmiddlewaretoken");
    let fields = [
        ("csrfmiddlewaretoken", &*token),
        ("title", "Is the ice thick enough?"),
        ("body", "It looks blue from below."),
        ("tag_names", "ice"),
    ];
    let picture = Upload { field: "picture", name: "ice.png", kind: "image/png", bytes: &png() };
    let asked = browser.upload("/ask/", &fields, &[picture]).await;
    assert_eq!(asked.status, StatusCode::FOUND, "{}", asked.text());
    let question = browser.get(asked.header("location")).await;
    assert!(question.text().contains("Is the ice thick enough?"));
    let seen = browser.get(&link(&question, "/media/")).await;
    assert_eq!(seen.status, StatusCode::OK);
    assert_eq!(seen.header("content-type"), "image/png");
    assert_eq!(seen.header("x-content-type-options"), "nosniff");
    assert_eq!(seen.body, png(), "the picture came back other than it was sent");
}

#[tokio::test]
async fn a_member_answers_votes_and_finds() {
    let mut browser = member("answerer").await;
    let list = browser.get("/").await;
    let address = link(&list, "/questions/");
    let token = browser.get(&address).await.field("csrfmiddlewaretoken");
    let said = browser.post(&format!("{address}answer/"), &[("csrfmiddlewaretoken", &token), ("body", "Yes.")]).await;
    assert_eq!(said.status, StatusCode::FOUND, "{}", said.text());
    let voted = browser.post(&format!("{address}vote/"), &[("csrfmiddlewaretoken", &token)]).await;
    assert_eq!(voted.status, StatusCode::FOUND, "{}", voted.text());
    let found = browser.get("/?q=ice&order=top&page=2").await;
    assert_eq!(found.status, StatusCode::OK);
}

#[tokio::test]
async fn logging_in_to_the_admin_needs_no_proxy_setting() {
    let make = "from django.contrib.auth import get_user_model as u; u().objects.create_superuser('root', '', 'pass-phrase-of-root')";
    let _ = STACK.must(&["exec", "-T", "worker", "python", "manage.py", "shell", "-c", make]);
    let mut browser = STACK.browser();
    let token = browser.get("/admin/login/").await.field("csrfmiddlewaretoken");
    let fields = [
        ("csrfmiddlewaretoken", &*token),
        ("username", "root"),
        ("password", "pass-phrase-of-root"),
        ("next", "/admin/"),
    ];
    let done = browser.post("/admin/login/", &fields).await;
    assert_eq!(done.status, StatusCode::FOUND, "{}", done.text());
    assert!(browser.cookie("sessionid").is_some());
    assert!(browser.get("/admin/").await.text().contains("Site administration"));
}

#[tokio::test]
async fn hashed_static_files_are_immutable_conditional_and_ranged() {
    let mut browser = STACK.browser();
    let css = link(&browser.get("/").await, "/static/board/board.");
    let whole = browser.get(&css).await;
    assert_eq!(whole.status, StatusCode::OK);
    assert!(whole.header("content-type").starts_with("text/css"));
    assert!(whole.header("cache-control").contains("immutable"), "{:?}", whole.headers);
    let etag = whole.header("etag").to_owned();
    let same = browser.send("GET", &css, &[("if-none-match", &etag)], Bytes::new()).await.expect("an answer");
    assert_eq!(same.status, StatusCode::NOT_MODIFIED);
    assert!(same.body.is_empty());
    let part = browser.send("GET", &css, &[("range", "bytes=5-9")], Bytes::new()).await.expect("an answer");
    assert_eq!(part.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.body, whole.body.slice(5..10));
    assert_eq!(part.header("content-range"), format!("bytes 5-9/{}", whole.body.len()));
    let head = browser.send("HEAD", &css, &[], Bytes::new()).await.expect("an answer");
    assert_eq!(head.header("content-length"), whole.body.len().to_string());
    assert!(head.body.is_empty());
}

#[tokio::test]
async fn no_path_leaves_the_static_folder() {
    let browser = STACK.browser();
    for path in [
        "/static/../../etc/passwd",
        "/static/%2e%2e/%2e%2e/etc/passwd",
        "/static/..%2f..%2fetc/passwd",
        "/static/....//etc/passwd",
        "/static//etc/passwd",
        "/static/board/..%5c..%5cetc/passwd",
        "/static/%00",
        "/static/.env",
        "/static/",
        "/media/",
        "/media/../static/board/",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = raw::send(&browser, request.as_bytes(), PATIENCE).await;
        assert!((400..=404).contains(&answer.status()), "{path}: {}", answer.text);
        assert!(!answer.text.contains("root:"), "{path}");
    }
}

#[tokio::test]
async fn plain_http_redirects_to_the_published_https_port() {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", STACK.http)).await.expect("port 80 is published");
    let request = b"GET /questions/1/?a=b HTTP/1.1\r\nHost: localhost:1\r\nConnection: close\r\n\r\n";
    let answer = raw::exchange(&mut stream, request, PATIENCE).await;
    assert_eq!(answer.status(), 307, "{}", answer.text);
    let wanted = format!("location: https://localhost:{}/questions/1/?a=b\r\n", STACK.https);
    assert!(answer.text.to_ascii_lowercase().contains(&wanted), "{}", answer.text);
}

#[tokio::test]
async fn what_a_client_says_of_itself_is_not_believed() {
    let mut browser = STACK.browser();
    let spoofed = [
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "http"),
        ("x-real-ip", "203.0.113.7"),
    ];
    let page = browser.send("GET", "/admin/", &spoofed, Bytes::new()).await.expect("an answer");
    assert_eq!(page.status, StatusCode::FOUND);
    assert!(!page.header("location").contains("evil"), "{:?}", page.headers);
    assert!(!STACK.logs("worker").contains("203.0.113.7"), "the worker believed a client's X-Forwarded-For");
}

/// DESIGN: what bad input gets. Each is sent as bytes over TLS; the answer, and that the connection is closed after it.
#[tokio::test]
async fn malformed_requests_are_refused_and_the_connection_closed() {
    let browser = STACK.browser();
    let long = "a".repeat(20_000);
    let many: String = (0..200).map(|number| format!("X-{number}: v\r\n")).collect();
    let rows: Vec<(&str, u16, String)> = vec![
        (
            "both lengths",
            400,
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                .into(),
        ),
        (
            "two lengths",
            400,
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nabcd".into(),
        ),
        ("listed lengths", 400, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4, 4\r\n\r\nabcd".into()),
        ("signed length", 400, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: +4\r\n\r\nabcd".into()),
        (
            "chunked twice",
            400,
            "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n".into(),
        ),
        ("bare LF", 400, "GET / HTTP/1.1\nHost: localhost\n\n".into()),
        ("folded header", 400, "GET / HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n c\r\n\r\n".into()),
        ("space before the colon", 400, "GET / HTTP/1.1\r\nHost : localhost\r\n\r\n".into()),
        ("no host", 400, "GET / HTTP/1.1\r\n\r\n".into()),
        ("two hosts", 400, "GET / HTTP/1.1\r\nHost: localhost\r\nHost: other\r\n\r\n".into()),
        ("NUL in a value", 400, "GET / HTTP/1.1\r\nHost: localhost\r\nX-A: b\0c\r\n\r\n".into()),
        (
            "bad chunk size",
            400,
            "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nabcde\r\n0\r\n\r\n".into(),
        ),
        ("noise", 400, "\x01\x02\x03\x04\r\n\r\n".into()),
        ("long line", 414, format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n")),
        ("many headers", 431, format!("GET / HTTP/1.1\r\nHost: localhost\r\n{many}\r\n")),
        ("large header block", 431, format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-A: {long}\r\nX-B: {long}\r\n\r\n")),
        ("large body", 413, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n".into()),
        ("HTTP/3.0", 505, "GET / HTTP/3.0\r\nHost: localhost\r\n\r\n".into()),
    ];
    for (what, status, bytes) in rows {
        let answer = raw::send(&browser, bytes.as_bytes(), PATIENCE).await;
        assert_eq!(answer.status(), status, "{what}: {}", answer.text);
        assert!(answer.closed, "{what}: the connection was left open");
        assert!(answer.text.to_ascii_lowercase().contains("x-request-id"), "{what}: no request id: {}", answer.text);
    }
}

#[tokio::test]
async fn methods_that_tunnel_or_echo_are_refused() {
    let browser = STACK.browser();
    for request in [
        "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n",
        "TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ] {
        let answer = raw::send(&browser, request.as_bytes(), Duration::from_secs(2)).await;
        assert!(matches!(answer.status(), 400 | 405), "{}", answer.text);
    }
}

#[tokio::test]
async fn an_error_page_names_the_request() {
    let mut browser = STACK.browser();
    let answer =
        browser.send("POST", "/static/board/x.css", &[("accept", "text/html")], Bytes::new()).await.expect("an answer");
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    let id = answer.header("x-request-id").to_owned();
    assert!(!id.is_empty() && answer.text().contains(&id), "{}", answer.text());
}

#[tokio::test]
async fn the_sidecar_knows_that_all_is_well() {
    let base = format!("http://{}", STACK.published("sidecar", 9100));
    eventually("the appliance is healthy", Duration::from_secs(20), async || {
        let document = curl(&format!("{base}/healthz"))?;
        let health: Value = serde_json::from_str(&document).map_err(|error| format!("{error}: {document}"))?;
        (health["status"] == "pass").then_some(()).ok_or(document)
    })
    .await;
    let page = curl(&base).expect("the status page");
    for word in ["edge", "worker", "<html"] {
        assert!(page.contains(word), "{word} is not on the page");
    }
}

#[tokio::test]
async fn prometheus_scrapes_all_three() {
    // Edge and worker publish no admin port: a Prometheus of the project's sits on `mesh`, this one asks their addresses from the host.
    let inside = |service: &str, port: u16| {
        let network = format!("{}_mesh", STACK.project);
        let container = STACK.containers(service).remove(0);
        let format = format!("{{{{(index .NetworkSettings.Networks \"{network}\").IPAddress}}}}");
        format!("{}:{port}", STACK.inspect(&container, &format))
    };
    let targets = [inside("edge", 9101), inside("worker", 9102), STACK.published("sidecar", 9100)];
    let folder = tempfile::tempdir().expect("a temporary folder");
    let listen = format!("127.0.0.1:{}", free_port());
    let config = format!(
        "scrape_configs: [{{job_name: monodon, scrape_interval: 1s, static_configs: [{{targets: {targets:?}}}]}}]"
    );
    std::fs::write(folder.path().join("prometheus.yml"), config).expect("written");
    let mut prometheus = Command::new("prometheus")
        .arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", folder.path().display()))
        .arg(format!("--web.listen-address={listen}"))
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("prometheus is there");
    let asked = eventually("every family was scraped", Duration::from_secs(30), async || {
        for family in
            ["monodon_edge_http_requests_total", "monodon_worker_requests_total", "monodon_sidecar_build_info"]
        {
            let answer = curl(&format!("http://{listen}/api/v1/query?query=count({family})"))?;
            if !answer.contains("\"value\"") {
                return Err(format!("{family}: {answer}"));
            }
        }
        Ok(())
    });
    asked.await;
    prometheus.kill().expect("prometheus ends");
    let _ = prometheus.wait();
}

#[tokio::test]
async fn promtool_finds_nothing_wrong_with_the_metrics() {
    use std::io::Write;
    let page = curl(&format!("http://{}/metrics", STACK.published("sidecar", 9100))).expect("the metrics page");
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("promtool is there");
    promtool.stdin.take().expect("a pipe").write_all(page.as_bytes()).expect("promtool reads");
    let done = promtool.wait_with_output().expect("promtool ends");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[tokio::test]
async fn chromium_shows_the_board_styled_and_without_errors() {
    let url = STACK.browser().origin();
    let seen = chromium(&["--dump-dom", &url]);
    assert!(seen.page.contains("Breathing Hole"), "{}", seen.page);
    assert!(!seen.console.contains("CONSOLE"), "{}", seen.console);
    // Styled: the sheet is applied, not only linked. Its background is not the browser's.
    let css = link(&STACK.browser().get("/").await, "/static/board/board.");
    assert!(seen.page.contains(&css));
}

#[tokio::test]
async fn chromium_shows_the_status_page() {
    let url = format!("http://{}/", STACK.published("sidecar", 9100));
    let seen = chromium(&["--dump-dom", "--virtual-time-budget=3000", &url]);
    for word in ["edge", "worker"] {
        assert!(seen.page.contains(word), "{word} is not on the page: {}", seen.page);
    }
    assert!(!seen.console.contains("CONSOLE"), "{}", seen.console);
}

struct Seen {
    page: String,
    console: String,
}

fn chromium(arguments: &[&str]) -> Seen {
    let home = tempfile::tempdir().expect("a temporary folder");
    let done = Command::new("chromium")
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--ignore-certificate-errors",
        ])
        .args(["--enable-logging=stderr", "--log-level=0"])
        .arg(format!("--user-data-dir={}", home.path().display()))
        .args(arguments)
        .output()
        .expect("chromium is there");
    Seen { page: String::from_utf8_lossy(&done.stdout).into(), console: String::from_utf8_lossy(&done.stderr).into() }
}

fn curl(url: &str) -> Result<String, String> {
    let done = Command::new("curl").args(["--silent", "--show-error", "--max-time", "10", "-g", url]).output();
    let done = done.map_err(|error| error.to_string())?;
    if done.status.success() {
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&done.stderr).into_owned())
    }
}
