//! A route to a file tree: its own path, or what it tries, and what comes when nothing is there.

use super::Failure;
use super::aim::{fill, fill_plain, send_below};
use super::dispatch::{Asked, Said, Step};
use crate::access_log::Record;
use crate::body::Body;
use crate::config::{FileTree, Try};
use crate::static_files::Wanted;
use crate::template::Template;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use regex::Captures;
use std::time::Instant;

pub fn wanted<'a>(
    asked: &'a Asked<'_>,
    folder: usize,
    name: &'a str,
    parts: &'a Parts,
    record: &'a Record,
    said: Said<'a>,
) -> Wanted<'a> {
    let options = record.options();
    // Not when the request came: it may have waited for its turn, and an application writes what it points to.
    let now = Instant::now();
    Wanted { folder, name, path: asked.path, parts, options: &options.files, compress: &options.compress, said, now }
}

pub async fn serve(
    asked: &Asked<'_>,
    tree: &FileTree,
    captures: Option<&Captures<'_>>,
    parts: &mut Parts,
    body: Body,
    record: &mut Record,
    said: Option<&HeaderMap>,
) -> Result<Step, Failure> {
    let files = &asked.view.files;
    let place = tree.place;
    if tree.tries.is_empty() {
        let name = match &tree.only {
            Some(only) => only,
            // The folder itself, without its slash.
            None => match files.within(place, asked.path) {
                Some(name) => name,
                None => return bare(asked, place, parts, record, said).await,
            },
        };
        let wanted = wanted(asked, place, name, parts, record, said);
        let answer = files.answer(&wanted).await;
        if !matches!(answer, Err(Failure::METHOD)) {
            looked(record, place, name, !matches!(answer, Err(Failure::NO_FILE)));
        }
        return answer.map(Step::Answer);
    }
    for tried in &tree.tries {
        match tried {
            Try::File(template) | Try::Folder(template) => {
                let path = path_of(asked, template, captures, parts);
                let Some(name) = files.within(place, &path) else { continue };
                let slash = path.strip_suffix('/').is_some_and(|bare| bare == asked.path);
                let is_folder = name.is_empty() || name.ends_with('/');
                if is_folder != matches!(tried, Try::Folder(_)) {
                    continue;
                }
                let wanted = wanted(asked, place, name, parts, record, said);
                let answer = files.attempt(&wanted, slash).await?;
                looked(record, place, name, answer.is_some());
                if let Some(answer) = answer {
                    return Ok(Step::Answer(answer));
                }
            }
            Try::Status(StatusCode::NOT_FOUND) => break,
            Try::Status(status) => return Err(Failure { status: *status, ..Failure::NO_FILE }),
            Try::Upstream(place) => {
                let upstream = asked.view.upstreams.get(*place).ok_or(Failure::NOTHING_THERE)?;
                return send_below(upstream, asked, None, parts, body, record).await.map(Step::Answer);
            }
            Try::Path(template) => return Ok(Step::Again(fill(asked, template, captures, parts), body)),
        }
    }
    Err(Failure::NO_FILE)
}

/// For `monodon-edge explain`: whether a file that was looked for is there.
pub fn looked(record: &Record, folder: usize, name: &str, found: bool) {
    if let Some(trace) = &record.thread.trace {
        trace.looked(folder, name, found);
    }
}

/// `/docs`, where the route is `/docs/`: to the slash, if there is anything.
async fn bare(
    asked: &Asked<'_>,
    place: usize,
    parts: &Parts,
    record: &Record,
    said: Option<&HeaderMap>,
) -> Result<Step, Failure> {
    let wanted = wanted(asked, place, "", parts, record, said);
    let answer = asked.view.files.attempt(&wanted, true).await?;
    looked(record, place, "", answer.is_some());
    match answer {
        Some(answer) => Ok(Step::Answer(answer)),
        None => Err(Failure::NO_FILE),
    }
}

/// A path of the site, decoded, with no empty segments.
fn path_of(asked: &Asked<'_>, template: &Template, captures: Option<&Captures<'_>>, parts: &Parts) -> String {
    let mut path = fill_plain(asked, template, captures, parts);
    while let Some(at) = path.find("//") {
        path.remove(at);
    }
    path
}
