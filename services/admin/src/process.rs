//! `process_*`: this process as the kernel sees it, under the names every Prometheus client uses.

use std::fs;

use crate::text::Family;

/// What the kernel's clock ticks are to programs, on every Linux.
const TICKS: f64 = 100.0;

pub fn render(out: &mut String) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The command in parentheses may hold blanks: the numbers follow the last one.
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    // proc(5) counts from 1 and from before the command: its field n is here n - 3.
    let field = |n: usize| fields.get(n - 3).and_then(|text| text.parse::<f64>().ok());
    if let (Some(user), Some(system)) = (field(14), field(15)) {
        Family::counter(out, "process_cpu_seconds_total", "User and system CPU time of the process")
            .sample(&[], (user + system) / TICKS);
    }
    if let Some(threads) = field(20) {
        Family::gauge(out, "process_threads", "Threads of the process").sample(&[], threads);
    }
    if let (Some(start), Some(boot)) = (field(22), boot_time()) {
        Family::gauge(out, "process_start_time_seconds", "When the process started, as a Unix time")
            .sample(&[], boot + start / TICKS);
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
    };
    if let Some(bytes) = kilobytes("VmRSS:") {
        Family::gauge(out, "process_resident_memory_bytes", "Resident memory of the process").sample(&[], bytes);
    }
    if let Some(bytes) = kilobytes("VmSize:") {
        Family::gauge(out, "process_virtual_memory_bytes", "Virtual memory of the process").sample(&[], bytes);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // Less the one that lists them.
        Family::gauge(out, "process_open_fds", "Open file descriptors").sample(&[], open.count().saturating_sub(1));
    }
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let most = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    if let Some(most) = most.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()) {
        Family::gauge(out, "process_max_fds", "File descriptors the process may open").sample(&[], most);
    }
}

fn boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}
