//! How a request is decided, for `monodon-edge explain`: a thread with a [`Trace`] takes a request through the pipeline that
//! every request takes, up to the upstream, which is not asked. There is no second pipeline that could say otherwise.

use super::Failure;
use crate::body::Body;
use crate::config::Options;
use crate::router::Entry;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, Uri, header};
use std::cell::RefCell;

#[derive(Default)]
pub struct Trace(RefCell<Told>);

/// What the pipeline has told.
#[derive(Clone, Default)]
pub struct Told {
    pub site: Option<Entry>,
    /// Normalised.
    pub path: Option<String>,
    pub place: Option<Place>,
    /// What stands before it, as far as it was asked, in this order.
    pub filters: Vec<Filter>,
    /// What was looked for in folders.
    pub looked: Vec<Looked>,
    /// It is sent to HTTPS, or to the site's own name.
    pub moved: bool,
    pub sent: Option<Sent>,
    /// Why the edge itself answers with an error.
    pub failure: Option<&'static str>,
}

/// A filter by its key, and what it says.
#[derive(Clone, Debug)]
pub struct Filter {
    pub key: &'static str,
    pub says: String,
}

#[derive(Clone, Debug)]
pub struct Looked {
    /// Place in the configuration.
    pub folder: usize,
    pub name: String,
    pub found: bool,
}

/// What would answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    CspReports,
    StatusPage,
    /// Place among the site's routes.
    Route(usize),
    /// Of the setting `static`: place in the configuration, and the file's name in it.
    Folder(usize, String),
    /// Of the setting `upstream`.
    Upstream,
    Nothing,
}

/// What an upstream would be asked.
#[derive(Clone, Debug)]
pub struct Sent {
    pub upstream: String,
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
}

impl Trace {
    pub fn told(&self) -> Told {
        self.0.borrow().clone()
    }

    pub fn site(&self, site: Option<Entry>) {
        self.0.borrow_mut().site = site;
    }

    pub fn place(&self, path: &str, place: Place) {
        let mut told = self.0.borrow_mut();
        told.path = Some(path.to_owned());
        told.place = Some(place);
    }

    pub fn failure(&self, exact: &'static str) {
        self.0.borrow_mut().failure = Some(exact);
    }

    pub fn filter(&self, key: &'static str, says: impl Into<String>) {
        self.0.borrow_mut().filters.push(Filter { key, says: says.into() });
    }

    /// What the rules on address, method and path have said, in their order.
    pub fn rules(&self, options: &Options, said: Result<bool, Failure>) {
        let rules = &options.access;
        let asked = [
            ("allow, deny", rules.networks.is_some(), Failure::DENIED),
            ("allow_methods", rules.methods.is_some(), Failure::METHOD),
            ("block_scanners", rules.block_scanners, Failure::SCANNER),
            ("deny_paths", rules.deny_paths.is_some(), Failure::DENIED_PATH),
        ];
        for (key, set, failure) in asked {
            let one_of = key == "allow, deny" && options.auth.is_on() && options.auth.any;
            match said {
                Err(refused) if refused == failure => return self.filter(key, "refuses it"),
                _ if !set => {}
                Ok(true) if one_of => {
                    self.filter(key, "does not know the address; credentials will do (satisfy = \"any\")");
                }
                Ok(false) if one_of => self.filter(key, "lets it pass without credentials (satisfy = \"any\")"),
                _ => self.filter(key, "lets it pass"),
            }
        }
    }

    pub fn looked(&self, folder: usize, name: &str, found: bool) {
        self.0.borrow_mut().looked.push(Looked { folder, name: name.to_owned(), found });
    }

    pub fn moved(&self) {
        self.0.borrow_mut().moved = true;
    }

    /// In the place of the upstream: the answer of one that has a page for everything.
    pub fn sent(&self, upstream: &str, head: &Parts) -> Response<Body> {
        self.0.borrow_mut().sent = Some(Sent {
            upstream: upstream.to_owned(),
            method: head.method.clone(),
            uri: head.uri.clone(),
            headers: head.headers.clone(),
        });
        let mut response = Response::new(Body::empty());
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        response
    }
}
