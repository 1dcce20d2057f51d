//! `monodon-edge status`: what the edge that runs here does right now. Figures are those of its metrics page between two looks.

mod rates;
mod table;

use super::{Words, with_config, wrong_use};
use crate::cli::page::Page;
use crate::control;
use monodon_admin::terminal;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// What the edge told at a moment.
pub struct Look {
    pub at: Instant,
    pub page: Page,
    pub upstreams: Value,
    pub certificates: Value,
    pub reloads: Value,
}

impl Look {
    fn take(state: &Path) -> Result<Self, String> {
        let ask = |path: &str| {
            let answer = control::ask(state, "GET", path, "")?;
            if answer.status == 200 { Ok(answer.body) } else { Err(format!("{path} was answered {}", answer.status)) }
        };
        let tell = |path: &str| {
            let body = ask(path)?;
            serde_json::from_slice::<Value>(&body).map_err(|error| format!("{path} cannot be read: {error}"))
        };
        Ok(Self {
            at: Instant::now(),
            page: Page::read(&String::from_utf8_lossy(&ask("/metrics")?)),
            upstreams: tell("/upstreams")?,
            certificates: tell("/certificates")?,
            reloads: tell("/reloads")?,
        })
    }
}

pub fn run(args: &[OsString]) -> ExitCode {
    let mut words = Words::new(args);
    let (watch, as_json) = (words.flag("--watch"), words.flag("--json"));
    if watch && as_json {
        return wrong_use("status: --watch is for people; ask for --json again and again");
    }
    with_config(&words.rest, |config| {
        let shown = show(&config.tls.state, watch, as_json);
        shown.err().map_or(ExitCode::SUCCESS, |words| {
            eprintln!("monodon-edge: {words}");
            ExitCode::FAILURE
        })
    })
}

fn show(state: &Path, watch: bool, as_json: bool) -> Result<(), String> {
    let mut before = Look::take(state)?;
    loop {
        std::thread::sleep(EVERY);
        let now = Look::take(state)?;
        let said = if as_json {
            terminal::tell(&format!("{:#}", whole(&before, &now)))
        } else if watch && std::io::stdout().is_terminal() {
            terminal::repaint(&table::table(&before, &now))
        } else {
            terminal::tell(&table::table(&before, &now))
        };
        // A reader that leaves (`| head`) ends it.
        if !watch || said.is_err() {
            return Ok(());
        }
        before = now;
    }
}

fn whole(before: &Look, now: &Look) -> Value {
    json!({
        "edge": now.reloads,
        "connections": now.page.sum("connections", &[]),
        "sites": rates::sites(before, now).iter().map(rates::Site::json).collect::<Vec<_>>(),
        "upstreams": now.upstreams.get("upstreams"),
        "queues": rates::queues(before, now).iter().map(rates::Queue::json).collect::<Vec<_>>(),
        "certificates": now.certificates.get("certificates"),
    })
}
