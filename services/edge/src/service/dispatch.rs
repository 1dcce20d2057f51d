//! From a site's request to what answers it: challenge, redirects, status page, route, folder, upstream.

use super::accel::{self, Pointed};
use super::aim::{aim, elsewhere, fill, send_below};
use super::{Failure, View, csp_report, files, filters, status_page, to_upstream, trace};
use crate::access_log::Record;
use crate::body::Body;
use crate::config::{Action, Route, Site, StatusPage};
use crate::connection::ConnInfo;
use crate::headers::forward::Origin;
use crate::router;
use crate::upstream::{Accel, Upstream};
use crate::{access, path, redirect};
use http::request::Parts;
use http::{HeaderMap, Method, Response, header};
use regex::Captures;
use std::rc::Rc;

/// nginx's bound on internal redirects.
const HOPS: usize = 10;

/// What is known of a request once its site and its path are.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub view: &'a Rc<View>,
    pub conn: &'a Rc<ConnInfo>,
    pub origin: &'a Origin,
    pub site: &'a Site,
    /// Lower case, without port.
    pub host: &'a str,
    pub scheme: &'static str,
    /// Normalised: what everything is decided by.
    pub path: &'a str,
}

impl Asked<'_> {
    /// It has a password of its own.
    pub fn is_status_page(&self) -> bool {
        let page = self.view.snapshot.config.status_page.as_ref();
        page.is_some_and(|page| status_page::matches(page, self.path).is_some())
    }
}

/// What a route made of a request.
pub enum Step {
    Answer(Response<Body>),
    /// Another path of the site has the answer; the request's body is still there.
    Again(String, Body),
}

/// What the application said of the file that it pointed to.
pub type Said<'a> = Option<&'a HeaderMap>;

/// What answers a request.
enum Place<'a> {
    /// What browsers say of violated policies.
    CspReports,
    StatusPage {
        page: &'a StatusPage,
        upstream: &'a Rc<Upstream>,
        rest: &'a str,
    },
    Route {
        place: usize,
        route: &'a Route,
        captures: Option<Captures<'a>>,
    },
    Folder {
        index: usize,
        name: &'a str,
    },
    Upstream(&'a Rc<Upstream>),
    Nothing,
}

impl Place<'_> {
    fn told(&self) -> trace::Place {
        match self {
            Self::CspReports => trace::Place::CspReports,
            Self::StatusPage { .. } => trace::Place::StatusPage,
            Self::Route { place, .. } => trace::Place::Route(*place),
            Self::Folder { index, name } => trace::Place::Folder(*index, (*name).to_owned()),
            Self::Upstream(_) => trace::Place::Upstream,
            Self::Nothing => trace::Place::Nothing,
        }
    }
}

/// The status page, the first route that takes the request, else the folders and the upstream of the flat settings.
fn place<'a>(asked: &'a Asked<'_>, parts: &Parts) -> Place<'a> {
    let Asked { view, path, .. } = asked;
    if view.snapshot.config.headers.csp_report_path.as_deref() == Some(*path) {
        return Place::CspReports;
    }
    if let (Some(page), Some(upstream)) = (&view.snapshot.config.status_page, &view.status)
        && let Some(rest) = status_page::matches(page, path)
    {
        return Place::StatusPage { page, upstream, rest };
    }
    if let Some((place, route, captures)) = router::route(asked.site, path, &parts.method, &parts.headers) {
        return Place::Route { place, route, captures };
    }
    if let Some((index, name)) = view.files.find(path) {
        return Place::Folder { index, name };
    }
    match view.upstreams.first().filter(|upstream| upstream.has_addresses()) {
        Some(upstream) => Place::Upstream(upstream),
        None => Place::Nothing,
    }
}

/// Finds what answers, asks the filters whether it may, has it answer, and gives the filters the answer. It may be
/// sent on within the site: by `try_files`, or by the application's word.
pub async fn dispatch(
    asked: &Asked<'_>,
    parts: &mut Parts,
    mut body: Body,
    record: &mut Record,
) -> Result<Response<Body>, Failure> {
    // The upstream takes the request's headers; what it may point to wants them too.
    let kept = asked.site.internal.then(|| parts.headers.clone());
    let mut path: Option<String> = None;
    let mut pointed: Option<Pointed> = None;
    let mut just_pointed = false;
    for hop in 0..=HOPS {
        let asked = Asked { path: path.as_deref().unwrap_or(asked.path), ..*asked };
        let said = pointed.as_ref().map(|pointed| &pointed.said);
        let place = place(&asked, parts);
        if let Some(trace) = &record.thread.trace {
            trace.place(asked.path, place.told());
        }
        let route = if let Place::Route { place, .. } = &place { Some(*place) } else { None };
        let other = hop == 0 || route != record.route;
        // From here on its options hold.
        record.route = route;
        let internal = matches!(&place, Place::Route { route, .. } if route.internal);
        // What the application pointed to is internal, and what is internal nobody else gets to.
        if internal && hop == 0 {
            return Err(Failure::NO_FILE);
        }
        if std::mem::take(&mut just_pointed) && !internal {
            tracing::warn!(path = asked.path, "the application pointed to where no internal route is");
            return Err(Failure::ACCEL);
        }
        // The status page is for those who do the work.
        if record.options().errors.maintenance.stops(asked.origin.client_ip)
            && !matches!(place, Place::StatusPage { .. })
        {
            return Err(Failure::MAINTENANCE);
        }
        // Asked once of each route; the application has let the client in already.
        if said.is_none() {
            if !other {
                // The path is another.
                access::check(record.options(), asked.origin.client_ip, &parts.method, asked.path)?;
            } else if let Some(answer) = filters::before(&asked, parts, record).await? {
                return Ok(answer);
            }
        }
        let seen = filters::Seen::of(parts, record);
        let target = match in_time(&asked, place, parts, body, record, said).await? {
            Step::Again(target, rest) => {
                body = rest;
                target
            }
            Step::Answer(mut response) => {
                let accel = response.extensions_mut().remove::<Accel>();
                let target = kept.as_ref().and(accel.as_ref()).filter(|accel| accel.points());
                let Some(accel) = target else {
                    let rate = accel.or_else(|| pointed.as_ref().map(|pointed| pointed.accel.clone()));
                    if let Some(pointed) = &pointed {
                        accel::overlay(&mut response, &pointed.said);
                    }
                    let response = accel::limit(response, rate.and_then(|accel| accel.limit_rate));
                    return Ok(filters::after(&asked, &seen, record, response));
                };
                let target = accel::target(&asked, accel).ok_or(Failure::ACCEL)?;
                pointed = Some(Pointed::new(response.headers(), accel, pointed));
                just_pointed = true;
                parts.headers = kept.clone().unwrap_or_default();
                if parts.method != Method::HEAD {
                    parts.method = Method::GET;
                }
                body = Body::empty();
                target
            }
        };
        let wrong = if just_pointed { Failure::ACCEL } else { Failure::PATH };
        // The upstream that pointed on has taken the request's own.
        parts.uri = elsewhere(&record.uri, &target).ok_or(wrong)?;
        path = Some(path::normalise(parts.uri.path()).map_err(|_| wrong)?.into_owned());
    }
    Err(Failure::CYCLE)
}

/// Acts within the time that the whole request may take.
async fn in_time(
    asked: &Asked<'_>,
    place: Place<'_>,
    parts: &mut Parts,
    body: Body,
    record: &mut Record,
    said: Said<'_>,
) -> Result<Step, Failure> {
    match record.options().timeouts.request.map(|limit| record.begun + limit) {
        None => act(asked, place, parts, body, record, said).await,
        Some(deadline) => {
            // On the heap: few have a deadline, and all would pay for the room.
            let acting = Box::pin(act(asked, place, parts, body, record, said));
            tokio::time::timeout_at(deadline.into(), acting).await.unwrap_or(Err(Failure::LATE))
        }
    }
}

async fn act(
    asked: &Asked<'_>,
    place: Place<'_>,
    parts: &mut Parts,
    body: Body,
    record: &mut Record,
    said: Said<'_>,
) -> Result<Step, Failure> {
    let answer = match place {
        Place::CspReports => csp_report::receive(asked, parts, body, record).await,
        Place::StatusPage { page, upstream, rest } => {
            status_page::authorise(page, &parts.headers)?;
            if rest.is_empty() {
                return Ok(Step::Answer(status_page::with_slash(page, parts.uri.query())));
            }
            status_page::rewrite(parts, rest);
            to_upstream(upstream, asked, parts, body, record).await
        }
        Place::Route { route, captures, .. } => {
            return act_of_route(asked, &route.action, captures.as_ref(), parts, body, record, said).await;
        }
        Place::Folder { index, name } => {
            let wanted = files::wanted(asked, index, name, parts, record.options(), said);
            asked.view.files.answer(&wanted).await
        }
        Place::Upstream(upstream) => to_upstream(upstream, asked, parts, body, record).await,
        Place::Nothing => Err(Failure::NOTHING_THERE),
    };
    answer.map(Step::Answer)
}

async fn act_of_route(
    asked: &Asked<'_>,
    action: &Action,
    captures: Option<&Captures<'_>>,
    parts: &mut Parts,
    body: Body,
    record: &mut Record,
    said: Said<'_>,
) -> Result<Step, Failure> {
    let answer = match action {
        Action::Upstream { place, target } => {
            let upstream = asked.view.upstreams.get(*place).ok_or(Failure::NOTHING_THERE)?;
            let prefix = aim(asked, target, captures, parts)?;
            send_below(upstream, asked, prefix, parts, body, record).await?
        }
        Action::Files(tree) => return files::serve(asked, tree, captures, parts, body, record, said).await,
        Action::Redirect { to, status } => {
            let to = fill(asked, to, captures, parts);
            redirect::to(*status, &to).ok_or(Failure::PATH)?
        }
        Action::Respond { status, content_type, text } => {
            let mut response = Response::new(Body::full(text.clone()));
            *response.status_mut() = *status;
            response.headers_mut().insert(header::CONTENT_TYPE, content_type.clone());
            response
        }
        Action::Close => return Err(Failure::CLOSED),
    };
    Ok(Step::Answer(answer))
}
