//! What is watched, and whether it is as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Modification time in nanoseconds, size, inode; none of a file that is not there.
type Mark = Option<(i128, u64, u64)>;

#[derive(Default)]
pub struct Watched {
    files: BTreeMap<PathBuf, Mark>,
    /// Python files and folders by folder: while the application cannot be imported, a new one may mend it.
    folders: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
    patterns: Vec<String>,
    /// When the application was last begun to be imported: what has changed since may have been read before.
    since: i128,
    /// Files that changed between that and our hearing of them. Each counts once: some applications write files that they
    /// import.
    early: BTreeSet<PathBuf>,
    pub broken: bool,
}

impl Watched {
    /// `root` is the application's folder: below it, new files may mend what is broken. `extra` are files, folders and
    /// patterns.
    pub fn new(root: &Path, extra: &[String]) -> Self {
        let mut watched = Self::default();
        watched.begin();
        watched.folders.insert(root.to_owned(), python_in(root));
        for text in extra {
            let path = Path::new(text);
            if path.is_dir() {
                watched.patterns.push(format!("{}/**/*", glob::Pattern::escape(text.trim_end_matches('/'))));
            } else if text.contains(['*', '?', '[']) {
                watched.patterns.push(text.clone());
            } else {
                watched.add(path.to_owned());
            }
        }
        watched.match_patterns();
        watched
    }

    /// The application is about to be imported anew.
    pub fn begin(&mut self) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        self.since = i128::try_from(now.as_nanos()).unwrap_or(0);
    }

    /// A file that has been imported.
    pub fn imported(&mut self, file: PathBuf) {
        let known = self.files.contains_key(&file);
        self.add(file.clone());
        let changed = mark(&file).is_some_and(|(modified, _, _)| modified > self.since);
        if !known && changed && self.early.insert(file.clone()) {
            // Any mark but its own.
            self.files.insert(file, None);
        }
    }

    pub fn add(&mut self, file: PathBuf) {
        if self.files.contains_key(&file) {
            return;
        }
        if let Some(folder) = file.parent()
            && self.folders.keys().any(|known| folder.starts_with(known))
            && !self.folders.contains_key(folder)
        {
            self.folders.insert(folder.to_owned(), python_in(folder));
        }
        let mark = mark(&file);
        self.files.insert(file, mark);
    }

    pub fn has_patterns(&self) -> bool {
        !self.patterns.is_empty()
    }

    /// Where changes can happen.
    pub fn all_folders(&self) -> BTreeSet<&Path> {
        self.files.keys().filter_map(|file| file.parent()).chain(self.folders.keys().map(PathBuf::as_path)).collect()
    }

    /// A file that has come since the last time is watched from now on.
    fn match_patterns(&mut self) {
        let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
        let found: Vec<PathBuf> = self
            .patterns
            .iter()
            .filter_map(|pattern| glob::glob_with(pattern, options).ok())
            .flat_map(|paths| paths.flatten().filter(|path| path.is_file()))
            .collect();
        found.into_iter().for_each(|file| self.add(file));
    }

    /// What is not as it was at the last look.
    pub fn look(&mut self) -> Vec<PathBuf> {
        let mut changed = Vec::new();
        for (file, known) in &mut self.files {
            let now = mark(file);
            if now != *known {
                *known = now;
                changed.push(file.clone());
            }
        }
        for (folder, known) in &mut self.folders {
            let now = python_in(folder);
            if self.broken {
                changed.extend(now.symmetric_difference(known).cloned());
            }
            *known = now;
        }
        self.match_patterns();
        changed
    }
}

fn mark(file: &Path) -> Mark {
    let meta = std::fs::metadata(file).ok()?;
    Some((i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec()), meta.size(), meta.ino()))
}

fn python_in(folder: &Path) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_python = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "py");
    entries.filter(|path| is_python(path) || path.is_dir() && !path.ends_with("__pycache__")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_seen_once_and_new_files_count_while_it_is_broken() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("app.py"), "1").unwrap();
        let mut watched = Watched::new(folder.path(), &[]);
        watched.add(at("app.py"));
        watched.add(at("gone.py"));
        assert_eq!(watched.look(), Vec::<PathBuf>::new());
        std::fs::write(at("app.py"), "22").unwrap();
        assert_eq!(watched.look(), [at("app.py")]);
        assert_eq!(watched.look(), Vec::<PathBuf>::new());
        std::fs::write(at("other.py"), "").unwrap();
        assert_eq!(watched.look(), Vec::<PathBuf>::new());
        watched.broken = true;
        std::fs::write(at("third.py"), "").unwrap();
        std::fs::write(at("note.txt"), "").unwrap();
        std::fs::create_dir(at("__pycache__")).unwrap();
        assert_eq!(watched.look(), [at("third.py")]);
        std::fs::write(at("gone.py"), "").unwrap();
        assert!(watched.look().contains(&at("gone.py")));
        std::fs::remove_file(at("app.py")).unwrap();
        assert!(watched.look().contains(&at("app.py")));
    }

    #[test]
    fn what_changed_while_it_was_imported_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("app.py");
        let mut watched = Watched::new(folder.path(), &[]);
        std::fs::write(&file, "1").unwrap();
        watched.since -= 1_000_000_000;
        watched.imported(file.clone());
        assert_eq!(watched.look().len(), 1);
        watched.imported(file);
        assert_eq!(watched.look(), Vec::<PathBuf>::new());
    }

    #[test]
    fn patterns_and_folders_take_in_new_files_whose_next_change_counts() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("templates/deep")).unwrap();
        std::fs::write(at("settings.toml"), "1").unwrap();
        let extra = [at("*.toml").display().to_string(), at("templates").display().to_string()];
        let mut watched = Watched::new(folder.path(), &extra);
        std::fs::write(at("settings.toml"), "22").unwrap();
        assert_eq!(watched.look(), [at("settings.toml")]);
        std::fs::write(at("templates/deep/page.html"), "1").unwrap();
        std::fs::write(at(".hidden.toml"), "1").unwrap();
        assert_eq!(watched.look(), Vec::<PathBuf>::new());
        std::fs::write(at("templates/deep/page.html"), "22").unwrap();
        std::fs::write(at(".hidden.toml"), "22").unwrap();
        assert_eq!(watched.look(), [at("templates/deep/page.html")]);
    }
}
