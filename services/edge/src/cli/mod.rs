//! The command line: what serves, what looks at a configuration, what asks a running edge.

mod check;
#[doc(hidden)]
pub mod explain;
#[doc(hidden)]
pub mod fmt;
mod page;
mod status;

use crate::config::load::Loaded;
use crate::config::{self, Config};
use crate::{control, runtime};
use std::ffi::OsString;
use std::process::ExitCode;

const USAGE: &str = "\
Usage: monodon-edge COMMAND [settings]

  run                  serve until SIGTERM
  check [--strict]     say everything that is wrong with the configuration, and end; --strict: warnings are errors
  explain URL          which site, route and options a request would meet, what the upstream would be asked, and why
      [--method M] [--header 'NAME: VALUE']... [--client ADDRESS] [--all] [--json]
  fmt [--check] FILE   write a configuration file in the usual form; --check: only say whether it is

  and of the edge that runs here:
  status [--watch]     its connections, sites, upstreams and certificates, once or again and again [--json]
  config [--json]      the settings in force, each with where it came from
  upstream <drain|resume> NAME ADDRESS
                       give a server of an upstream only clients whose sticky cookie leads there, or put it back;
                       with all of them drained, everybody else gets 503
  reload               read the configuration again; what is wrong is told, and changes nothing
  reopen               open the log files again, after they were moved away
  healthcheck          exit 0 when it is ready

Settings are flags, variables and a file: --config FILE, or MONODON_EDGE_CONFIG, or else ./edge.toml if it is there.

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
    match verb {
        "run" => with_loaded(rest, |loaded| runtime::run(loaded, rest.to_vec())),
        "check" => check::run(rest),
        "explain" => explain::run(rest),
        "fmt" => fmt::run(rest),
        "status" => status::run(rest),
        "config" => running_config(rest),
        "upstream" => upstream(rest),
        "reopen" => with_config(rest, |config| control::say(&config.tls.state, "POST", "/reopen", "")),
        "healthcheck" => with_config(rest, |config| monodon_admin::healthcheck(config.listen.admin)),
        "reload" => with_config(rest, |config| control::say(&config.tls.state, "POST", "/reload", "")),
        _ => {
            let what = if verb.is_empty() { "what to do?".into() } else { format!("{verb:?} is not a command") };
            wrong_use(&format!("{what}\n\n{USAGE}\nmonodon-edge --help lists the settings"))
        }
    }
}

fn wrong_use(words: &str) -> ExitCode {
    eprintln!("monodon-edge: {words}");
    ExitCode::from(2)
}

fn upstream(args: &[OsString]) -> ExitCode {
    let [verb, name, address, rest @ ..] = args else {
        return wrong_use("upstream: for example monodon-edge upstream drain default 10.0.0.7:8000; then resume");
    };
    let (Some(verb @ ("drain" | "resume")), Some(name), Some(address)) =
        (verb.to_str(), name.to_str(), address.to_str())
    else {
        return wrong_use("upstream: expected drain or resume, the upstream's name and the server's address");
    };
    let mut path = "/upstreams/".to_owned();
    crate::escape::path(name, &mut path);
    path.push('/');
    path.push_str(verb);
    with_config(rest, |config| control::say(&config.tls.state, "POST", &path, address))
}

fn running_config(args: &[OsString]) -> ExitCode {
    let mut words = Words::new(args);
    let path = if words.flag("--json") { "/config" } else { "/config.toml" };
    with_config(&words.rest, |config| control::say(&config.tls.state, "GET", path, ""))
}

/// A command's own flags, taken out of the settings'.
struct Words {
    rest: Vec<OsString>,
}

impl Words {
    fn new(args: &[OsString]) -> Self {
        Self { rest: args.to_vec() }
    }

    fn flag(&mut self, name: &str) -> bool {
        let before = self.rest.len();
        self.rest.retain(|word| word != name);
        self.rest.len() < before
    }

    /// The values of `--name VALUE` and `--name=VALUE`; `Err` is a sentence.
    fn values(&mut self, names: &[&str]) -> Result<Vec<String>, String> {
        let (mut values, mut rest) = (Vec::new(), Vec::new());
        let mut words = std::mem::take(&mut self.rest).into_iter();
        while let Some(word) = words.next() {
            let text = word.to_str().unwrap_or_default();
            let inline = text.split_once('=').filter(|(name, _)| name.starts_with("--") && names.contains(name));
            if let Some((_, value)) = inline {
                values.push(value.to_owned());
            } else if names.contains(&text) {
                let value = words.next().and_then(|value| value.into_string().ok());
                values.push(value.ok_or_else(|| format!("{text}: needs a value"))?);
            } else {
                rest.push(word);
            }
        }
        self.rest = rest;
        Ok(values)
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
