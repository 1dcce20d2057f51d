//! How a request is decided, for `monodon-edge explain`: a thread with a [`Trace`] takes a request through the pipeline that
//! every request takes, up to the upstream, which is not asked. There is no second pipeline that could say otherwise.

use crate::body::Body;
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
    pub sent: Option<Sent>,
    /// Why the edge itself answers with an error.
    pub failure: Option<&'static str>,
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
