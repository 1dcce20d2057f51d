//! Which address a request goes to: weights, backups, hashing, stickiness, bounds, failures.

use crate::fake::Fake;
use crate::kit::{Kit, Thread, Wanted, parts, server, until, until_async};
use http::{HeaderValue, Method, header};
use monodon_edge::buffer::Buffered;
use monodon_edge::config::{Balance, HashBy, Server, Sticky, StickyKey};
use monodon_edge::upstream::{State, UpstreamError};
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

fn with(fakes: &[&Fake], servers: impl Fn(usize, Server) -> Server, change: impl FnOnce(&mut Wanted)) -> Kit {
    Kit::with(&[], |config| {
        config.upstream.servers =
            fakes.iter().enumerate().map(|(at, fake)| servers(at, server(fake.address))).collect();
        change(config);
    })
}

fn counts(fakes: &[&Fake]) -> Vec<usize> {
    fakes.iter().map(|fake| fake.seen("/hello").len()).collect()
}

fn state(kit: &Kit, fake: &Fake) -> State {
    let label = fake.address.to_string();
    kit.shared.snapshot().into_iter().find(|one| one.address == label).unwrap().state
}

/// A request with a header; the cookie that the answer sets.
async fn ask(thread: &Thread, name: header::HeaderName, value: &str) -> Option<String> {
    let mut parts = parts(Method::GET, "/hello");
    parts.headers.insert(name, HeaderValue::from_str(value).unwrap());
    let response = thread.send_parts(parts, Buffered::empty()).await.unwrap();
    response.headers().get(header::SET_COOKIE).map(|value| value.to_str().unwrap().to_owned())
}

#[test]
fn weights_of_servers() {
    let fakes = [&Fake::foreign(), &Fake::foreign()];
    for balance in [Balance::Slots, Balance::LeastConn, Balance::RoundRobin] {
        let before = counts(&fakes);
        let weight = |at, server| Server { weight: [3, 1][at], ..server };
        let kit = with(&fakes, weight, |config| config.upstream.balancing.balance = balance);
        kit.run(async |thread| {
            for _ in 0..40 {
                thread.learn().await;
            }
        });
        let shares: Vec<usize> = counts(&fakes).iter().zip(&before).map(|(now, then)| now - then).collect();
        assert_eq!(shares, [30, 10], "{balance:?}");
    }
}

#[test]
fn a_server_that_is_down_by_configuration_gets_nothing_and_a_bounded_one_no_more_than_that() {
    let fakes = [&Fake::foreign(), &Fake::foreign(), &Fake::foreign()];
    let words = |at, server| match at {
        0 => Server { down: true, ..server },
        1 => Server { max_conns: Some(2), ..server },
        _ => Server { max_conns: Some(3), ..server },
    };
    let kit = with(&fakes, words, |_| {});
    kit.run(async |thread| {
        let requests: Vec<_> = (0..30).map(|_| thread.start("/sleep/20")).collect();
        for request in requests {
            request.await.unwrap().unwrap();
        }
    });
    let most: Vec<usize> = fakes.iter().map(|fake| fake.state.most.load(Ordering::SeqCst)).collect();
    assert_eq!(most, [0, 2, 3]);
    assert_eq!(state(&kit, fakes[0]), State::Off);
    assert!(kit.metrics().contains("state=\"off\"} 1"), "{}", kit.metrics());
    assert!(kit.shared.status().iter().all(|one| one.up), "what the operator wants is no warning");
}

#[test]
fn a_backup_serves_while_the_others_are_away() {
    let (dead, backup) = (Fake::foreign().address, Fake::foreign());
    let kit = Kit::with(&[], |config| {
        config.upstream.servers = vec![server(dead), Server { backup: true, ..server(backup.address) }];
    });
    kit.run(async |thread| {
        thread.learn().await;
        thread.learn().await;
        assert_eq!(backup.seen("/hello").len(), 2);
    });
    let (first, backup) = (Fake::foreign(), Fake::foreign());
    let words = |at, server| Server { backup: at == 1, ..server };
    let kit = with(&[&first, &backup], words, |_| {});
    kit.run(async |thread| {
        for _ in 0..10 {
            thread.learn().await;
        }
        assert_eq!(counts(&[&first, &backup]), [10, 0]);
    });
}

#[test]
fn a_hash_goes_by_header_cookie_address_or_client() {
    let fakes = [&Fake::foreign(), &Fake::foreign(), &Fake::foreign()];
    let places = |kit: &Kit, name: header::HeaderName, value: fn(usize) -> String| {
        kit.run(async |thread| {
            let mut used = 0;
            for user in 0..12 {
                let before = counts(&fakes);
                for _ in 0..4 {
                    ask(&thread, name.clone(), &value(user)).await;
                }
                let shares: Vec<usize> = counts(&fakes).iter().zip(&before).map(|(now, then)| now - then).collect();
                assert_eq!(shares.iter().filter(|share| **share > 0).count(), 1, "{user}: {shares:?}");
                used |= 1 << shares.iter().position(|share| *share > 0).unwrap();
            }
            assert_eq!(used, 7, "all servers have users");
        });
    };
    let hashed = |by: HashBy| {
        with(
            &fakes,
            |_, server| server,
            move |config| {
                config.upstream.balancing.balance = Balance::Hash;
                config.upstream.balancing.hash = Some(by);
            },
        )
    };
    places(&hashed(HashBy::Header(header::AUTHORIZATION)), header::AUTHORIZATION, |user| format!("user {user}"));
    places(&hashed(HashBy::Cookie("sid".into())), header::COOKIE, |user| format!("a=b; sid={user}"));
    // By the client's network, as nginx.
    let kit = with(&fakes, |_, server| server, |config| config.upstream.balancing.balance = Balance::IpHash);
    kit.run(async |thread| {
        let before = counts(&fakes);
        for last in 1..20 {
            thread.from(IpAddr::from([10, 1, 2, last])).learn().await;
        }
        let shares: Vec<usize> = counts(&fakes).iter().zip(&before).map(|(now, then)| now - then).collect();
        assert_eq!(shares.iter().filter(|share| **share > 0).count(), 1, "{shares:?}");
    });
}

#[test]
fn what_is_hashed_waits_for_its_server_and_nobody_waits_for_it() {
    let fakes = [&Fake::slotted(1, 1), &Fake::slotted(1, 1)];
    let kit = with(
        &fakes,
        |_, server| server,
        |config| {
            config.upstream.balancing.balance = Balance::Hash;
            config.upstream.balancing.hash = Some(HashBy::Header(header::AUTHORIZATION));
            // As many as wait here.
            config.upstream.queue_per_slot = 3;
        },
    );
    kit.run(async |thread| {
        let send = |path: &'static str, user: Option<&'static str>| {
            let thread = thread.clone();
            tokio::task::spawn_local(async move {
                let mut parts = parts(Method::GET, path);
                if let Some(user) = user {
                    parts.headers.insert(header::AUTHORIZATION, HeaderValue::from_static(user));
                }
                thread.send_parts(parts, Buffered::empty()).await
            })
        };
        thread.learn().await;
        thread.learn().await;
        let slow = send("/gate", Some("one"));
        until("it is there", || fakes.iter().any(|fake| fake.seen("/gate").len() == 1)).await;
        let own = fakes.iter().position(|fake| fake.seen("/gate").len() == 1).unwrap();
        let waits: Vec<_> = (0..3).map(|_| send("/mine", Some("one"))).collect();
        until("they wait", || kit.metrics().contains("monodon_edge_queue_depth{upstream=\"default\"} 3")).await;
        for _ in 0..20 {
            send("/anyone", None).await.unwrap().unwrap();
        }
        assert_eq!(fakes[1 - own].seen("/anyone").len(), 20);
        assert!(matches!(send("/mine", Some("one")).await.unwrap(), Err(UpstreamError::QueueFull)));
        fakes[own].state.gate.add_permits(1);
        slow.await.unwrap().unwrap();
        for wait in waits {
            wait.await.unwrap().unwrap();
        }
        assert_eq!(fakes[own].seen("/mine").len(), 3);
    });
}

#[test]
fn what_is_hashed_leaves_a_server_that_is_drained() {
    let fakes = [Fake::slotted(1, 1), Fake::slotted(1, 1)];
    let kit = Kit::with(&[fakes[0].address, fakes[1].address], |config| {
        config.upstream.balancing.balance = Balance::Hash;
        config.upstream.balancing.hash = Some(HashBy::Ip);
    });
    kit.run(async |thread| {
        thread.learn().await;
        thread.learn().await;
        let thread = Thread(thread.0, thread.1, thread.2, Some(IpAddr::from([10, 0, 0, 1])));
        let slow = thread.start("/gate");
        until("it is there", || fakes.iter().any(|fake| fake.seen("/gate").len() == 1)).await;
        let own = fakes.iter().position(|fake| fake.seen("/gate").len() == 1).unwrap();
        let waits: Vec<_> = (0..3).map(|_| thread.start("/mine")).collect();
        until("they wait", || kit.metrics().contains("monodon_edge_queue_depth{upstream=\"default\"} 3")).await;
        kit.shared.drain(&fakes[own].address.to_string(), true).unwrap();
        for wait in waits {
            wait.await.unwrap().unwrap();
        }
        assert_eq!(fakes[1 - own].seen("/mine").len(), 3);
        fakes[own].state.gate.add_permits(1);
        slow.await.unwrap().unwrap();
    });
}

fn sticky(config: &mut Wanted) {
    let key = StickyKey::Given("secret".into());
    config.upstream.balancing.sticky = Some(Sticky { cookie: "ROUTE".into(), key });
}

#[test]
fn a_sticky_cookie_keeps_a_client_and_lets_go_of_a_dead_server() {
    let (first, second) = (Fake::foreign(), Fake::foreign());
    let kit = with(&[&first, &second], |_, server| server, sticky);
    kit.run(async |thread| {
        let told = ask(&thread, header::COOKIE, "a=b").await.unwrap();
        let (pair, rest) = told.split_once(';').unwrap();
        assert_eq!(rest, " Path=/; HttpOnly; SameSite=Lax");
        assert_eq!(pair.len(), "ROUTE=".len() + 16);
        let own = usize::from(first.seen("/hello").is_empty());
        for _ in 0..10 {
            assert_eq!(ask(&thread, header::COOKIE, pair).await, None, "who knows is not told again");
        }
        assert_eq!(counts(&[&first, &second])[own], 11);
        // A value that nobody has given out is none.
        assert!(ask(&thread, header::COOKIE, "ROUTE=0123456789abcdef").await.is_some());
        let (mut fakes, other) = if own == 0 { (Some(first), second) } else { (Some(second), first) };
        drop(fakes.take());
        let again = ask(&thread, header::COOKIE, pair).await.unwrap();
        assert_ne!(again.split_once(';').unwrap().0, pair);
        assert_eq!(ask(&thread, header::COOKIE, again.split_once(';').unwrap().0).await, None);
        assert!(!other.seen("/hello").is_empty());
    });
}

#[test]
fn a_drained_server_keeps_its_own_clients_alone() {
    let fakes = [&Fake::foreign(), &Fake::foreign()];
    let before = with(&fakes, |_, server| server, sticky);
    let pair = before.run(async |thread| {
        // One that leads to the first.
        loop {
            let told = ask(&thread, header::COOKIE, "a=b").await.unwrap();
            if fakes[0].seen("/hello").len() == 1 {
                break told.split_once(';').unwrap().0.to_owned();
            }
        }
    });
    let kit = with(&fakes, |at, server| Server { drain: at == 0, ..server }, sticky);
    kit.run(async |thread| {
        let then = counts(&fakes);
        for _ in 0..10 {
            ask(&thread, header::COOKIE, "a=b").await;
            assert_eq!(ask(&thread, header::COOKIE, &pair).await, None);
        }
        assert_eq!(counts(&fakes), [then[0] + 10, then[1] + 10]);
        assert_eq!(state(&kit, fakes[0]), State::Draining);
        // With the other drained too, they are the only ones that are served.
        kit.shared.drain(&fakes[1].address.to_string(), true).unwrap();
        assert_eq!(ask(&thread, header::COOKIE, &pair).await, None);
        assert!(matches!(thread.get("/hello").await, Err(UpstreamError::Drained)));
    });
}

#[test]
fn failures_in_a_row_leave_a_server_out_and_it_comes_back() {
    let fakes = [&Fake::foreign(), &Fake::foreign(), &Fake::foreign()];
    let kit = with(
        &fakes,
        |_, server| server,
        |config| {
            config.upstream.health.max_fails = 3;
            config.upstream.health.fail_timeout = Duration::from_millis(1500);
            config.upstream.balancing.retries = 0;
            config.upstream.balancing.balance = Balance::Hash;
            config.upstream.balancing.hash = Some(HashBy::Uri);
        },
    );
    kit.run(async |thread| {
        // All of one address go to one server.
        for _ in 0..3 {
            assert!(thread.get("/die").await.is_err());
        }
        let sick = fakes.iter().position(|fake| !fake.seen("/die").is_empty()).unwrap();
        assert_eq!(state(&kit, fakes[sick]), State::Ejected);
        assert!(kit.metrics().contains("state=\"ejected\"} 1"), "{}", kit.metrics());
        assert!(kit.shared.status().iter().any(|one| !one.up), "it is told");
        assert!(thread.get("/die").await.is_err());
        assert_eq!(fakes[sick].seen("/die").len(), 3);
        until("it is back", || state(&kit, fakes[sick]) == State::Up).await;
        // One failure more is enough now, and it is out for twice as long.
        assert!(thread.get("/die").await.is_err());
        assert_eq!(state(&kit, fakes[sick]), State::Ejected);
        let ejections = kit.shared.snapshot().iter().map(|one| one.ejections).max();
        assert_eq!(ejections, Some(2));
    });
}

#[test]
fn where_most_fail_none_is_left_out() {
    let fakes = [&Fake::foreign(), &Fake::foreign()];
    let kit = with(
        &fakes,
        |_, server| server,
        |config| {
            config.upstream.health.max_fails = 2;
            config.upstream.balancing.retries = 0;
        },
    );
    kit.run(async |thread| {
        for _ in 0..8 {
            assert!(thread.get("/die").await.is_err());
        }
        assert!(kit.metrics().contains("monodon_edge_upstream_panic{upstream=\"default\"} 1"), "{}", kit.metrics());
        for _ in 0..10 {
            thread.learn().await;
        }
        assert!(counts(&fakes).iter().all(|count| *count == 5), "{:?}", counts(&fakes));
    });
}

#[test]
fn a_status_counts_only_where_it_is_asked_for() {
    let fakes = [&Fake::foreign(), &Fake::foreign(), &Fake::foreign()];
    let kit = |statuses: Vec<u16>| {
        with(
            &fakes,
            |_, server| server,
            move |config| {
                config.upstream.health.max_fails = 2;
                config.upstream.health.fail_on.statuses = statuses;
            },
        )
    };
    for (statuses, out) in [(vec![503], 1), (vec![], 0)] {
        let kit = kit(statuses);
        kit.run(async |thread| {
            for _ in 0..4 {
                assert_eq!(thread.get("/busy").await.unwrap().status(), 503);
            }
            let ejected = kit.shared.snapshot().iter().filter(|one| one.state == State::Ejected).count();
            // Two of three would be most: the second stays.
            assert!(ejected >= out && (out > 0 || ejected == 0), "{ejected}");
        });
    }
}

#[test]
fn who_comes_back_starts_slowly() {
    let (first, second) = (Fake::slotted(1, 4), Fake::slotted(1, 4));
    let kit = with(
        &[&first, &second],
        |_, server| Server { slow_start: Some(Duration::from_secs(60)), ..server },
        |config| {
            config.upstream.check = Some(monodon_edge::config::UpstreamCheck { port: None, path: "/readyz".into() });
        },
    );
    kit.run(async |thread| {
        first.state.not_ready.store(true, Ordering::SeqCst);
        until("it is known", || state(&kit, &first) == State::NotReady).await;
        first.state.not_ready.store(false, Ordering::SeqCst);
        until("it is back", || state(&kit, &first) == State::Up).await;
        let before = counts(&[&first, &second]);
        for _ in 0..60 {
            thread.learn().await;
        }
        let after = counts(&[&first, &second]);
        assert!(after[0] - before[0] < 15, "{before:?} {after:?}");
        assert!(kit.shared.snapshot().iter().any(|one| one.slow_start.is_some()));
        kit.close();
    });
}

#[test]
fn a_server_may_have_to_prove_itself_first() {
    let (first, second) = (Fake::foreign(), Fake::foreign());
    first.state.not_ready.store(true, Ordering::SeqCst);
    let kit = with(
        &[&first, &second],
        |_, server| server,
        |config| {
            config.upstream.check = Some(monodon_edge::config::UpstreamCheck { port: None, path: "/readyz".into() });
            config.upstream.health.check.first = true;
            config.upstream.health.check.interval = Duration::from_millis(250);
            config.upstream.health.check.host = "probe.example".into();
        },
    );
    assert!(kit.shared.status().iter().all(|one| !one.up));
    kit.run(async |thread| {
        until("the second is ready", || state(&kit, &second) == State::Up).await;
        for _ in 0..10 {
            thread.learn().await;
        }
        assert_eq!(counts(&[&first, &second]), [0, 10]);
        assert_eq!(second.seen("/readyz")[0].fields["host"], "probe.example");
        first.state.not_ready.store(false, Ordering::SeqCst);
        until_async("the first is, too", || async {
            thread.learn().await;
            !first.seen("/hello").is_empty()
        })
        .await;
        kit.close();
    });
}

#[test]
fn how_often_is_said_and_the_budget_is() {
    let fake = Fake::slotted(1, 1);
    for (retries, sent) in [(0, 1), (1, 2), (3, 4)] {
        let kit = Kit::with(&[fake.address], |config| config.upstream.balancing.retries = retries);
        let before = fake.seen("/die").len();
        kit.run(async |thread| assert!(thread.get("/die").await.is_err()));
        assert_eq!(fake.seen("/die").len() - before, sent);
    }
    let kit = Kit::with(&[fake.address], |config| config.upstream.balancing.retry_budget = 0);
    let before = fake.seen("/die").len();
    kit.run(async |thread| assert!(thread.get("/die").await.is_err()));
    assert_eq!(fake.seen("/die").len() - before, 1);
}
