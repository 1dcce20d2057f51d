//! What the kernel grants the process.

use rustix::process::{Resource, getrlimit, setrlimit};

/// A core file would hold the keys of every certificate, and requests with their passwords. One byte: too little for a file, and the one limit
/// that the kernel heeds where `core_pattern` pipes cores to a program (its fs/coredump.c). Only the soft limit: who wants a core of this process raises it
/// again (`prlimit --core=unlimited --pid PID`). A hard limit of 0 stays, and with it cores that are piped.
pub fn leave_no_core() {
    let mut limit = getrlimit(Resource::Core);
    limit.current = Some(limit.maximum.map_or(1, |hard| hard.min(1)));
    if let Err(error) = setrlimit(Resource::Core, limit) {
        tracing::warn!(%error, "core files cannot be switched off; one would hold the keys of certificates");
    }
}

/// A request behind a proxy holds two descriptors, and the usual soft limit of 1,024 is there for programs that use `select`. The hard limit is
/// what the operator means (as nginx's `worker_rlimit_nofile`, but without having to be told).
pub fn raise_descriptor_limit(wanted: u64) {
    let mut limit = getrlimit(Resource::Nofile);
    let (soft, hard) = (limit.current.unwrap_or(u64::MAX), limit.maximum.unwrap_or(u64::MAX));
    if soft < hard {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, soft, "the limit of open files cannot be raised");
        }
    }
    if hard < wanted {
        tracing::warn!(
            limit = hard,
            wanted,
            "fewer files may be open than connections_limit would need: raise `nofile`"
        );
    }
}
