//! `--daemon`: the supervisor goes to the background. Nothing forks here: it executes itself anew, away from the terminal.

use std::ffi::OsString;
use std::process::{Command, ExitCode, Stdio};

use crate::config::Config;

/// Set for the process that is in the background already.
pub const MARK: &str = "MONODON_IN_BACKGROUND";

/// In the foreground: starts the other and tells how to end. In the background: becomes a session of its own.
pub fn detach(config: &Config, arguments: &[OsString], python: &[OsString]) -> Option<ExitCode> {
    if !config.mechanics.daemon {
        return None;
    }
    if std::env::var_os(MARK).is_some() {
        // It fails where this is the leader of a group, and so has no terminal to leave.
        let _ = rustix::process::setsid();
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        return None;
    }
    let (program, flags) = python.split_first()?;
    let mut command = Command::new(program);
    command.args(flags).args(["-m", "monodon"]).args(arguments).env(MARK, "1").stdin(Stdio::null());
    if config.gunicorn.get("enable_stdio_inheritance").and_then(serde_json::Value::as_bool) != Some(true) {
        command.stdout(Stdio::null()).stderr(Stdio::null());
    }
    Some(match command.spawn() {
        Ok(_child) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("monodon-worker: cannot go to the background: {error}");
            ExitCode::FAILURE
        }
    })
}
