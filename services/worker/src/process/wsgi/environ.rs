//! The environ of a request: a prepared dictionary is copied, and what the request says is put in.

use std::{borrow::Cow, sync::Arc};

use monodon_http1::{Version, target};
use pyo3::{
    intern,
    prelude::*,
    types::{PyDict, PyString},
};

use super::{
    file::FileWrapper,
    hints::EarlyHints,
    input::Input,
    lend::Lender,
    names::{Forwarded, Kind, Names, Seen},
    text,
};
use crate::{
    config::Config,
    process::{
        body::Body,
        request::{self, Request},
        trust::Trust,
    },
};

/// Builds environs for one thread.
pub struct Environs {
    template: Py<PyDict>,
    names: Names,
    trust: Arc<Trust>,
    remote_host: Kept,
    remote_port: Kept,
    local_host: Kept,
    local_port: Kept,
    /// Whether environs are kept for the access log.
    keeps: bool,
}

/// A text that is mostly the same as the last time.
#[derive(Default)]
struct Kept {
    last: Vec<u8>,
    text: Option<Py<PyString>>,
}

impl Kept {
    fn get<'py>(&mut self, py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
        if let Some(known) = self.text.as_ref().filter(|_| self.last == bytes) {
            return Ok(known.bind(py).clone());
        }
        let fresh = text::latin1(py, bytes)?;
        self.last.clear();
        self.last.extend_from_slice(bytes);
        self.text = Some(fresh.clone().unbind());
        Ok(fresh)
    }
}

/// What the forwarded headers of a trusted peer say.
#[derive(Default)]
struct Told<'r> {
    chain: Vec<&'r [u8]>,
    proto: Option<&'r [u8]>,
    host: Option<&'r [u8]>,
    port: Option<&'r [u8]>,
}

impl<'r> Told<'r> {
    fn note(&mut self, what: Forwarded, value: &'r [u8]) {
        // Of several, the nearest proxy's, which is the last.
        let last = value.rsplit(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
        match what {
            Forwarded::For => self.chain.push(value),
            Forwarded::Proto => self.proto = Some(last),
            Forwarded::Host => self.host = Some(last).filter(|host| target::is_host(host)),
            Forwarded::Port => {
                self.port = Some(last).filter(|port| !port.is_empty() && port.iter().all(u8::is_ascii_digit));
            }
            Forwarded::Other => {}
        }
    }

    fn https(&self) -> bool {
        self.proto.is_some_and(|proto| proto.eq_ignore_ascii_case(b"https") || proto.eq_ignore_ascii_case(b"wss"))
    }

    fn port(&self) -> Option<Cow<'static, [u8]>> {
        if let Some(port) = self.port {
            return Some(Cow::Owned(port.to_vec()));
        }
        if let Some(port) = self.host.and_then(target::port_of) {
            return Some(Cow::Owned(port.to_string().into_bytes()));
        }
        self.proto.map(|_| Cow::Borrowed(if self.https() { b"443".as_slice() } else { b"80" }))
    }
}

impl Environs {
    pub fn new(py: Python<'_>, config: &Config, trust: Arc<Trust>, lender: &'static Lender) -> PyResult<Self> {
        let template = PyDict::new(py);
        template.set_item(intern!(py, "REQUEST_METHOD"), intern!(py, "GET"))?;
        template.set_item(intern!(py, "SCRIPT_NAME"), intern!(py, ""))?;
        template.set_item(intern!(py, "QUERY_STRING"), intern!(py, ""))?;
        template.set_item(intern!(py, "SERVER_PROTOCOL"), intern!(py, "HTTP/1.1"))?;
        template.set_item(intern!(py, "SERVER_SOFTWARE"), concat!("monodon/", env!("CARGO_PKG_VERSION")))?;
        template.set_item(intern!(py, "wsgi.version"), (1, 0))?;
        template.set_item(intern!(py, "wsgi.url_scheme"), intern!(py, "http"))?;
        template.set_item(intern!(py, "wsgi.input"), Py::new(py, Input::new(Body::Empty))?)?;
        template.set_item(intern!(py, "wsgi.input_terminated"), true)?;
        template.set_item(intern!(py, "wsgi.errors"), py.import("sys")?.getattr("stderr")?)?;
        template.set_item(intern!(py, "wsgi.multithread"), config.threads > 1)?;
        template.set_item(intern!(py, "wsgi.multiprocess"), config.workers > 1)?;
        template.set_item(intern!(py, "wsgi.run_once"), false)?;
        template.set_item(intern!(py, "wsgi.file_wrapper"), py.get_type::<FileWrapper>())?;
        template.set_item(intern!(py, "wsgi.early_hints"), Py::new(py, EarlyHints::new(lender))?)?;
        Ok(Self {
            template: template.unbind(),
            names: Names::new(),
            trust,
            remote_host: Kept::default(),
            remote_port: Kept::default(),
            local_host: Kept::default(),
            local_port: Kept::default(),
            keeps: config.logs.wants_environ(config),
        })
    }

    /// The environ of this request, whose body goes into it.
    pub fn build<'py>(&mut self, py: Python<'py>, request: &mut Request) -> PyResult<Bound<'py, PyDict>> {
        let environ = self.template.bind(py).copy()?;
        let body = std::mem::take(&mut request.body);
        let framed = !matches!(request.head.framing, monodon_http1::Framing::None);
        if framed {
            environ.set_item(intern!(py, "CONTENT_LENGTH"), body.len().to_string())?;
        }
        if !matches!(body, Body::Empty) {
            environ.set_item(intern!(py, "wsgi.input"), Py::new(py, Input::new(body))?)?;
        }
        request_line(&environ, request)?;
        let mut told = Told::default();
        self.fields(&environ, request, &mut told)?;
        self.addresses(&environ, request, &told)?;
        if self.keeps {
            request.kept = Some(Box::new(KeptEnviron(environ.clone().into_any().unbind())));
        }
        Ok(environ)
    }

    fn fields<'r>(&mut self, environ: &Bound<'_, PyDict>, request: &'r Request, told: &mut Told<'r>) -> PyResult<()> {
        let py = environ.py();
        let trusted = request.peer.trusted;
        let mut seen = Seen::default();
        for field in &request.head.fields {
            let bytes = request.of(field.value);
            let (number, name) = self.names.find(py, request.of(field.name));
            let joint = match name.kind {
                Kind::Plain => ",",
                Kind::Cookie => "; ",
                Kind::Framing | Kind::Dropped => continue,
                Kind::Forwarded(_) if !trusted => continue,
                Kind::Forwarded(what) => {
                    told.note(what, bytes);
                    ","
                }
            };
            let value = name.value(py, bytes)?;
            let key = name.key.bind(py);
            let before = match number {
                Some(number) if !seen.note(number) => None,
                _ => environ.get_item(key)?,
            };
            match before {
                Some(before) => environ.set_item(key, before.add(joint)?.add(value)?)?,
                None => environ.set_item(key, value)?,
            }
        }
        Ok(())
    }

    fn addresses(&mut self, environ: &Bound<'_, PyDict>, request: &Request, told: &Told<'_>) -> PyResult<()> {
        let py = environ.py();
        let peer = &request.peer;
        match self.trust.client(told.chain.iter().copied()) {
            Some(client) => {
                let client = client.to_string();
                environ.set_item(intern!(py, "REMOTE_ADDR"), self.remote_host.get(py, client.as_bytes())?)?;
            }
            None => {
                environ.set_item(intern!(py, "REMOTE_ADDR"), self.remote_host.get(py, peer.remote_host.as_bytes())?)?;
                if peer.remote.is_some() {
                    let port = self.remote_port.get(py, peer.remote_port.as_bytes())?;
                    environ.set_item(intern!(py, "REMOTE_PORT"), port)?;
                }
            }
        }
        environ.set_item(intern!(py, "SERVER_NAME"), self.local_host.get(py, peer.local_host.as_bytes())?)?;
        let told_port = told.port();
        let port = told_port.as_deref().unwrap_or(peer.local_port.as_bytes());
        environ.set_item(intern!(py, "SERVER_PORT"), self.local_port.get(py, port)?)?;
        if told.https() {
            environ.set_item(intern!(py, "wsgi.url_scheme"), intern!(py, "https"))?;
        }
        if let Some(proxied) = &peer.proxied {
            environ.set_item(intern!(py, "PROXY_PROTOCOL"), proxied.protocol)?;
            if let Some((host, port)) = &proxied.address {
                environ.set_item(intern!(py, "PROXY_ADDR"), host)?;
                environ.set_item(intern!(py, "PROXY_PORT"), port)?;
            }
        }
        let absolute = request.head.host.filter(|_| request.target().first() != Some(&b'/'));
        if let Some(host) = told.host.or(absolute.map(|host| request.of(host))) {
            environ.set_item(intern!(py, "HTTP_HOST"), text::latin1(py, host)?)?;
        }
        Ok(())
    }
}

/// The environ, as the application and its middleware have left it.
struct KeptEnviron(Py<PyAny>);

impl request::Kept for KeptEnviron {
    fn environ(&self, keys: &[String]) -> Vec<Option<String>> {
        Python::attach(|py| {
            let mut values = vec![None; keys.len()];
            let Ok(environ) = self.0.bind(py).cast::<PyDict>() else { return values };
            for (key, value) in environ {
                let Some(name) = key.cast::<PyString>().ok().map(|key| key.to_string_lossy().to_lowercase()) else {
                    continue;
                };
                if let Some(place) = keys.iter().position(|key| *key == name)
                    && let Some(found) = values.get_mut(place)
                {
                    *found = value.str().ok().map(|text| text.to_string_lossy().into_owned());
                }
            }
            values
        })
    }

    fn object(&self) -> &Py<PyAny> {
        &self.0
    }
}

fn request_line(environ: &Bound<'_, PyDict>, request: &Request) -> PyResult<()> {
    let py = environ.py();
    let key = intern!(py, "REQUEST_METHOD");
    match request.method() {
        b"GET" => {}
        b"POST" => environ.set_item(key, intern!(py, "POST"))?,
        b"HEAD" => environ.set_item(key, intern!(py, "HEAD"))?,
        other => environ.set_item(key, text::latin1(py, other)?)?,
    }
    if matches!(request.head.version, Version::Http10) {
        environ.set_item(intern!(py, "SERVER_PROTOCOL"), intern!(py, "HTTP/1.0"))?;
    }
    let raw = request.target();
    let whole = text::latin1(py, raw)?;
    environ.set_item(intern!(py, "RAW_URI"), &whole)?;
    environ.set_item(intern!(py, "REQUEST_URI"), &whole)?;
    // The codec has accepted the target, so taking it apart cannot fail.
    let (path, query) = target::split(raw).map_or((raw, None), |parts| (parts.path, parts.query));
    if let Some(query) = query.filter(|query| !query.is_empty()) {
        environ.set_item(intern!(py, "QUERY_STRING"), text::latin1(py, query)?)?;
    }
    let key = intern!(py, "PATH_INFO");
    if path.len() == raw.len() && !path.contains(&b'%') {
        environ.set_item(key, whole)?;
    } else {
        environ.set_item(key, text::latin1(py, &target::decoded(path))?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_follows_from_what_the_proxy_says() {
        let mut told = Told::default();
        assert_eq!(told.port(), None);
        told.note(Forwarded::Proto, b"https");
        assert_eq!(told.port().as_deref(), Some(b"443".as_slice()));
        told.note(Forwarded::Host, b"example.org:8443");
        assert_eq!(told.port().as_deref(), Some(b"8443".as_slice()));
        told.note(Forwarded::Port, b"9443");
        assert_eq!(told.port().as_deref(), Some(b"9443".as_slice()));
        told.note(Forwarded::Port, b"x");
        assert_eq!(told.port, None);
    }
}
