//! The lines of the access log: JSON, or gunicorn's `access_log_format` with its atoms, compiled once and written
//! without Python. Knows nothing of connections: a [`Record`] says what happened.

mod clock;
pub mod escape;
mod format;
pub mod json;
mod line;

#[cfg(test)]
mod tests;

pub use clock::Clock;
pub use format::{Format, Wants};

/// gunicorn's default.
pub const COMBINED: &str = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#;

/// What became of a request. Texts are bytes as they came: whoever writes them escapes them.
pub struct Record<'r> {
    /// The client's address; empty for a unix socket.
    pub client: &'r [u8],
    /// Empty where the request line could not be read.
    pub method: &'r [u8],
    pub target: &'r [u8],
    /// `HTTP/1.1`
    pub protocol: &'static str,
    pub id: &'r [u8],
    pub status: u16,
    /// Bytes of the request's body.
    pub received: u64,
    /// Bytes of the response's body.
    pub sent: u64,
    /// Microseconds with the application.
    pub micros: u64,
    pub pid: u32,
    /// The process's entry in the scoreboard.
    pub entry: usize,
    /// The last field of the request by that name, whatever its case.
    pub field: &'r dyn Fn(&[u8]) -> Option<&'r [u8]>,
    /// The fields that the application has set, encoded; empty unless [`Wants::response`].
    pub response: &'r [u8],
    /// `Content-Length`, if the application has set it.
    pub length: Option<u64>,
    /// The values of [`Wants::environ`], in its order.
    pub environ: &'r [Option<String>],
}

impl<'r> Record<'r> {
    /// The fields that the application has set, in order.
    pub fn response_fields(&self) -> impl Iterator<Item = (&'r [u8], &'r [u8])> + use<'r> {
        // The first line is the status.
        self.response.split(|byte| *byte == b'\n').skip(1).filter_map(|line| {
            let at = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = line.split_at_checked(at)?;
            Some((name, value.get(1..)?.trim_ascii()))
        })
    }
}
