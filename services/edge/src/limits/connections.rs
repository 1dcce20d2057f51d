//! Connections and TLS handshakes of one client at a time, asked for once a connection.

use super::counts::{Counts, Place, Taken};
use super::table::Table;
use crate::config::limits::Rate;
use crate::service::Snapshot;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// Counts a connection, or a handshake, while it lives.
pub struct Guard(Option<(Arc<Counts>, Place)>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some((counts, place)) = self.0.take() {
            counts.give_back(&place);
        }
    }
}

/// The client has as many as it may.
#[derive(Debug)]
pub struct TooMany;

/// One more connection. A trusted proxy's are those of many clients.
pub fn connection(snapshot: &Snapshot, peer: IpAddr) -> Result<Guard, TooMany> {
    let trusted = || snapshot.config.proxies.trusted.allows(peer);
    let limit = snapshot.config.clients.connections;
    if limit == 0 || trusted() {
        return Ok(Guard(None));
    }
    take(snapshot, &snapshot.limits.clients.connections, peer, limit)
}

/// One more handshake, by number and by rate.
pub fn handshake(snapshot: &Snapshot, peer: IpAddr) -> Result<Guard, TooMany> {
    let clients = &snapshot.config.clients;
    if clients.handshakes == 0 && clients.handshake_rate.is_none() {
        return Ok(Guard(None));
    }
    let trusted = snapshot.config.proxies.trusted.allows(peer);
    if trusted {
        return Ok(Guard(None));
    }
    if let Some(interval) = clients.handshake_rate
        && !snapshot.limits.is_exempt(peer)
    {
        let table: &Table = &snapshot.limits.clients.handshake_rate;
        // A second's worth at least, and what a browser opens at once.
        let second = u32::try_from(1_000_000_000 / interval.as_nanos().max(1)).unwrap_or(u32::MAX);
        let rate = Rate::nodelay(interval, second.clamp(20, 1_000_000));
        if !table.ask(snapshot.limits.client_key(peer), rate, Instant::now()).allowed {
            return Err(TooMany);
        }
    }
    if clients.handshakes == 0 {
        return Ok(Guard(None));
    }
    take(snapshot, &snapshot.limits.clients.handshakes, peer, clients.handshakes)
}

fn take(snapshot: &Snapshot, counts: &Arc<Counts>, peer: IpAddr, limit: u32) -> Result<Guard, TooMany> {
    if snapshot.limits.is_exempt(peer) {
        return Ok(Guard(None));
    }
    match counts.take(snapshot.limits.client_key(peer), limit) {
        Taken::Yes(place) => Ok(Guard(place.map(|place| (counts.clone(), place)))),
        Taken::No => Err(TooMany),
    }
}
