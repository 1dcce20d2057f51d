use super::*;
use std::time::Duration;

pub fn role() -> Role {
    Role {
        weight: 1,
        backup: false,
        drain: false,
        max_connections: 512,
        max_conns: None,
        rules: Rules { max_fails: 2, fail_timeout: Duration::from_secs(10), slow_start: Duration::ZERO },
        fail_on: Arc::new(FailOn { error: true, timeout: true, invalid_header: true, statuses: vec![503] }),
        balance: Balance::Slots,
        token: None,
    }
}

/// `127.0.0.1:NUMBER`
pub fn numbered(number: u16, role: Role, queue: &Arc<Queue>) -> Arc<Address> {
    let target = Target::Tcp(SocketAddr::from(([127, 0, 0, 1], number)));
    Arc::new(Address::new(number.into(), target, role, queue.clone()))
}

pub fn address() -> Arc<Address> {
    numbered(1, role(), &Arc::new(Queue::new(100)))
}

#[test]
fn one_request_until_it_has_answered() {
    let address = address();
    let first = address.take().unwrap();
    assert!(address.take().is_none());
    address.learn(Some(ProcessHeader { entry: 0, slots: 1, all: 2 }), StatusCode::OK);
    let second = address.take().unwrap();
    assert!(address.take().is_none());
    drop((first, second));
    assert_eq!(address.busy(), 0);
}

#[test]
fn a_foreign_upstream_is_bounded_by_connections_alone() {
    let address = address();
    address.learn(None, StatusCode::OK);
    assert_eq!(address.limit(), 512);
    address.learn(Some(ProcessHeader { entry: 0, slots: 1, all: 2 }), StatusCode::OK);
    address.learn(None, StatusCode::OK);
    assert_eq!(address.limit(), 2);
}

#[test]
fn max_conns_bounds_what_an_address_says() {
    let address = numbered(1, Role { max_conns: Some(3), ..role() }, &Arc::new(Queue::new(100)));
    address.learn(None, StatusCode::OK);
    assert_eq!(address.limit(), 3);
    address.learn(Some(ProcessHeader { entry: 0, slots: 1, all: 8 }), StatusCode::OK);
    assert_eq!(address.limit(), 3);
}

#[test]
fn a_status_may_count_as_a_failure() {
    let address = address();
    for _ in 0..2 {
        address.learn(None, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert!(address.health.has(super::super::health::EJECTED));
}
