//! Which container this is, so that the agent can look up which compose project it belongs to.

/// Candidates, the surest first: what the kernel says of mounts and cgroups, then the host name, which compose may set.
pub fn own_ids() -> Vec<String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    ids(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"), &read("/proc/sys/kernel/hostname"))
}

pub fn ids(mountinfo: &str, cgroup: &str, hostname: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    // The engine mounts …/containers/ID/resolv.conf, hostname and hosts into every container.
    let mounts = mountinfo
        .lines()
        .filter(|line| ["/hostname ", "/hosts ", "/resolv.conf "].iter().any(|end| line.contains(end)));
    for line in mounts.chain(cgroup.lines()) {
        let digits = |c: char| c.is_ascii_hexdigit() && !c.is_ascii_uppercase();
        let id = line.split(|c: char| !digits(c)).find(|part| part.len() == 64);
        if let Some(id) = id.filter(|id| !found.iter().any(|known| known == id)) {
            found.push(id.to_owned());
        }
    }
    let hostname = hostname.trim();
    if !hostname.is_empty() && !found.iter().any(|id| id.starts_with(hostname)) {
        found.push(hostname.to_owned());
    }
    found
}
