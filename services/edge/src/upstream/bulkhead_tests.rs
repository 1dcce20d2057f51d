use super::super::address::{Address, Permit};
use super::super::queue::Wish;
use super::super::queue::tests::{queue, run, settle};
use super::*;
use std::cell::Cell;
use std::rc::Rc;

const LONG: Duration = Duration::from_secs(20);

fn lane(queue: &Arc<Queue>, max: MaxSlots) -> Arc<Lane> {
    let bulkhead = (max != MaxSlots::Off).then(|| Bulkhead::new(max, queue.clone()));
    Arc::new(Lane::new("site".into(), Some("/".into()), max, bulkhead, queue.clone()))
}

/// What a pool does for a request, without its connections.
async fn acquire(queue: &Arc<Queue>, lane: &Arc<Lane>, timeout: Duration) -> Result<Permit, Refused> {
    let held = match lane.enter() {
        Some(held) => held,
        None => lane.wait(timeout).await?,
    };
    let mut permit = queue.wait(timeout, Wish::default(), held.number).await?;
    permit.hold(Some(held));
    Ok(permit)
}

fn idle(lane: &Arc<Lane>, addresses: &[Arc<Address>]) -> bool {
    let held = lane.bulkhead.as_ref().map_or(0, |bulkhead| bulkhead.held());
    let busy: u32 = addresses.iter().map(|address| address.busy()).sum();
    held == 0
        && busy == 0
        && lane.meter.waiting.load(Ordering::SeqCst) == 0
        && lane.meter.holding.load(Ordering::SeqCst) == 0
}

#[test]
fn how_much_a_bound_is() {
    for (slots, max, most) in [
        (4, MaxSlots::Number(3), 3),
        (2, MaxSlots::Number(3), 3),
        (4, MaxSlots::Share(75), 3),
        (1, MaxSlots::Share(75), 1),
        (8, MaxSlots::Share(50), 4),
        (1, MaxSlots::Auto, 1),
        (2, MaxSlots::Auto, 1),
        (3, MaxSlots::Auto, 2),
        (4, MaxSlots::Auto, 3),
        (8, MaxSlots::Auto, 6),
        (16, MaxSlots::Auto, 12),
    ] {
        let (queue, _addresses) = queue(&[slots]);
        assert_eq!(Bulkhead::new(max, queue).most(), most, "{max:?} of {slots}");
    }
}

#[test]
fn slow_requests_hold_no_more_than_their_share_and_fast_ones_pass_by() {
    let (queue, addresses) = queue(&[4]);
    let (slow, fast) = (lane(&queue, MaxSlots::Number(3)), lane(&queue, MaxSlots::Off));
    run(async {
        let mut tasks = Vec::new();
        for _ in 0..20 {
            let (queue, slow) = (queue.clone(), slow.clone());
            tasks.push(tokio::task::spawn_local(async move {
                let _permit = acquire(&queue, &slow, LONG).await.unwrap();
                std::future::pending::<()>().await;
            }));
        }
        settle().await;
        assert_eq!(slow.meter.holding.load(Ordering::SeqCst), 3);
        assert_eq!(slow.meter.waiting.load(Ordering::SeqCst), 17);
        assert_eq!(addresses[0].busy(), 3);
        // None of them is in the queue's way: nobody else takes its lock.
        assert_eq!(queue.waiting(), 0);
        for _ in 0..10 {
            drop(acquire(&queue, &fast, LONG).await.unwrap());
        }
        // The next of its own comes when one leaves; those that leave while they wait are passed over.
        tasks[3..10].iter().for_each(tokio::task::JoinHandle::abort);
        tasks[0].abort();
        settle().await;
        assert_eq!(slow.meter.holding.load(Ordering::SeqCst), 3);
        assert_eq!(slow.meter.waiting.load(Ordering::SeqCst), 9);
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
        settle().await;
    });
    assert!(idle(&slow, &addresses));
}

#[test]
fn nobody_starves_when_all_is_busy() {
    let (queue, addresses) = queue(&[2]);
    let (slow, fast) = (lane(&queue, MaxSlots::Number(1)), lane(&queue, MaxSlots::Off));
    run(async {
        let done = Rc::new(Cell::new(0));
        let mut fasts = Vec::new();
        for _ in 0..6 {
            let (queue, fast, done) = (queue.clone(), fast.clone(), done.clone());
            // Always more of them than slots.
            fasts.push(tokio::task::spawn_local(async move {
                loop {
                    let permit = acquire(&queue, &fast, LONG).await.unwrap();
                    tokio::task::yield_now().await;
                    done.set(done.get() + 1);
                    drop(permit);
                }
            }));
        }
        settle().await;
        for _ in 0..20 {
            let before = done.get();
            let permit = acquire(&queue, &slow, LONG).await.unwrap();
            let passed = done.get() - before;
            assert!(passed <= 12, "{passed} that came later went first");
            drop(permit);
        }
        fasts.iter().for_each(tokio::task::JoinHandle::abort);
        settle().await;
    });
    assert!(idle(&slow, &addresses) && idle(&fast, &addresses));
}

#[test]
fn in_a_bulkhead_first_come_first_served() {
    let (queue, addresses) = queue(&[4]);
    let slow = lane(&queue, MaxSlots::Number(1));
    run(async {
        let order = Rc::new(std::cell::RefCell::new(Vec::new()));
        let first = acquire(&queue, &slow, LONG).await.unwrap();
        let mut tasks = Vec::new();
        for name in 0..20 {
            let (queue, slow, order) = (queue.clone(), slow.clone(), order.clone());
            tasks.push(tokio::task::spawn_local(async move {
                let _permit = acquire(&queue, &slow, LONG).await.unwrap();
                order.borrow_mut().push(name);
                tokio::task::yield_now().await;
            }));
        }
        settle().await;
        drop(first);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.borrow(), (0..20).collect::<Vec<_>>());
    });
    assert!(idle(&slow, &addresses));
}

#[test]
fn what_is_shed_is_counted_and_leaves_nothing_behind() {
    let (queue, addresses) = queue(&[2]);
    let slow = lane(&queue, MaxSlots::Number(1));
    run(async {
        let held = acquire(&queue, &slow, LONG).await.unwrap();
        assert_eq!(acquire(&queue, &slow, Duration::from_millis(5)).await.err(), Some(Refused::Timeout));
        assert_eq!(slow.meter.timeout.load(Ordering::SeqCst), 1);
        let mut tasks = Vec::new();
        for _ in 0..100 {
            let (queue, slow) = (queue.clone(), slow.clone());
            tasks.push(tokio::task::spawn_local(async move { drop(acquire(&queue, &slow, LONG).await) }));
        }
        settle().await;
        // A hundred to a slot.
        assert_eq!(acquire(&queue, &slow, LONG).await.err(), Some(Refused::Full));
        assert_eq!(slow.meter.full.load(Ordering::SeqCst), 1);
        drop(held);
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert!(idle(&slow, &addresses));
}

#[test]
fn an_unbounded_route_is_only_measured() {
    let (queue, addresses) = queue(&[2]);
    let fast = lane(&queue, MaxSlots::Off);
    run(async {
        let both = [acquire(&queue, &fast, LONG).await.unwrap(), acquire(&queue, &fast, LONG).await.unwrap()];
        assert_eq!(fast.meter.holding.load(Ordering::SeqCst), 2);
        drop(both);
    });
    assert!(idle(&fast, &addresses));
}

/// Threads, clients that leave at any moment, bounds that change: no permit and no place is ever lost, and no bound passed.
#[test]
fn nothing_leaks_under_stress() {
    let (queue, addresses) = queue(&[3, 2]);
    let (slow, other) = (lane(&queue, MaxSlots::Number(2)), lane(&queue, MaxSlots::Share(60)));
    let fast = lane(&queue, MaxSlots::Off);
    let most = std::sync::atomic::AtomicU32::new(0);
    let served = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let (queue, slow, other, fast, most, served) = (&queue, &slow, &other, &fast, &most, &served);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(thread);
                run(async {
                    for _ in 0..400 {
                        let mut tasks = Vec::new();
                        for _ in 0..8 {
                            let lane = [slow, other, fast][random.usize(..3)].clone();
                            let (queue, turns) = (queue.clone(), random.usize(..4));
                            tasks.push(tokio::task::spawn_local(async move {
                                let permit = acquire(&queue, &lane, LONG).await.unwrap();
                                for _ in 0..turns {
                                    tokio::task::yield_now().await;
                                }
                                drop(permit);
                            }));
                        }
                        for _ in 0..random.usize(..6) {
                            tokio::task::yield_now().await;
                        }
                        for task in &tasks {
                            if random.u8(..4) == 0 {
                                task.abort();
                            }
                        }
                        most.fetch_max(slow.meter.holding.load(Ordering::SeqCst), Ordering::SeqCst);
                        for task in tasks {
                            if task.await.is_ok() {
                                served.fetch_add(1, Ordering::SeqCst);
                            }
                        }
                    }
                });
            });
        }
    });
    assert!(idle(&slow, &addresses) && idle(&other, &addresses) && idle(&fast, &addresses));
    assert_eq!(queue.waiting(), 0);
    assert!(most.load(Ordering::SeqCst) <= 2);
    assert!(served.load(Ordering::SeqCst) > 1000);
}
