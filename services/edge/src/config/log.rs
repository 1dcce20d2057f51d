//! What is logged, where to and how.

use super::load::Reader;
use crate::access_log::{Escape, Format, Line};
use std::path::Path;
use std::sync::Arc;

/// Logs.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// `stdout`, `off` or a path.
    pub access: String,
    pub line: Line,
    /// Query strings too.
    pub query: bool,
    pub level: String,
    pub format: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { access: "stdout".into(), line: Line::Json, query: false, level: "info".into(), format: "auto".into() }
    }
}

impl Log {
    /// Of the access log, where it is written to one.
    pub fn file(&self) -> Option<&Path> {
        (!matches!(self.access.as_str(), "" | "off" | "-" | "stdout" | "stderr")).then(|| Path::new(&self.access))
    }
}

impl Reader<'_> {
    pub(super) fn log(&mut self) -> Log {
        Log {
            access: self.values.text("access_log").to_owned(),
            line: self.access_line(),
            query: self.values.bool("access_log_query"),
            level: self.values.text("log_level").to_owned(),
            format: self.values.text("log_format").to_owned(),
        }
    }

    fn access_line(&mut self) -> Line {
        let escape = if self.values.text("access_log_escape") == "json" { Escape::Json } else { Escape::Default };
        match self.values.text("access_log_format") {
            "json" => Line::Json,
            text => match Format::parse(text, escape) {
                Ok(format) => Line::Format(Arc::new(format)),
                Err(wrong) => {
                    self.wrong("access_log_format", wrong);
                    Line::Json
                }
            },
        }
    }
}
