//! `--print-config` and `--check-config`: the configuration shown, the application imported once, and the end.

use std::ffi::OsString;
use std::io::Write;
use std::process::{Command, ExitCode, Stdio};

use monodon_settings::{Source, Values};

use crate::config::Config;
use crate::supervisor::EXIT_IMPORT;

/// Every setting as a TOML file has it, with where its value comes from.
pub fn print(values: &Values) {
    let mut text = String::new();
    // What asked for this is no part of it: the text may be kept as a configuration file.
    for key in values.keys().filter(|key| !matches!(*key, "print_config" | "check_config")) {
        let line = format!("{key} = {}", values.toml(key));
        match values.source(key) {
            Source::Default => text.push_str(&format!("{line}\n")),
            source => text.push_str(&format!("{line}  # {source}\n")),
        }
    }
    // A reader that leaves (`| head`) is no failure.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Imports the application in a process of its own, as a worker would.
pub fn import(config: &Config, python: &[OsString], exports: &[(String, String)]) -> ExitCode {
    match run(config, python, exports) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("monodon-worker: Python cannot be executed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(config: &Config, python: &[OsString], exports: &[(String, String)]) -> std::io::Result<ExitCode> {
    let (program, flags) = python.split_first().ok_or_else(|| std::io::Error::other("no interpreter is known"))?;
    let mut command = Command::new(program);
    command.args(flags).args(["-m", "monodon.check_config"]).stdin(Stdio::piped());
    command.envs(exports.iter().map(|(name, value)| (name, value)));
    if let Some(folder) = &config.chdir {
        command.current_dir(folder);
    }
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(&serde_json::to_vec(config)?)?;
    }
    let status = child.wait()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_IMPORT) })
}
