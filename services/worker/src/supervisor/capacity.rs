//! How many processes fit.

/// What a process of a usual Django project takes, with room to breathe.
const MEMORY_OF_ONE: u64 = 150 << 20;

/// The smaller of what the CPU quota and the memory limit hold, at least one.
pub fn processes() -> usize {
    // The standard library knows affinity and the cgroup's quota, of both versions.
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| machine_memory(&text));
    let memory = [monodon_admin::cgroup::read().memory_limit, machine].into_iter().flatten().min();
    fit(cpus, memory)
}

fn fit(cpus: usize, memory: Option<u64>) -> usize {
    cpus.min(memory.map_or(usize::MAX, |limit| (limit / MEMORY_OF_ONE) as usize)).max(1)
}

fn machine_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tighter_limit_holds_and_one_always_fits() {
        assert_eq!(fit(4, Some(1 << 30)), 4);
        assert_eq!(fit(16, Some(1 << 30)), 6);
        assert_eq!(fit(2, Some(64 << 20)), 1);
        assert_eq!(fit(3, None), 3);
        assert_eq!(machine_memory("MemTotal:       2048 kB\nMemFree: 1 kB\n"), Some(2 << 20));
    }
}
