//! What systemd and its services tell each other by variables: sockets that it has opened (sd_listen_fds(3)).

use std::os::fd::RawFd;

/// For the process that systemd has started, and nobody below it.
pub const LISTEN: [&str; 3] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// The first descriptor that is passed.
const FIRST: RawFd = 3;

/// The sockets that were passed to this process.
pub fn listen_fds() -> Result<Vec<RawFd>, String> {
    let variable = |name: &str| std::env::var(name).ok();
    passed(std::process::id(), variable("LISTEN_PID").as_deref(), variable("LISTEN_FDS").as_deref())
}

fn passed(own: u32, pid: Option<&str>, count: Option<&str>) -> Result<Vec<RawFd>, String> {
    let (Some(pid), Some(count)) = (pid, count) else { return Ok(Vec::new()) };
    // Meant for another process, which has started this one.
    if pid.parse() != Ok(own) {
        return Ok(Vec::new());
    }
    match count.parse() {
        Ok(count @ 0..=1024) => Ok((FIRST..FIRST + count).collect()),
        _ => Err(format!("LISTEN_FDS: expected a number of sockets, got {count:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::passed;

    #[test]
    fn sockets_are_taken_by_the_process_that_is_named() {
        assert_eq!(passed(7, Some("7"), Some("2")), Ok(vec![3, 4]));
        assert_eq!(passed(7, Some("8"), Some("2")), Ok(vec![]));
        assert_eq!(passed(7, None, Some("2")), Ok(vec![]));
        assert_eq!(passed(7, Some("7"), None), Ok(vec![]));
        assert!(passed(7, Some("7"), Some("many")).is_err());
        assert!(passed(7, Some("7"), Some("-1")).is_err());
    }
}
