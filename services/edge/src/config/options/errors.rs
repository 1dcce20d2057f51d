//! Pages for errors, whose errors they are for, and maintenance.

use super::Levels;
use crate::config::Cidr;
use crate::error_pages::{Format, Page, Which};
use crate::watched::Flag;
use http::{HeaderValue, StatusCode};
use monodon_settings::{Kind, Setting, Values};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const TEXTS: Kind = Kind::List(&Kind::Text);

pub const SETTINGS: &[Setting] = &[
    Setting {
        key: "error_pages",
        kind: TEXTS,
        words: "Files of up to 256 KB for errors: `404=/srv/errors/404.html`, `5xx=...`, `4xx=...`, `maintenance=...`; one that \
                ends in .html, .json or .txt is for clients that ask for that. `{{status}}`, `{{title}}`, `{{detail}}`, \
                `{{request_id}}` and `{{host}}` are filled in. A file that changes is read again within a second. The edge \
                has its own page for everything else. What is refused before it can be read gets the .html of the default site, \
                or of the only one.",
        aliases: &["error_page"],
        ..Setting::NEW
    },
    Setting {
        key: "intercept_errors",
        kind: TEXTS,
        words: "Answers of the upstream that get the edge's page instead: statuses, `4xx`, `5xx`, or `on` for those that \
                `error_pages` names (nginx: proxy_intercept_errors). By default the upstream's own go through.",
        ..Setting::NEW
    },
    Setting {
        key: "maintenance",
        kind: Kind::Bool,
        default: "false",
        words: "Answer 503 with Retry-After and the page of `maintenance`. `false` in a route or a site keeps it open while the \
                rest is closed, whatever `maintenance_file` further out says. ACME challenges, redirects to HTTPS and the admin \
                port are not affected.",
        ..Setting::NEW
    },
    Setting {
        key: "maintenance_file",
        kind: Kind::Path,
        words: "While this file is there it is as if `maintenance` was set; looked for once a second.",
        ..Setting::NEW
    },
    Setting {
        key: "maintenance_allow",
        kind: TEXTS,
        words: "Addresses and networks such as `10.0.0.0/8` that see the site all the same.",
        ..Setting::NEW
    },
    Setting {
        key: "maintenance_retry_after",
        kind: Kind::Duration,
        default: "5m",
        words: "The Retry-After of maintenance.",
        ..Setting::NEW
    },
];

#[derive(Clone, Debug, PartialEq, Default)]
pub struct Errors {
    pages: Arc<[(Which, Arc<Page>)]>,
    intercept: Vec<Which>,
    pub maintenance: Maintenance,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Maintenance {
    on: bool,
    file: Option<Arc<Flag>>,
    allow: Vec<Cidr>,
    pub retry_after: HeaderValue,
}

impl Default for Maintenance {
    fn default() -> Self {
        Self { on: false, file: None, allow: Vec::new(), retry_after: HeaderValue::from(300) }
    }
}

impl Maintenance {
    /// Whether this client is to come back later.
    pub fn stops(&self, client: IpAddr) -> bool {
        (self.on || self.file.as_ref().is_some_and(|file| file.is_there()))
            && !self.allow.iter().any(|network| network.contains(client))
    }
}

impl Errors {
    /// The status's own page before its class's.
    pub fn page(&self, status: StatusCode, maintenance: bool, format: Format) -> Option<&Arc<Page>> {
        if self.pages.is_empty() {
            return None;
        }
        let find = |which: Which| {
            let found = self.pages.iter().find(|(known, page)| *known == which && page.format == format);
            found.map(|(_, page)| page)
        };
        let own = maintenance.then(|| find(Which::Maintenance)).flatten();
        own.or_else(|| find(Which::Status(status.as_u16()))).or_else(|| find(Which::Class(status.as_u16() / 100)))
    }

    pub fn intercepts(&self, status: StatusCode) -> bool {
        self.intercept.iter().any(|which| which.takes(status))
    }

    /// What is to be looked at again from time to time.
    pub fn watched(&self) -> (impl Iterator<Item = &Arc<Page>>, Option<&Arc<Flag>>) {
        (self.pages.iter().map(|(_, page)| page), self.maintenance.file.as_ref())
    }

    pub fn read(levels: &mut Levels<'_>) -> Self {
        let pages: Arc<[_]> = Self::pages(levels).into();
        let mut intercept = Vec::new();
        for text in levels.of("intercept_errors").list("intercept_errors") {
            match (text.as_str(), Which::parse(text)) {
                ("on", _) => intercept.extend(pages.iter().map(|(which, _)| *which)),
                (_, Some(which)) if which != Which::Maintenance => intercept.push(which),
                _ => levels.wrong(
                    "intercept_errors",
                    format!("expected on, 4xx, 5xx or a status from 400 to 599, got {text:?}"),
                ),
            }
        }
        Self { pages, intercept, maintenance: Maintenance::read(levels) }
    }

    fn pages(levels: &mut Levels<'_>) -> Vec<(Which, Arc<Page>)> {
        let mut pages: Vec<(Which, Arc<Page>)> = Vec::new();
        for text in levels.of("error_pages").list("error_pages") {
            let parsed = split(text).and_then(|(which, path)| Some((Which::parse(which)?, path)));
            let Some((which, path)) = parsed.filter(|(_, path)| !path.as_os_str().is_empty()) else {
                let words = format!("expected STATUS=FILE such as 404=/srv/errors/404.html or 5xx=..., got {text:?}");
                levels.wrong("error_pages", words);
                continue;
            };
            match levels.page(path) {
                Ok(page) if pages.iter().any(|(known, other)| *known == which && other.format == page.format) => {
                    levels.wrong("error_pages", format!("{text:?}: there is a page for that already"));
                }
                Ok(page) => pages.push((which, page)),
                Err(wrong) => levels.wrong("error_pages", wrong),
            }
        }
        pages
    }
}

/// `404=/srv/errors/404.html`: what for, and the page's file.
fn split(text: &str) -> Option<(&str, &Path)> {
    let (which, path) = text.split_once('=')?;
    Some((which.trim(), Path::new(path.trim())))
}

/// The pages that these settings name, and those of the tables within.
pub fn files(values: &Values) -> Vec<PathBuf> {
    let named = values.keys().any(|key| key == "error_pages").then(|| values.list("error_pages"));
    let pages = named.unwrap_or_default().iter().filter_map(|text| split(text));
    let mut files: Vec<PathBuf> = pages.map(|(_, path)| path.to_owned()).collect();
    files.extend(values.tables().iter().flat_map(|block| self::files(&block.values)));
    files
}

impl Maintenance {
    fn read(levels: &mut Levels<'_>) -> Self {
        let depth = |key: &str| levels.values.iter().position(|values| values.is_set(key));
        // A nearer `false` keeps a route open while a flag further out closes the rest.
        let kept_open = match (depth("maintenance"), depth("maintenance_file")) {
            (Some(own), Some(file)) => own < file,
            _ => false,
        };
        let file = levels.of("maintenance_file").path("maintenance_file").filter(|_| !kept_open);
        let mut allow = Vec::new();
        for text in levels.of("maintenance_allow").list("maintenance_allow") {
            match Cidr::parse(text) {
                Some(network) => allow.push(network),
                None => {
                    let words = format!("expected an address or a network such as 10.0.0.0/8, got {text:?}");
                    levels.wrong("maintenance_allow", words);
                }
            }
        }
        let retry: Duration = levels.of("maintenance_retry_after").duration("maintenance_retry_after");
        Self {
            on: levels.of("maintenance").bool("maintenance"),
            file: file.map(|path: PathBuf| levels.flag(&path)),
            allow,
            retry_after: HeaderValue::from(retry.as_secs()),
        }
    }
}
