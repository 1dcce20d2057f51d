//! The Range field: RFC 9110, section 14. What is odd or too much is ignored, as the RFC allows: the whole file is sent.
//!
//! This file needs nothing of the edge: the fuzz target compiles it alone.

#[derive(Debug, PartialEq, Eq)]
pub enum Ranges {
    Whole,
    /// None of them is in the file: 416.
    None,
    /// Start and end (not included), in the order asked for; what overlaps or touches is one.
    Some(Vec<(u64, u64)>),
}

/// `most` ranges are taken, as they were asked for; none with 0.
pub fn parse(value: &str, length: u64, most: usize) -> Ranges {
    let Some((unit, list)) = value.split_once('=') else { return Ranges::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Ranges::Whole;
    }
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for (count, spec) in list.split(',').map(str::trim).enumerate() {
        if count >= most {
            return Ranges::Whole;
        }
        let Some((first, last)) = spec.split_once('-') else { return Ranges::Whole };
        let range = match (number(first), number(last)) {
            // The last so many bytes.
            (None, Some(suffix)) if first.is_empty() => (length.saturating_sub(suffix), length),
            (Some(first), None) if last.is_empty() => (first, length),
            (Some(first), Some(last)) if first <= last => (first, last.saturating_add(1).min(length)),
            _ => return Ranges::Whole,
        };
        if range.0 < range.1 {
            ranges.push(range);
        }
    }
    if ranges.is_empty() { Ranges::None } else { Ranges::Some(merge(ranges)) }
}

fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // A number too large for us is beyond any file.
    Some(text.parse().unwrap_or(u64::MAX))
}

/// Overlapping ranges would send the same bytes again and again: apart, they are never more than the file.
fn merge(ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for mut range in ranges {
        merged.retain(|other| {
            let apart = other.1 < range.0 || range.1 < other.0;
            if !apart {
                range = (range.0.min(other.0), range.1.max(other.1));
            }
            apart
        });
        merged.push(range);
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let some = |ranges: &[(u64, u64)]| Ranges::Some(ranges.to_vec());
        for (value, expected) in [
            ("bytes=0-0", some(&[(0, 1)])),
            ("bytes=0-", some(&[(0, 100)])),
            ("bytes=-10", some(&[(90, 100)])),
            ("bytes=-1000", some(&[(0, 100)])),
            ("bytes=90-1000", some(&[(90, 100)])),
            ("bytes=0-1, 10-11", some(&[(0, 2), (10, 12)])),
            ("bytes=0-9,5-19", some(&[(0, 20)])),
            ("bytes=10-19,0-9,50-", some(&[(0, 20), (50, 100)])),
            ("bytes=100-", Ranges::None),
            ("bytes=-0", Ranges::None),
            ("bytes=99999999999999999999-", Ranges::None),
            ("bytes=5-1", Ranges::Whole),
            ("bytes=a-b", Ranges::Whole),
            ("bytes=", Ranges::Whole),
            ("bytes=-", Ranges::Whole),
            ("bytes=+1-2", Ranges::Whole),
            ("lines=0-1", Ranges::Whole),
            ("bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16", Ranges::Whole),
        ] {
            assert_eq!(parse(value, 100, 8), expected, "{value}");
        }
        assert_eq!(parse("bytes=0-", 0, 8), Ranges::None);
        assert_eq!(parse("bytes=0-1", 100, 0), Ranges::Whole);
        assert_eq!(parse("bytes=0-1,5-6", 100, 1), Ranges::Whole);
    }
    /// Any change of a byte or two gives ranges within the file, none twice.
    #[test]
    fn mutations() {
        let seeds =
            ["bytes=0-9, 20-29,-5,90-", "bytes=5-", "bytes=99999999999999999999-1", "bytes=-18446744073709551615"];
        let mut random = fastrand::Rng::with_seed(7);
        for round in 0..30_000 {
            let mut bytes = seeds[round % seeds.len()].as_bytes().to_vec();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..bytes.len());
                match random.u8(..3) {
                    0 => bytes[at] = random.u8(..),
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, *random.choice(b"-,=0159 b").unwrap()),
                }
            }
            let length = random.u64(..200);
            if let Ranges::Some(mut ranges) = parse(&String::from_utf8_lossy(&bytes), length, 8) {
                assert!(!ranges.is_empty() && ranges.len() <= 8);
                ranges.sort_unstable();
                assert!(ranges.iter().all(|(start, end)| start < end && *end <= length), "{ranges:?}");
                assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0), "{ranges:?}");
            }
        }
    }
}
