//! The command line: `run`, `check`, `healthcheck`, `reload`.

use crate::config::load::Loaded;
use crate::config::{self, Config};
use crate::{control, runtime};
use std::ffi::OsString;
use std::process::ExitCode;

const USAGE: &str = "\
Usage: monodon-edge <run|check|healthcheck|reload> [settings]

  run          serve until SIGTERM
  check        read the configuration, say what is wrong with it, and end
  healthcheck  ask the running edge whether it is ready
  reload       have the running edge read its configuration again

  monodon-edge run --http 127.0.0.1:8080 --https 127.0.0.1:8443 --upstream 127.0.0.1:8000 --static /static/=DIR
";

/// Exit code 2 is wrong usage or configuration; 1 anything else that went wrong.
pub fn main(args: &[OsString]) -> ExitCode {
    let verb = args.first().and_then(|verb| verb.to_str()).unwrap_or("");
    let rest = args.get(1..).unwrap_or_default();
    if monodon_settings::asks_for(args, &["--version", "-V"]) || verb == "version" {
        return say(&format!("monodon-edge {} ({})\n", env!("CARGO_PKG_VERSION"), monodon_admin::REVISION));
    }
    if monodon_settings::asks_for(args, &["--help", "-h"]) || verb == "help" {
        return say(&format!("{USAGE}\n{}", config::table::SCHEMA.help()));
    }
    if !matches!(verb, "run" | "check" | "healthcheck" | "reload") {
        let what = if verb.is_empty() { "what to do?".into() } else { format!("{verb:?} is not a command") };
        eprintln!("monodon-edge: {what}\n\n{USAGE}\nmonodon-edge --help lists the settings");
        return ExitCode::from(2);
    }
    match verb {
        "check" => with_loaded(rest, |_| say("the configuration is good\n")),
        "healthcheck" => with_config(rest, |config| monodon_admin::healthcheck(config.listen.admin)),
        "reload" => with_config(rest, |config| control::say(&config.tls.state, "POST", "/reload", "")),
        _ => with_loaded(rest, |loaded| runtime::run(loaded, rest.to_vec())),
    }
}

/// For what serves, or would.
fn with_loaded(args: &[OsString], verb: impl FnOnce(Loaded) -> ExitCode) -> ExitCode {
    match config::load::serving(args, std::env::vars_os()) {
        Ok(loaded) => verb(loaded),
        Err(problems) => problems.exit("monodon-edge"),
    }
}

/// For what talks to a running edge.
fn with_config(args: &[OsString], verb: impl FnOnce(Config) -> ExitCode) -> ExitCode {
    match config::load::load(args, std::env::vars_os()) {
        Ok(config) => verb(config),
        Err(problems) => problems.exit("monodon-edge"),
    }
}

fn say(text: &str) -> ExitCode {
    use std::io::Write;
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
