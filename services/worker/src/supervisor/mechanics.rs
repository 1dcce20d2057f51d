//! What the supervisor leaves where others find it: its number in a file, its name, files that its processes write to.

use super::herd::Herd;
use super::pidfile::Pidfile;
use crate::config::Config;
use crate::title;

/// Before anything is started.
pub fn begin(config: &Config) -> Result<Option<Pidfile>, String> {
    own_files(config);
    name(config);
    config.mechanics.pidfile.clone().map(Pidfile::write).transpose()
}

fn name(config: &Config) {
    title::set(&format!("monodon: master [{}]", config.mechanics.proc_name.as_ref().unwrap_or(&config.app)));
}

/// Log files are opened by processes that may not be allowed to make them where root could: they get them made.
fn own_files(config: &Config) {
    let Some(owner) = &config.mechanics.owner else { return };
    let Some(path) = config.accesslog.as_ref().filter(|path| *path != "-") else { return };
    let path = config.chdir.clone().unwrap_or_default().join(path);
    let made = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    let owned = made.and_then(|file| std::os::unix::fs::fchown(file, Some(owner.uid), Some(owner.gid)));
    if let Err(error) = owned {
        tracing::warn!("{} cannot be given to the user of the processes: {error}", path.display());
    }
}

impl Herd {
    /// After a reload.
    pub fn renew_mechanics(&mut self) {
        own_files(&self.config);
        name(&self.config);
        let wanted = &self.config.mechanics.pidfile;
        if self.pidfile.as_ref().map(Pidfile::path) == wanted.as_deref() {
            return;
        }
        self.pidfile = None;
        match wanted.clone().map(Pidfile::write).transpose() {
            Ok(file) => self.pidfile = file,
            Err(error) => tracing::error!("{error}"),
        }
    }
}
