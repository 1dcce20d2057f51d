//! What a pattern says of its groups before it has matched anything.

use regex::Regex;
use regex_syntax::hir::{Capture, Hir, HirKind};

/// Whether every match has this group, and a slash at the group's begin.
pub fn begin_with_slash(pattern: Option<&Regex>, which: impl Fn(&Capture) -> bool) -> bool {
    let pattern = pattern.and_then(|pattern| regex_syntax::parse(pattern.as_str()).ok());
    pattern.and_then(|hir| always(&hir, &which).map(slash_first)).unwrap_or_default()
}

/// The group, unless a match may do without it.
fn always<'a>(hir: &'a Hir, which: &impl Fn(&Capture) -> bool) -> Option<&'a Hir> {
    match hir.kind() {
        HirKind::Capture(group) if which(group) => Some(&group.sub),
        HirKind::Capture(group) => always(&group.sub, which),
        HirKind::Repetition(repeated) if repeated.min > 0 => always(&repeated.sub, which),
        HirKind::Concat(parts) => parts.iter().find_map(|part| always(part, which)),
        _ => None,
    }
}

fn slash_first(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Literal(text) => text.0.first() == Some(&b'/'),
        HirKind::Capture(group) => slash_first(&group.sub),
        HirKind::Repetition(repeated) => repeated.min > 0 && slash_first(&repeated.sub),
        HirKind::Concat(parts) => {
            parts.iter().find(|part| !matches!(part.kind(), HirKind::Look(_))).is_some_and(slash_first)
        }
        HirKind::Alternation(ways) => ways.iter().all(slash_first),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_group_begins_with() {
        for (pattern, slash) in [
            ("^/old(/.*)$", true),
            ("^/old(^/.*)$", true),
            ("^/old((?:/a|/b)x)$", true),
            ("^/old((?:/[a-z]+)+)$", true),
            ("^(?:/old(/.*))+$", true),
            ("^/old/(.*)$", false),
            ("^/old(/.*)?$", false),
            ("^/old(/*)$", false),
            ("^/old(?:(/a)|b)$", false),
            ("^/old(/a|b)$", false),
            ("^/old(.*)$", false),
            ("^/old()$", false),
        ] {
            assert_eq!(
                begin_with_slash(Some(&Regex::new(pattern).unwrap()), |group| group.index == 1),
                slash,
                "{pattern}"
            );
        }
        assert!(!begin_with_slash(None, |_| true));
    }
}
