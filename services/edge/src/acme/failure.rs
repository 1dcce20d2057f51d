//! Why there is no certificate: whose fault it is, and words for whoever reads the log.
//!
//! rustls-acme's error type is private, so what the CA said is found in the error's text; tests pin its shape.

use rustls_acme::acme::{AcmeError, Problem};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The CA did not answer, or answered that it cannot now.
    Unreachable,
    /// The CA says no: the name does not lead here, the account is unknown, ...
    Refused,
    /// We asked too often.
    Limited,
    /// Our own storage.
    Local,
}

#[derive(Clone, Debug)]
pub struct Failure {
    pub fault: Fault,
    pub text: String,
}

const BAD_NONCE: &str = "urn:ietf:params:acme:error:badNonce";
const RATE_LIMITED: &str = "urn:ietf:params:acme:error:rateLimited";
const NO_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// What stands before the status and the body in the error's text.
const STATUS: &str = "non 2xx http status: ";

/// Whether the same request, sent again, may well succeed (RFC 8555, section 6.5).
pub fn is_bad_nonce(error: &AcmeError) -> bool {
    error.to_string().contains(BAD_NONCE)
}

impl Failure {
    pub fn local(text: impl Into<String>) -> Self {
        Self { fault: Fault::Local, text: text.into() }
    }

    pub fn refused(text: impl Into<String>) -> Self {
        Self { fault: Fault::Refused, text: text.into() }
    }

    pub fn unreachable(text: impl Into<String>) -> Self {
        Self { fault: Fault::Unreachable, text: text.into() }
    }

    /// What went wrong while `doing`.
    pub fn from_acme(doing: &str, error: &AcmeError) -> Self {
        Self::from_text(doing, &error.to_string())
    }

    fn from_text(doing: &str, text: &str) -> Self {
        let answer = text.split_once(STATUS).and_then(|(_, rest)| rest.split_once(' '));
        let status: Option<u16> = answer.and_then(|(status, _)| status.parse().ok());
        let fault = match status {
            _ if text.contains(RATE_LIMITED) => Fault::Limited,
            Some(429) => Fault::Limited,
            Some(400..=499) => Fault::Refused,
            _ => Fault::Unreachable,
        };
        // The body is written as Rust quotes it, which for an ordinary problem document is how JSON quotes it.
        let body: Option<String> = answer.and_then(|(_, body)| serde_json::from_str(body.trim()).ok());
        let problem: Option<Problem> = body.and_then(|body| serde_json::from_str(&body).ok());
        let words = match (status, &problem) {
            (Some(status), Some(problem)) => format!("the CA answered {status} {}", say(problem)),
            _ => text.to_owned(),
        };
        Self { fault, text: format!("{doing}: {}", shortened(&words)) }
    }

    pub fn account_is_gone(&self) -> bool {
        self.text.contains(NO_ACCOUNT)
    }
}

/// A problem document in one line.
pub fn say(problem: &Problem) -> String {
    let kind = problem.typ.as_deref().unwrap_or("problem");
    format!("{kind}: {}", problem.detail.as_deref().unwrap_or("no detail"))
}

/// A CA may answer with a page; a log line holds its beginning.
fn shortened(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(600).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_document_becomes_words_and_a_fault() {
        let body = r#"{"type":"urn:ietf:params:acme:error:unauthorized","detail":"not \"yours\"\n","status":403}"#;
        let text = format!("http request error: non 2xx http status: 403 {body:?}");
        let failure = Failure::from_text("ordering", &text);
        assert_eq!(failure.fault, Fault::Refused);
        assert_eq!(
            failure.text,
            "ordering: the CA answered 403 urn:ietf:params:acme:error:unauthorized: not \"yours\" "
        );
    }

    #[test]
    fn faults_are_told_apart() {
        let fault = |text: &str| Failure::from_text("x", text).fault;
        assert_eq!(fault("http request error: non 2xx http status: 503 \"<html>\""), Fault::Unreachable);
        assert_eq!(fault("http request error: io error: refused"), Fault::Unreachable);
        assert_eq!(fault("http request error: non 2xx http status: 429 \"\""), Fault::Limited);
        assert_eq!(
            fault(
                r#"http request error: non 2xx http status: 403 "{\"type\":\"urn:ietf:params:acme:error:rateLimited\"}""#
            ),
            Fault::Limited
        );
    }
}
