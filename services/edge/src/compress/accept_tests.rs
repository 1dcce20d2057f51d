//! What clients send in Accept-Encoding, and what they get for it.

use super::*;
use Coding::{Br, Gzip, Zstd};

fn choose(field: &str) -> Option<Coding> {
    Accept::parse([field.as_bytes()]).choose(&Coding::ALL)
}

#[test]
fn what_a_client_gets() {
    for (field, coding) in [
        ("gzip, deflate, br, zstd", Some(Br)),
        ("gzip, deflate, zstd", Some(Zstd)),
        ("gzip", Some(Gzip)),
        ("X-GZIP", Some(Gzip)),
        ("GZip;Q=0.5", Some(Gzip)),
        ("deflate", None),
        ("", None),
        (" , ,", None),
        ("identity", None),
        ("*", Some(Br)),
        ("*;q=0", None),
        ("*;q=0, gzip", Some(Gzip)),
        ("gzip;q=1.0, *;q=0.5", Some(Gzip)),
        ("br;q=0, *", Some(Zstd)),
        ("br;q=0.1, gzip;q=0.9", Some(Gzip)),
        ("gzip;q=0.001", Some(Gzip)),
        ("gzip;q=0", None),
        ("gzip;q=0.000", None),
        ("gzip;q=0.5, identity", None),
        ("gzip;q=0.5, identity;q=0.5", Some(Gzip)),
        ("identity;q=0, br;q=0.1", Some(Br)),
        ("gzip ; q=1 ,\tbr\t;\tq=1.000", Some(Br)),
        ("gzip, gzip;q=0", None),
        ("compress, gzip", Some(Gzip)),
    ] {
        assert_eq!(choose(field), coding, "{field:?}");
    }
}

#[test]
fn what_means_nothing() {
    for field in [
        "gzip;q=1.1",
        "gzip;q=2",
        "gzip;q=",
        "gzip;q",
        "gzip;q=0.1234",
        "gzip;q=1.001",
        "gzip;q=-1",
        "gzip;q=.5",
        "gzip;level=9",
        "gzip;q=1;q=0",
        "gzip;",
        "gzip; q =1",
        "gz ip",
        "gzip\u{0}",
        "\"gzip\"",
        ";q=1",
        "gzip, br;q=x",
        "gzip;q=1e0",
        "gzip;q=+1",
        "gzïp, br",
        "gzip q=1",
    ] {
        assert_eq!(Accept::strict([field.as_bytes()]), None, "{field:?}");
        assert_eq!(choose(field), None, "{field:?}");
    }
}

#[test]
fn it_has_bounds() {
    assert_eq!(choose(&"gzip,".repeat(MEMBERS)), Some(Gzip));
    assert_eq!(choose(&"gzip,".repeat(MEMBERS + 1)), None);
    assert_eq!(choose(&format!("gzip{}", " ".repeat(LENGTH))), None);
    let halves = ["a,".repeat(MEMBERS / 2), "b,".repeat(MEMBERS / 2 + 1)];
    assert_eq!(Accept::strict(halves.iter().map(String::as_bytes)), None);
}

#[test]
fn several_fields_are_one_list() {
    let of = |fields: &[&str]| Accept::parse(fields.iter().map(|field| field.as_bytes())).choose(&Coding::ALL);
    assert_eq!(of(&["gzip", "br"]), Some(Br));
    assert_eq!(of(&["gzip", "br;q=0"]), Some(Gzip));
    assert_eq!(of(&[]), None);
}

#[test]
fn the_servers_order_decides_between_equals() {
    let accept = Accept::parse([&b"gzip, br, zstd"[..]]);
    assert_eq!(accept.choose(&[Gzip, Br]), Some(Gzip));
    assert_eq!(accept.choose(&[Zstd]), Some(Zstd));
    assert_eq!(accept.choose(&[]), None);
    assert!(Accept::parse([&b"identity;q=0"[..]]).refuses_identity());
    assert!(Accept::parse([&b"*;q=0, gzip"[..]]).refuses_identity());
    assert!(!Accept::parse([&b"gzip, *;q=0.1"[..]]).refuses_identity());
}

/// Any change of a byte or two gives something that is in bounds, and never a coding that stands nowhere.
#[test]
fn mutations() {
    let seeds = ["gzip, deflate, br;q=0.9, zstd;q=1.0, identity;q=0, *;q=0.1", "x-gzip;q=0.5 , br", "*;q=0"];
    let mut random = fastrand::Rng::with_seed(20);
    for round in 0..30_000 {
        let mut bytes = seeds[round % seeds.len()].as_bytes().to_vec();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            match random.u8(..3) {
                0 => bytes[at] = random.u8(..),
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, *random.choice(b";,q=.01* \tgzipbr").unwrap()),
            }
        }
        let accept = Accept::parse([&bytes[..]]);
        assert!(accept.codings.iter().chain(&accept.identity).all(|weight| *weight <= 1000));
        if let Some(coding) = accept.choose(&Coding::ALL) {
            let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
            assert!(text.contains(coding.name()) || text.contains('*'), "{text}");
        }
    }
}
