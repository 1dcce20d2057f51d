//! The environ of a request: a prepared dictionary is copied, and what the request says is put in.

use std::sync::Arc;

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
    names::{Kind, Names, Seen},
    text,
    told::Told,
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
    /// Where the application is mounted, unless the proxy says so.
    mount: Vec<u8>,
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

/// Why a request gets no environ.
pub enum Unfit {
    /// Status, and the reason for the log.
    Refused(u16, &'static str),
    Failed(PyErr),
}

impl From<PyErr> for Unfit {
    fn from(error: PyErr) -> Self {
        Self::Failed(error)
    }
}

impl Environs {
    pub fn new(py: Python<'_>, config: &Config, trust: Arc<Trust>, lender: &'static Lender) -> PyResult<Self> {
        let template = PyDict::new(py);
        template.set_item(intern!(py, "REQUEST_METHOD"), intern!(py, "GET"))?;
        let mount = mount(py, config)?;
        template.set_item(intern!(py, "SCRIPT_NAME"), text::latin1(py, &mount)?)?;
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
            names: Names::new(&config.proxies),
            mount,
            trust,
            remote_host: Kept::default(),
            remote_port: Kept::default(),
            local_host: Kept::default(),
            local_port: Kept::default(),
            keeps: config.logs.wants_environ(config),
        })
    }

    /// The environ of this request, whose body goes into it.
    pub fn build<'py>(&mut self, py: Python<'py>, request: &mut Request) -> Result<Bound<'py, PyDict>, Unfit> {
        let environ = self.template.bind(py).copy()?;
        let body = std::mem::take(&mut request.body);
        let framed = !matches!(request.head.framing, monodon_http1::Framing::None);
        if framed {
            environ.set_item(intern!(py, "CONTENT_LENGTH"), body.len().to_string())?;
        }
        if !matches!(body, Body::Empty) {
            environ.set_item(intern!(py, "wsgi.input"), Py::new(py, Input::new(body))?)?;
        }
        let mut told = Told::default();
        self.fields(&environ, request, &mut told)?;
        if told.contradicts() {
            return Err(Unfit::Refused(400, "the proxy's header fields contradict each other about the scheme"));
        }
        self.request_line(&environ, request, &told)?;
        self.addresses(&environ, request, &told)?;
        if self.keeps {
            request.kept = Some(Box::new(KeptEnviron(environ.clone().into_any().unbind())));
        }
        Ok(environ)
    }

    fn fields<'r>(
        &mut self,
        environ: &Bound<'_, PyDict>,
        request: &'r Request,
        told: &mut Told<'r>,
    ) -> Result<(), Unfit> {
        let py = environ.py();
        let trusted = request.peer.trusted;
        let mut seen = Seen::default();
        for field in &request.head.fields {
            let bytes = request.of(field.value);
            let (number, name) = self.names.find(py, request.of(field.name));
            let joint = match if trusted { name.kind } else { name.strangers } {
                Kind::Plain => ",",
                Kind::Cookie => "; ",
                Kind::Framing | Kind::Dropped => continue,
                Kind::Refused => return Err(Unfit::Refused(400, "the name of a header field has an underscore")),
                Kind::Forwarded(what) => {
                    told.note(what, bytes);
                    if let Some(secure) = &name.secure {
                        told.scheme(bytes, secure);
                    }
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

    fn request_line(&self, environ: &Bound<'_, PyDict>, request: &Request, told: &Told<'_>) -> Result<(), Unfit> {
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
        let path = match told.script.map_or(self.mount.as_slice(), |script| without_slash(script)) {
            b"" => path,
            mount => {
                let below = path.strip_prefix(mount).filter(|below| matches!(below.first(), None | Some(b'/')));
                below.ok_or(Unfit::Refused(404, "the path is not below SCRIPT_NAME"))?
            }
        };
        if let Some(script) = told.script {
            environ.set_item(intern!(py, "SCRIPT_NAME"), text::latin1(py, without_slash(script))?)?;
        }
        let key = intern!(py, "PATH_INFO");
        if path.len() == raw.len() && !path.contains(&b'%') {
            environ.set_item(key, whole)?;
        } else {
            environ.set_item(key, text::latin1(py, &target::decoded(path))?)?;
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
        // A unix socket has neither name nor port: then they are what the client asked for, as with gunicorn.
        let asked = request.head.host.map(|host| request.of(host)).filter(|_| peer.local_port.is_empty());
        let name = asked.map_or(peer.local_host.as_bytes(), target::name_of);
        environ.set_item(intern!(py, "SERVER_NAME"), self.local_host.get(py, name)?)?;
        let told_port = told.port().or_else(|| Some(target::port_of(asked?)?.to_string().into_bytes().into()));
        let local = if peer.local_port.is_empty() { "80" } else { &peer.local_port };
        let port = told_port.as_deref().unwrap_or(local.as_bytes());
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

/// `root_path`, or as gunicorn has it the environment's SCRIPT_NAME, into which `raw_env` or the configuration file may
/// have put it.
fn mount(py: Python<'_>, config: &Config) -> PyResult<Vec<u8>> {
    let mount = match &config.proxies.root_path {
        Some(path) => path.clone(),
        None => py.import("os")?.getattr("environ")?.call_method1("get", ("SCRIPT_NAME", ""))?.extract()?,
    };
    Ok(without_slash(mount.as_bytes()).to_vec())
}

fn without_slash(mut path: &[u8]) -> &[u8] {
    while let [rest @ .., b'/'] = path {
        path = rest;
    }
    path
}
