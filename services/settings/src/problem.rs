//! What is wrong, where, and what was expected: all of it at once.

use std::fmt;
use std::process::ExitCode;

/// One thing that is wrong; its text stands alone: `edge.toml:12: body_limit: expected a size such as 32MB, got "lots"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    place: String,
    message: String,
    /// It comes only of another slip that is told already.
    follows: bool,
}

impl Problem {
    /// `place`: `edge.toml:12: body_limit`, `MONODON_EDGE_BODY_LIMIT`, `--body-limit`; empty when it is of no one place.
    pub fn new(place: impl Into<String>, message: impl Into<String>) -> Problem {
        Problem { place: place.into(), message: message.into(), follows: false }
    }

    /// To be told only where nothing else is wrong: what was mistyped is not missing as well.
    pub(crate) fn following(self, follows: bool) -> Problem {
        Problem { follows, ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.place, self.message) }
    }
}

impl std::error::Error for Problem {}

/// Everything that is wrong, one line each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    pub fn push(&mut self, problem: Problem) {
        if !problem.follows {
            self.0.push(problem);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `Ok` if nothing was wrong.
    pub fn or<T>(self, value: T) -> Result<T, Problems> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }

    /// Tells a person on stderr and gives exit code 2, wrong usage or configuration.
    pub fn exit(&self, program: &str) -> ExitCode {
        for problem in &self.0 {
            eprintln!("{program}: {problem}");
        }
        ExitCode::from(2)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            write!(f, "{}{problem}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Problems {
        Problems(vec![problem])
    }
}
