use super::*;

fn arguments(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

fn here() -> PathBuf {
    std::env::current_dir().unwrap()
}

#[test]
fn the_defaults_are_those_that_tests_use() {
    let loaded = load(&arguments(&["a.wsgi", "--workers", "1"]), &[], &here()).unwrap().config;
    let mut expected = Config { app: "a.wsgi".into(), ..Config::default() };
    expected.control = control_path(expected.admin);
    expected.folder = here();
    expected.gunicorn.clone_from(&loaded.gunicorn);
    assert_eq!(format!("{loaded:?}"), format!("{expected:?}"));
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let words =
        ["--workers", "many", "--socket-mode", "rw", "--forwarded-allow-ips", "10.0.0.0/99", "--bind", "name:x"];
    let text = load(&arguments(&words), &[], &here()).err().unwrap().to_string();
    for part in ["--workers", "--socket-mode", "--forwarded-allow-ips", "--bind", "no application is named"] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
}

#[test]
fn timeouts_stand_in_their_order() {
    let config = Config::default();
    // The edge waits 35 s for the first byte and keeps idle connections for 60 s; compose stops after 45 s.
    assert!(config.timeout + std::time::Duration::from_secs(3) < std::time::Duration::from_secs(35));
    assert!(config.keepalive > std::time::Duration::from_secs(60));
    assert!(config.shutdown_delay + config.graceful_timeout < std::time::Duration::from_secs(45));
}

#[test]
fn required_variables_come_from_files_too() {
    let folder = std::env::temp_dir().join(format!("monodon-required-{}", std::process::id()));
    std::fs::write(&folder, "secret\n").unwrap();
    let mut config = Config { required_env: ["A", "B", "C", "D"].map(str::to_owned).to_vec(), ..Config::default() };
    let mut problems = Problems::default();
    let exports = required(&mut config, &mut problems, |name| match name {
        "A" => Some("set".into()),
        "B_FILE" => Some(folder.display().to_string()),
        _ => None,
    });
    std::fs::remove_file(&folder).unwrap();
    assert_eq!(exports, [("B".to_owned(), "secret".to_owned())]);
    assert!(problems.to_string().contains("needs C, D in its environment"), "{problems}");
}
