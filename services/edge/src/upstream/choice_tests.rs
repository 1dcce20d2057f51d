use super::super::address::tests::{numbered, role};
use super::super::address::{Address, Role};
use super::super::queue::Queue;
use super::*;
use http::StatusCode;
use std::collections::HashMap;

fn list(roles: impl IntoIterator<Item = Role>) -> List {
    let queue = Arc::new(Queue::new(100));
    let all: Vec<Arc<Address>> = (1u16..)
        .zip(roles)
        .map(|(number, role)| {
            let address = numbered(number, role, &queue);
            address.learn(None, StatusCode::OK);
            address
        })
        .collect();
    queue.list.store(Arc::new(List::new(all.clone(), all.clone(), 50)));
    List::new(all.clone(), all, 50)
}

fn weights(balance: Balance, weights: &[u32]) -> List {
    list(weights.iter().map(|weight| Role { weight: *weight, balance, ..role() }))
}

/// How often each was chosen, the permits given back at once.
fn counts(list: &List, balance: Balance, times: usize) -> Vec<usize> {
    let turns = Turns::default();
    let mut counts = vec![0; list.all.len()];
    for _ in 0..times {
        let permit = turns.pick(list, balance, &[]).unwrap();
        counts[usize::try_from(permit.address().id - 1).unwrap()] += 1;
    }
    counts
}

#[test]
fn equal_addresses_take_turns() {
    for balance in [Balance::Slots, Balance::LeastConn, Balance::RoundRobin] {
        assert_eq!(counts(&weights(balance, &[1, 1, 1]), balance, 30), [10, 10, 10], "{balance:?}");
    }
    let counts = counts(&weights(Balance::Random, &[1, 1, 1]), Balance::Random, 3000);
    assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
}

#[test]
fn weights_are_kept_exactly() {
    for balance in [Balance::Slots, Balance::LeastConn, Balance::RoundRobin] {
        assert_eq!(counts(&weights(balance, &[5, 1, 2]), balance, 80), [50, 10, 20], "{balance:?}");
    }
    let counts = counts(&weights(Balance::Random, &[3, 1]), Balance::Random, 4000);
    assert!((2700..3300).contains(&counts[0]), "{counts:?}");
}

#[test]
fn the_only_one_gets_nothing_while_it_is_drained_though_another_may_come() {
    let mut list = list([Role { drain: true, ..role() }]);
    list.awaits_names = true;
    assert!(Turns::default().pick(&list, Balance::Slots, &[]).is_none());
    list.all[0].health.drain(false);
    assert!(Turns::default().pick(&list, Balance::Slots, &[]).is_some());
}

#[test]
fn smooth_as_nginx_s() {
    let (list, turns) = (weights(Balance::RoundRobin, &[5, 1, 1]), Turns::default());
    let order: Vec<u64> = (0..7).map(|_| turns.pick(&list, Balance::RoundRobin, &[]).unwrap().address().id).collect();
    assert_eq!(order, [1, 1, 2, 1, 3, 1, 1]);
}

#[test]
fn the_least_busy_for_its_weight_comes_first() {
    let (list, turns) = (weights(Balance::LeastConn, &[2, 1]), Turns::default());
    let held: Vec<_> = (0..9).map(|_| turns.pick(&list, Balance::LeastConn, &[]).unwrap()).collect();
    assert_eq!((list.all[0].busy(), list.all[1].busy()), (6, 3));
    drop(held);
}

#[test]
fn who_has_failed_it_comes_only_where_there_is_no_other_and_who_is_full_not_at_all() {
    let list = list([role(), Role { max_conns: Some(1), ..role() }]);
    let turns = Turns::default();
    for _ in 0..4 {
        assert_eq!(turns.pick(&list, Balance::RoundRobin, &[1]).unwrap().address().id, 2);
    }
    let _full = turns.pick(&list, Balance::RoundRobin, &[1]).unwrap();
    assert!(turns.pick(&list, Balance::RoundRobin, &[1]).is_none(), "it waits for the other");
    assert_eq!(turns.pick(&list, Balance::RoundRobin, &[1, 2]).unwrap().address().id, 1);
}

#[test]
fn a_slow_start_gets_little_at_first() {
    let start = std::time::Duration::from_secs(10);
    let slow = || {
        let mut one = role();
        one.rules.slow_start = start;
        one
    };
    let list = list([slow(), slow()]);
    list.all[0].health.come_back(1000);
    let counts = counts(&list, Balance::RoundRobin, 170);
    assert_eq!(counts, [10, 160]);
}

fn shares(list: &List, keys: u64) -> HashMap<u64, u64> {
    (0..keys).map(|key| (key, rendezvous(list, hash(&key.to_le_bytes()), &[]).unwrap())).collect()
}

#[test]
fn hashing_is_even_and_moves_only_what_it_must() {
    let list = list((0..5).map(|_| role()));
    let before = shares(&list, 5000);
    for id in 1..=5 {
        let count = before.values().filter(|to| **to == id).count();
        assert!((850..1150).contains(&count), "{id}: {count}");
    }
    list.all[2].failed();
    let after = shares(&list, 5000);
    for (key, to) in &before {
        if *to == 3 { assert_ne!(after[key], 3) } else { assert_eq!(after[key], *to) }
    }
}

#[test]
fn hashing_knows_weights() {
    let list = weights(Balance::Hash, &[3, 1]);
    let heavy = shares(&list, 4000).values().filter(|to| **to == 1).count();
    assert!((2800..3200).contains(&heavy), "{heavy}");
}

#[test]
fn hashing_is_the_same_in_every_edge() {
    assert_eq!(hash(b""), mix(0xcbf2_9ce4_8422_2325));
    assert_eq!(hash(b"10.0.0.1:8000"), 0x9201_c0ce_a293_f846);
    let ip = |text: &str, network| hash_ip(text.parse().unwrap(), network);
    assert_eq!(ip("10.1.2.3", true), ip("10.1.2.99", true));
    assert_ne!(ip("10.1.2.3", false), ip("10.1.2.99", false));
    assert_eq!(ip("::ffff:10.1.2.3", false), ip("10.1.2.3", false));
    assert_ne!(ip("2001:db8::1", true), ip("2001:db8::2", true));
}
