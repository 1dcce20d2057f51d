//! One plain page for every error, in HTML, text or JSON as the client asks; it names the request's id.

use crate::body::Body;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

/// What a person reads: a title and what to do.
fn words(status: StatusCode) -> (&'static str, &'static str) {
    match status.as_u16() {
        400 => ("Bad request", "The server could not make sense of this request."),
        401 => ("Sign in", "This page needs a name and a password."),
        403 => ("Forbidden", "This is not for everyone."),
        404 => ("Not found", "There is nothing at this address."),
        405 => ("Method not allowed", "This address cannot be used in this way."),
        408 => ("Request timeout", "The request took too long to arrive."),
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
    }
}

/// In this order of preference.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    Html,
    Json,
    Text,
}

fn format(headers: &HeaderMap) -> Format {
    let Some(accept) = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()) else {
        return Format::Html;
    };
    if accept.contains("text/html") {
        Format::Html
    } else if accept.contains("application/json") || accept.contains("+json") {
        Format::Json
    } else if accept.contains("text/plain") {
        Format::Text
    } else {
        Format::Html
    }
}

const HEAD: &str = r##"<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex"><title>"##;
const STYLE: &str = r##"</title><style>:root{color-scheme:light dark;--ink:#1d2733;--soft:#64717f;--paper:#f6f7f9;--accent:#2f6f8f}@media(prefers-color-scheme:dark){:root{--ink:#e7ecf1;--soft:#93a1af;--paper:#141a20;--accent:#7db9d6}}*{box-sizing:border-box}body{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--paper);color:var(--ink);font:17px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}main{max-width:34rem;padding:2rem}b{display:block;font-size:4.5rem;line-height:1;font-weight:700;letter-spacing:-.03em;color:var(--accent)}h1{margin:.6rem 0 .4rem;font-size:1.55rem}p{margin:0 0 1.6rem}small{color:var(--soft)}code{font:13px ui-monospace,SFMono-Regular,Menlo,monospace;overflow-wrap:anywhere}</style></head><body><main><b>"##;

/// The whole answer. `headers` are the request's, for `Accept`.
pub fn page(status: StatusCode, id: &HeaderValue, headers: &HeaderMap) -> Response<Body> {
    let (title, text) = words(status);
    let id = id.to_str().unwrap_or("");
    let format = format(headers);
    let (media, body) = match format {
        Format::Html => {
            let code = status.as_str();
            let parts = [
                HEAD,
                code,
                " ",
                title,
                STYLE,
                code,
                "</b><h1>",
                title,
                "</h1><p>",
                text,
                "</p><small>Request <code>",
                id,
                "</code></small></main></body></html>\n",
            ];
            ("text/html; charset=utf-8", parts.concat())
        }
        Format::Json => {
            let parts = [
                r#"{"status":"#,
                status.as_str(),
                r#","error":""#,
                title,
                r#"","detail":""#,
                text,
                r#"","request_id":""#,
                id,
                "\"}\n",
            ];
            ("application/json", parts.concat())
        }
        Format::Text => {
            let parts = [status.as_str(), " ", title, "\n", text, "\nRequest ", id, "\n"];
            ("text/plain; charset=utf-8", parts.concat())
        }
    };
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    if matches!(status.as_u16(), 429 | 503) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(accept: Option<&'static str>, status: u16) -> (Response<Body>, String) {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        }
        let status = StatusCode::from_u16(status).unwrap();
        let mut response = page(status, &HeaderValue::from_static("abc123"), &headers);
        let bytes = response.body_mut().take_full().unwrap();
        (response, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn speaks_what_is_asked_for() {
        let (response, page) = text(Some("text/html,application/xhtml+xml,*/*;q=0.8"), 502);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
        assert!(page.contains("<code>abc123</code>") && page.contains("502"));
        let (_, json) = text(Some("application/json"), 503);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((json["status"].as_u64(), json["request_id"].as_str()), (Some(503), Some("abc123")));
        assert!(text(Some("text/plain"), 404).1.starts_with("404 Not found\n"));
        assert!(text(None, 503).0.headers().contains_key(header::RETRY_AFTER));
    }
}
