//! `--reload`: the application is restarted when its files change.
//!
//! Here it is not made before it is broken, as in a reload: whoever has saved a file and asks again must meet the new code.
//! The old processes leave at once, with what they have in hand; connections, new and idle ones, wait for the new ones. A
//! process that cannot import the application serves the traceback instead (see `monodon/develop.py`).

mod changes;
mod inotify;
mod watched;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use changes::Changes;

use super::herd::Herd;
use crate::load::{Loaded, load};
use crate::scoreboard::Reason;

impl Herd {
    /// With `--reload`: from now on.
    pub fn watch_files(&mut self) {
        if !self.config.develop.reload {
            return;
        }
        let root = self.root();
        match Changes::watch(&self.config.develop, root, self.events.clone()) {
            Ok(changes) => self.changes = Some(changes),
            Err(error) => tracing::error!("files cannot be watched: {error}"),
        }
    }

    /// Where the application is.
    fn root(&self) -> PathBuf {
        let here = std::env::current_dir().unwrap_or_default();
        self.config.chdir.as_ref().map_or(here.clone(), |folder| here.join(folder))
    }

    /// Files have changed, and nothing more has for a moment.
    pub fn changed(&mut self, files: &[PathBuf]) {
        if self.stop.is_some() {
            return;
        }
        let names: Vec<String> = files.iter().map(|file| self.short(file)).collect();
        let (named, more) = names.split_at(names.len().min(3));
        let others = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
        files.iter().for_each(|file| forget_compiled(file));
        match load(&self.start.arguments, &self.start.python, &self.start.folder) {
            Ok(Loaded { config, exports, .. }) => {
                self.config = Arc::new(self.acceptable(config));
                self.start.exports = exports;
            }
            Err(problems) => tracing::error!("the configuration is wrong, the old one stays: {problems}"),
        }
        self.restart();
        // Not before it is so: who reads this and asks again meets the new code.
        tracing::info!("{}{others} changed: restarting", named.join(", "));
    }

    fn restart(&mut self) {
        if let Some(id) = self.breeder {
            // One that imports has no children yet.
            if let Some(zygote) = self.zygotes.iter_mut().find(|zygote| zygote.id == id && !zygote.up) {
                zygote.late = Some("files have changed".to_owned());
                zygote.signal(libc::SIGKILL);
            }
            self.dismiss(id);
        }
        self.generation = self.next_generation();
        self.begin_anew();
        self.shared.board.supersede(self.generation);
        for index in self.processes.keys().copied().collect::<Vec<_>>() {
            match self.processes.get(&index) {
                // It was told so at an earlier change, and still works on something.
                Some(process) if process.leaving() => process.signal(libc::SIGKILL),
                _ => self.drain(index, Reason::Reload),
            }
        }
        self.start_zygote();
    }

    /// A process, or a zygote, serves the traceback instead of the application.
    pub fn broken(&mut self, traceback: &str, generation: u32) {
        self.print_once(traceback);
        let summary = traceback.lines().last().unwrap_or_default();
        if generation == self.generation && self.reload.is_some() {
            // Told to reload by a person: what serves stays.
            self.reload_failed(summary);
        } else if generation == self.generation {
            self.broken = Some(generation);
            self.shared.set_trouble(Some(format!("the application cannot be imported: {summary}")));
            if let Some(changes) = &self.changes {
                changes.broken(true);
            }
        }
    }

    /// The files of what has been imported.
    pub fn imported(&self, files: Vec<PathBuf>) {
        if let Some(changes) = &self.changes {
            changes.add(files);
        }
    }

    fn short(&self, file: &Path) -> String {
        file.strip_prefix(self.root()).unwrap_or(file).display().to_string()
    }
}

/// Python takes a compiled file for current when its source has the same second and size.
fn forget_compiled(source: &Path) {
    let (Some(folder), Some(stem)) = (source.parent(), source.file_stem().and_then(|stem| stem.to_str())) else {
        return;
    };
    if source.extension().is_none_or(|extension| extension != "py") {
        return;
    }
    let entries = std::fs::read_dir(folder.join("__pycache__"));
    for entry in entries.into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_str().and_then(|name| name.strip_prefix(stem)).is_some_and(|rest| rest.starts_with('.')) {
            // One that cannot be removed is as good as Python takes it to be.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
