use std::sync::Arc;

use super::format::{bytes, clock, escape, latency, percent, rate, span};
use super::{render, sections};
use crate::run::State;
use crate::snapshot::{Container, Engine, Event, Snapshot, now};

fn with(containers: Vec<Container>, events: Vec<Event>) -> State {
    let engine = Engine { up: true, ..Engine::default() };
    let snapshot =
        Snapshot { at: now(), project: Some("a<b".into()), engine, containers, events, ..Snapshot::default() };
    State { agent_expected: true, snapshot: Some((now(), Arc::new(snapshot))), ..State::default() }
}

#[test]
fn whatever_others_say_is_escaped() {
    let evil = "<script>alert(1)</script>\"'&".to_owned();
    let container = Container {
        service: evil.clone(),
        name: evil.clone(),
        state: "running".into(),
        health: "unhealthy".into(),
        health_output: Some(evil.clone()),
        ..Container::default()
    };
    let event =
        Event { service: evil.clone(), container: evil.clone(), action: evil.clone(), detail: Some(evil), at: now() };
    let page = render(&with(vec![container], vec![event]), "abc");
    assert!(!page.contains("<script>alert"), "{page}");
    assert_eq!(page.matches("<script").count(), 1);
    assert!(page.contains("a&lt;b"));
}

#[test]
fn nothing_is_loaded_from_elsewhere_and_no_style_is_inline() {
    let page = render(&with(vec![Container::default()], Vec::new()), "abc");
    for word in ["src=", "@import", "url(", " style=", "onclick", "https://"] {
        assert!(!page.contains(word), "{word}");
    }
    assert!(page.contains("<style nonce=\"abc\">") && page.contains("<script nonce=\"abc\">"));
}

#[test]
fn without_an_agent_the_page_says_so() {
    let state = State { agent_expected: true, ..State::default() };
    let page = sections(&state);
    assert_eq!(page.status, "warn");
    assert!(page.sections["containers"].contains("the agent is missing"));
    let none_expected = sections(&State::default());
    assert_eq!(none_expected.sections["containers"], "");
}

#[test]
fn a_snapshot_that_is_old_is_none() {
    let mut state = with(vec![Container::default()], Vec::new());
    assert!(state.fresh().is_some());
    state.snapshot.as_mut().unwrap().0 -= 60.0;
    assert!(state.fresh().is_none());
}

#[test]
fn figures_as_people_read_them() {
    assert_eq!([bytes(0), bytes(1023), bytes(1 << 20), bytes(45_678_901)], ["0 B", "1 KB", "1 MB", "43.6 MB"]);
    assert_eq!(
        [latency(0.0005), latency(0.0042), latency(0.25), latency(2.0)],
        ["500 µs", "4.2 ms", "250 ms", "2.0 s"]
    );
    assert_eq!([span(5.0), span(65.0), span(3_700.0), span(90_000.0)], ["5 s", "1 min", "1 h 1 min", "1 d 1 h"]);
    assert_eq!([rate(0.0), rate(3.12), rate(73.2), rate(12_345.0)], ["0", "3.1", "73", "12 345"]);
    assert_eq!([percent(0.0), percent(0.0004), percent(0.02), percent(0.5)], ["0 %", "< 0.1 %", "2.0 %", "50 %"]);
    assert_eq!(clock(86_400.0 + 3_661.0), "01:01:01 UTC");
    assert_eq!(escape("<a href=\"x\">'&"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;");
}
