//! The status page: HTML that a person can read without a script; a small script then keeps it fresh by fetching the
//! same sections, rendered here too, every two seconds. Nothing is loaded from anywhere else.

mod figures;
mod format;
mod services;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use crate::run::{State, health};
use crate::snapshot::now;
use format::{clock, escape};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// What the script fetches: each section's HTML by its id, every text in it escaped here.
#[derive(Debug, Serialize)]
pub struct Sections {
    pub title: String,
    pub status: &'static str,
    pub sections: BTreeMap<&'static str, String>,
}

pub fn sections(state: &State) -> Sections {
    let document = health::document(state);
    let status = document.status.as_str();
    let headline = match status {
        "pass" => "Everything works",
        "warn" => "Working, with warnings",
        _ => "Something is down",
    };
    let mut sections = BTreeMap::new();
    sections.insert("overall", overall(state, status, headline, &document.notes));
    sections.insert("figures", figures::render(state));
    sections.insert("services", services::render(state));
    sections.insert("certificates", tables::certificates(state));
    sections.insert("containers", tables::containers(state));
    sections.insert("events", tables::events(state));
    Sections { title: format!("{headline} · Monodon"), status, sections }
}

/// In the order of the page.
const ORDER: [&str; 6] = ["overall", "figures", "services", "certificates", "containers", "events"];

pub fn render(state: &State, nonce: &str) -> String {
    let page = sections(state);
    let mut out = String::with_capacity(32 << 10);
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\" data-status=\"{status}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n<link rel=\"icon\" href=\"{ICON}\">\n<style nonce=\"{nonce}\">\n{STYLE}</style>\n\
         <noscript><meta http-equiv=\"refresh\" content=\"10\"></noscript>\n</head>\n<body>\n<main>\n",
        status = page.status,
        title = escape(&page.title),
    );
    for id in ORDER {
        let tag = if id == "overall" { "header" } else { "section" };
        let section = page.sections.get(id).map(String::as_str).unwrap_or_default();
        let _ = writeln!(out, "<{tag} id=\"{id}\">{section}</{tag}>");
    }
    let _ = write!(
        out,
        "</main>\n<footer><span>Monodon {}</span><nav><a href=\"healthz\">health</a> <a href=\"metrics\">metrics</a></nav>\
         </footer>\n<script nonce=\"{nonce}\">\n{SCRIPT}</script>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION")
    );
    out
}

/// A narwhal's tooth in a circle, as an image without a request.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Ccircle cx='16' cy='16' \
                    r='15' fill='%230f766e'/%3E%3Cpath d='M9 24 L23 6 L13 26 Z' fill='%23fff'/%3E%3C/svg%3E";

fn overall(state: &State, status: &str, headline: &str, notes: &[String]) -> String {
    let project = state.fresh().and_then(|snapshot| snapshot.project.as_deref());
    let mut facts = Vec::new();
    if let Some(project) = project {
        facts.push(format!("<span>{}</span>", escape(project)));
    }
    facts.extend(notes.iter().map(|note| format!("<span>{}</span>", escape(note))));
    facts.push(format!("<span>as of <time>{}</time></span>", clock(now())));
    format!(
        "<div class=\"orb {status}\" aria-hidden=\"true\"></div><div><h1>{headline}</h1><p class=\"facts\">{}</p></div>",
        facts.join("")
    )
}
