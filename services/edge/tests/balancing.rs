//! Balancing, health and bulkheads as `edge.toml` has them, over real sockets.
#![allow(clippy::unwrap_used)]

mod common;

use common::upstream::reply;
use common::{Connection, Edge, Setup, Upstream, get, until};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};

fn edge(text: &str) -> Edge {
    Setup::default().plain().file(text).start()
}

#[test]
fn servers_have_nginx_s_words() {
    let (first, second, backup) = (Upstream::saying("first"), Upstream::saying("second"), Upstream::saying("backup"));
    let edge = edge(&format!(
        "[upstreams.node]\nservers = ['{} weight=3', '{} max_fails=1 fail_timeout=1s', '{} backup']\nbalance = 'round_robin'\n\
         [[site]]\n[[site.route]]\npath = '/'\nupstream = 'node'\n",
        first.address, second.address, backup.address
    ));
    let texts: Vec<String> = (0..12).map(|_| get(edge.http, "/", &[]).text()).collect();
    let count = |name: &str| texts.iter().filter(|text| *text == name).count();
    assert_eq!((count("first"), count("second"), count("backup")), (9, 3, 0));
    let labels =
        |address| format!("monodon_edge_upstream_state{{upstream=\"node\",address=\"{address}\",state=\"up\"}}");
    for upstream in [&first, &second, &backup] {
        assert_eq!(edge.metric(&labels(upstream.address)) as u32, 1);
    }
}

#[test]
fn a_sticky_cookie_is_the_same_after_a_restart_of_the_key_s_holder() {
    let upstreams = [Upstream::saying("0"), Upstream::saying("1")];
    let text = format!(
        "upstream = ['{}', '{}']\nsticky = 'ROUTE'\nsticky_key = 'a secret of ours'\n",
        upstreams[0].address, upstreams[1].address
    );
    let (one, other) = (edge(&text), edge(&text));
    let answer = get(one.http, "/", &[]);
    let cookie = answer.header("set-cookie").unwrap().to_owned();
    assert!(cookie.starts_with("ROUTE=") && cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{cookie}");
    let pair = cookie.split_once(';').unwrap().0;
    for _ in 0..5 {
        for edge in [&one, &other] {
            let again = get(edge.http, "/", &[&format!("Cookie: x=y; {pair}")]);
            assert_eq!(again.text(), answer.text());
            assert_eq!(again.header("set-cookie"), None);
        }
    }
}

#[test]
fn a_client_of_several_upstreams_stays_at_one_address_of_each() {
    let upstreams: Vec<Upstream> = ["0", "1", "2", "3", "4", "5"].map(Upstream::saying).into();
    let [a, b, c, d, e, f] = &upstreams[..] else { panic!("six") };
    let edge = edge(&format!(
        "upstream = ['{}', '{}']\nsticky = 'ROUTE'\nbalance = 'round_robin'\n\
         [upstreams.node]\nservers = ['{}', '{}']\n\
         [upstreams.'the other']\nservers = ['{}', '{}']\n\
         [upstreams.own]\nservers = ['{}', '{}']\nsticky = 'OWN'\n\
         [upstreams.none]\nservers = ['{}', '{}']\nsticky = ''\n\
         [[site]]\n\
         [[site.route]]\npath = '/'\nupstream = 'default'\n\
         [[site.route]]\npath = '/node'\nupstream = 'node'\n\
         [[site.route]]\npath = '/other'\nupstream = 'the other'\n\
         [[site.route]]\npath = '/own'\nupstream = 'own'\n\
         [[site.route]]\npath = '/none'\nupstream = 'none'\n",
        a.address, b.address, c.address, d.address, e.address, f.address, a.address, b.address, a.address, b.address
    ));
    // As a browser keeps them: by their names.
    let (mut jar, mut texts) = (std::collections::BTreeMap::new(), Vec::new());
    for round in 0..6 {
        for (at, path) in ["/", "/node", "/other", "/own"].into_iter().enumerate() {
            let cookies: Vec<String> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let answer = get(edge.http, path, &[&format!("Cookie: {}", cookies.join("; "))]);
            if round == 0 {
                let cookie = answer.header("set-cookie").unwrap().split_once(';').unwrap().0.to_owned();
                let (name, value) = cookie.split_once('=').unwrap();
                jar.insert(name.to_owned(), value.to_owned());
                texts.push(answer.text());
            } else {
                assert_eq!((answer.text(), answer.header("set-cookie")), (texts[at].clone(), None), "{path}, {jar:?}");
            }
        }
    }
    assert!(jar.keys().eq(["OWN", "ROUTE", "ROUTE_node", "ROUTE_the%20other"]), "{jar:?}");
    assert_eq!(get(edge.http, "/none", &[]).header("set-cookie"), None);
}

/// Also where it is the edge that says the header.
#[test]
fn a_hash_of_the_clients_address_keeps_each_on_its_server() {
    let upstreams = [Upstream::saying("0"), Upstream::saying("1")];
    let edge = edge(&format!(
        "upstream = ['{}', '{}']\nbalance = 'hash'\nhash = 'header:X-Real-IP'\ntrusted_proxies = '127.0.0.1'\n",
        upstreams[0].address, upstreams[1].address
    ));
    let mut used = Vec::new();
    // By chance all would be at one: one time in 2^39.
    for client in 0..40 {
        let field = format!("X-Forwarded-For: 192.0.2.{client}");
        let texts: Vec<String> = (0..4).map(|_| get(edge.http, "/", &[&field]).text()).collect();
        assert!(texts.iter().all(|text| *text == texts[0]), "{client}: {texts:?}");
        used.push(texts[0].clone());
    }
    assert!(used.iter().any(|server| *server != used[0]), "{used:?}");
}

#[test]
fn over_tls_the_cookie_is_secure_and_its_key_is_kept() {
    let upstream = Upstream::saying("hello");
    let edge = Setup::default().args(["--upstream", &upstream.address.to_string(), "--sticky", "ROUTE"]).start();
    let answer = Connection::tls(edge.https, &edge.ca(), "localhost", &["http/1.1"])
        .unwrap()
        .ask("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(answer.header("set-cookie").unwrap().ends_with("; Secure"), "{answer:?}");
    assert!(edge.state.join("sticky.key").exists());
}

#[test]
fn a_check_may_want_a_status_and_words() {
    let good = Upstream::start(|seen, stream| match seen.path() {
        "/health" if seen.header("host") == Some("probe") => reply(stream, 204, &[], ""),
        "/health" => reply(stream, 500, &[], ""),
        _ => reply(stream, 200, &[], "good"),
    });
    let bad = Upstream::start(|seen, stream| match seen.path() {
        "/health" => reply(stream, 200, &[], "nearly"),
        _ => reply(stream, 200, &[], "bad"),
    });
    let edge = edge(&format!(
        "[upstreams.node]\nservers = ['{}', '{}']\ncheck = '/health'\ncheck_status = ['204']\ncheck_host = 'probe'\ncheck_interval = '300ms'\n\
         [upstreams.wordy]\nservers = ['{}']\ncheck = '/health'\ncheck_body = 'nearly'\n\
         [[site]]\n[[site.route]]\npath = '/'\nupstream = 'node'\n",
        good.address, bad.address, bad.address
    ));
    let told =
        format!("monodon_edge_upstream_state{{upstream=\"node\",address=\"{}\",state=\"not_ready\"}}", bad.address);
    until("it is known", || edge.metric(&told) as u32 == 1);
    for _ in 0..6 {
        assert_eq!(get(edge.http, "/", &[]).text(), "good");
    }
    let told = format!("monodon_edge_upstream_up{{upstream=\"wordy\",address=\"{}\"}}", bad.address);
    assert_eq!(edge.metric(&told) as u32, 1);
    let ready = edge.admin("/readyz");
    assert_eq!(ready.status, 200);
    assert!(ready.text().contains("the check answers 200"), "{}", ready.text());
}

/// A worker of four slots whose `/slow` takes its time, and whose `/slow/held` waits until it is let go.
struct Worker {
    upstream: Upstream,
    gate: Arc<(Mutex<bool>, Condvar)>,
    slow: Arc<AtomicUsize>,
}

fn worker() -> Worker {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let slow = Arc::new(AtomicUsize::new(0));
    let (held, count) = (gate.clone(), slow.clone());
    let processes = AtomicUsize::new(0);
    let upstream = Upstream::start(move |seen, stream| {
        // Each connection a process of its own will do: what counts is how many slots there are in all.
        let entry = processes.fetch_add(1, Ordering::SeqCst) % 200;
        let process = format!("{entry}/1/4");
        if seen.path() == "/slow/page" {
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
        if seen.path() == "/slow/held" {
            count.fetch_add(1, Ordering::SeqCst);
            let (open, bell) = &*held;
            let guard = open.lock().unwrap();
            drop(bell.wait_while(guard, |open| !*open).unwrap());
        }
        reply(stream, 200, &[("x-monodon-process", &process)], "ok")
    });
    Worker { upstream, gate, slow }
}

#[test]
fn a_slow_route_leaves_a_slot_to_the_others() {
    for bound in ["3", "'75%'"] {
        let Worker { upstream, gate, slow } = worker();
        let bound = format!("'{}'", bound.trim_matches('\''));
        let edge = edge(&format!(
            "upstream = ['{}']\n[[site]]\nname = 'shop'\n\
             [[site.route]]\npath = '/slow'\nupstream = 'default'\nmax_slots = {bound}\n",
            upstream.address
        ));
        assert_eq!(get(edge.http, "/", &[]).status, 200);
        let http = edge.http;
        let requests: Vec<_> =
            (0..10).map(|_| std::thread::spawn(move || get(http, "/slow/held", &[]).status)).collect();
        let labels = "{upstream=\"default\",site=\"shop\",route=\"/slow\"}";
        until("the rest waits", || edge.metric(&format!("monodon_edge_route_slots_waiting{labels}")) as u32 == 7);
        for _ in 0..10 {
            assert_eq!(get(edge.http, "/", &[]).status, 200);
        }
        assert_eq!(slow.load(Ordering::SeqCst), 3);
        // A reload that changes nothing keeps those that wait.
        edge.signal("HUP");
        assert_eq!(get(edge.http, "/", &[]).status, 200);
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
        for request in requests {
            assert_eq!(request.join().unwrap(), 200);
        }
        edge.counts(&format!("monodon_edge_route_slots_held{labels}"), 0.0);
        edge.counts(&format!("monodon_edge_route_slots_waited_total{labels}"), 7.0);
    }
}

/// Nobody says which route is slow: it shows, and from then on one slot in four is for the others.
#[test]
fn a_slow_route_is_found_out() {
    let Worker { upstream, gate, slow } = worker();
    let edge = edge(&format!(
        "upstream = ['{}']\nmax_slots = 'auto'\n[[site]]\nname = 'shop'\n[[site.route]]\npath = '/slow/'\nupstream = 'default'\n",
        upstream.address
    ));
    let labels = "{upstream=\"default\",site=\"shop\",route=\"/slow/\"}";
    let is_slow = || edge.metric(&format!("monodon_edge_route_slow{labels}")) as u32 == 1;
    assert_eq!(get(edge.http, "/", &[]).status, 200);
    assert!(!is_slow());
    until("it is found out", || {
        for path in ["/", "/", "/", "/", "/slow/page"] {
            assert_eq!(get(edge.http, path, &[]).status, 200);
        }
        is_slow()
    });
    let http = edge.http;
    let requests: Vec<_> = (0..10).map(|_| std::thread::spawn(move || get(http, "/slow/held", &[]).status)).collect();
    until("the rest waits", || edge.metric(&format!("monodon_edge_route_slots_waiting{labels}")) as u32 == 7);
    for _ in 0..10 {
        assert_eq!(get(edge.http, "/", &[]).status, 200);
    }
    assert_eq!(slow.load(Ordering::SeqCst), 3);
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    for request in requests {
        assert_eq!(request.join().unwrap(), 200);
    }
}
