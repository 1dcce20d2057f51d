//! Which routes of a configuration are held to some of their upstream's slots, or measured because another is.

use super::bulkhead::Bulkhead;
use super::{Lane, Shared};
use crate::config::{Action, Config, MaxSlots, Site};
use monodon_admin::text::Family;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};

/// The routes that are bounded or measured at one upstream.
#[derive(Default)]
pub(super) struct Registry {
    all: Vec<Weak<Lane>>,
    /// Of all routes that are slow.
    slow: Option<Arc<Bulkhead>>,
}

impl Shared {
    /// A route's way here. One that a reload has not changed keeps its places and its counts.
    pub fn lane(&self, site: &str, route: Option<&str>, max: MaxSlots) -> Arc<Lane> {
        let mut lanes = self.live.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lanes.all.iter().filter_map(Weak::upgrade);
        let mut same = known.filter(|lane| lane.site == site && lane.route.as_deref() == route && lane.max == max);
        if let Some(lane) = same.next() {
            return lane;
        }
        let bulkhead = match max {
            MaxSlots::Off => None,
            MaxSlots::Auto => {
                let queue = &self.live.queue;
                Some(lanes.slow.get_or_insert_with(|| Bulkhead::new(max, queue.clone())).clone())
            }
            _ => Some(Bulkhead::new(max, self.live.queue.clone())),
        };
        let lane = Lane::new(site.into(), route.map(Into::into), max, bulkhead, self.live.queue.clone());
        let lane = Arc::new(lane);
        lanes.all.retain(|lane| lane.strong_count() > 0);
        lanes.all.push(Arc::downgrade(&lane));
        lane
    }

    pub(super) fn lanes(&self) -> Vec<Arc<Lane>> {
        self.live.lanes.lock().unwrap_or_else(PoisonError::into_inner).all.iter().filter_map(Weak::upgrade).collect()
    }
}

/// Empty where no route has `max_slots`.
#[derive(Default)]
pub struct Lanes(Vec<OfSite>);

struct OfSite {
    routes: Vec<Option<Arc<Lane>>>,
    /// Of what no route takes.
    rest: Option<Arc<Lane>>,
}

/// The upstreams that a site's routes go to, each with its route (none: what no route takes) and that one's bound.
fn ways(site: &Site) -> impl Iterator<Item = (Option<usize>, usize, MaxSlots)> {
    let routes = site.routes.iter().enumerate().filter_map(|(at, route)| match &route.action {
        Action::Upstream { place, .. } => Some((Some(at), *place, route.options.slots.max)),
        _ => None,
    });
    routes.chain([(None, 0, site.options.slots.max)])
}

impl Lanes {
    pub fn build(config: &Config, upstreams: &[Arc<Shared>]) -> Self {
        let all = || config.sites.iter().flat_map(ways);
        if all().all(|(_, _, max)| max == MaxSlots::Off) {
            return Self::default();
        }
        // Where the edge is to learn who is slow, it must know how fast the others are.
        let measured: Vec<usize> =
            all().filter(|(_, _, max)| *max == MaxSlots::Auto).map(|(_, upstream, _)| upstream).collect();
        let sites = config.sites.iter().map(|site| {
            let name = label(site);
            let mut lanes = OfSite { routes: vec![None; site.routes.len()], rest: None };
            for (route, upstream, max) in ways(site) {
                let Some(shared) = upstreams.get(upstream) else { continue };
                if max == MaxSlots::Off && !measured.contains(&upstream) {
                    continue;
                }
                match route {
                    None => lanes.rest = Some(shared.lane(&name, None, max)),
                    Some(at) => {
                        let route = site.routes.get(at).map(|route| route.name.as_str());
                        if let Some(place) = lanes.routes.get_mut(at) {
                            *place = Some(shared.lane(&name, route, max));
                        }
                    }
                }
            }
            lanes
        });
        Self(sites.collect())
    }

    /// `site` is its place in the configuration.
    pub fn get(&self, site: Option<usize>, route: Option<usize>) -> Option<&Arc<Lane>> {
        if self.0.is_empty() {
            return None;
        }
        let lanes = self.0.get(site?)?;
        match route {
            Some(route) => lanes.routes.get(route)?.as_ref(),
            None => lanes.rest.as_ref(),
        }
    }
}

fn label(site: &Site) -> String {
    let host = || site.hosts.first().map(ToString::to_string);
    site.name.clone().or_else(host).unwrap_or_else(|| "_default".into())
}

/// What routes with `max_slots` hold, what waits for them and what was not served: as many series as there are routes.
#[allow(clippy::cast_precision_loss)]
pub fn render(upstreams: &[Arc<Shared>], out: &mut String) {
    let mut lanes: Vec<Told<'_>> = Vec::new();
    for (upstream, lane) in
        upstreams.iter().flat_map(|shared| shared.lanes().into_iter().map(|lane| (shared.name(), lane)))
    {
        // A reload may have changed its bound while requests of before are still out: the newest is told.
        lanes.retain(|told| told.upstream != upstream || told.lane.site != lane.site || told.lane.route != lane.route);
        lanes.push(Told { upstream, lane });
    }
    let count = |number: u64| Some(number as f64);
    let help = "Slots of the upstream that a route's requests hold.";
    each(Family::gauge(out, "monodon_edge_route_slots_held", help), &lanes, None, |lane| {
        Some(lane.meter.holding.load(Ordering::Relaxed).into())
    });
    let help = "Slots that a route's requests may hold; those of slow ones with `auto` all together.";
    each(Family::gauge(out, "monodon_edge_route_slots_max", help), &lanes, None, |lane| {
        lane.bulkhead().map(|bulkhead| bulkhead.most().into())
    });
    let help = "Requests that wait because their route holds all it may.";
    each(Family::gauge(out, "monodon_edge_route_slots_waiting", help), &lanes, None, |lane| {
        count(lane.meter.waiting.load(Ordering::Relaxed) as u64)
    });
    let help = "1 where a route with `max_slots = \"auto\"` was found to be slow.";
    each(Family::gauge(out, "monodon_edge_route_slow", help), &lanes, None, |lane| {
        (lane.max == MaxSlots::Auto).then(|| u32::from(lane.learned.is_slow()).into())
    });
    let help = "How long a request of the route holds a slot, on a decaying average.";
    each(Family::gauge(out, "monodon_edge_route_slot_seconds", help), &lanes, None, |lane| {
        Some(lane.learned.mean().as_secs_f64())
    });
    let help = "Requests that had to wait because their route held all it may.";
    each(Family::counter(out, "monodon_edge_route_slots_waited_total", help), &lanes, None, |lane| {
        count(lane.meter.waited.load(Ordering::Relaxed))
    });
    let help = "How long they waited for that, together.";
    each(Family::counter(out, "monodon_edge_route_slots_waited_seconds_total", help), &lanes, None, |lane| {
        count(lane.meter.waited_micros.load(Ordering::Relaxed)).map(|micros| micros / 1e6)
    });
    let help = "Requests of the route that got no slot.";
    let mut family = Family::counter(out, "monodon_edge_route_slots_rejected_total", help);
    for (reason, of) in [("full", full as fn(&Lane) -> u64), ("timeout", timeout)] {
        family = each(family, &lanes, Some(reason), |lane| count(of(lane)));
    }
}

fn full(lane: &Lane) -> u64 {
    lane.meter.full.load(Ordering::Relaxed)
}

fn timeout(lane: &Lane) -> u64 {
    lane.meter.timeout.load(Ordering::Relaxed)
}

struct Told<'a> {
    upstream: &'a str,
    lane: Arc<Lane>,
}

fn each<'f>(
    mut family: Family<'f>,
    lanes: &[Told<'_>],
    reason: Option<&str>,
    of: impl Fn(&Lane) -> Option<f64>,
) -> Family<'f> {
    for Told { upstream, lane } in lanes {
        let Some(value) = of(lane) else { continue };
        let route = lane.route.as_deref().unwrap_or("-");
        let mut labels = vec![("upstream", *upstream), ("site", &*lane.site), ("route", route)];
        labels.extend(reason.map(|reason| ("reason", reason)));
        family.sample(&labels, value);
    }
    family
}
