//! Addresses that come, go, fail and are not ready.

use crate::fake::Fake;
use crate::kit::{Kit, until, until_async};
use monodon_edge::config::{self, UpstreamAddress, UpstreamCheck};
use monodon_edge::upstream::Resolve;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A name server whose answer the test sets; `None` is one that is away.
pub struct Names(pub Mutex<Option<Vec<IpAddr>>>);

impl Resolve for Names {
    fn resolve<'a>(&'a self, _host: &'a str) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>> {
        let answer = self.0.lock().unwrap().clone();
        Box::pin(async move { answer.ok_or_else(|| io::Error::other("away")) })
    }
}

fn kit(names: &Arc<Names>, port: u16) -> Kit {
    Kit::resolved(names.clone(), |config| {
        config.upstream.servers = vec![UpstreamAddress::Tcp { host: "worker".into(), port }.into()];
        config.timeouts.connect = std::time::Duration::from_millis(200);
    })
}

#[test]
fn a_name_that_moves_is_followed_and_a_name_server_that_is_away_is_borne() {
    let fake = Fake::slotted(1, 1);
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let away = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
    let names = Arc::new(Names(Mutex::new(Some(vec![away]))));
    let kit = kit(&names, fake.address.port());
    kit.run(async |thread| {
        // Nobody listens at 127.0.0.9.
        until("the first answer", || !kit.shared.status().is_empty()).await;
        assert!(thread.get("/").await.is_err());
        *names.0.lock().unwrap() = Some(vec![here]);
        until_async("it has moved", || async { thread.get("/hello").await.is_ok() }).await;
        assert_eq!(kit.shared.status().len(), 1);
        *names.0.lock().unwrap() = None;
        until("it is away", || kit.shared.status().iter().any(|one| !one.up)).await;
        thread.learn().await;
    });
}

#[test]
fn an_address_that_leaves_and_returns_is_known() {
    let fake = Fake::slotted(1, 1);
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let away = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
    let names = Arc::new(Names(Mutex::new(Some(vec![here]))));
    let kit = kit(&names, fake.address.port());
    kit.run(async |thread| {
        let is_there = |ip: IpAddr| {
            let wanted = format!("{ip}:{}", fake.address.port());
            kit.shared.snapshot().iter().any(|one| one.address == wanted)
        };
        until("the first answer", || is_there(here)).await;
        thread.learn().await;
        let there = thread.start("/gate");
        until("it is there", || fake.seen("/gate").len() == 1).await;
        *names.0.lock().unwrap() = Some(vec![away]);
        until("it has left", || !is_there(here)).await;
        *names.0.lock().unwrap() = Some(vec![here]);
        until("it is back", || is_there(here)).await;
        let told = || kit.shared.snapshot().iter().map(|one| (one.slots, one.busy)).collect::<Vec<_>>();
        assert_eq!(told(), [(Some(1), 1)], "its slots, and who has one");
        fake.state.gate.add_permits(1);
        assert_eq!(there.await.unwrap().unwrap().status(), 200);
        until("it is free", || told() == [(Some(1), 0)]).await;
    });
}

#[test]
fn a_reload_while_the_name_server_is_away_keeps_what_was_known() {
    let fake = Fake::slotted(1, 1);
    let names = Arc::new(Names(Mutex::new(Some(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]))));
    let before = kit(&names, fake.address.port());
    before.run(async |thread| {
        until("the first answer", || !before.shared.status().is_empty()).await;
        thread.learn().await;
    });
    *names.0.lock().unwrap() = None;
    // Nothing of it is shared, because it is spoken to in another way.
    let after = before.reloaded_and_resolved(names, |config| {
        config.upstream.servers =
            vec![UpstreamAddress::Tcp { host: "worker".into(), port: fake.address.port() }.into()];
        config.upstream.transport.proxy_protocol = Some(config::ProxyProtocol::V1);
    });
    let slots: Vec<_> = after.shared.snapshot().iter().map(|address| address.slots).collect();
    assert_eq!(slots, [Some(1)], "what it has told of itself, too");
    after.run(async |thread| {
        until("it is away", || after.shared.status().iter().any(|one| one.address == "worker")).await;
        thread.learn().await;
    });
}

/// Answers once, then never; counts how often it was asked.
#[derive(Default)]
struct Silent(AtomicUsize);

impl Resolve for Silent {
    fn resolve<'a>(&'a self, _host: &'a str) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>> {
        let before = self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            if before > 0 {
                std::future::pending::<()>().await;
            }
            Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)])
        })
    }
}

#[test]
fn addresses_are_checked_while_the_name_server_is_silent() {
    let fake = Fake::slotted(1, 1);
    let silent = Arc::new(Silent::default());
    let kit = Kit::resolved(silent.clone(), |config| {
        config.upstream.servers =
            vec![UpstreamAddress::Tcp { host: "worker".into(), port: fake.address.port() }.into()];
        config.upstream.check = Some(UpstreamCheck { port: None, path: "/readyz".into() });
    });
    kit.run(async |thread| {
        until("the only answer", || !kit.shared.status().is_empty()).await;
        thread.learn().await;
        until("it is asked again", || silent.0.load(Ordering::SeqCst) == 2).await;
        fake.state.not_ready.store(true, Ordering::SeqCst);
        until("it is seen", || kit.shared.status().iter().any(|one| !one.up)).await;
    });
}

#[test]
fn an_address_that_is_gone_gets_nothing_and_its_connections_are_closed() {
    let fake = Fake::slotted(1, 1);
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let names = Arc::new(Names(Mutex::new(Some(vec![here]))));
    let kit = kit(&names, fake.address.port());
    kit.run(async |thread| {
        until("the first answer", || !kit.shared.status().is_empty()).await;
        thread.learn().await;
        assert_eq!(thread.0.idle(), 1);
        *names.0.lock().unwrap() = Some(vec![IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9))]);
        until("the connection is closed", || thread.0.idle() == 0).await;
        assert!(thread.get("/hello").await.is_err());
    });
}

#[test]
fn more_addresses_share_the_work() {
    let fakes = [Fake::slotted(1, 1), Fake::slotted(1, 1), Fake::slotted(1, 1)];
    let kit = Kit::new(&fakes.each_ref().map(|fake| fake.address));
    kit.run(async |thread| {
        for _ in 0..30 {
            thread.learn().await;
        }
        for fake in &fakes {
            assert_eq!(fake.seen("/hello").len(), 10);
        }
    });
}

#[test]
fn a_dead_address_beside_a_living_one_costs_no_request() {
    let dead = Fake::slotted(1, 1).address;
    let fake = Fake::slotted(1, 1);
    let kit = Kit::new(&[dead, fake.address]);
    kit.run(async |thread| {
        for _ in 0..20 {
            thread.learn().await;
        }
        assert!(
            kit.metrics().contains(&format!("upstream_up{{upstream=\"default\",address=\"{dead}\"}} 0")),
            "{}",
            kit.metrics()
        );
    });
}

#[test]
fn an_address_that_is_not_ready_gets_no_new_request_until_it_is() {
    let (first, second) = (Fake::slotted(1, 1), Fake::slotted(1, 1));
    let kit = Kit::with(&[first.address, second.address], |config| {
        config.upstream.check = Some(UpstreamCheck { port: None, path: "/readyz".into() });
    });
    kit.run(async |thread| {
        thread.learn().await;
        thread.learn().await;
        first.state.not_ready.store(true, Ordering::SeqCst);
        until("it is known", || kit.shared.status().iter().any(|one| !one.up)).await;
        let before = first.seen("/hello").len();
        for _ in 0..10 {
            thread.learn().await;
        }
        assert_eq!(first.seen("/hello").len(), before);
        // All not ready: a connection that works is the better witness.
        second.state.not_ready.store(true, Ordering::SeqCst);
        until("both are", || kit.shared.status().iter().all(|one| !one.up)).await;
        thread.learn().await;
        first.state.not_ready.store(false, Ordering::SeqCst);
        until("one is back", || kit.shared.status().iter().any(|one| one.up)).await;
        thread.learn().await;
        assert!(first.seen("/hello").len() > before);
        kit.close();
    });
}
