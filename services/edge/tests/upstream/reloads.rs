//! Requests that began under a configuration, after a reload has brought another: upstreams of the same name are one.

use crate::fake::Fake;
use crate::health::Names;
use crate::kit::{Kit, Sent, Thread, server, until, until_async};
use monodon_edge::config::{MaxSlots, ProxyProtocol, Server, UpstreamAddress, UpstreamCheck};
use monodon_edge::upstream::UpstreamError;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn busy(kit: &Kit) -> Vec<u32> {
    kit.shared.snapshot().iter().map(|address| address.busy).collect()
}

/// A request holds the one slot that there is, at the gate of `server`, and another waits for it.
async fn one_there_one_waiting(kit: &Kit, thread: &Thread, server: &Fake) -> (Sent, Sent) {
    let there = thread.start("/gate");
    until("it is there", || server.seen("/gate").len() == 1).await;
    let waits = thread.start("/hello");
    until("it waits", || kit.metrics().contains("queue_depth{upstream=\"default\"} 1")).await;
    (there, waits)
}

#[test]
fn who_waits_goes_to_the_servers_of_the_new_configuration() {
    let (first, second) = (Fake::slotted(1, 1), Fake::slotted(1, 1));
    let before = Kit::new(&[first.address]);
    before.run(async |thread| {
        thread.learn().await;
        let (there, waits) = one_there_one_waiting(&before, &thread, &first).await;
        let after = before.reloaded(&[second.address], |_| {});
        assert_eq!(waits.await.unwrap().unwrap().status(), 200);
        assert_eq!(second.seen("/hello").len(), 1);
        assert!(!there.is_finished());
        first.state.gate.add_permits(1);
        assert_eq!(there.await.unwrap().unwrap().status(), 200, "what is at the old one ends there");
        assert_eq!(busy(&after), [0]);
    });
}

#[test]
fn what_is_sent_again_goes_to_the_servers_of_the_new_configuration() {
    for stays in [true, false] {
        let (first, second) = (Fake::slotted(1, 1), Fake::slotted(1, 1));
        let before = Kit::new(&[first.address]);
        before.run(async |thread| {
            thread.learn().await;
            let there = thread.start("/gate");
            until("it is there", || first.seen("/gate").len() == 1).await;
            let both = [first.address, second.address];
            let _after = before.reloaded(if stays { &both } else { &both[1..] }, |_| {});
            second.state.gate.add_permits(1);
            drop(first);
            assert_eq!(there.await.unwrap().unwrap().status(), 200, "the first stays: {stays}");
            assert_eq!(second.seen("/gate").len(), 1);
        });
    }
}

#[test]
fn who_finds_nobody_at_a_server_that_is_configured_no_more_goes_to_another() {
    // One that takes no more connections: its backlog is full.
    let full = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&full, 0).unwrap();
    let address = full.local_addr().unwrap();
    let short = Duration::from_millis(200);
    let _held: Vec<_> = (0..3).map(|_| std::net::TcpStream::connect_timeout(&address, short)).collect();
    let second = Fake::slotted(1, 1);
    let before = Kit::with(&[address], |config| config.timeouts.connect = 2 * short);
    before.run(async |thread| {
        let connects = thread.start("/hello");
        until("it has its permit", || busy(&before) == [1]).await;
        let _after = before.reloaded(&[second.address], |_| {});
        assert_eq!(connects.await.unwrap().unwrap().status(), 200);
        assert_eq!(second.seen("/hello").len(), 1);
    });
}

#[test]
fn no_slot_is_given_twice_over_a_reload() {
    type Change = fn(&mut crate::kit::Wanted);
    // One of the upstream's, and one of the server's.
    let changes: [Change; 2] =
        [|config| config.upstream.health.panic_threshold = 20, |config| config.upstream.servers[0].weight = 3];
    for change in changes {
        let fake = Fake::slotted(1, 1);
        let before = Kit::new(&[fake.address]);
        before.run(async |old| {
            old.learn().await;
            let there = old.start("/gate");
            until("it is there", || fake.seen("/gate").len() == 1).await;
            let after = before.reloaded(&[fake.address], change);
            let new = after.thread();
            new.0.take_over(&old.0);
            let waits = new.start("/hello");
            until("it waits", || after.metrics().contains("queue_depth{upstream=\"default\"} 1")).await;
            assert_eq!(busy(&after), [1]);
            fake.state.gate.add_permits(1);
            there.await.unwrap().unwrap();
            waits.await.unwrap().unwrap();
            assert_eq!(fake.state.most.load(Ordering::SeqCst), 1);
            assert_eq!(busy(&after), [0]);
            let counted = "monodon_edge_upstream_requests_total{upstream=\"default\",code_class=\"2xx\"} 3";
            assert!(after.metrics().contains(counted), "its counts go on");
        });
    }
}

#[test]
fn idle_connections_are_taken_over() {
    let fake = Fake::slotted(1, 1);
    let before = Kit::new(&[fake.address]);
    before.run(async |old| {
        old.learn().await;
        let after = before.reloaded(&[fake.address], |config| config.upstream.servers[0].weight = 3);
        let new = after.thread();
        new.0.take_over(&old.0);
        assert_eq!((old.0.idle(), new.0.idle()), (0, 1));
        new.learn().await;
        assert_eq!(fake.state.connections.load(Ordering::SeqCst), 1);
        // Nothing said by PROXY protocol before: those are not good for it.
        let other = after
            .reloaded(&[fake.address], |config| config.upstream.transport.proxy_protocol = Some(ProxyProtocol::V1))
            .thread();
        other.0.take_over(&new.0);
        assert_eq!((new.0.idle(), other.0.idle()), (1, 0));
    });
}

#[test]
fn places_in_a_bulkhead_are_not_given_twice() {
    let fake = Fake::slotted(4, 1);
    let before = Kit::new(&[fake.address]);
    before.run(async |thread| {
        thread.learn().await;
        let lane = before.shared.lane("shop", Some("/"), MaxSlots::Number(1));
        let there = thread.on(&lane).start("/gate");
        until("it is there", || fake.seen("/gate").len() == 1).await;
        let after = before.reloaded(&[fake.address], |config| config.upstream.queue_per_slot = 7);
        let lane = after.shared.lane("shop", Some("/"), MaxSlots::Number(1));
        let waits = after.thread().on(&lane).start("/hello");
        until("it waits", || {
            after.metrics().contains("slots_waiting{upstream=\"default\",site=\"shop\",route=\"/\"} 1")
        })
        .await;
        fake.state.gate.add_permits(1);
        there.await.unwrap().unwrap();
        waits.await.unwrap().unwrap();
    });
}

#[test]
fn what_is_known_of_a_server_and_what_was_said_of_it_stays() {
    let (first, second) = (Fake::slotted(1, 1), Fake::slotted(1, 1));
    let check = |config: &mut crate::kit::Wanted| {
        config.upstream.check = Some(UpstreamCheck { port: None, path: "/readyz".into() });
    };
    let before = Kit::with(&[first.address, second.address], check);
    before.run(async |thread| {
        thread.learn().await;
        first.state.not_ready.store(true, Ordering::SeqCst);
        until("it is seen", || before.shared.status().iter().any(|one| !one.up)).await;
        before.shared.drain(&second.address.to_string(), true).unwrap();
        let states = |kit: &Kit| kit.shared.snapshot().iter().map(|one| one.state.name()).collect::<Vec<_>>();
        assert_eq!(states(&before), ["not_ready", "draining"]);
        let after = before.reloaded(&[first.address, second.address], |config| {
            check(config);
            config.upstream.servers[1].weight = 2;
        });
        assert_eq!(states(&after), ["not_ready", "draining"]);
        let other = after.reloaded(&[first.address, second.address], |config| {
            config.upstream.transport.proxy_protocol = Some(ProxyProtocol::V1);
        });
        assert_eq!(states(&other), ["up", "draining"], "another way of speaking: only the operator's word holds");
    });
}

#[test]
fn a_name_that_is_configured_no_more_is_no_problem_any_more() {
    let fake = Fake::slotted(1, 1);
    let before = Kit::resolved(Arc::new(Names(Mutex::default())), |config| {
        config.upstream.servers = vec![UpstreamAddress::Tcp { host: "worker".into(), port: 1 }.into()];
    });
    before.run(async |_| {
        until("it cannot be resolved", || before.shared.status().iter().any(|one| one.address == "worker")).await;
    });
    let after = before.reloaded(&[fake.address], |_| {});
    assert!(after.shared.status().iter().all(|one| one.up));
    after.run(async |thread| thread.learn().await);
}

#[test]
fn an_upstream_that_is_configured_no_more_follows_the_dns_while_requests_have_it() {
    let fake = Fake::slotted(1, 1);
    let away = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
    let names = Arc::new(Names(Mutex::new(Some(vec![away]))));
    let kit = Kit::resolved(names.clone(), |config| {
        let address = UpstreamAddress::Tcp { host: "worker".into(), port: fake.address.port() };
        config.upstream.servers = vec![Server::from(address)];
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let thread = kit.thread();
        let manager = kit.manage_the_rest();
        until("the first answer", || !kit.shared.status().is_empty()).await;
        *names.0.lock().unwrap() = Some(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]);
        until_async("it has moved", || async { thread.get("/hello").await.is_ok() }).await;
        assert!(!manager.is_finished());
        drop(thread);
        until("nobody looks after it any more", || manager.is_finished()).await;
    });
}

#[test]
fn who_finds_all_drained_waits_for_a_name_that_is_not_resolved_yet() {
    let (first, second) = (Fake::slotted(1, 1), Fake::slotted(1, 1));
    let names = Arc::new(Names(Mutex::default()));
    let before = Kit::new(&[first.address]);
    before.run(async |thread| {
        thread.learn().await;
        let (there, waits) = one_there_one_waiting(&before, &thread, &first).await;
        let after = before.reloaded_and_resolved(names.clone(), |config| {
            let named = UpstreamAddress::Tcp { host: "worker".into(), port: second.address.port() };
            config.upstream.servers = vec![Server { drain: true, ..server(first.address) }, named.into()];
            // So long is a name waited for, and it is asked for again after a second or more.
            config.timeouts.connect = Duration::from_secs(30);
        });
        let manager = after.manage_the_rest();
        let comes = after.thread().start("/hello");
        first.state.gate.add_permits(1);
        assert_eq!(there.await.unwrap().unwrap().status(), 200);
        until("it is asked for", || after.shared.status().iter().any(|one| one.address == "worker")).await;
        assert!(!waits.is_finished() && !comes.is_finished());
        *names.0.lock().unwrap() = Some(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]);
        for one in [waits, comes] {
            assert_eq!(one.await.unwrap().unwrap().status(), 200);
        }
        assert_eq!((first.seen("/hello").len(), second.seen("/hello").len()), (1, 2));
        manager.abort();
    });
}

#[test]
fn no_reload_gives_who_waits_to_a_server_that_was_drained() {
    let (emptied, other) = (Fake::slotted(1, 1), Fake::slotted(1, 1));
    let both = [emptied.address, other.address];
    let before = Kit::new(&both);
    before.run(async |thread| {
        thread.learn().await;
        thread.learn().await;
        before.shared.drain(&emptied.address.to_string(), true).unwrap();
        let (there, waits) = one_there_one_waiting(&before, &thread, &other).await;
        let sent = emptied.seen("/hello").len();
        // Its failures are counted anew.
        let _after = before.reloaded(&both, |config| config.upstream.health.fail_timeout = Duration::from_secs(77));
        other.state.gate.add_permits(1);
        there.await.unwrap().unwrap();
        assert_eq!(waits.await.unwrap().unwrap().status(), 200);
        assert_eq!(emptied.seen("/hello").len(), sent);
    });
}

#[test]
fn those_who_wait_are_refused_when_the_last_server_is_drained_or_down() {
    let fake = Fake::slotted(1, 1);
    let before = Kit::with(&[fake.address], |config| config.timeouts.queue = Duration::from_secs(60));
    before.run(async |thread| {
        thread.learn().await;
        let held = thread.start("/gate");
        until("it is at work", || fake.seen("/gate").len() == 1).await;
        let waiting = async || {
            let waiting: Vec<_> = (0..3).map(|_| thread.start("/hello")).collect();
            until("they wait", || before.metrics().contains("monodon_edge_queue_depth{upstream=\"default\"} 3")).await;
            waiting
        };
        let refused = async |waiting: Vec<tokio::task::JoinHandle<_>>| {
            for one in waiting {
                let answer: Result<http::Response<_>, _> =
                    tokio::time::timeout(Duration::from_secs(20), one).await.expect("long before its time").unwrap();
                assert!(matches!(answer, Err(UpstreamError::Drained)));
            }
        };
        let drained = waiting().await;
        before.shared.drain(&fake.address.to_string(), true).unwrap();
        refused(drained).await;
        before.shared.drain(&fake.address.to_string(), false).unwrap();
        let left = waiting().await;
        let after = before.reloaded(&[], |config| {
            config.upstream.servers = vec![Server { down: true, ..server(fake.address) }];
        });
        refused(left).await;
        assert!(matches!(after.thread().get("/hello").await, Err(UpstreamError::Drained)));
        let told = after.shared.status();
        assert!(matches!(told.as_slice(), [only] if !only.up && only.address == fake.address.to_string()), "{told:?}");
        fake.state.gate.add_permits(1);
        assert_eq!(held.await.unwrap().unwrap().status(), 200, "what had been sent is answered");
    });
}
