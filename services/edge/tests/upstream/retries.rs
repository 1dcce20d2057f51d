//! What is sent a second time, and what never.

use crate::fake::Fake;
use crate::kit::{Kit, read, until};
use http::Method;
use monodon_edge::buffer::Buffered;
use monodon_edge::config::{Balance, HashBy};
use monodon_edge::upstream::{Killed, UpstreamError};
use std::sync::atomic::Ordering;
use std::time::Duration;

#[test]
fn a_get_on_a_killed_connection_is_sent_again_and_says_where_it_died() {
    let fake = Fake::slotted(1, 1);
    let kit = Kit::new(&[fake.address]);
    kit.run(async |thread| {
        thread.learn().await;
        let response = thread.get("/die-once").await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(thread.1.get().retried);
        let seen = fake.seen("/die-once");
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0].fields.get("x-monodon-retry"), None);
        assert_eq!(seen[1].fields["x-monodon-retry"], "0");
        assert_eq!(seen[1].fields["host"], "example.org");
    });
}

#[test]
fn a_get_whose_small_answer_is_cut_is_sent_again() {
    let fake = Fake::slotted(1, 1);
    let kit = Kit::new(&[fake.address]);
    kit.run(async |thread| {
        assert_eq!(read(thread.get("/cut-once").await.unwrap()).await.unwrap(), b"ok\n");
        assert_eq!(fake.seen("/cut-once").len(), 2);
    });
}

#[test]
fn a_post_is_never_sent_again() {
    let fake = Fake::slotted(1, 1);
    let kit = Kit::new(&[fake.address]);
    kit.run(async |thread| {
        thread.learn().await;
        let body = Buffered::memory("a=b".into());
        assert!(matches!(thread.send(Method::POST, "/die-once", body).await, Err(UpstreamError::Reset)));
        assert_eq!(fake.seen("/die-once").len(), 1);
        assert_eq!(fake.seen("/die-once")[0].body, b"a=b");
    });
}

#[test]
fn a_post_that_a_killed_worker_had_not_read_is_sent_again() {
    let fake = Fake::slotted(1, 1);
    let kit = Kit::new(&[fake.address]);
    kit.run(async |thread| {
        thread.learn().await;
        let body = Buffered::memory(vec![b'x'; 8 << 20].into());
        let response = thread.send(Method::POST, "/unread", body).await.unwrap();
        assert_eq!(response.headers()["x-body"], (8 << 20).to_string());
        assert_eq!(fake.state.unread.load(Ordering::SeqCst), 2);
        assert_eq!(fake.seen("/unread")[0].fields.get("x-monodon-retry"), None);
    });
}

#[test]
fn of_a_foreign_upstream_nobody_knows_what_it_does_with_half_a_post() {
    let fake = Fake::foreign();
    let kit = Kit::new(&[fake.address]);
    kit.run(async |thread| {
        thread.learn().await;
        let body = Buffered::memory(vec![b'x'; 8 << 20].into());
        assert!(matches!(thread.send(Method::POST, "/unread", body).await, Err(UpstreamError::Reset)));
        assert_eq!(fake.state.unread.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_post_that_crosses_with_the_end_of_its_connection_is_sent_again() {
    let fake = Fake::slotted(1, 1);
    let kit = Kit::new(&[fake.address]);
    kit.run(async |thread| {
        for _ in 0..5 {
            thread.learn().await;
            fake.state.close_idle.notify_waiters();
            // Not tokio's: this thread must not see the end before it sends.
            std::thread::sleep(Duration::from_millis(20));
            let response = thread.send(Method::POST, "/post", Buffered::memory("a=b".into())).await.unwrap();
            assert_eq!(response.headers()["x-body"], "3");
        }
        assert_eq!(fake.seen("/post").len(), 5);
    });
}

#[test]
fn only_twice_and_only_within_the_budget() {
    let fake = Fake::slotted(1, 1);
    let kit = Kit::new(&[fake.address]);
    kit.run(async |thread| {
        thread.learn().await;
        for _ in 0..40 {
            assert!(matches!(thread.get("/die").await, Err(UpstreamError::Reset)));
        }
        let sent = fake.seen("/die").len();
        assert!((45..=60).contains(&sent), "{sent} sendings of 40 requests");
    });
}

#[test]
fn what_the_supervisor_killed_is_never_sent_again() {
    let fake = Fake::slotted(1, 1);
    let kit = Kit::new(&[fake.address]);
    kit.run(async |thread| {
        assert!(matches!(thread.get("/killed").await, Err(UpstreamError::Killed(Killed::Timeout))));
        assert_eq!(fake.seen("/killed").len(), 1);
        thread.learn().await;
    });
}

#[test]
fn a_connection_that_was_closed_while_idle_costs_no_post() {
    let fake = Fake::slotted(1, 1);
    let kit = Kit::new(&[fake.address]);
    kit.run(async |thread| {
        for _ in 0..5 {
            thread.learn().await;
            assert_eq!(thread.0.idle(), 1);
            fake.state.close_idle.notify_waiters();
            tokio::time::sleep(Duration::from_millis(20)).await;
            let body = Buffered::memory("a=b".into());
            let response = thread.send(Method::POST, "/post", body).await.unwrap();
            assert_eq!(response.headers()["x-body"], "3");
        }
        assert_eq!(fake.seen("/post").len(), 5);
    });
}

#[test]
fn silence_ends_in_time_and_refusal_at_once() {
    let fake = Fake::slotted(1, 1);
    let kit = Kit::with(&[fake.address], |config| config.timeouts.first_byte = Duration::from_millis(100));
    kit.run(async |thread| {
        assert!(matches!(thread.get("/silent").await, Err(UpstreamError::Timeout)));
    });
    let address = fake.address;
    drop(fake);
    let kit = Kit::new(&[address]);
    kit.run(async |thread| {
        assert!(matches!(thread.get("/").await, Err(UpstreamError::Connect(_))));
        until("it is known", || {
            kit.metrics().contains(&format!("upstream_up{{upstream=\"default\",address=\"{address}\"}} 0"))
        })
        .await;
    });
}

#[test]
fn an_answer_that_is_none_is_said_to_be_bad() {
    let fake = Fake::slotted(1, 1);
    let kit = Kit::new(&[fake.address]);
    kit.run(async |thread| {
        assert!(matches!(thread.get("/garbage").await, Err(UpstreamError::BadResponse(_))));
        assert!(matches!(thread.get("/switch").await, Err(UpstreamError::BadResponse("unasked_upgrade"))));
        assert_eq!(fake.seen("/garbage").len(), 1);
        thread.learn().await;
    });
}

/// It fails fast, and so is always the least busy.
#[test]
fn what_one_server_breaks_another_gets() {
    let fakes = [Fake::foreign(), Fake::foreign()];
    let kit = Kit::new(&[fakes[0].address, fakes[1].address]);
    kit.run(async |thread| {
        thread.learn().await;
        thread.learn().await;
        let held = [thread.start("/gate"), thread.start("/gate")];
        until("both are busy", || fakes.iter().all(|fake| fake.seen("/gate").len() == 1)).await;
        fakes[0].state.frail.store(true, Ordering::SeqCst);
        fakes[0].state.gate.add_permits(1);
        until("one is free", || kit.shared.snapshot().iter().map(|address| address.busy).sum::<u32>() == 1).await;
        for _ in 0..2 {
            assert_eq!(thread.get("/frail").await.unwrap().status(), 200);
        }
        assert_eq!((fakes[0].seen("/frail").len(), fakes[1].seen("/frail").len()), (2, 2));
        fakes[1].state.gate.add_permits(1);
        for held in held {
            held.await.unwrap().unwrap();
        }
    });
}

#[test]
fn what_is_hashed_goes_to_another_server_than_the_one_that_broke() {
    let fakes = [Fake::foreign(), Fake::foreign()];
    let kit = Kit::with(&[fakes[0].address, fakes[1].address], |config| {
        config.upstream.balancing.balance = Balance::Hash;
        config.upstream.balancing.hash = Some(HashBy::Uri);
    });
    kit.run(async |thread| {
        fakes[0].state.frail.store(true, Ordering::SeqCst);
        for number in 0..8 {
            let path = format!("/frail/{number}");
            assert_eq!(thread.get(&path).await.unwrap().status(), 200, "{path}");
            assert_eq!(fakes[1].seen(&path).len(), 1);
        }
    });
}

#[test]
fn of_a_process_only_its_own_worker_is_asked_what_it_died_of() {
    let mut fakes = vec![Fake::slotted(1, 1), Fake::slotted(1, 1)];
    let kit = Kit::new(&[fakes[0].address, fakes[1].address]);
    kit.run(async |thread| {
        thread.learn().await;
        thread.learn().await;
        for round in 0..4 {
            let path = format!("/die-once/{round}");
            assert_eq!(thread.get(&path).await.unwrap().status(), 200);
            let seen: Vec<_> = fakes.iter().map(|fake| fake.seen(&path)).filter(|seen| !seen.is_empty()).collect();
            assert_eq!(seen.len(), 1, "it went back to the one that knows");
            assert_eq!(seen[0][1].fields["x-monodon-retry"], "0");
        }
        // Where that worker is gone, the other is not asked about a process that it never had.
        let sent = thread.start("/gate");
        until("it is there", || fakes.iter().any(|fake| fake.seen("/gate").len() == 1)).await;
        let there = fakes.iter().position(|fake| fake.seen("/gate").len() == 1).unwrap();
        drop(fakes.remove(there));
        fakes[0].state.gate.add_permits(1);
        assert_eq!(sent.await.unwrap().unwrap().status(), 200);
        assert_eq!(fakes[0].seen("/gate")[0].fields.get("x-monodon-retry"), None);
    });
}

#[test]
fn of_four_servers_one_is_enough() {
    let addresses = || -> (Vec<std::net::SocketAddr>, Fake) {
        let good = Fake::foreign();
        let gone = (0..3).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
        (gone.chain([good.address]).collect(), good)
    };
    for method in [Method::GET, Method::POST] {
        // Whichever of them has the first turn.
        for turn in 0..4 {
            let (mut all, good) = addresses();
            all.rotate_left(turn);
            let kit = Kit::new(&all);
            kit.run(async |thread| {
                let response = thread.send(method.clone(), "/hello", Buffered::empty()).await.unwrap();
                assert_eq!(response.status(), 200);
            });
            assert_eq!(good.seen("/hello").len(), 1);
        }
    }
}
