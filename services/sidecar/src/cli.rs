//! The command line: verbs, `--help`, exit codes; the roles themselves are elsewhere.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use monodon_settings::{Problem, Problems, asks_for};
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Config, SCHEMA};
use crate::{agent, run};

const USAGE: &str = "\
monodon-sidecar: health, metrics and a status page for the whole appliance

Usage:
  monodon-sidecar run [SETTINGS]          probe the services, serve the status page, /healthz and /metrics
  monodon-sidecar agent [SETTINGS]        watch the containers through the engine's socket, tell on a unix socket
  monodon-sidecar healthcheck [run|agent] ask the one that runs here; exit code 0: ready, 1: not
  monodon-sidecar check [SETTINGS]        check the settings and show them
  monodon-sidecar --help | --version
";

pub fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if asks_for(&args, &["--help", "-h"]) || args.first().is_some_and(|word| word == "help") {
        return say(&format!("{USAGE}\n{}", SCHEMA.help()));
    }
    if asks_for(&args, &["--version", "-V"]) {
        return say(&format!("monodon-sidecar {} ({})\n", env!("CARGO_PKG_VERSION"), monodon_admin::REVISION));
    }
    let (verb, rest) = match args.split_first() {
        Some((verb, rest)) => (verb.to_string_lossy().into_owned(), rest),
        None => ("run".to_owned(), &args[..]),
    };
    match start(&verb, rest) {
        Ok(code) => code,
        Err(problems) => problems.exit("monodon-sidecar"),
    }
}

fn start(verb: &str, args: &[OsString]) -> Result<ExitCode, Problems> {
    // A flag without a verb means the verb that runs.
    let Some(verb) = ["run", "agent", "healthcheck", "check"].into_iter().find(|known| *known == verb) else {
        return Err(Problem::new("", format!("no such verb: {verb}; monodon-sidecar --help lists them")).into());
    };
    let values = SCHEMA.load(args, std::env::vars_os(), Some(Path::new("sidecar.toml")))?;
    let config = Config::new(&values)?;
    let role = match (verb, values.positionals()) {
        (_, []) => None,
        ("healthcheck", [role]) if role == "run" || role == "agent" => Some(role.as_str()),
        (_, [word, ..]) => return Err(Problem::new("", format!("{word:?} means nothing here")).into()),
    };
    match verb {
        "healthcheck" => {
            let agent = role.map_or_else(first_process_is_agent, |role| role == "agent");
            Ok(if agent { ask_agent(&config) } else { monodon_admin::healthcheck(config.admin) })
        }
        "check" => {
            let lines: String = values.shown().map(|(key, value)| format!("{key} = {value}\n")).collect();
            Ok(say(&lines))
        }
        role => {
            if role == "agent" && config.agent_socket.is_none() {
                return Err(values.problem("agent_socket", "the agent needs one").into());
            }
            Ok(serve(role, config))
        }
    }
}

fn serve(role: &str, config: Config) -> ExitCode {
    let _log = monodon_logging::init(config.log_level, config.log_format, "sidecar");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime.and_then(|runtime| {
        runtime.block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            let asked = async move {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            };
            match (role, config.agent_socket.clone()) {
                ("agent", Some(socket)) => {
                    let settings = agent::Settings {
                        socket,
                        engine: config.engine,
                        project: config.project,
                        interval: config.engine_interval,
                    };
                    agent::run(settings, asked).await
                }
                _ => {
                    let listener = monodon_admin::bind(config.admin).await?;
                    run::run(&config, listener, asked).await
                }
            }
        })
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            eprintln!("monodon-sidecar: {error}");
            ExitCode::FAILURE
        }
    }
}

/// In a container the health check is told nothing but its name: what runs there is the first process.
fn first_process_is_agent() -> bool {
    let line = std::fs::read("/proc/1/cmdline").unwrap_or_default();
    let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
    words
        .windows(2)
        .any(|pair| matches!(pair, [program, verb] if program.ends_with(b"monodon-sidecar") && *verb == b"agent"))
}

/// The agent has no network: it is asked on its socket.
fn ask_agent(config: &Config) -> ExitCode {
    let path = config.agent_socket.clone().unwrap_or_default();
    let patience = Duration::from_secs(2);
    let answer = UnixStream::connect(&path).and_then(|stream| {
        stream.set_write_timeout(Some(patience))?;
        let deadline = Instant::now() + patience;
        monodon_admin::ask(Stream(stream), "/readyz", |stream| {
            let left = deadline.saturating_duration_since(Instant::now());
            stream.0.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
        })
    });
    monodon_admin::conclude(&path.display().to_string(), answer)
}

struct Stream(UnixStream);

impl Read for Stream {
    fn read(&mut self, part: &mut [u8]) -> io::Result<usize> {
        self.0.read(part)
    }
}

impl Write for Stream {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.0.write(part)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn say(text: &str) -> ExitCode {
    // A reader that left early is no failure of ours.
    let _ = io::stdout().lock().write_all(text.as_bytes());
    ExitCode::SUCCESS
}
