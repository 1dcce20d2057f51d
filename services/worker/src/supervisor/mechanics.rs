//! What the supervisor leaves where others find it: its number in a file, its name, files that its processes write to.

use std::path::PathBuf;

use super::herd::Herd;
use super::pidfile::Pidfile;
use super::upgrade::Upgrade;
use crate::config::Config;
use crate::title;

/// Before anything is started.
pub fn begin(config: &Config, upgrade: &Upgrade) -> Result<Option<Pidfile>, String> {
    own_files(config);
    name(config, upgrade);
    pidfile(config, upgrade).map(Pidfile::write).transpose()
}

/// While the supervisor before this one lives, it has the name and the file; as in gunicorn, this one's end in `.2`.
fn name(config: &Config, upgrade: &Upgrade) {
    let name = config.mechanics.proc_name.as_ref().unwrap_or(&config.app);
    let second = if upgrade.has_predecessor() { ".2" } else { "" };
    title::set(&format!("monodon: master [{name}{second}]"));
}

fn pidfile(config: &Config, upgrade: &Upgrade) -> Option<PathBuf> {
    let mut path = config.mechanics.pidfile.clone()?.into_os_string();
    if upgrade.has_predecessor() {
        path.push(".2");
    }
    Some(path.into())
}

/// Log files are opened by processes that may not be allowed to make them where root could: they get them made.
fn own_files(config: &Config) {
    let Some(owner) = &config.mechanics.owner else { return };
    let logs = [config.accesslog.as_deref(), Some(config.logs.errorlog.as_str())];
    for path in logs.into_iter().flatten().filter(|place| !matches!(*place, "-" | "stdout" | "stderr")) {
        let path = config.chdir.clone().unwrap_or_default().join(path);
        let made = std::fs::OpenOptions::new().create(true).append(true).open(&path);
        let owned = made.and_then(|file| std::os::unix::fs::fchown(file, Some(owner.uid), Some(owner.gid)));
        if let Err(error) = owned {
            tracing::warn!("{} cannot be given to the user of the processes: {error}", path.display());
        }
    }
}

impl Herd {
    /// After a reload, and when the supervisor before this one has ended.
    pub fn renew_mechanics(&mut self) {
        own_files(&self.config);
        name(&self.config, &self.upgrade);
        let wanted = pidfile(&self.config, &self.upgrade);
        if self.pidfile.as_ref().map(Pidfile::path) == wanted.as_deref() {
            return;
        }
        self.pidfile = None;
        match wanted.map(Pidfile::write).transpose() {
            Ok(file) => self.pidfile = file,
            Err(error) => tracing::error!("{error}"),
        }
    }
}
