//! How a request comes by its permit: a place in its route's bulkhead, the choice of the address, the queue.

use super::address::Permit;
use super::bulkhead::{Held, Lane};
use super::choice::{Aim, Search};
use super::connect::Ends;
use super::pool::{Lease, Pool};
use super::queue::{Refused, Wish};
use super::{Meta, UpstreamError};
use http::request::Parts;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

impl Pool {
    /// Where a request is to go by what it says itself; nothing in most configurations.
    pub fn search<'m>(&self, parts: &Parts, meta: &'m Meta) -> Search<'m> {
        let balancing = &self.shared.settings.balancing;
        if meta.lane.is_none() && balancing.is_plain() {
            return Search::default();
        }
        Search::new(Aim::of(&self.shared, self.list.borrow_mut().load(), parts, meta))
    }

    /// A permit at once, or after waiting in the queue.
    pub async fn acquire(&self, search: &Search<'_>, ends: Option<Ends>) -> Result<Lease, UpstreamError> {
        let (held, waited) = match search.aim.lane {
            None => (None, Duration::ZERO),
            Some(lane) => match lane.enter() {
                Some(held) => (Some(held), Duration::ZERO),
                None => {
                    // Nobody who would be turned away afterwards.
                    if self.wish(search).address.is_none() && self.is_drained() {
                        return Err(UpstreamError::Drained);
                    }
                    self.place(lane).await?
                }
            },
        };
        let wish = self.wish(search);
        if let Some(mut permit) = self.pick(&wish) {
            self.shard.waited(waited);
            permit.hold(held);
            return Ok(Lease { waited, ..self.with_connection(permit, ends) });
        }
        let began = Instant::now();
        if wish.address.is_none() {
            self.addresses().await?;
            if self.is_drained() {
                return Err(UpstreamError::Drained);
            }
        }
        let left = self.shared.settings.queue.saturating_sub(waited);
        let result = self.queue().wait(left, wish, held.as_ref().and_then(|held| held.number)).await;
        let waited = waited + began.elapsed();
        match result {
            Ok(mut permit) => {
                self.shard.waited(waited);
                permit.hold(held);
                Ok(Lease { waited, ..self.with_connection(permit, ends) })
            }
            Err(refused) => {
                held.iter().for_each(|held| held.shed(refused));
                Err(self.refused(refused))
            }
        }
    }

    fn refused(&self, refused: Refused) -> UpstreamError {
        self.shard.refused(&refused);
        match refused {
            Refused::Full => UpstreamError::QueueFull,
            Refused::Timeout => UpstreamError::QueueTimeout,
            Refused::Drained => UpstreamError::Drained,
        }
    }

    /// The request's route has all the slots that it may have.
    async fn place(&self, lane: &Arc<Lane>) -> Result<(Option<Held>, Duration), UpstreamError> {
        let began = Instant::now();
        match lane.wait(self.shared.settings.queue).await {
            Ok(held) => Ok((Some(held), began.elapsed())),
            Err(refused) => Err(self.refused(refused)),
        }
    }

    fn wish(&self, search: &Search<'_>) -> Wish {
        if search.is_plain() { Wish::default() } else { search.wish(self.list.borrow_mut().load()) }
    }

    fn is_drained(&self) -> bool {
        self.list.borrow_mut().load().is_drained()
    }

    /// Right after the start a name may not have been resolved yet: that is worth a moment.
    async fn addresses(&self) -> Result<(), UpstreamError> {
        let began = Instant::now();
        while self.list.borrow_mut().load().is_awaited() {
            if began.elapsed() >= self.shared.settings.connect {
                return Err(UpstreamError::Connect(std::io::Error::other("no address is known for the upstream")));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// A permit that is free now, unless somebody waits who would take it.
    fn pick(&self, wish: &Wish) -> Option<Permit> {
        if self.queue().plain() > 0 {
            return None;
        }
        let mut cache = self.list.borrow_mut();
        let list = cache.load();
        match wish.address {
            None => self.turns.pick(list, self.shared.settings.balancing.balance, &wish.avoid),
            Some(_) => wish.of(list).filter(|address| address.line().load(Ordering::SeqCst) == 0)?.take(),
        }
    }
}
