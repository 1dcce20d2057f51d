//! One table from what went wrong to the answer's status, the counter's reason and the log's.

use super::allow;
use crate::buffer::BufferError;
use crate::config::Options;
use crate::metrics::Reason;
use crate::upstream::{Killed, UpstreamError};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// A request that gets an error page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    pub status: StatusCode,
    pub reason: Reason,
    /// For the access log.
    pub exact: &'static str,
}

impl Failure {
    const fn new(status: StatusCode, reason: Reason, exact: &'static str) -> Self {
        Self { status, reason, exact }
    }

    pub const METHOD: Self = Self::new(StatusCode::METHOD_NOT_ALLOWED, Reason::Method, "method_not_allowed");
    pub const FIELDS: Self =
        Self::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, Reason::TooLarge, "too_many_fields");
    pub const HOST: Self = Self::new(StatusCode::BAD_REQUEST, Reason::BadRequest, "bad_host");
    pub const PATH: Self = Self::new(StatusCode::BAD_REQUEST, Reason::BadRequest, "ambiguous_path");
    pub const NO_SITE: Self = Self::new(StatusCode::NOT_FOUND, Reason::NoSite, "no_site");
    pub const MISDIRECTED: Self = Self::new(StatusCode::MISDIRECTED_REQUEST, Reason::NoSite, "misdirected");
    pub const NOTHING_THERE: Self = Self::new(StatusCode::NOT_FOUND, Reason::NoSite, "no_upstream");
    pub const NO_FILE: Self = Self::new(StatusCode::NOT_FOUND, Reason::NoSite, "no_file");
    /// `try_files` and `X-Accel-Redirect` go round in a circle; nginx says 500 too.
    pub const CYCLE: Self = Self::new(StatusCode::INTERNAL_SERVER_ERROR, Reason::NoSite, "internal_redirect_cycle");
    /// An application pointed to where no internal route is.
    pub const ACCEL: Self = Self::new(StatusCode::NOT_FOUND, Reason::NoSite, "accel_redirect");
    /// A route that gives no answer: the protocol closes the connection, or resets the stream.
    pub const CLOSED: Self = Self::new(StatusCode::FORBIDDEN, Reason::Closed, "closed");
    pub const RATE: Self = Self::new(StatusCode::TOO_MANY_REQUESTS, Reason::RateLimited, "rate_limited");
    pub const LATE: Self = Self::new(StatusCode::GATEWAY_TIMEOUT, Reason::TimeoutRequest, "timeout_request");
    pub const AT_A_TIME: Self = Self::new(StatusCode::TOO_MANY_REQUESTS, Reason::AtATime, "too_many_at_a_time");
    pub const PRECONDITION: Self = Self::new(StatusCode::PRECONDITION_FAILED, Reason::BadRequest, "precondition");
    pub const TOO_LARGE: Self = Self::new(StatusCode::PAYLOAD_TOO_LARGE, Reason::TooLarge, "body_too_large");
    pub const UNAUTHORIZED: Self = Self::new(StatusCode::UNAUTHORIZED, Reason::Unauthorized, "unauthorized");
    /// By `deny`, or for not being in `allow`.
    pub const DENIED: Self = Self::new(StatusCode::FORBIDDEN, Reason::Denied, "denied");
    pub const DENIED_PATH: Self = Self::new(StatusCode::FORBIDDEN, Reason::DeniedPath, "denied_path");
    pub const SCANNER: Self = Self::new(StatusCode::FORBIDDEN, Reason::Scanner, "scanner");
    pub const MAINTENANCE: Self =
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Reason::Maintenance, crate::error_pages::MAINTENANCE);
    pub const WRONG_PASSWORD: Self = Self::new(StatusCode::UNAUTHORIZED, Reason::Unauthorized, "wrong_password");
    /// More passwords to look at than can be.
    pub const AUTH_BUSY: Self = Self::new(StatusCode::SERVICE_UNAVAILABLE, Reason::AuthBusy, "auth_busy");
    /// Whoever was asked whether a request may pass said neither yes nor no, or nothing in time.
    pub const AUTH_SERVICE: Self = Self::new(StatusCode::BAD_GATEWAY, Reason::AuthService, "forward_auth_answer");
    pub const AUTH_LATE: Self = Self::new(StatusCode::GATEWAY_TIMEOUT, Reason::AuthService, "forward_auth_timeout");
    pub const DISK: Self = Self::new(StatusCode::INTERNAL_SERVER_ERROR, Reason::Disk, "file_unreadable");

    /// A protocol's own words for what it could not read.
    pub fn unreadable(status: StatusCode, exact: &'static str) -> Self {
        let reason = match (status.as_u16(), exact) {
            (_, "timeout_body") => Reason::TimeoutBody,
            (408, _) => Reason::TimeoutHeader,
            (413 | 414 | 431, _) => Reason::TooLarge,
            _ => Reason::BadRequest,
        };
        Self::new(status, reason, exact)
    }

    /// Headers that belong to the status.
    pub fn decorate(&self, headers: &mut HeaderMap, parts: &Parts, options: &Options) {
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, allow::header(parts, options));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let own = || HeaderValue::from_static("Basic realm=\"Monodon\", charset=\"UTF-8\"");
            let challenge = options.auth.basic.as_ref().map_or_else(own, |basic| basic.challenge.clone());
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
    }
}

impl From<BufferError> for Failure {
    fn from(error: BufferError) -> Self {
        match error {
            BufferError::TooLarge => Self::TOO_LARGE,
            BufferError::TooSlow => Self::new(StatusCode::REQUEST_TIMEOUT, Reason::TimeoutBody, "timeout_body"),
            BufferError::ClientGone => Self::new(StatusCode::BAD_REQUEST, Reason::ClientClosed, "client_closed"),
            BufferError::BadRequest(exact) => Self::new(StatusCode::BAD_REQUEST, Reason::BadRequest, exact),
            BufferError::Disk(error) => {
                tracing::error!(%error, "a request body could not be spooled");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, Reason::Disk, "spool")
            }
        }
    }
}

impl From<UpstreamError> for Failure {
    fn from(error: UpstreamError) -> Self {
        const BAD: StatusCode = StatusCode::BAD_GATEWAY;
        const LATE: StatusCode = StatusCode::GATEWAY_TIMEOUT;
        const BUSY: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
        match error {
            // A container that was stopped refuses nothing, it is not there: that is an upstream that is down (nginx would say 504).
            late if late.is_late() => Self::new(BAD, Reason::UpstreamConnect, "upstream_connect_timeout"),
            UpstreamError::Connect(error) => {
                tracing::debug!(%error, "no connection to the upstream");
                Self::new(BAD, Reason::UpstreamConnect, "upstream_connect")
            }
            UpstreamError::Reset => Self::new(BAD, Reason::UpstreamReset, "upstream_reset"),
            UpstreamError::Refused => Self::new(BAD, Reason::UpstreamReset, "upstream_refused"),
            UpstreamError::Timeout => Self::new(LATE, Reason::UpstreamTimeout, "upstream_timeout"),
            UpstreamError::QueueFull => Self::new(BUSY, Reason::QueueFull, "queue_full"),
            UpstreamError::QueueTimeout => Self::new(BUSY, Reason::QueueTimeout, "queue_timeout"),
            UpstreamError::Drained => Self::new(BUSY, Reason::UpstreamDrained, "upstream_drained"),
            UpstreamError::Killed(Killed::Timeout) => Self::new(LATE, Reason::UpstreamKilled, "killed_for_time"),
            UpstreamError::Killed(Killed::Memory) => Self::new(BAD, Reason::UpstreamKilled, "killed_for_memory"),
            UpstreamError::BadResponse(exact) => Self::new(BAD, Reason::UpstreamBad, exact),
            UpstreamError::Upload(error) => BufferError::from(error).into(),
            UpstreamError::Disk => Self::new(BUSY, Reason::Disk, "spool"),
        }
    }
}
