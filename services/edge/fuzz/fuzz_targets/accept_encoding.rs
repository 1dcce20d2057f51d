//! Any Accept-Encoding fields: never a panic, the weights in bounds, and the same choice as a plain model of the rules
//! makes.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The file itself: it needs nothing of the edge, and the edge takes long to compile with sanitizers.
#[allow(dead_code)]
#[path = "../../src/compress/accept.rs"]
mod accept;

use accept::{Accept, Coding};

/// Slow and plain: (name, thousandths) of every member.
fn members(fields: &[&[u8]]) -> Option<Vec<(String, u32)>> {
    let mut all = Vec::new();
    if fields.iter().map(|field| field.len()).sum::<usize>() > 1024 {
        return None;
    }
    for field in fields {
        // A byte is a character here: what is no ASCII is no token either.
        let field: String = field.iter().map(|byte| char::from(*byte)).collect();
        for member in field.split(',').map(|member| member.trim_matches([' ', '\t'])) {
            if member.is_empty() {
                continue;
            }
            let (name, weight) = match member.split_once(';') {
                None => (member, 1000),
                Some((name, weight)) => {
                    let weight = weight.trim_matches([' ', '\t']).to_ascii_lowercase();
                    let number = weight.strip_prefix("q=")?;
                    let allowed = |c: char| c.is_ascii_digit() || c == '.';
                    let begins = number == "0" || number == "1" || number.starts_with("0.") || number.starts_with("1.");
                    if !begins || number.len() > 5 || !number.chars().all(allowed) || number.matches('.').count() > 1 {
                        return None;
                    }
                    // `0.` and `1.` are allowed; Rust reads them, too.
                    let value: f64 = number.parse().ok()?;
                    if value > 1.0 {
                        return None;
                    }
                    (name.trim_matches([' ', '\t']), (value * 1000.0).round() as u32)
                }
            };
            let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
            if name.is_empty() || !name.chars().all(token) {
                return None;
            }
            all.push((name.to_ascii_lowercase().replace("x-gzip", "gzip"), weight));
        }
    }
    (all.len() <= 32).then_some(all)
}

fn model(fields: &[&[u8]]) -> Option<&'static str> {
    let members = members(fields)?;
    let of = |name: &str| members.iter().filter(|(known, _)| known == name).map(|(_, weight)| *weight).min();
    let weight = |name: &str| of(name).or_else(|| of("*"));
    let mut best = None;
    for name in ["br", "zstd", "gzip"] {
        let weight = weight(name).unwrap_or(0);
        if weight > best.map_or(0, |(_, best)| best) {
            best = Some((name, weight));
        }
    }
    let (name, best) = best?;
    match weight("identity") {
        Some(identity) if identity > best => None,
        _ => Some(name),
    }
}

fuzz_target!(|data: &[u8]| {
    let fields: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    let accept = Accept::parse(fields.iter().copied());
    assert_eq!(accept.choose(&Coding::ALL).map(Coding::name), model(&fields));
    for coding in Coding::ALL {
        let chosen = accept.choose(&[coding]);
        assert!(chosen.is_none() || (chosen == Some(coding) && accept.takes(coding)));
    }
    assert!(!accept.is_nothing() || accept.choose(&Coding::ALL).is_none());
});
