//! The command line: serving is what it does without a verb; `healthcheck`, `status`, `dump` and `reload` talk to a worker
//! that runs. (`init` and `release` are about Python projects and are written in Python.)

mod status;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use crate::load::load_for_verb;
use crate::settings::SCHEMA;
use crate::supervisor;

const USAGE: &str = "\
Monodon's worker serves a WSGI application in supervised processes.

Usage: monodon-worker [SETTINGS] APPLICATION     for example: monodon-worker mysite.wsgi:application
       monodon-worker healthcheck                exit 0 when the worker that runs here is ready
       monodon-worker status [--watch] [--json]  what its processes do, once or again and again
       monodon-worker dump [PID]                 where its Python threads are: one process, or all
       monodon-worker reload                     new code, without losing a request
       monodon-worker init [--force]             write Dockerfile and compose.yaml for the project in this folder
       monodon-worker release                    migrate and collect static files, where that is to be done
       monodon-worker import [gunicorn.conf.py]  gunicorn's configuration as one of ours, with a word on each setting
       monodon-worker --help | --version

";

pub fn run(arguments: &[OsString], python: Vec<OsString>) -> ExitCode {
    let (verb, rest) =
        arguments.split_first().map_or(("", arguments), |(verb, rest)| (verb.to_str().unwrap_or(""), rest));
    match verb {
        "healthcheck" => with_config(rest, &python, |config| monodon_admin::healthcheck(config.admin)),
        "status" => status::run(rest, &python),
        "dump" => dump(rest, &python),
        "reload" => with_config(rest, &python, |config| reload(&config.control)),
        "import" => import(rest, &python),
        "help" => help(),
        _ if arguments.iter().any(|argument| argument == "--help" || argument == "-h") => help(),
        _ if arguments.iter().any(|argument| argument == "--version" || argument == "-V" || argument == "-v") => {
            tell(&format!("monodon-worker {}", env!("CARGO_PKG_VERSION")));
            ExitCode::SUCCESS
        }
        "run" => supervisor::run(rest, python),
        _ => supervisor::run(arguments, python),
    }
}

fn help() -> ExitCode {
    tell(&format!("{USAGE}{}", SCHEMA.help()));
    ExitCode::SUCCESS
}

fn import(arguments: &[OsString], python: &[OsString]) -> ExitCode {
    let folder = std::env::current_dir().unwrap_or_default();
    let location = match arguments {
        [] => Some("gunicorn.conf.py"),
        [location] => location.to_str(),
        _ => None,
    };
    let Some(location) = location else {
        eprintln!("monodon-worker: import takes one configuration: a path, or python:MODULE");
        return ExitCode::from(2);
    };
    match crate::gunicorn::import::import(location, python, &folder) {
        Ok(text) => {
            tell(text.trim_end());
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("monodon-worker: {message}");
            ExitCode::from(2)
        }
    }
}

fn tell(text: &str) {
    // A reader that leaves (`| head`) is no failure.
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn with_config(
    arguments: &[OsString],
    python: &[OsString],
    verb: impl FnOnce(crate::config::Config) -> ExitCode,
) -> ExitCode {
    match load_for_verb(arguments, python) {
        Ok(config) => verb(config),
        Err(problems) => problems.exit("monodon-worker"),
    }
}

/// Asks the worker over its control socket.
fn ask(control: &Path, command: &str) -> Result<String, String> {
    if control.as_os_str().is_empty() {
        return Err("this worker has no control socket: control_socket_disable is set".to_owned());
    }
    let talk = || {
        let mut stream = UnixStream::connect(control)?;
        // A reload lasts as long as the application takes to import and old requests take to end.
        stream.set_read_timeout(Some(Duration::from_secs(600)))?;
        stream.write_all(format!("{command}\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    talk().map_err(|error| {
        format!(
            "no worker answers at {}: {error}. Does it run here, as the same user and with the same --control and --admin?",
            control.display()
        )
    })
}

fn reload(control: &Path) -> ExitCode {
    match ask(control, "reload") {
        Ok(answer) => {
            let (word, rest) = answer.trim_end().split_once(' ').unwrap_or((answer.trim_end(), ""));
            if word == "ok" {
                tell(rest);
                return ExitCode::SUCCESS;
            }
            eprintln!("monodon-worker: {rest}");
            ExitCode::FAILURE
        }
        Err(words) => {
            eprintln!("monodon-worker: {words}");
            ExitCode::FAILURE
        }
    }
}

/// Prints Python stacks: of the process that is named, or of all.
fn dump(arguments: &[OsString], python: &[OsString]) -> ExitCode {
    let is_number = |word: &OsString| word.to_str().is_some_and(|word| word.parse::<u32>().is_ok());
    let (numbers, rest) = match arguments.split_first() {
        Some((first, rest)) if is_number(first) => (vec![first.to_string_lossy().into_owned()], rest),
        _ => (Vec::new(), arguments),
    };
    with_config(rest, python, |config| {
        let numbers = if numbers.is_empty() { processes(&config.control) } else { Ok(numbers) };
        let each = |number: &String| ask(&config.control, &format!("dump {number}"));
        let answers = numbers.and_then(|numbers| numbers.iter().map(each).collect::<Result<Vec<_>, _>>());
        let mut code = ExitCode::SUCCESS;
        match answers {
            Err(words) => {
                eprintln!("monodon-worker: {words}");
                return ExitCode::FAILURE;
            }
            Ok(answers) => {
                for answer in answers {
                    match answer.trim_end().split_once(' ') {
                        Some(("ok", stacks)) => tell(&format!("{stacks}\n")),
                        Some((_, words)) => {
                            eprintln!("monodon-worker: {words}");
                            code = ExitCode::FAILURE;
                        }
                        None => code = ExitCode::FAILURE,
                    }
                }
            }
        }
        code
    })
}

fn processes(control: &Path) -> Result<Vec<String>, String> {
    let status: Value = serde_json::from_str(&ask(control, "status")?).map_err(|error| error.to_string())?;
    let rows = status.get("processes").and_then(Value::as_array).into_iter().flatten();
    Ok(rows.filter_map(|row| row.get("pid").and_then(Value::as_u64)).map(|pid| pid.to_string()).collect())
}
