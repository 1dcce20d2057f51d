//! The known name that somebody who mistyped one most likely meant.

/// `None` when nothing is near enough to be worth saying.
pub(crate) fn nearest<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_lowercase().replace('-', "_");
    let words = |name: &str| {
        let mut words: Vec<String> = name.to_lowercase().split(['_', '-']).map(str::to_owned).collect();
        words.sort_unstable();
        words
    };
    let typed_words = words(&typed);
    known
        .filter_map(|name| {
            let plain = name.to_lowercase().replace('-', "_");
            // The same words in another order are one slip, not many; so is a beginning (Python's argparse takes those).
            let begins = typed.len() >= 4 && plain.starts_with(&typed);
            let steps = if begins || words(&plain) == typed_words { 1 } else { distance(&typed, &plain) };
            (steps <= (plain.len().max(typed.len()) / 3).max(1)).then_some((steps, name))
        })
        .min_by_key(|(steps, _)| *steps)
        .map(|(_, name)| name)
}

/// Optimal string alignment: insert, drop, change, swap neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let width = b.len() + 1;
    let mut steps = vec![0; (a.len() + 1) * width];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            let at = |i: usize, j: usize| steps[i * width + j];
            let mut least = if i == 0 { j } else { usize::MAX };
            if j == 0 {
                least = i;
            }
            if i > 0 && j > 0 {
                let change = usize::from(a[i - 1] != b[j - 1]);
                least = (at(i - 1, j) + 1).min(at(i, j - 1) + 1).min(at(i - 1, j - 1) + change);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    least = least.min(at(i - 2, j - 2) + 1);
                }
            }
            steps[i * width + j] = least;
        }
    }
    steps[a.len() * width + b.len()]
}
