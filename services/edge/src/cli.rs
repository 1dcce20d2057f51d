//! The command line: `run`, `check`, `healthcheck`, `reload`.

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
    let serving = matches!(verb, "run" | "check");
    let config = match if serving { read(rest) } else { config::load::load(rest, std::env::vars_os()) } {
        Ok(config) => config,
        Err(problems) => return problems.exit("monodon-edge"),
    };
    match verb {
        "check" => say("the configuration is good\n"),
        "healthcheck" => monodon_admin::healthcheck(config.listen.admin),
        "reload" => control::ask_reload(&config.tls.state),
        _ => runtime::run(config, rest.to_vec()),
    }
}

/// Everything that can be wrong before anything starts.
pub fn read(args: &[OsString]) -> Result<Config, monodon_settings::Problems> {
    let config = config::load::load(args, std::env::vars_os())?;
    config::load::require_listener(&config)?;
    crate::acme::check(&config.tls).map_err(|wrong| monodon_settings::Problem::new("", wrong))?;
    Ok(config)
}

fn say(text: &str) -> ExitCode {
    use std::io::Write;
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
