use std::io::Read;
use std::time::Duration;

use serde_json::Value;
use tracing_subscriber::layer::SubscriberExt;

use crate::event::Layer;
use crate::lines::whole_lines;
use crate::{Level, Lines};

const PATIENCE: Duration = Duration::from_secs(20);

fn logged(level: Level, json: bool, events: impl FnOnce()) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let lines = Lines::open(path.to_str().unwrap()).unwrap();
    let layer = Layer { lines: lines.clone(), level, json, terminal: false, service: "edge", syslog: None };
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), events);
    assert!(lines.flush(PATIENCE));
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn json_lines_are_flat_and_typed() {
    let text = logged(Level::Info, true, || {
        let error = std::io::Error::other("no room");
        tracing::warn!(
            target: "monodon_edge::tls",
            site = "a\"b", tries = 3, ratio = 0.5, late = true, level = "field", error = &error as &dyn std::error::Error,
            "renewal of {} failed\nagain", "x"
        );
        tracing::debug!(target: "monodon_edge::tls", "not heard");
        tracing::info!(target: "hyper::proto", "a library is a step quieter");
    });
    assert_eq!(text.lines().count(), 1, "{text}");
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["level"], "warn");
    assert_eq!(line["service"], "edge");
    assert_eq!(line["target"], "monodon_edge::tls");
    assert_eq!(line["message"], "renewal of x failed\nagain");
    assert_eq!((&line["site"], &line["tries"], &line["late"]), (&"a\"b".into(), &3.into(), &true.into()));
    assert_eq!((&line["level_"], &line["error"]), (&"field".into(), &"no room".into()));
    let time = line["time"].as_str().unwrap();
    assert!(time.len() == 27 && time.ends_with('Z') && time.contains('T'), "{time}");
}

#[test]
fn text_is_for_people_and_moves_no_cursor() {
    let text = logged(Level::Debug, false, || {
        tracing::info!(target: "monodon_edge::listener", port = 80, path = "a b\x1b[2J", "listening \x1b]0;title\x07");
    });
    assert!(text.contains("info") && text.contains("port=") && text.contains("edge::listener"), "{text:?}");
    assert!(!text.contains('\x1b'), "neither theirs nor, off a terminal, ours: {text:?}");
}

#[test]
fn levels_and_formats_by_name() {
    assert_eq!("WARNING".parse(), Ok(Level::Warn));
    assert!("loud".parse::<Level>().is_err());
    assert_eq!("json".parse(), Ok(crate::Format::Json));
    for name in crate::LEVELS {
        assert!(name.parse::<Level>().is_ok());
    }
    for name in crate::FORMATS {
        assert!(name.parse::<crate::Format>().is_ok());
    }
}

#[test]
fn a_reader_that_does_not_read_costs_lines_not_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    // Opened for both, so that neither side waits for the other.
    let mut reader = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let lines = Lines::open(path.to_str().unwrap()).unwrap();
    let line = [b"x".repeat(99), b"\n".to_vec()].concat();
    let written = 200_000;
    for _ in 0..written {
        lines.write(&line[..]);
    }
    let lost = lines.lost();
    assert!(lost > 0, "the queue has a bound");
    assert!(!lines.flush(Duration::from_millis(1)));
    // What was kept is whole, once somebody reads.
    let mut kept = vec![0; 100 * 1000];
    reader.read_exact(&mut kept).unwrap();
    assert!(kept.chunks(100).all(|chunk| chunk == line));
}

#[test]
fn a_rotated_file_is_opened_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (path, old) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let lines = Lines::open(path.to_str().unwrap()).unwrap();
    lines.write(b"one\n".to_vec());
    assert!(lines.flush(PATIENCE));
    std::fs::rename(&path, &old).unwrap();
    lines.reopen();
    lines.write(&b"two\n"[..]);
    assert!(lines.flush(PATIENCE));
    assert_eq!(std::fs::read_to_string(old).unwrap(), "one\n");
    assert_eq!(std::fs::read_to_string(path).unwrap(), "two\n");
    assert_eq!(lines.lost(), 0);
}

#[test]
fn a_full_disk_is_counted() {
    let lines = Lines::open("/dev/full").unwrap();
    lines.write(&b"one\ntwo\n"[..]);
    assert!(lines.flush(PATIENCE));
    assert_eq!(lines.lost(), 2);
    assert!(Lines::open("/nowhere/access.log").is_err());
    assert!(!Lines::open("off").unwrap().is_on());
}

#[test]
fn pieces_end_at_lines() {
    assert_eq!(whole_lines(b"a\nb\n", 10), 4);
    assert_eq!(whole_lines(b"aa\nbb\ncc\n", 7), 6);
    assert_eq!(whole_lines(b"aaaaaaaa\nb\n", 4), 9);
    assert_eq!(whole_lines(b"aaaaaaaa", 4), 8);
}
