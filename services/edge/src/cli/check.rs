//! `monodon-edge check`: everything that is wrong with a configuration, and what is amiss in the world that it names. What keeps
//! the edge from starting is an error; what it lives with, for it may still come (a volume, a name in the DNS), a warning.

use super::{Words, say};
use crate::config::UpstreamAddress;
use crate::config::load::{self, Loaded};
use monodon_settings::{Kind, Problem, Problems, Setting, Values};
use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// For all names together.
const PATIENCE: Duration = Duration::from_secs(5);
/// Made by the edge itself, or only now and then.
const MADE: &[&str] = &["state", "spool", "maintenance_file"];

pub fn run(args: &[OsString]) -> ExitCode {
    let mut words = Words::new(args);
    let strict = words.flag("--strict");
    let (loaded, mut problems) = match load::examine(&words.rest, std::env::vars_os()) {
        Ok(examined) => examined,
        Err(problems) => return problems.exit("monodon-edge"),
    };
    let mut warnings = Problems::default();
    paths(&loaded.values, &mut problems, &mut warnings);
    world(&loaded, &mut warnings);
    for warning in &warnings.0 {
        eprintln!("monodon-edge: warning: {warning}");
    }
    match warnings.0.len() {
        _ if !problems.is_empty() => problems.exit("monodon-edge"),
        0 => say("the configuration is good\n"),
        _ if strict => ExitCode::from(2),
        1 => say("the configuration is good, with a warning\n"),
        count => say(&format!("the configuration is good, with {count} warnings\n")),
    }
}

/// Whatever is a path in the settings, here and in the tables.
fn paths(values: &Values, problems: &mut Problems, warnings: &mut Problems) {
    for key in values.keys().filter(|key| values.is_set(key) && !MADE.contains(key)) {
        for path in paths_of(values, values.setting(key)) {
            match readable(Path::new(&path)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    warnings.push(values.problem(key, format!("{path} is not there (yet?)")));
                }
                Err(error) => problems.push(values.problem(key, format!("{path} cannot be read: {error}"))),
            }
        }
    }
    for block in values.tables() {
        paths(&block.values, problems, warnings);
    }
}

fn paths_of(values: &Values, setting: &Setting) -> Vec<String> {
    match setting.kind {
        Kind::Path => values.path(setting.key).map(|path| path.display().to_string()).into_iter().collect(),
        Kind::List(Kind::Path) | Kind::Lines(Kind::Path) => values.list(setting.key).to_vec(),
        _ => Vec::new(),
    }
}

fn readable(path: &Path) -> io::Result<()> {
    if std::fs::metadata(path)?.is_dir() {
        std::fs::read_dir(path).map(drop)
    } else {
        std::fs::File::open(path).map(drop)
    }
}

fn world(loaded: &Loaded, warnings: &mut Problems) {
    let Loaded { config, values } = loaded;
    for folder in config.files.iter().filter(|folder| !folder.routed) {
        if let Err(error) = readable(&folder.dir) {
            warnings.push(values.problem("static", format!("{}: {error}", folder.dir.display())));
        }
    }
    let addresses = config
        .upstreams
        .iter()
        .flat_map(|named| named.upstream.servers.iter().map(move |server| (named.name.as_str(), &server.address)));
    let mut names: Vec<(&str, &str)> = Vec::new();
    for (upstream, address) in addresses {
        match address {
            UpstreamAddress::Unix(path) if !path.exists() => {
                let words = format!("the socket {} is not there (yet?)", path.display());
                warnings.push(Problem::new(format!("upstream {upstream}"), words));
            }
            UpstreamAddress::Tcp { host, .. } if host.parse::<IpAddr>().is_err() => names.push((upstream, host)),
            _ => {}
        }
    }
    for (place, error) in unresolved(&names) {
        let Some((upstream, host)) = names.get(place) else { continue };
        warnings.push(Problem::new(format!("upstream {upstream}"), format!("{host} does not resolve: {error}")));
    }
}

/// Asks for all names at once; places of those that have no address, and why.
fn unresolved(names: &[(&str, &str)]) -> Vec<(usize, String)> {
    let (sender, answers) = mpsc::channel();
    for (place, (_, host)) in names.iter().enumerate() {
        let (sender, host) = (sender.clone(), (*host).to_owned());
        std::thread::spawn(move || {
            let answer = (host.as_str(), 0).to_socket_addrs().map(|mut found| found.next().is_some());
            let _ = sender.send((place, answer));
        });
    }
    let deadline = Instant::now() + PATIENCE;
    let mut open: Vec<usize> = (0..names.len()).collect();
    let mut wrong = Vec::new();
    while !open.is_empty()
        && let Ok((place, answer)) = answers.recv_timeout(deadline.saturating_duration_since(Instant::now()))
    {
        open.retain(|one| *one != place);
        match answer {
            Ok(true) => {}
            Ok(false) => wrong.push((place, "it has no address".to_owned())),
            Err(error) => wrong.push((place, error.to_string())),
        }
    }
    wrong.extend(open.into_iter().map(|place| (place, "no answer in time".to_owned())));
    wrong.sort_unstable();
    wrong
}
