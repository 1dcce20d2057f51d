//! When a check makes a server ready or not, by the words of `edge.toml`, over real sockets.
#![allow(clippy::unwrap_used)]

mod common;

use common::upstream::reply;
use common::{Edge, Setup, Upstream, get, until};
use std::sync::{Arc, Condvar, Mutex};

/// An edge whose one upstream is `node`.
fn edge(servers: &[&Checked], settings: &str) -> Edge {
    let servers: Vec<String> = servers.iter().map(|one| one.upstream.address.to_string()).collect();
    Setup::default()
        .plain()
        .file(&format!(
            "[upstreams.node]\nservers = {servers:?}\nbalance = 'round_robin'\ncheck = '/health'\n\
             check_interval = '250ms'\n{settings}\n[[site]]\n[[site.route]]\npath = '/'\nupstream = 'node'\n"
        ))
        .start()
}

fn is(edge: &Edge, of: &Checked, state: &str) -> bool {
    let address = of.upstream.address;
    let series = format!("monodon_edge_upstream_state{{upstream=\"node\",address=\"{address}\",state=\"{state}\"}}");
    edge.metric(&series) == 1.0
}

#[derive(Default)]
struct Script {
    /// What the check is answered for now.
    status: u16,
    /// How many checks may still be answered; `None`: any number.
    left: Option<usize>,
    /// Checks that came and were answered.
    came: usize,
    answered: usize,
}

/// A server that says its name, and whose check is answered when and as the test says.
struct Checked {
    upstream: Upstream,
    script: Arc<(Mutex<Script>, Condvar)>,
}

impl Checked {
    fn new(name: &'static str, status: u16, left: Option<usize>) -> Self {
        let script = Arc::new((Mutex::new(Script { status, left, ..Script::default() }), Condvar::new()));
        let own = script.clone();
        let upstream = Upstream::start(move |seen, stream| {
            if seen.path() != "/health" {
                return reply(stream, 200, &[], name);
            }
            own.0.lock().unwrap().came += 1;
            let mut script = own.1.wait_while(own.0.lock().unwrap(), |script| script.left == Some(0)).unwrap();
            script.left = script.left.map(|left| left - 1);
            script.answered += 1;
            reply(stream, script.status, &[], "")
        });
        Self { upstream, script }
    }

    fn set(&self, status: u16, left: Option<usize>) {
        let mut script = self.script.0.lock().unwrap();
        (script.status, script.left) = (status, left);
        self.script.1.notify_all();
    }

    /// So many checks are answered so, and the next has come: what was said of them is known.
    fn answers(&self, status: u16, times: usize) {
        let before = self.script.0.lock().unwrap().answered;
        self.set(status, Some(times));
        until("the next check has come", || {
            let script = self.script.0.lock().unwrap();
            script.answered == before + times && script.came > script.answered
        });
    }

    fn came(&self) -> usize {
        self.script.0.lock().unwrap().came
    }
}

#[test]
fn so_many_answers_in_a_row_make_a_server_ready_or_not() {
    let server = Checked::new("hello", 200, Some(0));
    let edge = edge(&[&server], "check_fall = 3\ncheck_rise = 2\ncheck_timeout = '10m'");
    for (status, times, state) in [
        (200, 1, "up"),
        (503, 2, "up"),
        (200, 1, "up"),
        (503, 2, "up"),
        (503, 1, "not_ready"),
        (200, 1, "not_ready"),
        (503, 1, "not_ready"),
        (200, 1, "not_ready"),
        (200, 1, "up"),
    ] {
        server.answers(status, times);
        assert!(is(&edge, &server, state), "{times} × {status}: not {state}");
    }
}

/// Bad answers that are too few to count leave a server ready, unless it was to be asked first.
#[test]
fn a_server_may_have_to_prove_itself_first() {
    for first in [false, true] {
        let (new, known) = (Checked::new("new", 503, None), Checked::new("known", 200, None));
        let edge = edge(&[&new, &known], &format!("check_fall = 1000\ncheck_first = {first}"));
        until("both were asked", || new.came() > 2 && is(&edge, &known, "up"));
        let texts: Vec<String> = (0..8).map(|_| get(edge.http, "/", &[]).text()).collect();
        let count = texts.iter().filter(|text| *text == "new").count();
        assert_eq!(count, if first { 0 } else { 4 }, "{first}: {texts:?}");
        new.set(200, None);
        until("it gets its share", || get(edge.http, "/", &[]).text() == "new");
    }
}

/// Silence is a bad answer when `check_timeout` is over, and not before.
#[test]
fn a_check_has_its_time() {
    let (short, long) = (Checked::new("short", 200, Some(0)), Checked::new("long", 200, Some(0)));
    let patient = edge(&[&long], "check_timeout = '10m'");
    let hasty = edge(&[&short], "check_timeout = '400ms'");
    until("silence is noticed", || is(&hasty, &short, "not_ready"));
    let told = hasty.admin("/readyz").text();
    assert!(told.contains("the check gets no answer"), "{told}");
    // By the default of a second, twice, the other would have been found out long before.
    until("the same again and again", || short.came() >= 8);
    assert!(is(&patient, &long, "up") && long.came() == 1, "{}", long.came());
}

#[test]
fn a_silent_server_keeps_nobody_from_seeing_how_the_others_are() {
    let (silent, other) = (Checked::new("silent", 200, Some(0)), Checked::new("other", 200, None));
    let edge = edge(&[&silent, &other], "check_timeout = '10m'");
    for _ in 0..2 {
        other.set(503, None);
        until("it is not ready", || is(&edge, &other, "not_ready"));
        other.set(200, None);
        until("it is ready again", || is(&edge, &other, "up"));
    }
    assert_eq!((silent.came(), is(&edge, &silent, "up")), (1, true));
}
