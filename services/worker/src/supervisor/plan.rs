//! Which process to start and which to let go: one rule for starting, crashes, reload, recycling and scaling.
//!
//! *Fresh* processes are those of the wanted generation that do not ask to be replaced. There shall be as many of them
//! as wanted; no more processes than that plus `surge` live at a time; and an old one leaves only when a fresh one is
//! ready in its place.

use crate::scoreboard::Reason;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub entry: usize,
    pub age: u64,
    /// Of the wanted generation.
    pub current: bool,
    pub ready: bool,
    /// Why it asks to be replaced, if it does.
    pub retiring: Option<Reason>,
    /// Has been told to leave, or is being killed.
    pub leaving: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Fork,
    Drain(usize, Reason),
}

pub fn plan(seen: &[Seen], wanted: usize, surge: usize) -> Vec<Action> {
    let mut actions = Vec::new();
    let mut fresh: Vec<&Seen> =
        seen.iter().filter(|one| one.current && one.retiring.is_none() && !one.leaving).collect();
    let mut old: Vec<&Seen> =
        seen.iter().filter(|one| (!one.current || one.retiring.is_some()) && !one.leaving).collect();

    let missing = wanted.saturating_sub(fresh.len());
    let room = (wanted + surge).saturating_sub(seen.len());
    actions.extend(std::iter::repeat_n(Action::Fork, missing.min(room)));

    // Fewer are wanted than there are: those that are not ready yet go first, then the youngest.
    fresh.sort_by_key(|one| (one.ready, one.age));
    let surplus = fresh.len().saturating_sub(wanted);
    let (leave, stay) = fresh.split_at(surplus);
    actions.extend(leave.iter().map(|one| Action::Drain(one.entry, Reason::Stop)));

    let ready = stay.iter().filter(|one| one.ready).count();
    old.sort_by_key(|one| (one.ready, std::cmp::Reverse(one.age)));
    let serving = old.iter().filter(|one| one.ready).count();
    let idle = old.len() - serving;
    // An old one that is not ready serves nobody; it goes as soon as any fresh one is there.
    let go = if ready > 0 { idle + (ready + serving).saturating_sub(wanted).min(serving) } else { 0 };
    for one in old.iter().take(go) {
        actions.push(Action::Drain(one.entry, one.retiring.filter(|_| one.current).unwrap_or(Reason::Reload)));
    }
    actions
}

#[cfg(test)]
mod tests {
    use super::Action::{Drain, Fork};
    use super::*;

    fn one(entry: usize, flags: &str) -> Seen {
        let has = |flag| flags.contains(flag);
        Seen {
            entry,
            age: 100 - entry as u64,
            current: !has('o'),
            ready: has('r'),
            retiring: has('m').then_some(Reason::Memory),
            leaving: has('l'),
        }
    }

    #[test]
    fn starts_what_is_missing() {
        assert_eq!(plan(&[], 3, 1), [Fork, Fork, Fork]);
        assert_eq!(plan(&[one(0, "r"), one(1, "")], 3, 1), [Fork]);
        assert_eq!(plan(&[one(0, "r"), one(1, "r")], 2, 1), []);
    }

    #[test]
    fn a_reload_goes_by_surge_and_makes_before_it_breaks() {
        let old = [one(0, "or"), one(1, "or")];
        assert_eq!(plan(&old, 2, 1), [Fork]);
        let with = |more: &[Seen]| [&old[..], more].concat();
        assert_eq!(plan(&with(&[one(2, "")]), 2, 1), []);
        assert_eq!(plan(&with(&[one(2, "r")]), 2, 1), [Drain(0, Reason::Reload)]);
        assert_eq!(plan(&[one(0, "orl"), one(1, "or"), one(2, "r")], 2, 1), []);
        assert_eq!(plan(&[one(1, "or"), one(2, "r")], 2, 1), [Fork]);
        assert_eq!(plan(&[one(1, "or"), one(2, "r"), one(3, "r")], 2, 1), [Drain(1, Reason::Reload)]);
    }

    #[test]
    fn a_retiring_process_leaves_when_its_heir_is_ready() {
        assert_eq!(plan(&[one(0, "rm")], 1, 1), [Fork]);
        assert_eq!(plan(&[one(0, "rm"), one(1, "")], 1, 1), []);
        assert_eq!(plan(&[one(0, "rm"), one(1, "r")], 1, 1), [Drain(0, Reason::Memory)]);
    }

    #[test]
    fn a_process_that_takes_long_to_leave_does_not_hold_up_a_replacement_within_the_surge() {
        assert_eq!(plan(&[one(0, "rl")], 1, 1), [Fork]);
        assert_eq!(plan(&[one(0, "rl"), one(1, "rl")], 1, 1), []);
    }

    #[test]
    fn fewer_are_wanted() {
        assert_eq!(plan(&[one(0, "r"), one(1, "r")], 1, 1), [Drain(1, Reason::Stop)]);
        assert_eq!(plan(&[one(0, "r"), one(1, "")], 1, 1), [Drain(1, Reason::Stop)]);
    }

    #[test]
    fn an_old_one_that_never_got_ready_goes_with_the_first_fresh_one() {
        assert_eq!(plan(&[one(0, "o"), one(1, "")], 2, 1), [Fork]);
        assert_eq!(plan(&[one(0, "o"), one(1, "r")], 2, 1), [Fork, Drain(0, Reason::Reload)]);
    }
}
