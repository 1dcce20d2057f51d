//! What a site or a route may have otherwise than the rest: the same settings, looked for in the route, then in its site,
//! then among the flat ones. One file a concern, each with its settings, its type, and how it is read.

pub mod access;
pub mod auth;
pub mod buffering;
pub mod compress;
pub mod errors;
pub mod files;
pub mod headers;
pub mod limits;
pub mod log;
pub mod requests;
pub mod slots;
pub mod timeouts;

use super::load::Reader;
use crate::access::Users;
use crate::error_pages::Page;
use crate::watched::{Files, Flag};
use monodon_settings::{Problems, Values};
use std::path::Path;
use std::sync::Arc;

/// The sections of a table (or of the flat level) that has all of these beside its own.
macro_rules! with_options {
    ($section:ident $(, $own:expr)* $(,)?) => {
        &[
            $($own,)*
            monodon_settings::Section::$section("Requests", $crate::config::options::requests::SETTINGS),
            monodon_settings::Section::$section("Buffering", $crate::config::options::buffering::SETTINGS),
            monodon_settings::Section::$section("Access", $crate::config::options::access::SETTINGS),
            monodon_settings::Section::$section("Authentication", $crate::config::options::auth::SETTINGS),
            monodon_settings::Section::$section("Times and rates", $crate::config::options::timeouts::SETTINGS),
            monodon_settings::Section::$section("Limits by client and key", $crate::config::options::limits::SETTINGS),
            monodon_settings::Section::$section("Headers", $crate::config::options::headers::SETTINGS),
            monodon_settings::Section::$section("Compression", $crate::config::options::compress::SETTINGS),
            monodon_settings::Section::$section("Errors", $crate::config::options::errors::SETTINGS),
            monodon_settings::Section::$section("Files", $crate::config::options::files::SETTINGS),
            monodon_settings::Section::$section("Bulkheads", $crate::config::options::slots::SETTINGS),
            monodon_settings::Section::$section("Access log", $crate::config::options::log::SETTINGS),
        ]
    };
}
pub(super) use with_options;

/// The settings in force for a request.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Options {
    pub requests: requests::Requests,
    pub buffering: buffering::Buffering,
    pub access: access::Access,
    pub auth: auth::Auth,
    pub timeouts: timeouts::Timeouts,
    pub limits: limits::Limits,
    pub files: files::Files,
    pub headers: headers::Headers,
    pub compress: compress::Compress,
    pub errors: errors::Errors,
    pub log: log::Log,
    pub slots: slots::Slots,
}

impl Reader<'_> {
    /// `levels` from the innermost to the flat settings.
    pub(super) fn options(&mut self, levels: &[&Values]) -> Options {
        let zones = std::mem::take(&mut self.zone_names);
        let report_path = self.csp_report_path();
        let mut levels = Levels {
            values: levels,
            problems: &mut self.problems,
            interned: &mut self.interned,
            files: &mut self.watched,
        };
        let options = Options {
            requests: requests::Requests::read(&mut levels),
            buffering: buffering::Buffering::read(&mut levels),
            access: access::Access::read(&mut levels),
            auth: auth::Auth::read(&mut levels, &self.upstream_names),
            timeouts: timeouts::Timeouts::read(&mut levels),
            limits: limits::Limits::read(&mut levels, &zones),
            files: files::Files::read(&mut levels),
            headers: headers::Headers::read(&mut levels, report_path.as_deref()),
            compress: compress::Compress::read(&mut levels),
            errors: errors::Errors::read(&mut levels),
            log: log::Log::read(&mut levels),
            slots: slots::Slots::read(&mut levels),
        };
        self.zone_names = zones;
        options
    }

    /// The same for what is no option of a route.
    pub(super) fn levels<'a>(&'a mut self, values: &'a [&'a Values]) -> Levels<'a> {
        let (problems, interned) = (&mut self.problems, &mut self.interned);
        Levels { values, problems, interned, files: &mut self.watched }
    }
}

/// Where an option may be set: in a route, in its site, among the flat settings.
pub struct Levels<'a> {
    values: &'a [&'a Values],
    problems: &'a mut Problems,
    /// What routes have in common.
    interned: &'a mut access::Interned,
    files: &'a mut Files,
}

impl<'a> Levels<'a> {
    /// The level that sets `key`, the innermost first; else the flat one, which has the default.
    pub fn of(&self, key: &str) -> &'a Values {
        let set = self.values.iter().find(|values| values.is_set(key));
        set.or(self.values.last()).copied().unwrap_or_else(|| unreachable!("settings without a level"))
    }

    /// For what adds up over the levels.
    pub fn outermost_first(&self) -> impl Iterator<Item = &'a Values> + use<'a> {
        self.values.iter().rev().copied()
    }

    /// The site's or the route's level that sets `key`.
    pub fn inner(&self, key: &str) -> Option<&'a Values> {
        let (_, inner) = self.values.split_last()?;
        inner.iter().copied().find(|values| values.is_set(key))
    }

    /// Tells what is wrong with a value: where it is set, also where only a level within makes use of it.
    pub fn wrong(&mut self, key: &str, message: impl Into<String>) {
        let own = self.of(key);
        self.wrong_in(own, key, message);
    }

    /// The same of one level's.
    pub fn wrong_in(&mut self, own: &Values, key: &str, message: impl Into<String>) {
        let problem = own.problem(key, message);
        // Every level that inherits it has read it, too.
        if !self.problems.0.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// A file of the configuration, opened once for all levels.
    pub fn page(&mut self, path: &Path) -> Result<Arc<Page>, String> {
        self.files.page(path)
    }

    /// The same for users and their passwords.
    pub fn users(&mut self, path: &Path) -> Result<Arc<Users>, String> {
        self.files.users(path)
    }

    /// The same for a file whose being there counts.
    pub fn flag(&mut self, path: &Path) -> Arc<Flag> {
        self.files.flag(path)
    }
}
