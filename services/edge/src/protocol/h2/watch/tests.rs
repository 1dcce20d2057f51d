//! However bytes are cut.

use super::*;

fn bytes(frames: &[(u8, u8, &[u8])]) -> Vec<u8> {
    let mut all = vec![b'x'; PREFACE];
    all.extend_from_slice(&[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5]);
    for (kind, flags, payload) in frames {
        all.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
        all.extend_from_slice(&[*kind, *flags, 0, 0, 0, 1]);
        all.extend_from_slice(payload);
    }
    all
}

fn count(all: &[u8], step: usize) -> u64 {
    let seen = Seen::default();
    let mut at = At::Preface(PREFACE);
    all.chunks(step).for_each(|part| look(&mut at, &seen, part));
    assert!(matches!(at, At::Header(_, 0)));
    seen.take_all()
}

#[test]
fn frames_that_do_nothing_are_counted_however_they_arrive() {
    let useful: &[(u8, u8, &[u8])] =
        &[(4, 1, b""), (1, 4, b"head"), (0, 0, b"data"), (0, 1, b""), (6, 1, b"pongpong"), (8, 0, &[0, 1, 0, 0])];
    let idle: &[(u8, u8, &[u8])] = &[
        (4, 0, b"settin"),
        (0, 0, b""),
        (6, 0, b"pingping"),
        (2, 0, b"prior"),
        (3, 0, b"code"),
        (9, 4, b"more"),
        (8, 0, &[0, 0, 0, 1]),
        (200, 0, b"what"),
    ];
    for step in [1, 2, 7, 10_000] {
        assert_eq!(count(&bytes(useful), step), 0, "{step}");
        assert_eq!(count(&bytes(idle), step), idle.len() as u64, "{step}");
    }
}

#[test]
fn a_head_is_open_until_its_end_has_come() {
    let open = |all: &[u8], step: usize| {
        let seen = Seen::default();
        let mut at = At::Preface(PREFACE);
        all.chunks(step).for_each(|part| look(&mut at, &seen, part));
        seen.head.get().is_some()
    };
    let ends: &[(u8, u8, &[u8])] = &[(1, 0, b"he"), (9, 0, b"a"), (9, 4, b"d"), (0, 0, b"data"), (1, 5, b"head")];
    let begins: &[(u8, u8, &[u8])] = &[(1, 4, b"head"), (1, 1, b"head"), (9, 0, b"more")];
    for step in [1, 2, 7, 10_000] {
        let whole = bytes(ends);
        assert!(!open(&whole, step), "{step}");
        // In its payload, and in its frame's own header, from where its kind stands.
        for (missing, is) in [(1, true), (4, true), (5, true), (9, true), (10, false), (13, false)] {
            assert_eq!(open(&whole[..whole.len() - missing], step), is, "{step}: {missing}");
        }
        assert!(open(&bytes(begins), step), "{step}");
        assert!(!open(&[&bytes(begins)[..], &[0, 0, 0, 9, 4, 0, 0, 0, 1]].concat(), step), "{step}");
    }
}

/// Whatever the bytes are, and however they are cut: no panic, and the same count.
#[test]
fn noise_is_counted_the_same_however_it_is_cut() {
    let mut rng = fastrand::Rng::with_seed(7);
    for _ in 0..300 {
        let mut all = bytes(&[(6, 0, b"pingping"), (8, 0, &[0, 0, 0, 1]), (1, 4, b"head"), (0, 0, b"")]).repeat(3);
        for _ in 0..rng.usize(..20) {
            let at = rng.usize(..all.len());
            all[at] = rng.u8(..);
        }
        let count = |step: usize| {
            let seen = Seen::default();
            let mut at = At::Preface(PREFACE);
            all.chunks(step).for_each(|part| look(&mut at, &seen, part));
            (seen.take_all(), seen.malformed.get(), seen.head.get().is_some())
        };
        let whole = count(all.len());
        for step in 1..12 {
            assert_eq!(count(step), whole);
        }
    }
}

#[test]
fn answers_to_what_was_never_given_are_counted() {
    let answers = |stream: u8| [0, 0, 1, 1, 5, 0, 0, 0, stream, 0x88].to_vec();
    let ended = |stream: u8| [0, 0, 4, 3, 0, 0, 0, 0, stream, 0, 0, 0, 1].to_vec();
    let body = |stream: u8| [0, 0, 2, 0, 1, 0, 0, 0, stream, 1, 1].to_vec();
    for step in [1, 2, 7, 10_000] {
        let seen = Seen::default();
        let mut out = At::Header([0; HEADER], 0);
        // 3 comes twice: trailers.
        [1, 3, 5, 7, 3].into_iter().for_each(|stream| seen.unheard.begins(stream));
        seen.unheard.given(3);
        let all = [answers(3), body(3), answers(1), ended(1), ended(5), answers(5), answers(3)].concat();
        all.chunks(step).for_each(|part| look_out(&mut out, &seen, part));
        assert_eq!(seen.unheard.take(), 1, "{step}");
        assert!(seen.unheard.given(7) && !seen.unheard.given(1), "{step}");
    }
}
