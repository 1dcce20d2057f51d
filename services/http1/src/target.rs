//! The request target and the host (RFC 9112 3.2, RFC 9110 4.2 and 7.2).

use std::borrow::Cow;
use std::net::Ipv6Addr;

use crate::Reject;
use crate::bytes::all_target;

/// A target taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'t> {
    /// Of absolute and authority form only.
    pub host: Option<&'t [u8]>,
    /// As it was sent: nothing decoded, nothing merged. `*` for the asterisk form, empty for the authority form.
    pub path: &'t [u8],
    /// Without the `?`.
    pub query: Option<&'t [u8]>,
    pub form: Form,
    /// Path and query together, as they were sent: without the host, and empty where an absolute form has neither.
    pub rest: &'t [u8],
    /// Where in the target the host begins.
    pub(crate) host_at: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Origin,
    Absolute,
    Authority,
    Asterisk,
}

/// Takes a target apart, whatever the method. Space, control, non-ASCII and `#` are refused.
pub fn split(target: &[u8]) -> Result<Target<'_>, Reject> {
    if target.is_empty() || !all_target(target) {
        return Err(Reject::Target);
    }
    if target.first() == Some(&b'/') {
        let (path, query) = split_query(target);
        return Ok(Target { host: None, path, query, form: Form::Origin, rest: target, host_at: 0 });
    }
    if target == b"*" {
        return Ok(Target { host: None, path: target, query: None, form: Form::Asterisk, rest: target, host_at: 0 });
    }
    if let Some(scheme) = scheme_len(target) {
        return absolute(target, scheme);
    }
    // RFC 9112 3.2.3: host and port, both.
    if is_host(target) && port_of(target).is_some() {
        return Ok(Target { host: Some(target), path: b"", query: None, form: Form::Authority, rest: b"", host_at: 0 });
    }
    Err(Reject::Target)
}

/// A path, decoded once (RFC 3986 2.1); what is no valid escape stays as it is.
pub fn decoded(path: &[u8]) -> Cow<'_, [u8]> {
    if !path.contains(&b'%') {
        return Cow::Borrowed(path);
    }
    let digit = |byte: Option<&u8>| u8::try_from(char::from(*byte?).to_digit(16)?).ok();
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let escape = (byte == b'%').then(|| Some(digit(after.first())? << 4 | digit(after.get(1))?)).flatten();
        match escape {
            Some(value) => {
                decoded.push(value);
                rest = after.get(2..).unwrap_or_default();
            }
            None => decoded.push(byte),
        }
    }
    Cow::Owned(decoded)
}

/// [`split`], and the form is one that the method may have: authority for CONNECT and only there, `*` for OPTIONS only.
pub fn check<'t>(method: &[u8], target: &'t [u8]) -> Result<Target<'t>, Reject> {
    let parts = split(target)?;
    let fits = match parts.form {
        Form::Origin | Form::Absolute => method != b"CONNECT",
        Form::Authority => method == b"CONNECT",
        Form::Asterisk => method == b"OPTIONS",
    };
    if fits { Ok(parts) } else { Err(Reject::TargetForm) }
}

/// RFC 9110 4.2.1 and 4.2.2; a scheme is written in any case.
fn scheme_len(target: &[u8]) -> Option<usize> {
    [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme)))
        .map(<[u8]>::len)
}

fn absolute(target: &[u8], scheme: usize) -> Result<Target<'_>, Reject> {
    let rest = target.get(scheme..).unwrap_or_default();
    let end = rest.iter().position(|&b| b == b'/' || b == b'?').unwrap_or(rest.len());
    let (host, rest) = rest.split_at_checked(end).ok_or(Reject::Target)?;
    // RFC 9110 4.2.4: userinfo in an authority is an error; `is_host` knows no `@`.
    if !is_host(host) {
        return Err(Reject::Host);
    }
    let (path, query) = split_query(rest);
    // RFC 9110 4.2.3: an empty path is `/`.
    let path = if path.is_empty() { b"/" } else { path };
    Ok(Target { host: Some(host), path, query, form: Form::Absolute, rest, host_at: scheme })
}

fn split_query(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'?', target) {
        Some(at) => (target.get(..at).unwrap_or_default(), target.get(at.saturating_add(1)..)),
        None => (target, None),
    }
}

/// host or host:port, as Host and an authority have it (RFC 9110 7.2): a name, an IPv4 address or an IPv6 address in brackets.
/// Narrower than RFC 3986's reg-name on purpose: no percent-encoding, no sub-delimiters, no empty label, no empty port, no userinfo.
pub fn is_host(host: &[u8]) -> bool {
    let (name, port) = match host {
        [b'[', rest @ ..] => {
            let Some(end) = memchr::memchr(b']', rest) else { return false };
            let Some((address, port)) = rest.split_at_checked(end) else { return false };
            // RFC 3986 3.2.2; no zone.
            let valid = std::str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok());
            (if valid { address } else { b"" }, port.get(1..).unwrap_or_default())
        }
        _ => {
            let end = memchr::memchr(b':', host).unwrap_or(host.len());
            let Some((name, port)) = host.split_at_checked(end) else { return false };
            (if is_name(name) { name } else { b"" }, port)
        }
    };
    !name.is_empty() && (port.is_empty() || port_number(port).is_some())
}

/// The name or address of a valid host:port, without the brackets of an IPv6 address.
pub fn name_of(host: &[u8]) -> &[u8] {
    match host {
        [b'[', rest @ ..] => rest.split(|&b| b == b']').next().unwrap_or_default(),
        _ => host.split(|&b| b == b':').next().unwrap_or_default(),
    }
}

/// The port of a valid host:port, if it has one.
pub fn port_of(host: &[u8]) -> Option<u16> {
    let at = memchr::memrchr(b':', host)?;
    port_number(host.get(at..)?)
}

fn is_name(name: &[u8]) -> bool {
    let bytes = name.iter().fold(true, |good, &b| good & (b.is_ascii_alphanumeric() | matches!(b, b'-' | b'.' | b'_')));
    bytes && name.len() <= 253 && name.first() != Some(&b'.') && !name.windows(2).any(|pair| pair == b"..")
}

/// `:` and 1 to 5 digits, at most 65535.
fn port_number(port: &[u8]) -> Option<u16> {
    let [b':', digits @ ..] = port else { return None };
    if digits.is_empty() || digits.len() > 5 {
        return None;
    }
    let mut number = 0u32;
    for &b in digits {
        let digit = if b.is_ascii_digit() { b & 0x0f } else { return None };
        number = number.saturating_mul(10).saturating_add(u32::from(digit));
    }
    u16::try_from(number).ok()
}
