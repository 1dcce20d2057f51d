//! `monodon-edge explain URL`: takes a request through the pipeline as far as the upstream, and tells how it went. The
//! configuration is read as `run` would read it; no running edge is asked, and nobody is sent anything.

pub mod report;

use super::{Words, say, wrong_use};
use crate::access_log::Log;
use crate::body::Body;
use crate::buffer::Spool;
use crate::config::load::{self, Loaded};
use crate::config::{self, Host, Tls};
use crate::connection::{ConnInfo, Protocol, TlsInfo};
use crate::drain;
use crate::service::{self, Thread};
use crate::snapshot::Snapshot;
use crate::tls::Certificates;
use http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use report::Report;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

/// Somebody on the internet: an address of documentation's (RFC 5737), that no rule can mean.
const SOMEBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));

pub fn run(args: &[OsString]) -> ExitCode {
    let mut words = Words::new(args);
    let (all, as_json) = (words.flag("--all"), words.flag("--json"));
    let asked = match Asked::read(&mut words) {
        Ok(asked) => asked,
        Err(wrong) => return wrong_use(&wrong),
    };
    let loaded = match load::loaded(&words.rest, std::env::vars_os()) {
        Ok(loaded) => loaded,
        Err(problems) => return problems.exit("monodon-edge"),
    };
    match explain(&loaded, asked) {
        Ok(report) if as_json => say(&format!("{:#}\n", report.json())),
        Ok(report) => say(&report.text(all)),
        Err(wrong) => wrong_use(&wrong),
    }
}

/// The request that is meant.
pub struct Asked {
    pub url: String,
    pub method: Method,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub client: IpAddr,
}

impl Asked {
    /// Somebody's GET.
    pub fn get(url: &str) -> Self {
        Self { url: url.to_owned(), method: Method::GET, headers: Vec::new(), client: SOMEBODY }
    }

    fn read(words: &mut Words) -> Result<Self, String> {
        let method = words.values(&["--method", "-X"])?.pop();
        let method = method.map_or(Ok(Method::GET), |text| {
            Method::from_bytes(text.as_bytes())
                .map_err(|_| format!("--method: expected one such as POST, got {text:?}"))
        })?;
        let mut headers = Vec::new();
        for text in words.values(&["--header", "-H"])? {
            let pair = text.split_once(':').and_then(|(name, value)| {
                Some((name.trim().parse::<HeaderName>().ok()?, value.trim().parse::<HeaderValue>().ok()?))
            });
            headers.push(pair.ok_or_else(|| format!("--header: expected 'Name: value', got {text:?}"))?);
        }
        let client = words.values(&["--client"])?.pop().map_or(Ok(SOMEBODY), |text| {
            text.parse().map_err(|_| format!("--client: expected an address such as 192.0.2.7, got {text:?}"))
        })?;
        let flag = |word: &OsString| word.as_encoded_bytes().starts_with(b"-");
        // Before the settings, or behind them, where it is no flag's value.
        let place = match words.rest.as_slice() {
            [first, ..] if !flag(first) => Some(0),
            [.., before, last] if !flag(before) && !flag(last) => Some(words.rest.len() - 1),
            _ => None,
        };
        let url = place.and_then(|place| words.rest.remove(place).into_string().ok());
        let url = url.ok_or("explain: which URL? For example: monodon-edge explain https://shop.example/api/items")?;
        Ok(Self { url, method, headers, client })
    }
}

/// Scheme, host and target of what a person wrote: a whole URL, one without scheme, or only a path.
fn take_apart(url: &str, config: &config::Config) -> Result<(bool, String, Uri), String> {
    // Not one that stands in the path or the query.
    let whole = url.split_once("://").filter(|(scheme, _)| !scheme.contains(['/', '?', '#']));
    let (scheme, rest) = whole.map_or((None, url), |(scheme, rest)| (Some(scheme), rest));
    let secure = match scheme {
        Some("https") => true,
        Some("http") => false,
        None => !config.listen.https.is_empty(),
        Some(other) => return Err(format!("explain: expected http:// or https://, got {other:?}")),
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, target) = rest.split_at(at);
    let host = if host.is_empty() { own_host(config) } else { host.to_owned() };
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    let uri = target.parse().map_err(|error| format!("explain: {target:?} is not a request's target: {error}"))?;
    Ok((secure, host, uri))
}

/// What a client says in the handshake of the host of a URL: of an address nothing (RFC 6066, section 3).
fn server_name(host: &str) -> Option<Box<str>> {
    let name = crate::host::parse(host)?;
    let is_address = name.starts_with('[') || name.parse::<Ipv4Addr>().is_ok();
    (!is_address).then(|| name.into_owned().into_boxed_str())
}

/// Of the first site that has a name.
fn own_host(config: &config::Config) -> String {
    let exact = config.sites.iter().flat_map(|site| &site.hosts).find_map(|host| match host {
        Host::Exact(name) => Some(name.clone()),
        Host::Below(_) => None,
    });
    exact.unwrap_or_else(|| "localhost".into())
}

/// Takes the request through the pipeline.
pub fn explain(loaded: &Loaded, asked: Asked) -> Result<Report<'_>, String> {
    let config = &loaded.config;
    let (secure, host, uri) = take_apart(&asked.url, config)?;
    let mut request = Request::new(());
    *request.method_mut() = asked.method.clone();
    *request.uri_mut() = uri;
    let value = HeaderValue::from_str(&host).map_err(|_| format!("explain: {host:?} is not a host"))?;
    request.headers_mut().insert(header::HOST, value);
    for (name, value) in asked.headers {
        if name == header::HOST {
            request.headers_mut().insert(name, value);
        } else {
            request.headers_mut().append(name, value);
        }
    }
    let (seen, ()) = request.into_parts();
    let request = Request::from_parts(seen.clone(), Body::empty());
    let tls = secure.then(|| TlsInfo { sni: server_name(&host), version: "TLSv1.3", cipher: "" });
    let listening = if secure { &config.listen.https } else { &config.listen.http };
    let usual = SocketAddr::from(([127, 0, 0, 1], if secure { 443 } else { 80 }));
    let local = listening.first().copied().unwrap_or(usual);
    let conn = Rc::new(ConnInfo::new((asked.client, 50_000).into(), local, tls, Protocol::Http1));

    let failed = |error: std::io::Error| format!("explain: {error}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let local = tokio::task::LocalSet::new();
    let (response, told) = local.block_on(&runtime, async {
        // Nothing of the configuration's folders is touched.
        let spool = config::Spool { dir: std::env::temp_dir(), limit: 0, memory: 0 };
        let spool = Arc::new(Spool::open(&spool).map_err(failed)?);
        let certificates = Certificates::open(&Tls::default())?;
        let lines = monodon_logging::Lines::open("off").map_err(failed)?;
        let (_control, drain) = drain::channel();
        let snapshot = Arc::new(Snapshot::build(config.clone(), spool, None));
        let thread = Thread::new(0, snapshot, certificates, Arc::default(), Log::new(lines), drain);
        let thread = thread.explaining().ok_or("explain: the thread is in use")?;
        let response = service::serve(&thread, &conn, request).await;
        let told = thread.trace.as_ref().map(service::trace::Trace::told).unwrap_or_default();
        Ok::<_, String>((response, told))
    })?;
    runtime.shutdown_background();
    let (answer, _) = response.into_parts();
    let target = seen.uri.path_and_query().map_or("/", |target| target.as_str());
    let url = format!("{}://{host}{target}", if secure { "https" } else { "http" });
    Ok(Report { url, method: seen.method, headers: seen.headers, client: asked.client, loaded, told, answer })
}
