//! Our own pages. They load nothing, run nothing, and say so in a policy of their own.

use super::words;
use super::{Format, Told};
use http::Method;

/// Only this style, which is named by its hash: the page reads well under any policy of the site.
pub const POLICY: &str = "default-src 'none'; style-src 'sha256-W+US1loRP0gHAyBXxT9CCi6MnT2OFq7oKiTi3LGstRU='; base-uri 'none'; \
                          form-action 'none'; frame-ancestors 'none'";

const HEAD: &str = concat!(
    r#"<!doctype html><html lang="en"><head><meta charset="utf-8">"#,
    r#"<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">"#,
    r#"<meta name="color-scheme" content="light dark"><title>"#
);

pub const STYLE: &str = concat!(
    ":root{color-scheme:light dark;--ink:#16212c;--soft:#566574;--line:#dfe4e9;--paper:#f7f8fa;--sheet:#fff;--accent:#1f6688}",
    "@media(prefers-color-scheme:dark){:root{--ink:#e9eef3;--soft:#9aa8b5;--line:#2a343e;--paper:#10161b;--sheet:#182027;--accent:#83c3e2}}",
    "*{box-sizing:border-box}",
    "body{margin:0;min-height:100vh;min-height:100svh;display:grid;place-items:center;padding:1.5rem;background:var(--paper);",
    r#"color:var(--ink);font:1.0625rem/1.6 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}"#,
    "main{width:100%;max-width:34rem;padding:clamp(1.75rem,6vw,3rem);background:var(--sheet);border:1px solid var(--line);border-radius:14px}",
    ".code{margin:0;font-size:.9375rem;font-weight:600;letter-spacing:.06em;color:var(--accent);font-variant-numeric:tabular-nums}",
    "h1{margin:.35rem 0 .75rem;font-size:clamp(1.75rem,5vw,2.25rem);line-height:1.2;letter-spacing:-.02em;text-wrap:balance}",
    "p{margin:0}",
    ".go{margin-top:1.5rem}a{color:var(--accent);font-weight:600;text-underline-offset:.2em}",
    "a:focus-visible{outline:2px solid;outline-offset:4px;border-radius:2px}",
    "footer{margin-top:2rem;padding-top:1rem;border-top:1px solid var(--line);color:var(--soft);font-size:.8125rem}",
    "code{font:.8125rem ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}"
);

/// The page's text. Titles and details are our own words, and an id has harmless characters only.
pub fn body(told: &Told<'_>, format: Format) -> String {
    let (code, title, detail, id) = (told.status.as_str(), told.words.title, told.words.detail, told.id());
    match format {
        Format::Html => {
            let go = match told.status {
                _ if told.method != Method::GET => "",
                status if words::passes(status) => r#"<p class="go"><a href="">Try again</a></p>"#,
                status if words::is_elsewhere(status) => r#"<p class="go"><a href="/">Go to the start page</a></p>"#,
                _ => "",
            };
            [
                HEAD,
                code,
                " ",
                title,
                "</title><style>",
                STYLE,
                r#"</style></head><body><main><p class="code">"#,
                code,
                "</p><h1>",
                title,
                "</h1><p>",
                detail,
                "</p>",
                go,
                "<footer>Request <code>",
                id,
                "</code></footer></main></body></html>\n",
            ]
            .concat()
        }
        Format::Json | Format::Problem => [
            r#"{"type":"about:blank","title":""#,
            title,
            r#"","status":"#,
            code,
            r#","error":""#,
            title,
            r#"","detail":""#,
            detail,
            r#"","request_id":""#,
            id,
            "\"}\n",
        ]
        .concat(),
        Format::Text => {
            let gap = if detail.is_empty() { "" } else { "\n" };
            [code, " ", title, gap, detail, "\nRequest ", id, "\n"].concat()
        }
    }
}
