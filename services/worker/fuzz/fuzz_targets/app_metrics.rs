//! Any files as the application's metrics: no panic, and whatever comes out is a page that a scrape can read.
#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use monodon_worker::app_metrics::{
    file::{self, Value},
    kind::Kind,
    merge::{Limits, Merge},
};

fn page(files: &[(Kind, &str, Vec<u8>)]) -> String {
    let mut merge = Merge::new(Limits { series: 50, bytes: 8192 });
    for (kind, process, bytes) in files {
        if file::check(bytes).is_ok() {
            merge.add(*kind, process, file::values(bytes).expect("checked").flatten());
        }
    }
    assert!(merge.series() <= 50);
    let mut out = String::new();
    merge.write(&HashSet::from(["process_open_fds"]), &mut out);
    out
}

/// Cuts off a name as the text format has it.
fn name<'t>(text: &'t str, also: &str) -> Option<(&'t str, &'t str)> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || also.contains(c);
    let end = text.find(|c| !good(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    (!name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())).then_some((name, rest))
}

fn sample(line: &str) -> Option<&str> {
    let (metric, mut rest) = name(line, ":")?;
    let mut names = HashSet::new();
    if let Some(mut labels) = rest.strip_prefix('{') {
        loop {
            let (label, value) = name(labels, "")?;
            assert!(names.insert(label), "a label twice: {line}");
            let value = value.strip_prefix("=\"")?;
            let mut escaped = false;
            let end = value.find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            })?;
            rest = &value[end + 1..];
            match rest.strip_prefix(',') {
                Some(more) => labels = more,
                None => break,
            }
        }
        rest = rest.strip_prefix('}')?;
    }
    rest.strip_prefix(' ')?.parse::<f64>().ok()?;
    Some(metric)
}

fuzz_target!(|data: &[u8]| {
    let kinds: Vec<Kind> = Kind::each().collect();
    let mut files = Vec::new();
    let mut rest = data;
    while let Some((&[kind, process, low, high], more)) = rest.split_first_chunk::<4>() {
        let length = usize::from(u16::from_le_bytes([low, high])).min(more.len());
        let (bytes, more) = more.split_at(length);
        rest = more;
        // Mostly with a head that is right, so that the entries are looked at.
        let mut whole = if process & 0x80 == 0 { vec![0; 8] } else { Vec::new() };
        whole.extend_from_slice(bytes);
        if process & 0x80 == 0 {
            let used = (whole.len() as i32).to_ne_bytes();
            whole[..4].copy_from_slice(&used);
        }
        let process = ["w0", "w1", "archive", "17"][usize::from(process & 3)];
        files.push((kinds[usize::from(kind) % kinds.len()], process, whole));
    }
    let out = page(&files);
    let mut families = HashSet::new();
    for line in out.lines() {
        if let Some(title) = line.strip_prefix("# TYPE ") {
            let (title, _) = title.split_once(' ').expect("a type");
            assert!(families.insert(title) && !title.starts_with("monodon_") && title != "process_open_fds", "{line}");
        } else if !line.starts_with("# HELP ") {
            let name = sample(line).unwrap_or_else(|| panic!("not a sample: {line:?}"));
            assert!(!name.starts_with("monodon_"), "{line}");
        }
    }
    // Written and read again, the same.
    for (_, _, bytes) in &mut files {
        if file::check(bytes).is_ok() {
            let values: Vec<Value<'_>> = file::values(bytes).expect("checked").flatten().collect();
            *bytes = file::write(values.into_iter());
        }
    }
    assert_eq!(page(&files), out);
});
