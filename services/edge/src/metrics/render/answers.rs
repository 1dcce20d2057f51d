//! Answers from files, and compressed ones.

use super::{Sum, name};
use crate::compress::Coding;
use crate::headers::csp::DIRECTIVES;
use crate::metrics::{CSP_REJECTED, STATIC_RESULTS};
use monodon_admin::text::Family;

pub fn render(sum: &Sum<'_>, out: &mut String) {
    let mut family = Family::counter(out, "monodon_edge_static_responses_total", "Answers from static folders.");
    for (key, value) in sum.table(|shard| shard.statics.entries()) {
        family.sample(&[("result", name(&STATIC_RESULTS, key)), ("encoding", "identity")], value);
    }
    let bytes = sum.of(|shard| shard.static_cache_bytes.get());
    Family::gauge(out, "monodon_edge_static_cache_bytes", "Files kept in memory.").sample(&[], bytes);

    let help = "Answers that were compressed.";
    let mut family = Family::counter(out, "monodon_edge_compressed_responses_total", help);
    for coding in Coding::ALL {
        let count = sum.at(|shard| &shard.compression.answers, coding as usize);
        family.sample(&[("encoding", coding.name())], count);
    }
    let help = "Bytes of answers before (in) and after (out) compression.";
    let mut family = Family::counter(out, "monodon_edge_compression_bytes_total", help);
    for coding in Coding::ALL {
        let taken = sum.at(|shard| &shard.compression.bytes_in, coding as usize);
        let given = sum.at(|shard| &shard.compression.bytes_out, coding as usize);
        for (direction, count) in [("in", taken), ("out", given)] {
            family.sample(&[("encoding", coding.name()), ("direction", direction)], count);
        }
    }

    let help = "Violations of content security policies that browsers reported.";
    let mut family = Family::counter(out, "monodon_edge_csp_reports_total", help);
    for (key, value) in sum.table(|shard| shard.csp_reports.entries()) {
        let disposition = if key & 1 == 1 { "enforce" } else { "report" };
        family.sample(&[("directive", name(&DIRECTIVES, key >> 1)), ("disposition", disposition)], value);
    }
    let help = "Reports on policies that were not taken.";
    let mut family = Family::counter(out, "monodon_edge_csp_reports_rejected_total", help);
    for (index, reason) in CSP_REJECTED.into_iter().enumerate() {
        family.sample(&[("reason", reason)], sum.at(|shard| &shard.csp_rejected, index));
    }
}
