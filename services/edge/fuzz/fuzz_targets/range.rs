//! Any Range field: within the file, none twice, never more than are allowed, and the same bytes as a plain model says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::collections::BTreeSet;

// The file itself: it needs nothing of the edge, and the edge takes long to compile with sanitizers.
#[allow(dead_code)]
#[path = "../../src/static_files/range.rs"]
mod range;

use range::Ranges;

/// Slow and plain: every byte by itself. `None`: the field means nothing.
fn model(value: &str, length: u64, most: usize) -> Option<BTreeSet<u64>> {
    let (unit, list) = value.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let specs: Vec<&str> = list.split(',').map(str::trim).collect();
    if specs.len() > most {
        return None;
    }
    let mut bytes = BTreeSet::new();
    for spec in specs {
        let (first, last) = spec.split_once('-')?;
        if !first.bytes().chain(last.bytes()).all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let first_number = first.parse::<u128>().unwrap_or(u128::MAX);
        let last_number = last.parse::<u128>().unwrap_or(u128::MAX);
        match (first.is_empty(), last.is_empty()) {
            (true, true) => return None,
            (true, false) => bytes.extend((0..length).filter(|at| u128::from(length - at) <= last_number)),
            (false, true) => bytes.extend((0..length).filter(|at| u128::from(*at) >= first_number)),
            // Numbers that no file has are all the same.
            (false, false) if first_number.min(u64::MAX.into()) > last_number.min(u64::MAX.into()) => return None,
            (false, false) => {
                bytes.extend((0..length).filter(|at| (first_number..=last_number).contains(&u128::from(*at))));
            }
        }
    }
    Some(bytes)
}

fuzz_target!(|input: (&str, u8, u8)| {
    let (value, length, most) = (input.0, u64::from(input.1), usize::from(input.2 % 12));
    let expected = model(value, length, most);
    match range::parse(value, length, most) {
        Ranges::Whole => assert_eq!(expected, None),
        Ranges::None => assert_eq!(expected, Some(BTreeSet::new())),
        Ranges::Some(ranges) => {
            assert!(!ranges.is_empty() && ranges.len() <= most);
            let mut bytes = BTreeSet::new();
            for (start, end) in ranges {
                assert!(start < end && end <= length);
                assert!((start..end).all(|at| bytes.insert(at)), "a byte twice");
            }
            assert_eq!(expected, Some(bytes));
        }
    }
    // A file as large as there can be.
    if let Ranges::Some(ranges) = range::parse(value, u64::MAX, 8) {
        assert!(ranges.iter().all(|(start, end)| start < end));
    }
});
