//! The services: each with its replicas and what they say of themselves.

use std::fmt::Write;

use monodon_admin::Status;
use monodon_admin::health::Entry;

use super::format::{escape, latency};
use crate::run::probe::{Replica, Service};
use crate::run::{State, health};

pub fn render(state: &State) -> String {
    let mut out = String::from("<h2>Services</h2><div class=\"cards\">");
    for service in &state.round.services {
        card(service, &mut out);
    }
    if state.round.services.is_empty() {
        out.push_str("<p class=\"empty card\">The services have not been asked yet.</p>");
    }
    if let Some(agent) = health::agent_check(state) {
        let why = agent.output.unwrap_or_else(|| "The containers are being watched.".into());
        let _ = write!(
            out,
            "<article class=\"card\"><h3><span class=\"name\">agent</span>{}</h3><p class=\"why\">{}</p></article>",
            pill(agent.status, word(agent.status)),
            escape(&why)
        );
    }
    out.push_str("</div>");
    out
}

fn card(service: &Service, out: &mut String) {
    let status = service.status();
    let ready = service.replicas.iter().filter(|replica| replica.ready).count();
    let count = service.replicas.len();
    let text = match (ready, count) {
        (0, 0 | 1) => "down".to_owned(),
        (1, 1) => word(status).to_owned(),
        _ => format!("{ready} of {count} ready"),
    };
    let _ = write!(
        out,
        "<article class=\"card\"><h3><span class=\"name\">{}</span>{}</h3>",
        escape(&service.target.name),
        pill(status, &text)
    );
    if let Some(problem) = &service.problem {
        let _ = write!(out, "<p class=\"why\">{}</p>", escape(problem));
    }
    for replica in &service.replicas {
        one(&service.target.name, replica, out);
    }
    out.push_str("</article>");
}

fn one(service: &str, replica: &Replica, out: &mut String) {
    let beside = if replica.code == 0 { "no answer".to_owned() } else { latency(replica.seconds) };
    let _ = write!(
        out,
        "<div class=\"replica\"><p><span class=\"dot {}\"></span><code>{}</code><span class=\"beside\">{beside}</span></p>",
        replica.status().as_str(),
        replica.address,
    );
    let checks = replica.document.iter().flat_map(|document| &document.checks);
    // That it is not draining is no news.
    let news = |name: &str, entry: &Entry| entry.status != Status::Pass || !name.ends_with(":draining");
    let checks: Vec<(&String, &Entry)> = checks
        .flat_map(|(name, entries)| entries.iter().map(move |entry| (name, entry)))
        .filter(|(name, entry)| news(name, entry))
        .collect();
    // What the replica says in detail stands for its problem.
    if let Some(problem) = replica.problem.as_ref().filter(|_| checks.is_empty()) {
        let _ = write!(out, "<p class=\"why\">{}</p>", escape(problem));
    }
    if !checks.is_empty() {
        out.push_str("<ul class=\"checks\">");
        for (name, entry) in checks {
            check(service, name, entry, out);
        }
        out.push_str("</ul>");
    }
    out.push_str("</div>");
}

fn check(service: &str, name: &str, entry: &Entry, out: &mut String) {
    // `edge:certificate` on the edge's own card is `certificate`; `upstream:address` stays what it is.
    let own = name.strip_prefix(service).and_then(|rest| rest.strip_prefix(':'));
    let name = own.unwrap_or(name).replace(['_', ':'], " ");
    let which = entry.component_id.as_deref().map(|id| format!(" <code>{}</code>", escape(id))).unwrap_or_default();
    let unit = entry.observed_unit.as_deref().unwrap_or_default();
    let value = match &entry.observed_value {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    };
    let observed = if value.is_empty() { String::new() } else { format!("{} {}", escape(&value), escape(unit)) };
    let _ = write!(
        out,
        "<li><span class=\"dot {}\" title=\"{0}\"></span><span>{}{which}</span><span class=\"beside\">{}</span>",
        entry.status.as_str(),
        escape(&name),
        observed.trim_end()
    );
    if let Some(output) = entry.output.as_deref().filter(|_| entry.status != Status::Pass) {
        let _ = write!(out, "<p class=\"why\">{}</p>", escape(output));
    }
    out.push_str("</li>");
}

pub fn pill(status: Status, text: &str) -> String {
    format!("<span class=\"pill {}\">{}</span>", status.as_str(), escape(text))
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Pass => "ready",
        Status::Warn => "warning",
        Status::Fail => "down",
    }
}
