//! The engine's statistics, of cgroup version 1 and 2, in one form.

use std::collections::BTreeMap;

use bollard::models::{ContainerBlkioStatEntry, ContainerStatsResponse};

use super::moment;
use crate::snapshot::Usage;

/// More interfaces than any service has; the series of one container have a bound.
const INTERFACES: usize = 8;

/// What a container may have at most, from its inspection.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    pub memory: Option<u64>,
    pub cores: Option<f64>,
}

/// `None` for a container that does not run: the engine then answers with zeroes, which are no reading.
pub fn usage(stats: &ContainerStatsResponse, limits: Limits, before: Option<&Usage>) -> Option<Usage> {
    let at = moment(stats.read.as_deref()?)?;
    let memory = stats.memory_stats.as_ref()?;
    let memory_usage = memory.usage?;
    let stat = |name: &str| memory.stats.as_ref().and_then(|stats| stats.get(name)).copied();
    // Version 1 has both names; `inactive_file` there leaves the children out.
    let inactive = stat("total_inactive_file").or_else(|| stat("inactive_file")).unwrap_or(0);
    let cpu = stats.cpu_stats.as_ref();
    let cpu_usage = cpu.and_then(|cpu| cpu.cpu_usage.as_ref());
    let seconds = |nanos: Option<u64>| nanos.unwrap_or(0) as f64 / 1e9;
    let cpu_seconds = seconds(cpu_usage.and_then(|usage| usage.total_usage));
    let cpu_cores = before.and_then(|before| {
        let (time, work) = (at - before.at, cpu_seconds - before.cpu_seconds);
        // A smaller total is another life of the container.
        (time > 0.1 && work >= 0.0).then(|| work / time)
    });
    let mut networks = BTreeMap::new();
    for (name, network) in stats.networks.iter().flatten() {
        networks.insert(name.clone(), (network.rx_bytes.unwrap_or(0), network.tx_bytes.unwrap_or(0)));
    }
    while networks.len() > INTERFACES {
        networks.pop_last();
    }
    let blkio = stats.blkio_stats.as_ref().and_then(|blkio| blkio.io_service_bytes_recursive.as_deref());
    Some(Usage {
        at,
        cpu_user_seconds: seconds(cpu_usage.and_then(|usage| usage.usage_in_usermode)),
        cpu_system_seconds: seconds(cpu_usage.and_then(|usage| usage.usage_in_kernelmode)),
        cpu_seconds,
        cpu_throttled_seconds: seconds(cpu.and_then(|cpu| cpu.throttling_data.as_ref()?.throttled_time)),
        cpu_cores,
        cpu_limit_cores: limits.cores,
        memory_usage,
        memory_working_set: memory_usage.saturating_sub(inactive),
        // The engine's own figure is the machine's memory where nothing is limited: only a limit that was set counts.
        memory_limit: limits.memory,
        pids: stats.pids_stats.as_ref().and_then(|pids| pids.current),
        networks,
        blkio_read: blkio.map(|entries| sum(entries, "read")),
        blkio_written: blkio.map(|entries| sum(entries, "write")),
    })
}

/// Over the devices; version 1 writes `Read`, version 2 `read`.
fn sum(entries: &[ContainerBlkioStatEntry], op: &str) -> u64 {
    let of = |entry: &&ContainerBlkioStatEntry| entry.op.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(op));
    entries.iter().filter(of).filter_map(|entry| entry.value).sum()
}
