//! The process as the system sees it: whose it is, what it is called, where it leaves things.

use std::path::{Path, PathBuf};

use monodon_settings::{Kind, Problems, Section, Setting, Values};
use serde::{Deserialize, Serialize};

use crate::users::{self, Owner};

pub const SECTION: Section = Section::new("The process", SETTINGS);

const SETTINGS: &[Setting] = &[
    Setting {
        key: "user",
        words: "The user (name or number) that runs the application, where the worker is started by root. The supervisor stays \
                root, for the sockets and for reloads, and runs no Python of the application's; the process that forks the \
                others has this user before it reads its first line of Python, so the hooks of gunicorn's arbiter run as this \
                user, too. Unix sockets of `bind` and log files are made this user's.",
        short: Some('u'),
        ..Setting::NEW
    },
    Setting {
        key: "group",
        words: "The same for the group. Where it is not given, it is the group of `user`; supplementary groups are given up.",
        short: Some('g'),
        ..Setting::NEW
    },
    Setting {
        key: "initgroups",
        kind: Kind::Bool,
        default: "false",
        words: "The supplementary groups of `user` are kept, too.",
        ..Setting::NEW
    },
    Setting {
        key: "pidfile",
        kind: Kind::Path,
        words: "A file for the supervisor's process number. While SIGUSR2 replaces a supervisor, the new one writes to the same \
                name with `.2`.",
        short: Some('p'),
        aliases: &["pid"],
        ..Setting::NEW
    },
    Setting {
        key: "proc_name",
        words: "What `ps` and `top` show beside `monodon: master`, `monodon: zygote` and `monodon: worker`; the \
                application's name where it is not given.",
        short: Some('n'),
        aliases: &["name"],
        ..Setting::NEW
    },
    Setting {
        key: "daemon",
        kind: Kind::Bool,
        default: "false",
        words: "Go to the background, away from the terminal. Standard output is closed there: name log files.",
        short: Some('D'),
        ..Setting::NEW
    },
    Setting {
        key: "tmp_upload_dir",
        kind: Kind::Path,
        words: "Where bodies of requests are kept that are too large for memory; else the temporary folder.",
        ..Setting::NEW
    },
    Setting {
        key: "worker_tmp_dir",
        kind: Kind::Path,
        words: "Accepted for gunicorn's sake and without meaning: the sign of life of a process is in shared memory, which \
                never blocks.",
        ..Setting::NEW
    },
];

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Mechanics {
    /// Whom the processes belong to, where that is somebody else than who started the worker.
    pub owner: Option<Owner>,
    pub pidfile: Option<PathBuf>,
    pub proc_name: Option<String>,
    pub daemon: bool,
    pub tmp_upload_dir: Option<PathBuf>,
}

impl Mechanics {
    /// Relative paths begin in `chdir`, as in gunicorn, which changes to that folder first; here it is absolute.
    pub fn read(values: &Values, chdir: &Path, problems: &mut Problems) -> Self {
        let path = |key: &str| values.path(key).map(|path| chdir.join(path));
        let named = |key: &str| Some(values.text(key).to_owned()).filter(|name| !name.is_empty());
        let mechanics = Self {
            owner: owner(values, problems),
            pidfile: path("pidfile"),
            proc_name: named("proc_name").or_else(|| named("default_proc_name")),
            daemon: values.bool("daemon"),
            tmp_upload_dir: path("tmp_upload_dir"),
        };
        if let Some(folder) = mechanics.tmp_upload_dir.as_ref().filter(|folder| !folder.is_dir()) {
            problems.push(values.problem("tmp_upload_dir", format!("{} is no folder", folder.display())));
        }
        if mechanics.daemon && std::process::id() == 1 {
            let words = "process 1 cannot go to the background: the container would end";
            problems.push(values.problem("daemon", words));
        }
        mechanics
    }
}

/// `None` where nothing changes.
fn owner(values: &Values, problems: &mut Problems) -> Option<Owner> {
    let given = |key: &'static str| Some(values.text(key)).filter(|text| !text.is_empty());
    let (user, group) = (given("user").map(users::user), given("group").map(users::group));
    let mut wrong = |key: &str, words: String| problems.push(values.problem(key, words));
    if let Some(Err(words)) = &user {
        wrong("user", words.clone());
    }
    if let Some(Err(words)) = &group {
        wrong("group", words.clone());
    }
    let (user, group) = (user.transpose().ok()?, group.transpose().ok()?);
    let (own_user, own_group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let uid = user.as_ref().map_or(own_user, |user| user.uid);
    let Some(gid) = group.or(user.as_ref().map_or(Some(own_group), |user| user.gid)) else {
        wrong("user", format!("the system does not know user {uid}, so its group has to be given, too"));
        return None;
    };
    if (uid, gid) == (own_user, own_group) {
        return None;
    }
    if own_user != 0 {
        let key = if user.is_some() { "user" } else { "group" };
        wrong(key, format!("only root can run the application as somebody else; this is user {own_user}"));
        return None;
    }
    let groups = match user.as_ref().and_then(|user| user.name.as_deref()) {
        Some(name) if values.bool("initgroups") => users::groups_of(name, gid),
        _ => Vec::new(),
    };
    Some(Owner { uid, gid, groups })
}
