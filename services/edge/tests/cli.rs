//! The command line: what is wrong is said at once, with its place, and the exit code tells whose fault it was.
#![allow(clippy::unwrap_used)]

mod common;

use common::{binary, write};
use std::process::Output;

fn run(args: &[&str], env: &[(&str, &str)]) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    let Output { status, stdout, stderr } =
        binary().args(args).envs(env.iter().copied()).current_dir(dir.path()).output().unwrap();
    (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

#[test]
fn check_tells_everything_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("edge.toml");
    write(&file, "http = \":8080\"\nbody_limit = \"lots\"\nthreds = 2\n");
    let (code, text) = run(
        &["check", "--config", file.to_str().unwrap(), "--queue-timeout", "soon"],
        &[("MONODON_EDGE_IDEL_TIMEOUT", "5s")],
    );
    assert_eq!(code, Some(2), "{text}");
    for part in [
        "edge.toml:2: body_limit: expected a size",
        "edge.toml:3: threds",
        "threads",
        "--queue-timeout: expected a duration",
        "MONODON_EDGE_IDEL_TIMEOUT",
        "IDLE_TIMEOUT",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

#[test]
fn check_opens_the_error_pages() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("edge.toml");
    let page = |name: &str| dir.path().join(name).display().to_string();
    std::fs::create_dir(page("folder.html")).unwrap();
    write(
        &file,
        format!(
            "http = \":8080\"\nerror_pages = [\"404={}\", \"5xx={}\"]\n[[site]]\n[[site.route]]\npath = \"/\"\n\
             respond = \"x\"\nerror_pages = [\"maintenance={}\"]\n",
            page("none.html"),
            page("folder.html"),
            page("none.txt")
        ),
    );
    let (code, text) = run(&["check", "--config", file.to_str().unwrap()], &[]);
    assert_eq!(code, Some(2), "{text}");
    for (line, name, wrong) in
        [(2, "none.html", "No such file"), (2, "folder.html", "not a file"), (7, "none.txt", "No such file")]
    {
        let told = format!("edge.toml:{line}: error_pages: {}: {wrong}", page(name));
        assert!(text.contains(&told), "{told:?} is not in {text}");
    }
}

/// Before anything starts, with its place, and by `run` as by `check`.
#[test]
fn what_the_edge_writes_has_to_be_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("edge.toml");
    let path = |name: &str| dir.path().join(name).display().to_string();
    write(&dir.path().join("plain"), "");
    for (line, wrong) in [
        ("access_log = \"DIR\"", "access_log: expected stdout, off or the path of a file, and DIR is a folder"),
        ("access_log = \"DIR/none/a.log\"", "access_log: the folder DIR/none is not there"),
        ("access_log = \"DIR/plain/a.log\"", "access_log: the folder DIR/plain is not there"),
        ("spool = \"DIR/plain\"", "spool: expected a folder, and DIR/plain is none"),
        ("state = \"DIR/plain/state\"", "state: expected a folder, and DIR/plain is none"),
    ] {
        let put = |text: &str| text.replace("DIR", path("").trim_end_matches('/'));
        write(&file, format!("http = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n{}\n", put(line)));
        for verb in ["check", "run"] {
            let (code, text) = run(&[verb, "--config", file.to_str().unwrap()], &[]);
            let wanted = format!("monodon-edge: {}:3: {}\n", file.display(), put(wrong));
            assert_eq!((code, text), (Some(2), wanted), "{verb} {line}");
        }
    }
    for line in ["access_log = \"DIR/a.log\"", "access_log = \"a.log\"", "spool = \"DIR/a/b\"", "state = \"state\""] {
        write(&file, format!("http = \"127.0.0.1:0\"\n{}\n", line.replace("DIR", &path(""))));
        let (code, text) = run(&["check", "--config", file.to_str().unwrap()], &[]);
        assert_eq!((code, text.as_str()), (Some(0), "the configuration is good\n"), "{line}");
    }
}

#[test]
fn exit_codes() {
    assert_eq!(run(&["check", "--http", ":8080"], &[]).0, Some(0));
    assert_eq!(run(&["check"], &[("MONODON_EDGE_HTTP", ":8080")]).0, Some(0));
    assert_eq!(run(&["--version"], &[]).0, Some(0));
    let (code, help) = run(&["--help"], &[]);
    assert!(code == Some(0) && help.contains("--upstream") && help.contains("run"), "{help}");
    for wrong in [&["check"][..], &[], &["serve"], &["run", "--htp", ":1"], &["check", "--http", ":8080", "extra"]] {
        assert_eq!(run(wrong, &[]).0, Some(2), "{wrong:?}");
    }
    let (code, text) = run(&["check", "--http", ":1", "--status-page", "/s/", "--status-upstream", "a:1"], &[]);
    assert!(code == Some(2) && text.contains("status_password"), "{text}");
    let secret =
        run(&["check", "--http", ":1"], &[("MONODON_EDGE_STATUS_PASSWORD", "hidden"), ("MONODON_EDGE_THREADS", "x")]);
    assert!(!secret.1.contains("hidden"), "{}", secret.1);
}

#[test]
fn a_listener_is_no_unix_socket() {
    for key in ["http", "https", "admin"] {
        for value in ["unix:/run/app.sock", "nonsense"] {
            let (code, text) = run(&["check", "--http", ":8080", &format!("--{key}"), value], &[]);
            let wanted = format!(
                "--{key}: expected an address to listen on such as 127.0.0.1:8080, [::1]:8080 or :8080, got {value:?}"
            );
            assert!(code == Some(2) && text.contains(&wanted), "{text}");
        }
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, text) = run(&["run", "--http", &address, "--state", "state", "--admin", "127.0.0.1:0"], &[]);
    assert!(code == Some(1) && text.contains(&format!("http: cannot listen on {address}")), "{text}");
    let (code, text) = run(&["run", "--http", "127.0.0.1:0", "--state", "state", "--admin", &address], &[]);
    assert!(code == Some(1) && text.contains(&format!("admin: cannot listen on {address}")), "{text}");
}

#[test]
fn reload_without_an_edge_says_so() {
    let (code, text) = run(&["reload", "--state", "nowhere"], &[]);
    assert!(code == Some(1) && text.contains("is the edge running"), "{text}");
}
