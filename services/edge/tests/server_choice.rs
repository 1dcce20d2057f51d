//! Which server a request goes to, by the words of `edge.toml`, over real sockets.
#![allow(clippy::unwrap_used)]

mod common;

use common::upstream::reply;
use common::{Edge, Setup, Upstream, get, until};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

/// An edge whose one upstream is `node`.
fn edge(servers: &[String], settings: &str) -> Edge {
    Setup::default()
        .plain()
        .file(&format!(
            "trusted_proxies = '127.0.0.1'\n[upstreams.node]\nservers = {servers:?}\n{settings}\n\
             [[site]]\n[[site.route]]\npath = '/'\nupstream = 'node'\n"
        ))
        .start()
}

fn state(edge: &Edge, upstream: &Upstream, state: &str) -> bool {
    let address = upstream.address;
    let series = format!("monodon_edge_upstream_state{{upstream=\"node\",address=\"{address}\",state=\"{state}\"}}");
    edge.metric(&series) == 1.0
}

/// Says its name; `/health` says what it is told to.
fn checked(name: &'static str) -> (Upstream, Arc<AtomicBool>) {
    let well = Arc::new(AtomicBool::new(true));
    let is_well = well.clone();
    let upstream = Upstream::start(move |seen, stream| match seen.path() {
        "/health" => reply(stream, if is_well.load(Ordering::SeqCst) { 200 } else { 503 }, &[], ""),
        _ => reply(stream, 200, &[], name),
    });
    (upstream, well)
}

fn asked(edge: &Edge, times: usize) -> Vec<String> {
    (0..times).map(|_| get(edge.http, "/", &[]).text()).collect()
}

#[test]
fn a_backup_takes_over_and_gives_back() {
    let ((first, well), backup) = (checked("first"), Upstream::saying("backup"));
    let servers = [first.address.to_string(), format!("{} backup", backup.address)];
    // A check that is asked of both; the backup is always well.
    let edge = edge(&servers, "check = '/health'\ncheck_interval = '250ms'\nbalance = 'round_robin'");
    assert_eq!(asked(&edge, 6), ["first"; 6]);
    well.store(false, Ordering::SeqCst);
    until("the first is known to be ill", || state(&edge, &first, "not_ready"));
    assert_eq!(asked(&edge, 6), ["backup"; 6]);
    well.store(true, Ordering::SeqCst);
    until("the first is back", || state(&edge, &first, "up"));
    assert_eq!(asked(&edge, 6), ["first"; 6]);
}

#[test]
fn a_server_that_is_down_gets_nothing() {
    let (first, second) = (Upstream::saying("first"), Upstream::saying("second"));
    let edge = edge(&[format!("{} down", first.address), second.address.to_string()], "");
    assert_eq!(asked(&edge, 6), ["second"; 6]);
    assert!(state(&edge, &first, "off"));
}

#[test]
fn a_server_takes_no_more_at_once_than_its_max_conns() {
    let (inside, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new((Mutex::new(false), Condvar::new())));
    let (count, held) = (inside.clone(), gate.clone());
    let upstream = Upstream::start(move |seen, stream| {
        if seen.path() == "/held" {
            count.fetch_add(1, Ordering::SeqCst);
            drop(held.1.wait_while(held.0.lock().unwrap(), |open| !*open).unwrap());
        }
        reply(stream, 200, &[], "ok")
    });
    let edge = edge(&[format!("{} max_conns=2", upstream.address)], "");
    // Until its first answer it gets one at a time.
    assert_eq!(get(edge.http, "/", &[]).status, 200);
    let http = edge.http;
    let requests: Vec<_> = (0..5).map(|_| std::thread::spawn(move || get(http, "/held", &[]).status)).collect();
    edge.counts("monodon_edge_queue_depth{upstream=\"node\"}", 3.0);
    until("two are there", || inside.load(Ordering::SeqCst) == 2);
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    for request in requests {
        assert_eq!(request.join().unwrap(), 200);
    }
    assert_eq!(inside.load(Ordering::SeqCst), 5);
}

/// Each of these forty keeps to one server, and together they use both. (By chance they would all be at one: one time in 2^39.)
fn keeps(balance: &str, of: impl Fn(usize) -> (String, String)) {
    let upstreams = [Upstream::saying("0"), Upstream::saying("1")];
    let edge = edge(&upstreams.each_ref().map(|upstream| upstream.address.to_string()), balance);
    let mut used = BTreeSet::new();
    for one in 0..40 {
        let (path, field) = of(one);
        let texts: BTreeSet<String> = (0..3).map(|_| get(edge.http, &path, &[&field]).text()).collect();
        assert_eq!(texts.len(), 1, "{balance}: {path} {field}");
        used.extend(texts);
    }
    assert_eq!(used.len(), 2, "{balance}");
}

#[test]
fn a_hash_keeps_what_it_goes_by_at_one_server() {
    let with = |field: String| ("/".to_owned(), field);
    keeps("balance = 'hash'\nhash = 'header:X-User'", |user| with(format!("X-User: {user}")));
    // What to hash by says that it is to be hashed.
    keeps("hash = 'cookie:sid'", |user| with(format!("Cookie: a=b; sid={user}; c=d")));
    keeps("hash = 'uri'", |page| (format!("/page/{page}"), "X-Nothing: 1".into()));
    keeps("hash = 'ip'", |client| with(format!("X-Forwarded-For: 192.0.2.{client}")));
    keeps("balance = 'ip_hash'", |network| with(format!("X-Forwarded-For: 198.51.{network}.1")));
}

#[test]
fn without_its_cookie_a_request_goes_in_turn() {
    let upstreams = [Upstream::saying("0"), Upstream::saying("1")];
    let edge = edge(&upstreams.each_ref().map(|upstream| upstream.address.to_string()), "hash = 'cookie:sid'");
    let texts = asked(&edge, 8);
    assert_eq!(texts.iter().filter(|text| *text == "0").count(), 4, "{texts:?}");
}

/// As nginx: of IPv4 the first three numbers count, of IPv6 all.
#[test]
fn ip_hash_goes_by_the_network() {
    let upstreams = [Upstream::saying("0"), Upstream::saying("1")];
    let edge = edge(&upstreams.each_ref().map(|upstream| upstream.address.to_string()), "balance = 'ip_hash'");
    let used = |client: &dyn Fn(usize) -> String| -> usize {
        let ask = |one| get(edge.http, "/", &[&format!("X-Forwarded-For: {}", client(one))]).text();
        (0..40).map(ask).collect::<BTreeSet<_>>().len()
    };
    assert_eq!(used(&|one| format!("192.0.2.{one}")), 1);
    assert_eq!(used(&|one| format!("2001:db8::{one:x}")), 2);
}

/// By chance they would be in turn, or all at one: one time in 2^62.
#[test]
fn random_is_not_in_turn() {
    let upstreams = [Upstream::saying("0"), Upstream::saying("1")];
    let servers = upstreams.each_ref().map(|upstream| upstream.address.to_string());
    let in_turn = |texts: &[String]| texts.windows(2).all(|two| two[0] != two[1]);
    let random = asked(&edge(&servers, "balance = 'random'"), 64);
    assert!(!in_turn(&random) && random.iter().collect::<BTreeSet<_>>().len() == 2, "{random:?}");
    assert!(in_turn(&asked(&edge(&servers, "balance = 'round_robin'"), 64)));
}

#[test]
fn who_comes_back_starts_slowly() {
    for (word, setting) in [(" slow_start=10m", ""), ("", "slow_start = '10m'"), ("", "")] {
        let ((first, well), (second, _)) = (checked("first"), checked("second"));
        let servers = [&first, &second].map(|upstream| format!("{}{word}", upstream.address));
        let edge = edge(&servers, &format!("check = '/health'\ncheck_interval = '250ms'\n{setting}"));
        well.store(false, Ordering::SeqCst);
        until("it is known", || state(&edge, &first, "not_ready"));
        well.store(true, Ordering::SeqCst);
        until("it is back", || state(&edge, &first, "up"));
        let count = asked(&edge, 64).iter().filter(|text| *text == "first").count();
        if word.is_empty() && setting.is_empty() {
            assert_eq!(count, 32);
        } else {
            // A sixteenth of the other's share.
            assert!((1..10).contains(&count), "{word}{setting}: {count}");
        }
    }
}
