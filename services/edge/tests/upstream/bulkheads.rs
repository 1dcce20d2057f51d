//! Routes that are held to some of the slots, at workers that tell how many they have.

use crate::fake::Fake;
use crate::kit::{Kit, until};
use monodon_edge::config::MaxSlots;
use monodon_edge::upstream::UpstreamError;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[test]
fn slow_pages_never_take_all_slots_and_fast_ones_pass_by() {
    let fake = Fake::slotted(4, 1);
    let kit = Kit::new(&[fake.address]);
    kit.run(async |thread| {
        thread.learn().await;
        let lane = kit.shared.lane("shop", Some("/reports/"), MaxSlots::Number(3));
        let slow = thread.on(&lane);
        let reports: Vec<_> = (0..20).map(|_| slow.start("/gate")).collect();
        until("three are at work", || fake.seen("/gate").len() == 3).await;
        for _ in 0..30 {
            thread.learn().await;
        }
        assert_eq!(fake.seen("/gate").len(), 3);
        assert_eq!(fake.state.most.load(Ordering::SeqCst), 4);
        assert_eq!(fake.state.misplaced.load(Ordering::SeqCst), 0);
        let labels = "{upstream=\"default\",site=\"shop\",route=\"/reports/\"}";
        let metrics = kit.metrics();
        for (family, value) in [("held", 3), ("max", 3), ("waiting", 17)] {
            let series = format!("monodon_edge_route_slots_{family}{labels} {value}\n");
            assert!(metrics.contains(&series), "{series} in\n{metrics}");
        }
        assert!(metrics.contains("monodon_edge_queue_depth{upstream=\"default\"} 0"), "{metrics}");
        fake.state.gate.add_permits(20);
        for report in reports {
            report.await.unwrap().unwrap();
        }
        assert_eq!(fake.state.most.load(Ordering::SeqCst), 4);
        let metrics = kit.metrics();
        assert!(metrics.contains(&format!("monodon_edge_route_slots_held{labels} 0\n")), "{metrics}");
        assert!(metrics.contains(&format!("monodon_edge_route_slots_waited_total{labels} 17\n")), "{metrics}");
    });
}

#[test]
fn a_share_follows_the_slots_that_there_are() {
    let (first, second) = (Fake::slotted(4, 1), Fake::slotted(4, 1));
    let kit = Kit::new(&[first.address, second.address]);
    kit.run(async |thread| {
        thread.learn().await;
        thread.learn().await;
        let slow = thread.on(&kit.shared.lane("shop", Some("/"), MaxSlots::Share(50)));
        let reports: Vec<_> = (0..20).map(|_| slow.start("/gate")).collect();
        until("half is at work", || first.seen("/gate").len() + second.seen("/gate").len() == 4).await;
        for _ in 0..20 {
            thread.learn().await;
        }
        assert_eq!(first.seen("/gate").len() + second.seen("/gate").len(), 4);
        reports.iter().for_each(tokio::task::JoinHandle::abort);
        first.state.gate.add_permits(20);
        second.state.gate.add_permits(20);
        until("all is back", || kit.metrics().matches("state=\"busy\"} 0").count() == 2).await;
    });
}

#[test]
fn who_leaves_takes_no_place_with_him_and_an_answer_that_nobody_reads_keeps_his() {
    let fake = Fake::slotted(2, 1);
    let kit = Kit::new(&[fake.address]);
    kit.run(async |thread| {
        thread.learn().await;
        let lane = kit.shared.lane("shop", Some("/"), MaxSlots::Number(1));
        let slow = thread.on(&lane);
        let first = slow.start("/gate");
        until("it is at work", || fake.seen("/gate").len() == 1).await;
        let waiting: Vec<_> = (0..10).map(|_| slow.start("/never")).collect();
        until("ten wait", || lane.meter.waiting.load(Ordering::SeqCst) == 10).await;
        waiting.iter().for_each(tokio::task::JoinHandle::abort);
        until("none waits", || lane.meter.waiting.load(Ordering::SeqCst) == 0).await;
        // Python cannot be interrupted: the place is taken for as long as the slot is.
        first.abort();
        let next = slow.start("/hello");
        thread.learn().await;
        assert!(!next.is_finished());
        fake.state.gate.add_permits(1);
        next.await.unwrap().unwrap();
        assert_eq!(fake.seen("/never").len(), 0);
        until("all is back", || lane.meter.holding.load(Ordering::SeqCst) == 0).await;
    });
}

#[test]
fn where_all_are_drained_nobody_waits_for_a_place() {
    let fake = Fake::slotted(2, 1);
    let kit = Kit::with(&[fake.address], |config| config.timeouts.queue = Duration::from_secs(60));
    kit.run(async |thread| {
        thread.learn().await;
        let slow = thread.on(&kit.shared.lane("shop", Some("/"), MaxSlots::Number(1)));
        let working = slow.start("/gate");
        until("it works", || fake.seen("/gate").len() == 1).await;
        kit.shared.drain(&fake.address.to_string(), true).unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(20), slow.get("/hello")).await;
        assert!(matches!(answer.expect("long before the holder ends"), Err(UpstreamError::Drained)));
        fake.state.gate.add_permits(1);
        working.await.unwrap().unwrap();
    });
}

#[test]
fn what_waits_too_long_or_is_too_much_is_shed_and_takes_nobody_along() {
    let fake = Fake::slotted(2, 1);
    let kit = Kit::with(&[fake.address], |config| {
        config.upstream.queue_per_slot = 2;
        config.timeouts.queue = Duration::from_millis(300);
    });
    kit.run(async |thread| {
        thread.learn().await;
        let slow = thread.on(&kit.shared.lane("shop", Some("/"), MaxSlots::Number(1)));
        let working = slow.start("/gate");
        until("it works", || fake.seen("/gate").len() == 1).await;
        let waiting = [slow.start("/gate"), slow.start("/gate")];
        until("two wait", || kit.metrics().contains("route_slots_waiting{upstream=\"default\",site=\"shop\",route=\"/\"} 2"))
            .await;
        assert!(matches!(slow.get("/hello").await, Err(UpstreamError::QueueFull)));
        thread.learn().await;
        for request in waiting {
            assert!(matches!(request.await.unwrap(), Err(UpstreamError::QueueTimeout)));
        }
        fake.state.gate.add_permits(1);
        working.await.unwrap().unwrap();
        let metrics = kit.metrics();
        for (reason, count) in [("full", 1), ("timeout", 2)] {
            let series = format!(
                "monodon_edge_route_slots_rejected_total{{upstream=\"default\",site=\"shop\",route=\"/\",reason=\"{reason}\"}} {count}"
            );
            assert!(metrics.contains(&series), "{series} in\n{metrics}");
        }
    });
}

#[test]
fn the_edge_learns_who_is_slow() {
    let fake = Fake::slotted(4, 1);
    let kit = Kit::new(&[fake.address]);
    kit.run(async |thread| {
        thread.learn().await;
        let lane = |route| kit.shared.lane("shop", Some(route), MaxSlots::Auto);
        let (one, other, rest) = (lane("/reports/"), lane("/exports/"), kit.shared.lane("shop", None, MaxSlots::Off));
        let (reports, exports, fast) = (thread.on(&one), thread.on(&other), thread.on(&rest));
        // Nobody is held back before it is known.
        let requests: Vec<_> = (0..4).map(|_| reports.start("/sleep/60")).collect();
        for request in requests {
            request.await.unwrap().unwrap();
        }
        for _ in 0..4 {
            exports.get("/sleep/60").await.unwrap();
        }
        for _ in 0..30 {
            fast.learn().await;
        }
        until("it is learned", || one.learned.is_slow() && other.learned.is_slow()).await;
        assert!(!rest.learned.is_slow());
        // Together they leave one of four.
        let slow: Vec<_> = (0..5).flat_map(|_| [reports.start("/gate"), exports.start("/gate")]).collect();
        until("three are at work", || fake.seen("/gate").len() == 3).await;
        for _ in 0..20 {
            fast.learn().await;
        }
        assert_eq!(fake.seen("/gate").len(), 3);
        assert!(
            kit.metrics().contains("monodon_edge_route_slow{upstream=\"default\",site=\"shop\",route=\"/exports/\"} 1")
        );
        fake.state.gate.add_permits(10);
        for request in slow {
            request.await.unwrap().unwrap();
        }
    });
}

#[test]
fn two_threads_share_the_bound() {
    let fake = Fake::slotted(4, 1);
    let kit = Kit::new(&[fake.address]);
    kit.run(async |thread| thread.learn().await);
    let lane = kit.shared.lane("shop", Some("/"), MaxSlots::Number(2));
    let most = std::sync::atomic::AtomicU32::new(0);
    let work = || {
        kit.run(async |thread| {
            let slow = thread.on(&lane);
            let requests: Vec<_> = (0..40).map(|_| slow.start("/sleep/2")).collect();
            for request in requests {
                request.await.unwrap().unwrap();
                most.fetch_max(lane.meter.holding.load(Ordering::SeqCst), Ordering::SeqCst);
            }
        });
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    assert_eq!(fake.seen("/sleep/2").len(), 80);
    assert_eq!(fake.state.most.load(Ordering::SeqCst), 2);
    assert!(most.load(Ordering::SeqCst) <= 2);
    assert_eq!(lane.meter.holding.load(Ordering::SeqCst), 0);
}

#[test]
fn an_event_stream_gives_its_place_back_with_its_slot() {
    let fake = Fake::slotted(2, 1);
    let kit = Kit::new(&[fake.address]);
    kit.run(async |thread| {
        thread.learn().await;
        let slow = thread.on(&kit.shared.lane("shop", Some("/"), MaxSlots::Number(1)));
        let mut streams = Vec::new();
        for _ in 0..5 {
            streams.push(slow.get("/events").await.unwrap());
        }
        assert_eq!(streams.len(), 5);
    });
}

#[test]
fn a_reload_that_changes_a_bound_tells_each_route_once() {
    let fake = Fake::slotted(4, 1);
    let kit = Kit::new(&[fake.address]);
    let old = kit.shared.lane("shop", Some("/"), MaxSlots::Number(1));
    let same = kit.shared.lane("shop", Some("/"), MaxSlots::Number(1));
    assert!(std::sync::Arc::ptr_eq(&old, &same), "what has not changed is kept");
    let new = kit.shared.lane("shop", Some("/"), MaxSlots::Number(3));
    let metrics = kit.metrics();
    let series = "monodon_edge_route_slots_max{upstream=\"default\",site=\"shop\",route=\"/\"}";
    assert_eq!(metrics.matches(series).count(), 1, "{metrics}");
    assert!(metrics.contains(&format!("{series} 3\n")), "{metrics}");
    drop((old, same, new));
    assert!(!kit.metrics().contains("monodon_edge_route_slots"), "who is gone is told no more");
}
