//! Slots, the queue, and the choice of the process.

use crate::fake::Fake;
use crate::kit::{Kit, read, until, until_async};
use http_body_util::BodyExt;
use monodon_edge::upstream::UpstreamError;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[test]
fn two_slots_never_see_three_requests_and_all_are_served_over_two_threads() {
    let fake = Fake::slotted(2, 1);
    let kit = Kit::new(&[fake.address]);
    let work = || {
        kit.run(async |thread| {
            let requests: Vec<_> = (0..40).map(|_| thread.start("/sleep/2")).collect();
            for request in requests {
                assert_eq!(request.await.unwrap().unwrap().status(), 200);
            }
        });
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    assert_eq!(fake.seen("/sleep/2").len(), 80);
    assert_eq!(fake.state.most.load(Ordering::SeqCst), 2);
    let metrics = kit.metrics();
    assert!(
        metrics.contains("monodon_edge_upstream_requests_total{upstream=\"default\",code_class=\"2xx\"} 80"),
        "{metrics}"
    );
    assert!(metrics.contains("state=\"idle\"} 2"), "{metrics}");
    assert!(metrics.contains("monodon_edge_queue_wait_seconds_count{upstream=\"default\"} 80"), "{metrics}");
    assert!(metrics.contains("monodon_edge_queue_depth{upstream=\"default\"} 0"), "{metrics}");
}

#[test]
fn the_first_request_goes_alone() {
    let fake = Fake::slotted(2, 1);
    let kit = Kit::new(&[fake.address]);
    kit.run(async |thread| {
        let requests: Vec<_> = (0..5).map(|_| thread.start("/gate")).collect();
        until("one has arrived", || fake.seen("/gate").len() == 1).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(fake.seen("/gate").len(), 1);
        fake.state.gate.add_permits(5);
        for request in requests {
            request.await.unwrap().unwrap();
        }
    });
}

#[test]
fn no_request_is_put_behind_a_busy_process_while_another_is_idle() {
    let fake = Fake::slotted(4, 1);
    let kit = Kit::new(&[fake.address]);
    kit.run(async |thread| {
        // One process is held by something slow, the others have connections.
        thread.learn().await;
        let warm: Vec<_> = (0..4).map(|_| thread.start("/sleep/30")).collect();
        for request in warm {
            request.await.unwrap().unwrap();
        }
        fake.state.misplaced.store(0, Ordering::SeqCst);
        let slow = thread.start("/gate");
        until("the slow one is there", || fake.seen("/gate").len() == 1).await;
        for _ in 0..50 {
            let three: Vec<_> = (0..3).map(|_| thread.start("/hello")).collect();
            for request in three {
                request.await.unwrap().unwrap();
            }
        }
        assert_eq!(fake.state.misplaced.load(Ordering::SeqCst), 0);
        assert!(!slow.is_finished());
        fake.state.gate.add_permits(1);
        slow.await.unwrap().unwrap();
        // Every process is covered, and by no more than needed.
        assert_eq!(thread.0.idle(), 4);
        let opened = fake.state.connections.load(Ordering::SeqCst);
        assert!(opened <= 8, "{opened} connections were opened");
    });
}

#[test]
fn a_thread_knows_which_processes_another_thread_keeps_busy() {
    let fake = Fake::slotted(2, 1);
    let kit = Kit::new(&[fake.address]);
    kit.run(async |one| {
        let other = kit.thread();
        one.learn().await;
        // Each covers both processes.
        for thread in [&one, &other] {
            until_async("both are covered", || async {
                for request in [thread.start("/sleep/20"), thread.start("/sleep/20")] {
                    request.await.unwrap().unwrap();
                }
                thread.0.idle() == 2
            })
            .await;
        }
        fake.state.misplaced.store(0, Ordering::SeqCst);
        for round in 1..=10 {
            let slow = one.start("/gate");
            until("the slow one is there", || fake.seen("/gate").len() == round).await;
            for _ in 0..3 {
                other.learn().await;
            }
            fake.state.gate.add_permits(1);
            slow.await.unwrap().unwrap();
        }
        assert_eq!(fake.state.misplaced.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn a_full_queue_refuses_and_a_long_wait_ends() {
    let fake = Fake::slotted(1, 1);
    let kit = Kit::with(&[fake.address], |config| {
        config.upstream.queue_per_slot = 2;
        config.timeouts.queue = Duration::from_millis(200);
    });
    kit.run(async |thread| {
        thread.learn().await;
        let working = thread.start("/gate");
        until("it works", || fake.seen("/gate").len() == 1).await;
        let waiting = [thread.start("/gate"), thread.start("/gate")];
        until("two wait", || kit.metrics().contains("monodon_edge_queue_depth{upstream=\"default\"} 2")).await;
        assert!(matches!(thread.get("/hello").await, Err(UpstreamError::QueueFull)));
        for request in waiting {
            assert!(matches!(request.await.unwrap(), Err(UpstreamError::QueueTimeout)));
        }
        fake.state.gate.add_permits(1);
        working.await.unwrap().unwrap();
        thread.learn().await;
        let metrics = kit.metrics();
        assert!(
            metrics.contains("monodon_edge_queue_rejected_total{upstream=\"default\",reason=\"full\"} 1"),
            "{metrics}"
        );
        assert!(
            metrics.contains("monodon_edge_queue_rejected_total{upstream=\"default\",reason=\"timeout\"} 2"),
            "{metrics}"
        );
    });
}

#[test]
fn who_leaves_while_waiting_leaves_the_queue() {
    let fake = Fake::slotted(1, 1);
    let kit = Kit::new(&[fake.address]);
    kit.run(async |thread| {
        thread.learn().await;
        let working = thread.start("/gate");
        until("it works", || fake.seen("/gate").len() == 1).await;
        let waiting: Vec<_> = (0..10).map(|_| thread.start("/never")).collect();
        until("ten wait", || kit.metrics().contains("monodon_edge_queue_depth{upstream=\"default\"} 10")).await;
        waiting.iter().for_each(tokio::task::JoinHandle::abort);
        until("none waits", || kit.metrics().contains("monodon_edge_queue_depth{upstream=\"default\"} 0")).await;
        fake.state.gate.add_permits(1);
        working.await.unwrap().unwrap();
        thread.learn().await;
        assert_eq!(fake.seen("/never").len(), 0);
    });
}

#[test]
fn aborted_requests_keep_their_slots_and_fast_ones_are_served() {
    let fake = Fake::slotted(2, 1);
    let kit = Kit::new(&[fake.address]);
    kit.run(async |thread| {
        thread.learn().await;
        for _ in 0..5 {
            let slow: Vec<_> = (0..4).map(|_| thread.start("/sleep/60")).collect();
            // Some of them are at work, the rest wait in the queue.
            until("both slots are taken", || fake.state.most.load(Ordering::SeqCst) == 2).await;
            slow.iter().for_each(tokio::task::JoinHandle::abort);
            assert_eq!(thread.get("/hello").await.unwrap().status(), 200);
        }
        assert_eq!(fake.state.most.load(Ordering::SeqCst), 2);
        until("all slots are back", || kit.metrics().contains("state=\"busy\"} 0")).await;
        // The answers were read and dropped: the connections live on.
        let opened = fake.state.connections.load(Ordering::SeqCst);
        assert!(opened <= 5, "{opened} connections were opened");
    });
}

#[test]
fn fifty_event_streams_stream_on_two_slots() {
    let fake = Fake::slotted(2, 1);
    let kit = Kit::new(&[fake.address]);
    kit.run(async |thread| {
        let mut streams = Vec::new();
        for at in 0..50 {
            let path = format!("/events/{at}");
            let mut response = thread.get(&path).await.unwrap();
            let frame = response.body_mut().frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), "data: 1\n\n");
            streams.push(response);
            thread.learn().await;
        }
        assert!(fake.state.live.load(Ordering::SeqCst) >= 50);
        // Who leaves closes his stream.
        streams.clear();
        until("the streams are closed", || fake.state.live.load(Ordering::SeqCst) <= 2).await;
    });
}

#[test]
fn an_event_stream_that_nobody_waits_for_gives_its_slot_back_at_its_head() {
    let fake = Fake::slotted(1, 1);
    let kit = Kit::new(&[fake.address]);
    kit.run(async |thread| {
        thread.learn().await;
        let stream = thread.start("/late-events");
        until("it works", || fake.seen("/late-events").len() == 1).await;
        stream.abort();
        let next = thread.start("/hello");
        fake.state.gate.add_permits(1);
        assert_eq!(next.await.unwrap().unwrap().status(), 200);
        until("the application hears of it", || fake.state.live.load(Ordering::SeqCst) == 1).await;
    });
}

#[test]
fn slow_readers_of_large_answers_hold_no_slot() {
    let fake = Fake::slotted(2, 1);
    let kit = Kit::new(&[fake.address]);
    kit.run(async |thread| {
        thread.learn().await;
        let size = 3_000_000;
        let path = format!("/big/{size}");
        let slow = [thread.get(&path).await.unwrap(), thread.get(&path).await.unwrap()];
        assert_eq!(thread.get("/hello").await.unwrap().status(), 200);
        until("the slots are free", || kit.metrics().contains("state=\"busy\"} 0")).await;
        assert!(kit.metrics().contains("monodon_edge_body_spool_files 2"), "{}", kit.metrics());
        for response in slow {
            assert_eq!(read(response).await.unwrap(), crate::fake::pattern(size));
        }
        assert!(kit.metrics().contains("monodon_edge_body_spool_files 0"), "{}", kit.metrics());
    });
}

#[test]
fn a_crowd_before_the_first_answer_is_not_turned_away() {
    let fake = Fake::foreign();
    let kit = Kit::with(&[fake.address], |config| {
        config.upstream.queue_per_slot = 1;
        // All of them connect at once.
        config.timeouts.connect = Duration::from_secs(20);
    });
    kit.run(async |thread| {
        let requests: Vec<_> = (0..300).map(|_| thread.start("/sleep/1")).collect();
        for request in requests {
            request.await.unwrap().unwrap();
        }
    });
}

#[test]
fn a_foreign_upstream_is_bounded_by_max_connections() {
    let fake = Fake::foreign();
    let kit = Kit::with(&[fake.address], |config| config.upstream.max_connections = 7);
    kit.run(async |thread| {
        thread.learn().await;
        let requests: Vec<_> = (0..20).map(|_| thread.start("/sleep/20")).collect();
        for request in requests {
            request.await.unwrap().unwrap();
        }
        assert_eq!(fake.state.most.load(Ordering::SeqCst), 7);
    });
}
