use super::super::address::tests::{numbered, role};
use super::super::address::{Address, ProcessHeader, Role};
use super::*;
use http::StatusCode;
use std::cell::RefCell;
use std::rc::Rc;

const LONG: Duration = Duration::from_secs(20);

/// Addresses of so many slots each.
pub fn queue(slots: &[u32]) -> (Arc<Queue>, Vec<Arc<Address>>) {
    let queue = Arc::new(Queue::new(100));
    let addresses: Vec<_> = (1u16..)
        .zip(slots)
        .map(|(number, slots)| {
            let role = Role { max_conns: Some(*slots), ..role() };
            let address = numbered(number, role, &queue);
            address.learn(Some(ProcessHeader { entry: 0, slots: *slots, all: *slots }), StatusCode::OK);
            address
        })
        .collect();
    queue.list.store(Arc::new(List::new(addresses.clone(), addresses.clone(), 50)));
    (queue, addresses)
}

pub fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, work)
}

/// Lets every task come as far as it can.
pub async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

type Order = Rc<RefCell<Vec<u32>>>;

/// Who belongs to an address, if to any.
pub fn wish(address: Option<u64>) -> Wish {
    Wish { address, own: true, ..Wish::default() }
}

/// Waits, writes down its name, and keeps the permit until the handle's task is aborted.
fn wait(queue: &Arc<Queue>, name: u32, wanted: Option<u64>, order: &Order) -> tokio::task::JoinHandle<()> {
    let (queue, order) = (queue.clone(), order.clone());
    tokio::task::spawn_local(async move {
        let _permit = queue.wait(LONG, wish(wanted), None).await.unwrap();
        order.borrow_mut().push(name);
        std::future::pending::<()>().await;
    })
}

#[test]
fn first_come_first_served() {
    let (queue, addresses) = queue(&[1]);
    run(async {
        let order = Order::default();
        let first = addresses[0].take().unwrap();
        let tasks: Vec<_> = (0..5).map(|name| wait(&queue, name, None, &order)).collect();
        settle().await;
        assert_eq!(queue.waiting(), 5);
        drop(first);
        for task in tasks {
            settle().await;
            task.abort();
        }
        assert_eq!(*order.borrow(), [0, 1, 2, 3, 4]);
    });
    assert_eq!((queue.waiting(), addresses[0].busy()), (0, 0));
}

#[test]
fn who_wants_one_address_stands_in_nobody_s_way() {
    let (queue, addresses) = queue(&[1, 1]);
    run(async {
        let order = Order::default();
        let held = [addresses[0].take().unwrap(), addresses[1].take().unwrap()];
        let choosy: Vec<_> = (0..3).map(|name| wait(&queue, name, Some(1), &order)).collect();
        settle().await;
        let any = [wait(&queue, 10, None, &order), wait(&queue, 11, None, &order)];
        settle().await;
        let [first, second] = held;
        drop(second);
        settle().await;
        assert_eq!(*order.borrow(), [10]);
        // His own turn comes by the order of arrival.
        drop(first);
        settle().await;
        assert_eq!(*order.borrow(), [10, 0]);
        any[0].abort();
        settle().await;
        assert_eq!(*order.borrow(), [10, 0, 11]);
        // An address that cannot be used any more is wanted no more.
        addresses[0].failed();
        any[1].abort();
        settle().await;
        assert_eq!(*order.borrow(), [10, 0, 11, 1]);
        choosy.iter().for_each(tokio::task::JoinHandle::abort);
    });
    assert_eq!(queue.waiting(), 0);
    assert_eq!(queue.choosy.load(Ordering::SeqCst), 0);
    assert_eq!(addresses.iter().map(|address| address.busy()).sum::<u32>(), 0);
}

#[test]
fn who_has_waited_elsewhere_keeps_his_place() {
    let (queue, addresses) = queue(&[1]);
    run(async {
        let order = Order::default();
        let held = addresses[0].take().unwrap();
        let early = queue.number();
        let late = wait(&queue, 1, None, &order);
        settle().await;
        let (again, written) = (queue.clone(), order.clone());
        let first = tokio::task::spawn_local(async move {
            let _permit = again.wait(LONG, wish(None), Some(early)).await.unwrap();
            written.borrow_mut().push(0);
        });
        settle().await;
        drop(held);
        settle().await;
        assert_eq!(*order.borrow(), [0, 1]);
        first.await.unwrap();
        late.abort();
    });
}

#[test]
fn who_leaves_gives_up_his_place_and_what_comes_too_late_goes_on() {
    let (queue, addresses) = queue(&[1]);
    run(async {
        let order = Order::default();
        let held = addresses[0].take().unwrap();
        let tasks: Vec<_> = (0..100).map(|name| wait(&queue, name, None, &order)).collect();
        settle().await;
        // The permit is on its way to the first when he leaves.
        drop(held);
        tasks[..99].iter().for_each(tokio::task::JoinHandle::abort);
        settle().await;
        assert_eq!(*order.borrow(), [99]);
        assert_eq!(queue.waiting(), 0);
        tasks[99].abort();
    });
    assert_eq!(addresses[0].busy(), 0);
}

#[test]
fn a_full_queue_refuses() {
    let queue = Arc::new(Queue::new(2));
    let addresses: Vec<_> = (1..=2).map(|id| numbered(id, Role { max_conns: Some(1), ..role() }, &queue)).collect();
    queue.list.store(Arc::new(List::new(addresses.clone(), addresses.clone(), 50)));
    run(async {
        let order = Order::default();
        let held: Vec<_> = addresses.iter().map(|address| address.take().unwrap()).collect();
        // Who waits for one address fills its line alone.
        let choosy = [wait(&queue, 0, Some(1), &order), wait(&queue, 1, Some(1), &order)];
        settle().await;
        assert_eq!(queue.wait(LONG, wish(Some(1)), None).await.err(), Some(Refused::Full));
        let others: Vec<_> =
            [Some(2), None, None, None, None].into_iter().map(|to| wait(&queue, 2, to, &order)).collect();
        settle().await;
        assert_eq!((queue.waiting(), queue.plain()), (7, 4));
        assert_eq!(queue.wait(LONG, wish(None), None).await.err(), Some(Refused::Full));
        others.iter().chain(&choosy).for_each(tokio::task::JoinHandle::abort);
        settle().await;
        for to in [None, Some(1)] {
            assert_eq!(queue.wait(Duration::from_millis(1), wish(to), None).await.err(), Some(Refused::Timeout));
        }
        drop(held);
    });
    assert_eq!(queue.waiting(), 0);
}

#[test]
fn who_has_met_a_failing_address_waits_for_another_in_nobody_s_way() {
    let (queue, addresses) = queue(&[1, 1]);
    run(async {
        let order = Order::default();
        let busy = addresses[1].take().unwrap();
        let avoids = Wish { avoid: vec![1], ..Wish::default() };
        let (again, written) = (queue.clone(), order.clone());
        let other = tokio::task::spawn_local(async move {
            let permit = again.wait(LONG, avoids, None).await.unwrap();
            written.borrow_mut().push(u32::try_from(permit.address().id).unwrap());
        });
        settle().await;
        let any = wait(&queue, 10, None, &order);
        settle().await;
        assert_eq!(*order.borrow(), [10], "the first is free");
        drop(busy);
        other.await.unwrap();
        assert_eq!(*order.borrow(), [10, 2]);
        any.abort();
    });
}

#[test]
fn only_who_belongs_to_an_address_waits_for_it_while_it_is_emptied() {
    let (queue, addresses) = queue(&[1, 1]);
    run(async {
        let order = Order::default();
        let _held = addresses[0].take().unwrap();
        let own = wait(&queue, 1, Some(1), &order);
        let hashed = Wish { address: Some(1), ..Wish::default() };
        let (again, written) = (queue.clone(), order.clone());
        let moves = tokio::task::spawn_local(async move {
            let permit = again.wait(LONG, hashed, None).await.unwrap();
            written.borrow_mut().push(u32::try_from(permit.address().id).unwrap());
        });
        settle().await;
        assert_eq!(*order.borrow(), [0; 0]);
        addresses[0].health.drain(true);
        queue.pass();
        moves.await.unwrap();
        assert_eq!(*order.borrow(), [2]);
        own.abort();
    });
}

#[test]
fn where_all_are_drained_only_those_wait_who_belong_to_one() {
    let (queue, addresses) = queue(&[1, 1]);
    run(async {
        let held: Vec<_> = addresses.iter().map(|address| address.take().unwrap()).collect();
        let order = Order::default();
        let own = wait(&queue, 7, Some(addresses[1].id), &order);
        let others: Vec<_> = [None, Some(99)]
            .into_iter()
            .map(|wanted| {
                let queue = queue.clone();
                tokio::task::spawn_local(async move { queue.wait(LONG, wish(wanted), None).await.err() })
            })
            .collect();
        settle().await;
        assert_eq!(queue.waiting(), 3);
        addresses[0].health.drain(true);
        queue.pass();
        settle().await;
        assert_eq!(queue.waiting(), 3, "the other will be free again");
        addresses[1].health.drain(true);
        queue.pass();
        for other in others {
            assert_eq!(other.await.unwrap(), Some(Refused::Drained));
        }
        assert_eq!(queue.waiting(), 1);
        assert_eq!(
            queue.wait(LONG, wish(None), None).await.err(),
            Some(Refused::Drained),
            "nor does anybody begin to wait"
        );
        drop(held);
        settle().await;
        assert_eq!(*order.borrow(), [7]);
        own.abort();
    });
}
