//! `reload_on_change`: changed files are noticed by themselves, when they are whole.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Edge, Setup, free_port, get, until, write};
use std::net::SocketAddr;
use std::path::Path;

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Without `--http`: the file says where to listen.
fn start(file: &Path, text: &str) -> Edge {
    write(file, text);
    Setup::default().no_http().plain().args(["--config", file.to_str().unwrap()]).start()
}

#[test]
fn a_changed_file_is_noticed_and_a_wrong_one_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("edge.toml");
    let http = local(free_port());
    let toml = |text: &str| {
        format!(
            "http = \"{http}\"\nreload_on_change = true\n[[site]]\n[[site.route]]\npath = \"/\"\nrespond = \"{text}\"\n"
        )
    };
    // Not written in the moment in which it is read: such a file is read again, for it might have changed since.
    write(&file, toml("one"));
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    std::fs::File::options().write(true).open(&file).unwrap().set_modified(old).unwrap();
    let edge = Setup::default().no_http().plain().args(["--config", file.to_str().unwrap()]).start();
    let says = |text: &str| get(http, "/", &[]).text() == text;
    assert!(says("one"));
    write(&file, toml("two"));
    until("the change is noticed", || says("two"));
    write(&file, "http = 1\n");
    until("the slip is noticed", || edge.metric("monodon_edge_config_last_reload_successful") == 0.0);
    let told = |line: &String| line.contains("reload refused") && line.contains("a changed file");
    until("it is told", || edge.lines().iter().any(told));
    assert!(says("two"));
    // As editors and orchestrators do: another file in the place of the old one.
    let beside = dir.path().join("new.toml");
    write(&beside, toml("three"));
    std::fs::rename(&beside, &file).unwrap();
    until("the other file is noticed", || says("three"));
    // A file that the configuration names counts, too.
    let secret = dir.path().join("text");
    write(&secret, "four");
    write(&file, toml("x").replace("respond = \"x\"", &format!("respond_file = \"{}\"", secret.display())));
    until("the text is another file's", || says("four"));
    write(&secret, "five");
    until("the named file is noticed", || says("five"));
    // A reload is counted when it is in force: four that were taken.
    edge.counts("monodon_edge_config_reloads_total{result=\"taken\"}", 4.0);
    let hash = edge.metric("monodon_edge_config_hash");
    write(&secret, "six");
    until("again", || says("six"));
    until("it is another", || edge.metric("monodon_edge_config_hash") != hash);
}

/// A page that is not there yet has the configuration refused; when it comes, that is noticed too.
#[test]
fn an_error_page_that_comes_later_or_changes_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (file, page) = (dir.path().join("edge.toml"), dir.path().join("404.txt"));
    let http = local(free_port());
    let toml = |more: &str| format!("http = \"{http}\"\nreload_on_change = true\n{more}");
    let edge = start(&file, &toml(""));
    let says = |text: &str| get(http, "/", &["Accept: text/plain"]).text() == text;
    write(&file, toml(&format!("error_pages = [\"404={}\"]\n", page.display())));
    until("the missing page is noticed", || edge.metric("monodon_edge_config_last_reload_successful") == 0.0);
    let told = |line: &String| line.contains("reload refused") && line.contains("404.txt");
    until("it is told", || edge.lines().iter().any(told));
    write(&page, "one");
    until("the page is noticed", || says("one"));
    edge.counts("monodon_edge_config_last_reload_successful", 1.0);
    let taken = || edge.metric("monodon_edge_config_reloads_total{result=\"taken\"}");
    let before = taken();
    write(&page, "two");
    until("it has changed", || says("two") && taken() > before);
    std::fs::remove_file(&page).unwrap();
    until("it is gone", || edge.metric("monodon_edge_config_last_reload_successful") == 0.0);
    assert!(says("two"), "what was read stays");
}

/// A file that looks otherwise each time is still being written, and what goes with it waits, too.
#[test]
fn what_is_being_written_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let taken = |edge: &Edge| edge.metric("monodon_edge_config_reloads_total{result=\"taken\"}");
    let route = |http: SocketAddr, what: &str| {
        format!("http = \"{http}\"\nreload_on_change = true\n[[site]]\n[[site.route]]\npath = \"/\"\n{what}\n")
    };
    let (file, http) = (dir.path().join("edge.toml"), local(free_port()));
    let edge = start(&file, &route(http, "respond_file = \"/proc/uptime\""));
    // How often it has looked is seen at another one, which has something to take.
    let (beside, other) = (dir.path().join("other.toml"), local(free_port()));
    let witness = start(&beside, &route(other, "respond = \"0\""));
    for change in ["1", "2"] {
        write(&beside, route(other, &format!("respond = \"{change}\"")));
        until("the other takes what has come to rest", || get(other, "/", &[]).text() == change);
    }
    assert!(taken(&witness) >= 2.0);
    assert_eq!(taken(&edge), 0.0);
    write(&file, route(http, "respond = \"whole\""));
    edge.signal("HUP");
    until("who asks for it gets it", || get(http, "/", &[]).text() == "whole");
}
