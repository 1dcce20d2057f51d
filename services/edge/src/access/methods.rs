//! Methods: which of them a setting may name, and which are let in.

use crate::config::Options;
use http::Method;

/// Never let in: TRACE would repeat to a page's script what the script may not read, and a tunnel to anywhere is not what a
/// site's front door is for (RFC 9110, sections 9.3.8 and 9.3.6).
const NEVER: [Method; 2] = [Method::TRACE, Method::CONNECT];

/// As far as its method goes.
pub fn lets_in(options: &Options, method: &Method) -> bool {
    !NEVER.contains(method) && options.access.methods.as_ref().is_none_or(|methods| methods.all.contains(method))
}

/// A setting's list, and what is wrong with it. Applications answer HEAD as GET: it must not get round what is asked of GET.
pub fn parse(texts: &[String]) -> (Vec<Method>, Vec<String>) {
    let (mut methods, mut wrong) = (Vec::new(), Vec::new());
    for text in texts {
        match Method::from_bytes(text.as_bytes()) {
            Ok(method) if NEVER.contains(&method) => wrong.push(format!("{method} is never let in; leave it out")),
            Ok(method) if text.bytes().all(|byte| byte.is_ascii_uppercase()) => methods.push(method),
            _ => wrong.push(format!("expected methods such as GET, got {text:?}")),
        }
    }
    if methods.contains(&Method::GET) && !methods.contains(&Method::HEAD) {
        methods.push(Method::HEAD);
    }
    (methods, wrong)
}
