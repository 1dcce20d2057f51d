//! What a person reads: a title, what has happened, and what to do.

use http::StatusCode;

#[derive(Clone, Copy)]
pub struct Words {
    pub title: &'static str,
    pub detail: &'static str,
}

pub fn of(status: StatusCode, maintenance: bool) -> Words {
    let (title, detail) = match status.as_u16() {
        _ if maintenance => ("Back soon", "This site is being worked on. Please come back in a little while."),
        400 => ("Bad request", "The server could not make sense of this request."),
        401 => ("Sign in", "This page needs a name and a password."),
        403 => ("Forbidden", "This is not for everyone."),
        404 => ("Not found", "There is nothing at this address."),
        405 => ("Method not allowed", "This address cannot be used in this way."),
        408 => ("Request timeout", "The request took too long to arrive."),
        410 => ("Gone", "What was here has been removed."),
        412 => ("Precondition failed", "The file has changed in the meantime."),
        413 => ("Too large", "What was sent is larger than this site accepts."),
        414 => ("Address too long", "The address is longer than this site accepts."),
        416 => ("Range not satisfiable", "The file does not have the part that was asked for."),
        421 => ("Misdirected request", "This connection is for another site. Reload the page."),
        429 => ("Too many requests", "Please wait a moment before trying again."),
        431 => {
            ("Request header too large", "The browser sent more than this site accepts. Deleting its cookies may help.")
        }
        500 => ("Internal error", "Something went wrong here. It was logged."),
        501 => ("Not implemented", "The server cannot do this."),
        502 => ("Bad gateway", "The application did not answer. Please try again shortly."),
        503 => ("Busy", "The site is busy at the moment. Please try again shortly."),
        504 => ("Gateway timeout", "The application took too long to answer."),
        505 => ("HTTP version not supported", "The server speaks HTTP/1.0, HTTP/1.1 and HTTP/2."),
        _ => (status.canonical_reason().unwrap_or("Error"), ""),
    };
    Words { title, detail }
}

/// Whether asking again may help.
pub fn passes(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 421 | 429 | 500 | 502 | 503 | 504)
}

/// Whether the site's first page may help.
pub fn is_elsewhere(status: StatusCode) -> bool {
    matches!(status.as_u16(), 404 | 410)
}
