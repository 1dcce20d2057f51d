//! From a site's request to what answers it: status page, route, folder, upstream; and whether it may.

use super::accel::{self, Pointed};
use super::aim::{aim, decided, elsewhere, fill_redirect, send_below};
use super::place::{Place, place};
use super::{Failure, View, allow, canonical, csp_report, files, filters, status_page, to_upstream};
use crate::access_log::Record;
use crate::body::Body;
use crate::config::{Action, Site};
use crate::connection::ConnInfo;
use crate::headers::forward::Origin;
use crate::upstream::Accel;
use crate::{access, redirect};
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

/// What a route made of a request.
pub enum Step {
    Answer(Response<Body>),
    /// Whoever was asked who it is has said no, in his own words.
    Refused(Response<Body>),
    /// Another path of the site has the answer; the request's body is still there.
    Again(String, Body),
}

/// What the application said of the file that it pointed to.
pub type Said<'a> = Option<&'a HeaderMap>;

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
        let internal = matches!(&place, Place::Route { route, .. } if route.internal);
        // What the application pointed to is internal, and what is internal nobody else gets to: for him it is nowhere.
        let hidden = internal && hop == 0;
        // From here on its options hold.
        record.route = match &place {
            Place::Route { place, .. } if !hidden => Some(*place),
            _ => None,
        };
        if std::mem::take(&mut just_pointed) && !internal {
            tracing::warn!(path = asked.path, "the application pointed to where no internal route is");
            return Err(Failure::ACCEL);
        }
        let unknown = match filters::rules(&asked, parts, record, said.is_some()).await {
            Ok(unknown) => unknown,
            // What nobody asks for himself tells nothing of itself.
            Err(failure) if hidden || hop > 0 => return Err(failure),
            Err(failure) => return Err(allow::of_place(failure, &asked, &place, parts, record.options())),
        };
        // Before a password is asked for.
        if hop == 0
            && let Some(answer) = canonical::redirect(&asked, record)?
        {
            return Ok(answer);
        }
        if hidden {
            return Err(Failure::NO_FILE);
        }
        // The status page is for those who do the work.
        if record.options().errors.maintenance.stops(asked.origin.client_ip)
            && !matches!(place, Place::StatusPage { .. })
        {
            if let Some(trace) = &record.thread.trace {
                trace.filter("maintenance", "refuses it");
            }
            return Err(Failure::MAINTENANCE);
        }
        let unknown = unknown && !matches!(place, Place::StatusPage { .. });
        let seen = filters::Seen::of(parts, record);
        let target = match in_time(&asked, &place, unknown, parts, body, record, said).await? {
            Step::Refused(answer) => return Ok(answer),
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
                    accel::limit(&mut response, rate.and_then(|accel| accel.limit_rate));
                    return Ok(filters::after(&asked, &seen, record, response));
                };
                let target = accel::target(&asked, accel).ok_or(Failure::ACCEL)?;
                pointed = Some(Pointed::new(response.headers(), accel, pointed));
                just_pointed = true;
                parts.headers = kept.clone().unwrap_or_default();
                // There is no body any more.
                for name in [header::CONTENT_LENGTH, header::CONTENT_TYPE, header::CONTENT_ENCODING] {
                    parts.headers.remove(name);
                }
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
        let (normal, plain) = decided(&parts.uri).map_err(|_| wrong)?;
        if let Some(plain) = plain {
            parts.uri = plain;
        }
        path = Some(normal);
    }
    Err(Failure::CYCLE)
}

/// Finds out who it is and acts, within the time that the whole request may take.
async fn in_time(
    asked: &Asked<'_>,
    place: &Place<'_>,
    unknown: bool,
    parts: &mut Parts,
    body: Body,
    record: &mut Record,
    said: Said<'_>,
) -> Result<Step, Failure> {
    match record.options().timeouts.request.map(|limit| record.begun + limit) {
        None => act(asked, place, unknown, parts, body, record, said).await,
        Some(deadline) => {
            // On the heap: few have a deadline, and all would pay for the room.
            let acting = Box::pin(act(asked, place, unknown, parts, body, record, said));
            tokio::time::timeout_at(deadline.into(), acting).await.unwrap_or(Err(Failure::LATE))
        }
    }
}

async fn act(
    asked: &Asked<'_>,
    place: &Place<'_>,
    unknown: bool,
    parts: &mut Parts,
    body: Body,
    record: &mut Record,
    said: Said<'_>,
) -> Result<Step, Failure> {
    if unknown
        // On the heap, and only where it is asked for.
        && let Some(answer) = Box::pin(access::identify(asked, parts, record)).await?
    {
        return Ok(Step::Refused(answer));
    }
    let answer = match *place {
        Place::CspReports => Box::pin(csp_report::receive(asked, parts, body, record)).await,
        Place::StatusPage { page, upstream, rest } => {
            status_page::authorise(page, &parts.headers)?;
            if rest.is_empty() {
                return Ok(Step::Answer(status_page::with_slash(page, parts.uri.query())));
            }
            status_page::rewrite(parts, rest);
            to_upstream(upstream, asked, parts, body, record).await
        }
        Place::Route { route, ref captures, .. } => {
            return act_of_route(asked, &route.action, captures.as_ref(), parts, body, record, said).await;
        }
        Place::Folder { index, name } => {
            let wanted = files::wanted(asked, index, name, parts, record, said);
            let answer = asked.view.files.answer(&wanted).await;
            if !matches!(answer, Err(Failure::METHOD)) {
                files::looked(record, index, name, !matches!(answer, Err(Failure::NO_FILE)));
            }
            answer.map_err(|failure| allow::of_files(failure, parts, record.options()))
        }
        Place::Upstream(upstream) => to_upstream(upstream, asked, parts, body, record).await,
        Place::Nothing => Err(allow::of_routes(asked, parts)),
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
        Action::Files(tree) => {
            let step = files::serve(asked, tree, captures, parts, body, record, said).await;
            return step.map_err(|failure| allow::of_files(failure, parts, record.options()));
        }
        Action::Redirect { to, status } => {
            let to = fill_redirect(asked, to, captures, parts)?;
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
