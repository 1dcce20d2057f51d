//! Files and folders that the edge writes itself: whether what is set can be one. What is full or may come later is no slip: the edge
//! lives with it, and says so in `/readyz`.

use super::load::Loaded;
use monodon_settings::Problems;
use rustix::fs::{Access, access};
use std::path::Path;

impl Loaded {
    pub(super) fn places(&self, problems: &mut Problems) {
        let Self { config, values } = self;
        for (key, path) in [("state", &config.tls.state), ("spool", &config.spool.dir)] {
            if let Err(wrong) = folder(path)
                && (values.is_set(key) || key == "state")
            {
                problems.push(values.problem(key, wrong));
            }
        }
        if let Some(Err(wrong)) = config.log.file().map(log) {
            problems.push(values.problem("access_log", wrong));
        }
    }
}

fn folder(path: &Path) -> Result<(), String> {
    // What is not there is made.
    let nearest = path.ancestors().find_map(|path| Some((path, path.metadata().ok()?)));
    match nearest.filter(|(_, found)| !found.is_dir()) {
        Some((path, _)) => Err(format!("expected a folder, and {} is none", path.display())),
        None => Ok(()),
    }
}

fn log(path: &Path) -> Result<(), String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if path.is_dir() {
        return Err(format!("expected stdout, off or the path of a file, and {} is a folder", path.display()));
    }
    if !folder.is_dir() {
        return Err(format!("the folder {} is not there", folder.display()));
    }
    let written = if path.exists() { path } else { folder };
    access(written, Access::WRITE_OK).map_err(|error| format!("{} cannot be written: {error}", written.display()))
}
