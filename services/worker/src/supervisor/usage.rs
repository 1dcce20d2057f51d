//! What a process uses, from `/proc`, without asking it.

pub struct Usage {
    /// Bytes.
    pub resident: u64,
    /// Seconds.
    pub cpu: f64,
}

impl Usage {
    pub fn of(pid: u32) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name may hold anything, parentheses too; what counts begins after the last one.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |place: usize| fields.get(place).and_then(|field| field.parse::<u64>().ok());
        let ticks = number(11)? + number(12)?;
        let page = rustix::param::page_size() as u64;
        let per_second = rustix::param::clock_ticks_per_second() as f64;
        Some(Self { resident: number(21)? * page, cpu: ticks as f64 / per_second })
    }
}

/// Its proportional share of memory, in bytes: pages that N processes share count a Nth. The kernel looks at every page
/// for it.
pub fn proportional(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}
