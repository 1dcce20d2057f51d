//! Folders that files are served from: those of the flat setting `static`, and those of routes, with what is tried in them.

use super::load::Reader;
use super::routes::{PathMatch, known_upstreams};
use super::upstreams::Named;
use crate::static_files::check_name;
use crate::template::Template;
use http::StatusCode;
use monodon_settings::Values;
use std::path::PathBuf;

/// `/static/` → a folder.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct StaticDir {
    /// Begins and ends with a slash; what follows it in a path is the file's name.
    pub prefix: String,
    pub dir: PathBuf,
    /// Its files come from users: nothing in them may act in the site's name.
    pub uploads: bool,
    /// Only a route leads there.
    pub routed: bool,
    /// Only an application's word leads there: nobody else may keep what it gave.
    pub internal: bool,
    /// Its route says itself how long clients may keep its files.
    pub own_expiry: bool,
}

/// What a route with `files` or `root` does.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct FileTree {
    /// Place in [`super::Config::files`].
    pub place: usize,
    /// The one file of an exact route.
    pub only: Option<String>,
    /// In this order; none: the request's own path.
    pub tries: Vec<Try>,
}

/// One of `try_files`.
#[derive(Clone, Debug, PartialEq)]
pub enum Try {
    File(Template),
    /// With a slash at its end: a folder that has something to show.
    Folder(Template),
    /// The last: this status, an upstream (its place), or another path of the site.
    Status(StatusCode),
    Upstream(usize),
    Path(Template),
}

impl Reader<'_> {
    pub(super) fn files(&mut self) -> Vec<StaticDir> {
        let mut files: Vec<StaticDir> = Vec::new();
        for prefix in self.values.list("uploads").iter().filter(|prefix| !prefix.starts_with('/')) {
            self.wrong("uploads", format!("expected a prefix of `static` such as /media/, got {prefix:?}"));
        }
        for entry in self.values.list("static") {
            match entry.split_once('=') {
                Some((prefix, dir)) if prefix.starts_with('/') && !dir.is_empty() => {
                    let prefix = if prefix.ends_with('/') { prefix.to_owned() } else { format!("{prefix}/") };
                    if crate::path::normalise(&prefix).ok().as_deref() != Some(prefix.as_str()) {
                        self.wrong("static", format!("the prefix {prefix:?} is not a plain path"));
                    }
                    if files.iter().any(|known| known.prefix == prefix) {
                        self.wrong("static", format!("the prefix {prefix:?} is given twice"));
                    }
                    let uploads = self.values.list("uploads").iter();
                    let uploads = uploads
                        .map(|upload| upload.trim_end_matches('/'))
                        .any(|upload| prefix.strip_prefix(upload).is_some_and(|rest| rest.starts_with('/')));
                    files.push(StaticDir { prefix, dir: dir.into(), uploads, ..StaticDir::default() });
                }
                _ => self.wrong("static", format!("expected /prefix/=DIR, got {entry:?}")),
            }
        }
        // The longest prefix first: the first that matches is the right one.
        files.sort_by_key(|entry| std::cmp::Reverse(entry.prefix.len()));
        files
    }

    /// A route with `files` or `root`.
    pub(super) fn file_tree(
        &mut self,
        values: &Values,
        path: &PathMatch,
        upstreams: &[Named],
        files: &mut Vec<StaticDir>,
    ) -> Option<FileTree> {
        let mut only = None;
        let (prefix, dir) = match path {
            _ if values.is_set("root") => ("/".to_owned(), values.path("root")?),
            PathMatch::Prefix(prefix) if prefix.ends_with('/') => (prefix.clone(), values.path("files")?),
            PathMatch::Prefix(prefix) => (format!("{prefix}/"), values.path("files")?),
            PathMatch::Exact(_) => {
                let file = values.path("files")?;
                let name = file.file_name().and_then(|name| name.to_str()).filter(|name| check_name(name).is_ok());
                let (Some(name), Some(dir)) = (name, file.parent()) else {
                    let words = "with `exact` it is the file itself, such as /srv/robots.txt";
                    self.problems.push(values.problem("files", words));
                    return None;
                };
                only = Some(name.to_owned());
                (String::new(), if dir.as_os_str().is_empty() { ".".into() } else { dir.to_owned() })
            }
            PathMatch::Pattern(_) => {
                let words = "goes with `path` or `exact`; with `pattern` take `root`, and `try_files` with its groups";
                self.problems.push(values.problem("files", words));
                return None;
            }
        };
        if only.is_some() && values.is_set("try_files") {
            let words = "goes with a folder: with `exact`, `files` is one file (take `root`)";
            self.problems.push(values.problem("try_files", words));
        }
        let tries = self.tries(values, path, &prefix, upstreams);
        files.push(StaticDir {
            prefix,
            dir,
            uploads: values.bool("uploads"),
            routed: true,
            internal: values.bool("internal"),
            own_expiry: values.is_set("expires") || values.is_set("cache_control"),
        });
        Some(FileTree { place: files.len() - 1, only, tries })
    }

    fn tries(&mut self, values: &Values, path: &PathMatch, prefix: &str, upstreams: &[Named]) -> Vec<Try> {
        let entries = values.list("try_files");
        let mut tries = Vec::new();
        for (place, entry) in entries.iter().enumerate() {
            match one_try(entry, place + 1 == entries.len(), path, prefix, upstreams) {
                Ok(tried) => tries.push(tried),
                Err(wrong) => self.problems.push(values.problem("try_files", wrong)),
            }
        }
        if entries.len() == 1 && matches!(tries.first(), Some(Try::Path(_))) {
            let words =
                "needs at least two entries: what is tried, and last what is done when nothing is there, such as =404";
            self.problems.push(values.problem("try_files", words));
        }
        tries
    }
}

fn one_try(entry: &str, last: bool, path: &PathMatch, prefix: &str, upstreams: &[Named]) -> Result<Try, String> {
    let lasts = || if last { Ok(()) } else { Err(format!("{entry} can only be the last entry")) };
    if let Some(code) = entry.strip_prefix('=') {
        lasts()?;
        let status = code.parse().ok().filter(|code| (400..600).contains(code));
        let status = status.and_then(|code| StatusCode::from_u16(code).ok());
        return status.map(Try::Status).ok_or_else(|| format!("expected a status from =400 to =599, got {entry:?}"));
    }
    if let Some(name) = entry.strip_prefix('@') {
        lasts()?;
        let place = upstreams.iter().position(|known| known.name == name);
        return place.map(Try::Upstream).ok_or_else(|| known_upstreams(upstreams));
    }
    let template = Template::parse(entry, path.pattern())?;
    if !template.begins_with_slash(path.pattern()) {
        return Err(format!(
            "expected a path such as /index.html or $uri, =404, or @default for an upstream, got {entry:?}"
        ));
    }
    if entry.split(['/', '?']).any(|segment| segment == ".." || segment == ".") {
        return Err(format!("{entry:?} has a dot segment"));
    }
    if last {
        return Ok(Try::Path(template));
    }
    if entry.starts_with('/') && !entry.starts_with(prefix) {
        return Err(format!("{entry:?} is not below {prefix}: entries are paths of the site, as in nginx"));
    }
    if entry.contains(['?', '#']) {
        return Err(format!("{entry:?} is tried as a file; only the last entry may have a query"));
    }
    Ok(if entry.ends_with('/') { Try::Folder(template) } else { Try::File(template) })
}
