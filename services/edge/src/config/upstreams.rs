//! `[upstreams.NAME]`: upstreams beside the one of the flat settings.

use super::load::Reader;
use super::sites::setting;
use super::{Timeouts, Upstream};
use monodon_settings::{Kind, Setting};

pub(super) const UPSTREAM: &[Setting] = &[
    Setting {
        aliases: &["server"],
        ..setting(
            "servers",
            Kind::List(&Kind::Address),
            "Where it is: `node:3000`, `unix:/run/node.sock`; names are resolved again and again.",
        )
    },
    setting(
        "check",
        Kind::Text,
        "What is asked at each address every second: `:9102/readyz`, `/healthz`; empty tries to connect only.",
    ),
    setting("queue_per_slot", Kind::Int { min: 0, max: 100_000 }, "How many requests may wait for each slot."),
    setting(
        "max_connections",
        Kind::Int { min: 1, max: 1_000_000 },
        "Connections where it does not say how many slots it has.",
    ),
    setting("queue_timeout", Kind::Duration, "How long a request waits for a slot."),
    setting("connect_timeout", Kind::Duration, "For a connection."),
    setting("first_byte_timeout", Kind::Duration, "For the first byte of an answer."),
];

/// An upstream with a name, and the waits of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    pub name: String,
    pub upstream: Upstream,
    pub timeouts: Timeouts,
}

/// The name under which routes find the upstream of the flat settings.
pub const DEFAULT: &str = "default";

impl Reader<'_> {
    pub(super) fn upstreams(&mut self, default: &Upstream, timeouts: &Timeouts) -> Vec<Named> {
        let mut all = vec![Named { name: DEFAULT.into(), upstream: default.clone(), timeouts: timeouts.clone() }];
        let blocks: Vec<_> = self.values.blocks("upstreams").collect();
        for block in blocks {
            let values = &block.values;
            if block.name == DEFAULT {
                self.problems.push(
                    values.problem_here("`default` is the upstream of the setting `upstream`; take another name"),
                );
                continue;
            }
            let mut upstream = Upstream { addresses: Vec::new(), check: None, ..default.clone() };
            for address in values.addresses("servers") {
                match Self::address(address) {
                    Ok(address) => upstream.addresses.push(address),
                    Err(wrong) => self.problems.push(values.problem("servers", wrong)),
                }
            }
            if upstream.addresses.is_empty() {
                self.problems
                    .push(values.problem("servers", "an upstream needs at least one, such as [\"node:3000\"]"));
            }
            match Self::check(values.text("check")) {
                Ok(check) => upstream.check = check,
                Err(wrong) => self.problems.push(values.problem("check", wrong)),
            }
            let int = |key: &str| values.is_set(key).then(|| usize::try_from(values.int(key)).unwrap_or(0));
            let wait = |key: &str| values.is_set(key).then(|| values.duration(key));
            upstream.queue_per_slot = int("queue_per_slot").unwrap_or(upstream.queue_per_slot);
            upstream.max_connections = int("max_connections").unwrap_or(upstream.max_connections);
            let timeouts = Timeouts {
                queue: wait("queue_timeout").unwrap_or(timeouts.queue),
                connect: wait("connect_timeout").unwrap_or(timeouts.connect),
                first_byte: wait("first_byte_timeout").unwrap_or(timeouts.first_byte),
                ..timeouts.clone()
            };
            for (key, time) in [("connect_timeout", timeouts.connect), ("first_byte_timeout", timeouts.first_byte)] {
                if time.is_zero() {
                    self.problems.push(values.problem(key, "expected more than 0"));
                }
            }
            all.push(Named { name: block.name.clone(), upstream, timeouts });
        }
        all
    }
}
