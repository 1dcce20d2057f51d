use super::*;

#[test]
fn a_second_mapping_sees_what_the_first_wrote() {
    let board = Scoreboard::create(4).unwrap();
    let other = Scoreboard::open(board.fd().try_clone_to_owned().unwrap()).unwrap();
    assert_eq!(other.entries().len(), 4);
    let own = board.own(3).unwrap();
    own.begin(17, 2, now());
    own.set_ready(1, now());
    own.set_current(b"GET", b"/a/b?c", b"id-1");
    own.count_request(method_index(b"GET"), 200, 300);
    own.count_request(method_index(b"BREW"), 599, 400);
    let seen = other.entry(3).unwrap();
    assert_eq!((seen.pid(), seen.generation(), seen.state()), (17, 2, State::Idle));
    assert_eq!(seen.current().unwrap().path, "/a/b?c");
    let mut counts = Vec::new();
    seen.each_count(|method, code, count| counts.push((METHODS[method], code, count)));
    assert_eq!(counts, [("GET", 200, 1), ("_OTHER", 599, 1)]);
}

#[test]
fn counters_survive_the_process_and_its_request_does_not() {
    let board = Scoreboard::create(1).unwrap();
    let own = board.own(0).unwrap();
    own.begin(1, 1, now());
    own.set_ready(1, now());
    own.set_current(b"POST", b"/x", b"");
    own.count_request(method_index(b"POST"), 204, 10);
    own.mark_death(Reason::Timeout, 1, now());
    own.release();
    own.begin(2, 1, now());
    assert_eq!(own.current().unwrap().path, "");
    assert_eq!(own.served(), 0);
    assert_eq!(own.busy_micros(), 10);
    assert_eq!(board.died_lately(0, 5_000_000).map(|death| death.reason), Some(Reason::Timeout));
    assert_eq!(board.died_lately(1, 5_000_000).map(|death| death.reason), None);
}

#[test]
fn long_text_is_cut() {
    let board = Scoreboard::create(1).unwrap();
    let own = board.own(0).unwrap();
    own.set_current(&[b'M'; 400], &[b'p'; 4000], &[b'i'; 400]);
    let seen = own.current().unwrap();
    assert_eq!((seen.method.len(), seen.path.len(), seen.id.len()), (16, 256, 64));
}

#[test]
fn codes_out_of_range_do_no_harm() {
    let board = Scoreboard::create(1).unwrap();
    let own = board.own(0).unwrap();
    for code in [0, 99, 600, 999, u16::MAX] {
        own.count_request(99, code, u64::MAX / 4);
    }
    own.each_count(|_, _, _| panic!("nothing to count"));
}

#[test]
fn a_process_accepts_while_no_sibling_holds_fewer() {
    let board = Scoreboard::create(3).unwrap();
    for (index, connections) in [(0, 2), (1, 3)] {
        let own = board.own(index).unwrap();
        own.begin(1, 1, now());
        own.set_ready(1, now());
        own.set_connections(connections);
    }
    assert!(board.may_accept(0, 2, false));
    assert!(!board.may_accept(1, 3, false));
    // One that has no room leaves it to whoever has.
    assert!(!board.may_accept(0, 2, true));
    let busy = board.entry(0).unwrap();
    busy.set_in_flight(1);
    busy.set_request_start(now());
    assert!(!board.may_accept(1, 3, false));
    busy.set_request_start(now() - 2000);
    assert!(board.may_accept(1, 3, false));
    busy.set_in_flight(0);
    board.entry(0).unwrap().set_state(State::Draining);
    assert!(board.may_accept(1, 3, false));
}

#[test]
fn a_foreign_file_is_refused() {
    let fd = rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&fd, 100).unwrap();
    assert!(Scoreboard::open(fd).is_err());
}
