use super::tests::problems_of;
use crate::config::{Balance, Balancing, Config, FailOn, HashBy, Health, MaxSlots};
use std::ffi::OsString;

fn read(text: &str) -> Config {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edge.toml");
    std::fs::write(&path, text).unwrap();
    let args = ["--config".into(), OsString::from(path)];
    super::load(&args, std::iter::empty()).unwrap()
}

#[test]
fn what_is_not_said_is_as_for_the_flat_upstream() {
    let config = read(
        "upstream = ['a:1', 'b:1 backup']\nbalance = 'least_conn'\nmax_fails = 7\nfail_on = ['error', 'http_502']\nretries = 0\n\
         check_status = ['200', '300-301']\n\
         [upstreams.node]\nservers = ['c:1 weight=2']\nhash = 'header:x-user'\nbalance = 'hash'\nmax_fails = 0\n\
         [upstreams.other]\nservers = ['d:1']\n",
    );
    let [flat, node, other] = config.upstreams.as_slice() else { panic!("{:?}", config.upstreams) };
    assert!(flat.upstream.servers[1].backup);
    assert_eq!(flat.upstream.balancing.balance, Balance::LeastConn);
    assert_eq!(flat.upstream.health.max_fails, 7);
    assert_eq!(
        flat.upstream.health.fail_on,
        FailOn { error: true, timeout: false, invalid_header: false, statuses: vec![502] }
    );
    assert_eq!(flat.upstream.health.check.statuses, [200..=200, 300..=301]);
    assert_eq!(node.upstream.servers[0].weight, 2);
    assert_eq!(node.upstream.balancing.balance, Balance::Hash);
    assert_eq!(node.upstream.balancing.hash, Some(HashBy::Header("x-user".parse().unwrap())));
    assert_eq!(node.upstream.health.max_fails, 0);
    assert_eq!((node.upstream.balancing.retries, other.upstream.balancing.retries), (0, 0));
    assert_eq!(other.upstream.health, flat.upstream.health);
}

#[test]
fn defaults() {
    let config = read("upstream = ['a:1']");
    assert_eq!(config.upstreams[0].upstream.health, Health::default());
    assert_eq!(config.upstreams[0].upstream.balancing, Balancing::default());
    assert_eq!(config.sites[0].options.slots.max, MaxSlots::Off);
    // What to hash by says that it is to be hashed.
    let config = read("upstream = ['a:1']\nhash = 'uri'");
    assert_eq!(config.upstreams[0].upstream.balancing.balance, Balance::Hash);
}

#[test]
fn max_slots_is_the_innermost_level_s() {
    let config = read(
        "upstream = ['a:1']\nmax_slots = 'auto'\n[[site]]\n\
         [[site.route]]\npath = '/a'\nupstream = 'default'\nmax_slots = '3'\n\
         [[site.route]]\npath = '/b'\nupstream = 'default'\nmax_slots = '75%'\n\
         [[site.route]]\npath = '/c'\nupstream = 'default'\nmax_slots = 'off'\n\
         [[site.route]]\npath = '/d'\nupstream = 'default'\n",
    );
    let mut routes: Vec<_> =
        config.sites[0].routes.iter().map(|route| (&*route.name, route.options.slots.max)).collect();
    routes.sort_by_key(|(name, _)| *name);
    assert_eq!(
        routes,
        [("/a", MaxSlots::Number(3)), ("/b", MaxSlots::Share(75)), ("/c", MaxSlots::Off), ("/d", MaxSlots::Auto),]
    );
}

#[test]
fn every_slip_is_told_with_its_place() {
    for (line, wrong) in [
        ("servers = ['a:1 wait=3']", "edge.toml:3: servers: \"wait=3\" is not a word for a server; there are weight=N"),
        ("servers = ['a:1 weight=0']", "edge.toml:3: servers: weight=0: expected a whole number from 1"),
        ("servers = ['a']", "edge.toml:3: servers: expected an address such as node:3000"),
        (
            "balance = 'fair'",
            "edge.toml:3: balance: expected one of slots, least_conn, round_robin, random, ip_hash, hash",
        ),
        ("balance = 'hash'", "edge.toml:3: balance: hash needs the setting `hash`, such as"),
        ("hash = 'body'", "edge.toml:3: hash: expected header:NAME, cookie:NAME, uri or ip, got \"body\""),
        ("hash = 'header:a b'", "edge.toml:3: hash: expected header:NAME"),
        ("hash = 'uri'\nbalance = 'random'", "edge.toml:3: hash: goes with balance = \"hash\""),
        ("sticky = 'a b'", "edge.toml:3: sticky: expected a cookie's name such as ROUTE, got \"a b\""),
        ("retries = 6", "edge.toml:3: retries: expected a whole number from 0 to 5"),
        ("fail_on = ['http_501']", "edge.toml:3: fail_on: expected"),
        ("fail_timeout = 0", "edge.toml:3: fail_timeout: expected more than 0"),
        ("check_interval = '0s'", "edge.toml:3: check_interval: expected more than 0"),
        ("check_status = ['2xx']", "edge.toml:3: check_status: expected statuses such as 200 or 200-299, got \"2xx\""),
        ("check_status = ['299-200']", "edge.toml:3: check_status: expected statuses"),
        ("check_status = []", "edge.toml:3: check_status: expected at least one, such as 200-399"),
        ("check_host = 'a b'", "edge.toml:3: check_host: expected a host, got \"a b\""),
        ("check_rise = 0", "edge.toml:3: check_rise: expected a whole number from 1"),
        ("panic_threshold = 101", "edge.toml:3: panic_threshold: expected a whole number from 0 to 100"),
    ] {
        let own = if line.starts_with("servers") { "" } else { "servers = ['a:1']" };
        let told = problems_of(&format!("[upstreams.node]\n{own}\n{line}"));
        assert!(told.contains(wrong), "{line}: {told}");
        assert_eq!(told.lines().count(), 1, "{line}: {told}");
    }
    for (value, got) in [("0", "0"), ("101%", "101%"), ("many", "many"), ("-1", "-1")] {
        let told = problems_of(&format!("[[site]]\n[[site.route]]\npath = '/'\nclose = true\nmax_slots = '{value}'"));
        let wrong = format!(
            "edge.toml:5: max_slots: expected a number of at least 1, a share from 1% to 100%, auto or off, got {got:?}"
        );
        assert!(told.contains(&wrong), "{told}");
    }
    // The flat one's.
    assert!(problems_of("upstream = ['a:1 backup=1']").contains("edge.toml:1: upstream: \"backup=1\" is not a word"));
    assert!(problems_of("check_status = ['x']").contains("edge.toml:1: check_status: expected statuses"));
}
