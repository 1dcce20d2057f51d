//! The service's own cgroup, version 1 or 2, under the same names: memory, OOM kills, CPU, throttling, pressure, pids.
//! No socket, no capability: what a container may read of itself, on compose and on Kubernetes alike.

use std::fs;
use std::path::{Path, PathBuf};

use crate::text::Family;

/// What could be read; `None` where the kernel does not tell, or there is no limit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cgroup {
    pub memory_usage: Option<u64>,
    /// Usage without the page cache that can go at once: what the OOM killer looks at.
    pub memory_working_set: Option<u64>,
    pub memory_limit: Option<u64>,
    pub memory_peak: Option<u64>,
    pub oom_kills: Option<u64>,
    pub cpu_seconds: Option<f64>,
    pub cpu_throttled_seconds: Option<f64>,
    pub cpu_throttled_periods: Option<u64>,
    /// The quota, in cores.
    pub cpu_limit: Option<f64>,
    pub pids: Option<u64>,
    pub pids_limit: Option<u64>,
    /// (resource, some or full, seconds)
    pub pressure: Vec<(&'static str, &'static str, f64)>,
}

/// This process's cgroup.
pub fn read() -> Cgroup {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    read_at(Path::new("/sys/fs/cgroup"), &own)
}

/// The same below another root, with the text of `/proc/self/cgroup`.
pub fn read_at(root: &Path, own: &str) -> Cgroup {
    if root.join("cgroup.controllers").exists() { version2(root, own) } else { version1(root, own) }
}

/// Where a controller's files are. In a container with a private namespace that is the mount itself; natively, or with
/// the host's namespace, it is the path of `/proc/self/cgroup` below it, where that exists.
fn folder(mount: PathBuf, own: &str, controller: &str) -> PathBuf {
    let path = own.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        (controllers.split(',').any(|name| name == controller)).then_some(path)
    });
    let below = mount.join(path.unwrap_or("/").trim_start_matches('/'));
    if below.is_dir() { below } else { mount }
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// `name value` lines.
fn keyed(path: &Path) -> impl Fn(&str) -> Option<u64> + use<> {
    let text = fs::read_to_string(path).unwrap_or_default();
    move |key| {
        text.lines().find_map(|line| {
            let (name, value) = line.split_once(' ')?;
            if name == key { value.trim().parse().ok() } else { None }
        })
    }
}

fn version2(root: &Path, own: &str) -> Cgroup {
    let dir = folder(root.to_owned(), own, "");
    let usage = number(&dir.join("memory.current"));
    let cpu = keyed(&dir.join("cpu.stat"));
    let inactive = keyed(&dir.join("memory.stat"))("inactive_file").unwrap_or(0);
    let quota = fs::read_to_string(dir.join("cpu.max")).unwrap_or_default();
    let mut pressure = Vec::new();
    for resource in ["cpu", "memory", "io"] {
        let text = fs::read_to_string(dir.join(format!("{resource}.pressure"))).unwrap_or_default();
        for kind in ["some", "full"] {
            let line = text.lines().find(|line| line.starts_with(kind));
            let total = line.and_then(|line| line.rsplit_once("total=")?.1.trim().parse::<f64>().ok());
            if let Some(micros) = total {
                pressure.push((resource, kind, micros / 1e6));
            }
        }
    }
    Cgroup {
        memory_usage: usage,
        memory_working_set: usage.map(|usage| usage.saturating_sub(inactive)),
        // "max" is no number, and so no limit.
        memory_limit: number(&dir.join("memory.max")),
        memory_peak: number(&dir.join("memory.peak")),
        oom_kills: keyed(&dir.join("memory.events"))("oom_kill"),
        cpu_seconds: cpu("usage_usec").map(|micros| micros as f64 / 1e6),
        cpu_throttled_seconds: cpu("throttled_usec").map(|micros| micros as f64 / 1e6),
        cpu_throttled_periods: cpu("nr_throttled"),
        cpu_limit: quota
            .trim()
            .split_once(' ')
            .and_then(|(quota, period)| cores(quota.parse().ok()?, period.parse().ok()?)),
        pids: number(&dir.join("pids.current")),
        pids_limit: number(&dir.join("pids.max")),
        pressure,
    }
}

fn version1(root: &Path, own: &str) -> Cgroup {
    let mount = |names: &[&str]| {
        let found = names.iter().map(|name| root.join(name)).find(|path| path.is_dir());
        found.unwrap_or_else(|| root.join(names.first().copied().unwrap_or_default()))
    };
    let memory = folder(mount(&["memory"]), own, "memory");
    let cpu = folder(mount(&["cpu", "cpu,cpuacct"]), own, "cpu");
    let cpuacct = folder(mount(&["cpuacct", "cpu,cpuacct"]), own, "cpuacct");
    let pids = folder(mount(&["pids"]), own, "pids");
    let usage = number(&memory.join("memory.usage_in_bytes"));
    let inactive = keyed(&memory.join("memory.stat"))("total_inactive_file").unwrap_or(0);
    let throttling = keyed(&cpu.join("cpu.stat"));
    let quota = fs::read_to_string(cpu.join("cpu.cfs_quota_us")).ok().and_then(|text| text.trim().parse::<f64>().ok());
    Cgroup {
        memory_usage: usage,
        memory_working_set: usage.map(|usage| usage.saturating_sub(inactive)),
        // "No limit" is the largest number of pages there can be.
        memory_limit: number(&memory.join("memory.limit_in_bytes")).filter(|limit| *limit < 1 << 60),
        memory_peak: number(&memory.join("memory.max_usage_in_bytes")),
        oom_kills: keyed(&memory.join("memory.oom_control"))("oom_kill"),
        cpu_seconds: number(&cpuacct.join("cpuacct.usage")).map(|nanos| nanos as f64 / 1e9),
        cpu_throttled_seconds: throttling("throttled_time").map(|nanos| nanos as f64 / 1e9),
        cpu_throttled_periods: throttling("nr_throttled"),
        cpu_limit: quota.and_then(|quota| cores(quota, number(&cpu.join("cpu.cfs_period_us"))? as f64)),
        pids: number(&pids.join("pids.current")),
        pids_limit: number(&pids.join("pids.max")),
        pressure: Vec::new(),
    }
}

fn cores(quota: f64, period: f64) -> Option<f64> {
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

/// Own cgroup as Prometheus text. `prefix` is `monodon_edge`.
pub fn render(prefix: &str, out: &mut String) {
    render_of(&read(), prefix, out);
}

pub fn render_of(cgroup: &Cgroup, prefix: &str, out: &mut String) {
    let bytes = [
        ("memory_usage_bytes", "Memory of the own cgroup, page cache included", cgroup.memory_usage),
        ("memory_working_set_bytes", "Memory of the own cgroup that cannot go at once", cgroup.memory_working_set),
        ("memory_limit_bytes", "Memory limit of the own cgroup, where there is one", cgroup.memory_limit),
        ("memory_peak_bytes", "Most memory the own cgroup ever had", cgroup.memory_peak),
        ("pids", "Processes and threads in the own cgroup", cgroup.pids),
        ("pids_limit", "Processes and threads the own cgroup may have, where that is limited", cgroup.pids_limit),
    ];
    for (name, help, value) in bytes {
        if let Some(value) = value {
            Family::gauge(out, &format!("{prefix}_cgroup_{name}"), help).sample(&[], value);
        }
    }
    if let Some(kills) = cgroup.oom_kills {
        Family::counter(
            out,
            &format!("{prefix}_cgroup_oom_kills_total"),
            "Processes killed for memory in the own cgroup",
        )
        .sample(&[], kills);
    }
    if let Some(periods) = cgroup.cpu_throttled_periods {
        let help = "Periods in which the own cgroup used up its CPU quota";
        Family::counter(out, &format!("{prefix}_cgroup_cpu_throttled_periods_total"), help).sample(&[], periods);
    }
    let seconds = [
        ("cpu_seconds_total", "CPU time of the own cgroup", cgroup.cpu_seconds),
        ("cpu_throttled_seconds_total", "Time the own cgroup waited for its CPU quota", cgroup.cpu_throttled_seconds),
    ];
    for (name, help, value) in seconds {
        if let Some(value) = value {
            Family::counter(out, &format!("{prefix}_cgroup_{name}"), help).sample(&[], value);
        }
    }
    if let Some(cores) = cgroup.cpu_limit {
        Family::gauge(
            out,
            &format!("{prefix}_cgroup_cpu_limit_cores"),
            "CPU quota of the own cgroup, where there is one",
        )
        .sample(&[], cores);
    }
    for (resource, kind, seconds) in &cgroup.pressure {
        let name = format!("{prefix}_cgroup_pressure_{resource}_{kind}_seconds_total");
        let help = format!("Time in which {kind} tasks of the own cgroup waited for {resource}");
        Family::counter(out, &name, &help).sample(&[], *seconds);
    }
}
