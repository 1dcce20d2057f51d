//! `--paste production.ini#name`: the application that a PasteDeploy file describes; `monodon/importer.py` loads it.

use std::path::{Path, PathBuf};

use monodon_settings::{Problem, Values};

use crate::config::Config;

/// What `Config::app` begins with then.
const SCHEME: &str = "paste:";

/// The application's name; none when there is no such file to name it. `folder`: where relative names begin.
pub fn application(values: &Values, folder: &Path) -> Option<Result<String, Problem>> {
    let file = folder.join(values.path("paste")?).display().to_string();
    let path = path_of(&file);
    if !path.is_file() {
        return Some(Err(values.problem("paste", format!("{} is no file", path.display()))));
    }
    if let [app, ..] = values.positionals() {
        let message = format!("it names the application, and so does {app:?}; give one of them");
        return Some(Err(values.problem("paste", message)));
    }
    Some(Ok(format!("{SCHEME}{file}")))
}

fn path_of(file: &str) -> PathBuf {
    file.split_once('#').map_or(file, |(path, _)| path).into()
}

/// Its `[loggers]` configure logging where nothing else does, as under gunicorn.
pub fn configure_logs(config: &mut Config) {
    let Some(file) = config.app.strip_prefix(SCHEME) else { return };
    let logs = &mut config.logs;
    if logs.logconfig.is_some() || logs.logconfig_dict.is_some() || logs.logconfig_json.is_some() {
        return;
    }
    let path = path_of(file);
    let has = |text: String| text.lines().any(|line| line.trim_end() == "[loggers]");
    if std::fs::read_to_string(&path).is_ok_and(has) {
        logs.logconfig = Some(path);
    }
}
