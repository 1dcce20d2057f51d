//! Which of the addresses a request goes to.

use super::Meta;
use super::Shared;
use super::address::{Address, Permit};
use super::bulkhead::Lane;
use super::health::DRAINING;
use super::list::List;
use super::queue::Wish;
use crate::config::{Balance, HashBy};
use crate::headers::cookie;
use http::header::HeaderMap;
use http::request::Parts;
use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::sync::Arc;

/// What a request itself says of where it is to go.
#[derive(Clone, Copy, Default)]
pub struct Aim<'m> {
    /// The address that its sticky cookie names.
    stuck: Option<u64>,
    /// What it is hashed by.
    key: Option<u64>,
    /// Its route, where that is bounded or measured.
    pub lane: Option<&'m Arc<Lane>>,
}

/// What one thread remembers for taking turns.
#[derive(Default)]
pub struct Turns {
    turn: Cell<usize>,
    /// nginx's smooth weighted round robin: an address's id, and what it has to its credit.
    credits: RefCell<Vec<(u64, i64)>>,
}

impl<'m> Aim<'m> {
    pub fn of(shared: &Shared, list: &List, parts: &Parts, meta: &'m Meta) -> Self {
        let balancing = &shared.settings.balancing;
        let key = match balancing.balance {
            Balance::Hash => balancing.hash.as_ref().and_then(|by| hashed(by, parts, meta.client)),
            Balance::IpHash => meta.client.map(|client| hash_ip(client, true)),
            _ => None,
        };
        let stuck = balancing.sticky.as_ref().and_then(|sticky| {
            let value = cookie::of(&parts.headers, &sticky.cookie)?;
            let address = list
                .ready
                .iter()
                .find(|address| address.role.token.as_ref().is_some_and(|token| token.as_slice() == value));
            address.map(|address| address.id)
        });
        Self { stuck, key, lane: meta.lane.as_ref().filter(|lane| lane.is_of(&shared.live.queue)) }
    }

    /// It may go anywhere.
    pub fn is_free(&self) -> bool {
        self.stuck.is_none() && self.key.is_none()
    }

    /// The one address it belongs to, if it can be used, and whether it does so till the end. `avoid` has failed it already.
    fn wanted(&self, list: &List, avoid: &[u64]) -> Option<(u64, bool)> {
        let stuck = self.stuck.filter(|id| !avoid.contains(id) && list.usable(*id, true).is_some());
        let hashed = || self.key.and_then(|key| rendezvous(list, key, avoid));
        stuck.map(|id| (id, true)).or_else(|| hashed().map(|id| (id, false)))
    }
}

/// A request's way to an address: what it says itself, and what it has met.
#[derive(Default)]
pub struct Search<'m> {
    pub aim: Aim<'m>,
    avoid: Vec<u64>,
    back: Option<u64>,
}

impl<'m> Search<'m> {
    pub fn new(aim: Aim<'m>) -> Self {
        Self { aim, ..Self::default() }
    }

    /// This address has failed it: any other comes first.
    pub fn avoid(&mut self, id: u64) {
        self.back = None;
        if !self.avoid.contains(&id) {
            self.avoid.push(id);
        }
    }

    /// Only this address knows what became of it.
    pub fn go_back(&mut self, id: u64) {
        self.back = Some(id);
    }

    /// Whether another address may be tried; only one that would be chosen.
    pub fn has_others(&self, list: &List) -> bool {
        list.candidates().any(|other| !self.avoid.contains(&other.id))
    }

    /// It takes any address, and has met none.
    pub fn is_plain(&self) -> bool {
        self.aim.is_free() && self.back.is_none() && self.avoid.is_empty()
    }

    pub fn wish(&self, list: &List) -> Wish {
        let back = self.back.filter(|id| list.usable(*id, true).is_some()).map(|id| (id, true));
        match back.or_else(|| self.aim.wanted(list, &self.avoid)) {
            Some((id, own)) => Wish { address: Some(id), own, avoid: Vec::new() },
            None => Wish { avoid: self.avoid.clone(), ..Wish::default() },
        }
    }
}

/// Highest random weight: an address that comes or goes moves nothing between the others.
fn rendezvous(list: &List, key: u64, avoid: &[u64]) -> Option<u64> {
    let candidates = list.candidates().filter(|address| !avoid.contains(&address.id));
    let score = |address: &Arc<Address>| {
        let mixed = mix(key ^ address.seed);
        if !list.weighted {
            return (0.0, mixed);
        }
        #[allow(clippy::cast_precision_loss)]
        let unit = ((mixed >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        (-f64::from(address.role.weight) / unit.ln(), mixed)
    };
    let scored = candidates.map(|address| (score(address), address.id));
    scored.max_by(|(a, _), (b, _)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))).map(|(_, id)| id)
}

impl Turns {
    /// A permit of the best address that has one free; of those in `avoid` only where there is no other.
    pub fn pick(&self, list: &List, balance: Balance, avoid: &[u64]) -> Option<Permit> {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        if let [only] = list.all.as_slice() {
            return if only.health.has(DRAINING) { None } else { only.take() };
        }
        loop {
            let fitting = || acceptable(list, avoid).filter(|address| address.is_free());
            let best = match balance {
                Balance::RoundRobin => self.next(list, fitting, turn),
                Balance::Random => better_of_two(fitting),
                _ => {
                    let least = fitting().map(|address| address.load()).min()?;
                    // Equally loaded addresses take turns.
                    self.next(list, || fitting().filter(|address| address.load() == least), turn)
                        .or_else(|| fitting().next())
                }
            };
            // Another thread may have been quicker: look again.
            if let Some(permit) = best?.take() {
                return Some(permit);
            }
        }
    }

    /// The next of these in turn, by their weights.
    fn next<'a, I: Iterator<Item = &'a Arc<Address>>>(
        &self,
        list: &List,
        of: impl Fn() -> I,
        turn: usize,
    ) -> Option<&'a Arc<Address>> {
        if !list.weighted {
            let count = of().count();
            return if count == 0 { None } else { of().nth(turn % count) };
        }
        let mut credits = self.credits.borrow_mut();
        if credits.len() > list.all.len() * 2 {
            credits.retain(|(id, _)| list.all.iter().any(|address| address.id == *id));
        }
        let (mut total, mut best): (i64, Option<(usize, &Arc<Address>)>) = (0, None);
        for address in of() {
            let weight = i64::try_from(address.weight()).unwrap_or(i64::MAX >> 16);
            let at = credits.iter().position(|(id, _)| *id == address.id).unwrap_or_else(|| {
                credits.push((address.id, 0));
                credits.len() - 1
            });
            total += weight;
            let (_, credit) = credits.get_mut(at)?;
            *credit += weight;
            let credit = *credit;
            if best.is_none_or(|(best, _)| credits.get(best).is_none_or(|(_, most)| credit > *most)) {
                best = Some((at, address));
            }
        }
        let (at, address) = best?;
        if let Some((_, credit)) = credits.get_mut(at) {
            *credit -= total;
        }
        Some(address)
    }
}

fn better_of_two<'a, I: Iterator<Item = &'a Arc<Address>>>(of: impl Fn() -> I) -> Option<&'a Arc<Address>> {
    let total: u64 = of().map(|address| address.weight()).sum();
    let draw = || {
        let mut left = fastrand::u64(..total.max(1));
        of().find(|address| {
            let found = left < address.weight();
            left = left.saturating_sub(address.weight());
            found
        })
    };
    let (one, other) = (draw()?, draw()?);
    Some(if other.load() < one.load() { other } else { one })
}

/// The candidates without those in `avoid`, unless there are no others.
fn acceptable<'a>(list: &'a List, avoid: &'a [u64]) -> impl Iterator<Item = &'a Arc<Address>> {
    let all = avoid.is_empty() || list.candidates().all(|address| avoid.contains(&address.id));
    list.candidates().filter(move |address| all || !avoid.contains(&address.id))
}

/// A permit of the address with the smallest share of its slots busy; as to `avoid`, see [`Turns::pick`].
pub fn least_loaded(list: &List, avoid: &[u64]) -> Option<Permit> {
    loop {
        let free = acceptable(list, avoid).filter(|address| address.is_free());
        let best = free.min_by_key(|address| address.load())?;
        // Another thread may have been quicker: look again.
        if let Some(permit) = best.take() {
            return Some(permit);
        }
    }
}

fn hashed(by: &HashBy, parts: &Parts, client: Option<IpAddr>) -> Option<u64> {
    let headers: &HeaderMap = &parts.headers;
    match by {
        HashBy::Header(name) => headers.get(name).map(|value| hash(value.as_bytes())),
        HashBy::Cookie(name) => cookie::of(headers, name).map(hash),
        HashBy::Uri => Some(hash(parts.uri.path_and_query().map_or("/", |target| target.as_str()).as_bytes())),
        HashBy::Ip => client.map(|client| hash_ip(client, false)),
    }
}

/// `network`: of IPv4 without the last number, as nginx's `ip_hash`.
fn hash_ip(client: IpAddr, network: bool) -> u64 {
    match client.to_canonical() {
        IpAddr::V4(address) => hash(address.octets().get(..if network { 3 } else { 4 }).unwrap_or_default()),
        IpAddr::V6(address) => hash(&address.octets()),
    }
}

/// FNV-1a, mixed: the same in every edge and every version.
pub fn hash(bytes: &[u8]) -> u64 {
    let sum = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum: u64, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    mix(sum)
}

/// The last step of splitmix64.
fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
#[path = "choice_tests.rs"]
mod tests;
