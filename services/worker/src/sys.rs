//! System calls that have no safe wrapper: whom a process dies with, and taking inherited descriptors by number.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering::Relaxed};

/// The zygote dies with the supervisor, even in the midst of an import. False when the supervisor is gone already.
pub fn die_with(supervisor: u32) -> io::Result<bool> {
    parent_death_signal(libc::SIGKILL)?;
    Ok(parent() == supervisor)
}

static SUPERVISOR: AtomicI32 = AtomicI32::new(0);
static GRACE: AtomicU32 = AtomicU32::new(30);

/// A worker whose zygote has died is adopted by the supervisor and goes on; one whose supervisor has died finishes
/// what it has within the grace period. A signal tells it, so that it works whatever Python is doing.
pub fn follow(supervisor: u32, grace_seconds: u32) -> io::Result<()> {
    SUPERVISOR.store(supervisor as i32, Relaxed);
    GRACE.store(grace_seconds, Relaxed);
    // Not one of the named signals: those belong to the application.
    let signal = libc::SIGRTMIN() + 7;
    // SAFETY: the handler calls only functions that are async-signal-safe (getppid, sigaction, alarm, kill) and reads
    // atomics; the struct is zeroed plain data, filled in as sigaction(2) asks.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = orphaned as extern "C" fn(libc::c_int) as usize;
        action.sa_flags = libc::SA_RESTART;
        libc::sigemptyset(&raw mut action.sa_mask);
        if libc::sigaction(signal, &raw const action, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    parent_death_signal(signal)
}

extern "C" fn orphaned(_: libc::c_int) {
    // SAFETY: all of these are async-signal-safe, and no memory but plain locals is touched.
    unsafe {
        if libc::getppid() == SUPERVISOR.load(Relaxed) {
            return;
        }
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = libc::SIG_DFL;
        libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut());
        libc::alarm(GRACE.load(Relaxed));
        libc::kill(libc::getpid(), libc::SIGTERM);
    }
}

fn parent_death_signal(signal: libc::c_int) -> io::Result<()> {
    // SAFETY: PR_SET_PDEATHSIG takes a signal number and touches no memory of ours.
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal as libc::c_ulong) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn parent() -> u32 {
    rustix::process::getppid().map_or(0, |pid| pid.as_raw_pid() as u32)
}

/// The supervisor handles signals itself; Python's own handler would still raise KeyboardInterrupt at the end.
pub fn forget_keyboard_interrupt() {
    // SAFETY: SIG_DFL is no function of ours; what was there before is not needed any more.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
}

/// A child that has ended: its number, wait status, and the most resident memory it had, in bytes.
pub fn reap() -> Option<(u32, i32, u64)> {
    let mut status = 0;
    // SAFETY: rusage is plain data for which zeroes are valid; wait4 fills in both places, which outlive the call.
    let (pid, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::wait4(-1, &raw mut status, libc::WNOHANG, &raw mut usage), usage)
    };
    (pid > 0).then(|| (pid.unsigned_abs(), status, usage.ru_maxrss.unsigned_abs() << 10))
}

/// To a process that may have ended this moment: its wait status will tell.
pub fn send_signal(pid: u32, signal: i32) {
    // SAFETY: kill(2) touches no memory of ours. 0 and negative numbers would name groups, so they are refused.
    if let Ok(pid) = i32::try_from(pid)
        && pid > 0
    {
        unsafe { libc::kill(pid, signal) };
    }
}

/// SIGABRT from ourselves or from the supervisor means "end now", after the stacks have been written; only another's, or
/// abort(3) in C, is what the handler before (faulthandler's) is to tell of.
pub fn end_by_abort() -> io::Result<()> {
    // SAFETY: the struct is zeroed plain data, filled in as sigaction(2) asks; the handler keeps to what it may do.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = aborted as extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) as usize;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigemptyset(&raw mut action.sa_mask);
        let mut before: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(libc::SIGABRT, &raw const action, &raw mut before) != 0 {
            return Err(io::Error::last_os_error());
        }
        // A second call would only find our own handler.
        let _ = BEFORE.set(before);
    }
    Ok(())
}

static BEFORE: std::sync::OnceLock<libc::sigaction> = std::sync::OnceLock::new();

extern "C" fn aborted(signal: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel gives a valid siginfo to a handler with SA_SIGINFO; sigaction, getpid and raise are
    // async-signal-safe, and an initialised `OnceLock` is read by one atomic load. The signal is blocked while this
    // runs, so what is raised comes when it returns, to the new handler.
    unsafe {
        let sender = (*info).si_pid();
        let ours = sender == libc::getpid() || sender == SUPERVISOR.load(Relaxed);
        let told = (*info).si_code == libc::SI_USER && ours;
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = libc::SIG_DFL;
        if let Some(before) = BEFORE.get().filter(|_| !told) {
            action = *before;
        }
        libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        libc::raise(signal);
    }
}

/// A descriptor that was inherited under a number that the supervisor told; it stays open as long as the process lives.
pub fn borrowed(number: RawFd) -> io::Result<BorrowedFd<'static>> {
    // SAFETY: fcntl on any number is harmless; it fails on one that is not open.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and what is inherited is never closed by anyone but the process's end.
    Ok(unsafe { BorrowedFd::borrow_raw(number) })
}

/// A descriptor that this program was started with, and that only the caller will use from now on.
pub fn take(number: RawFd) -> io::Result<OwnedFd> {
    borrowed(number)?;
    // SAFETY: it is open, it was inherited under a number that the user (or systemd) names, so nothing in this process has
    // opened it, and each number is taken once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// How many connections wait on a listening TCP socket, and how many may: what `ss` shows as Recv-Q and Send-Q.
pub fn backlog(socket: BorrowedFd<'_>) -> Option<(u32, u32)> {
    use std::os::fd::AsRawFd;
    // SAFETY: `tcp_info` is plain data, for which zeros are valid.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = libc::socklen_t::try_from(size_of_val(&info)).ok()?;
    // SAFETY: the pointers are to locals that live through the call, and `length` is the size of what the first is to.
    let failed = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, (&raw mut info).cast(), &raw mut length)
    };
    // For a socket that listens (state 10) the kernel puts its queue into these two fields (tcp_get_info).
    (failed == 0 && info.tcpi_state == 10).then_some((info.tcpi_unacked, info.tcpi_sacked))
}

/// No huge pages in the mapping that the allocator takes its memory from, where the system gives them to everybody
/// (`always`): two megabytes at a time for what needs a few pages were a third of a process. (Its feature `no_thp` only
/// keeps it from asking for them.) The application may still have them. What fails here costs memory only.
pub fn small_pages() {
    let probe = Box::new(0u64);
    let address = std::ptr::from_ref(&*probe) as usize;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let range = |line: &str| {
        let (first, last) = line.split_once(' ')?.0.split_once('-')?;
        Some((usize::from_str_radix(first, 16).ok()?, usize::from_str_radix(last, 16).ok()?))
    };
    let mine = maps.lines().filter_map(range).find(|(first, last)| (*first..*last).contains(&address));
    if let Some((first, last)) = mine {
        // SAFETY: the range is one mapping of this process as the kernel names it; the advice changes how its pages are
        // backed, never what is in them.
        unsafe { libc::madvise(first as *mut libc::c_void, last - first, libc::MADV_NOHUGEPAGE) };
    }
}

/// The signal's name, for people.
pub fn signal_name(signal: i32) -> String {
    let known = match signal {
        libc::SIGABRT => "SIGABRT",
        libc::SIGALRM => "SIGALRM",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGHUP => "SIGHUP",
        libc::SIGILL => "SIGILL",
        libc::SIGINT => "SIGINT",
        libc::SIGKILL => "SIGKILL",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGSYS => "SIGSYS",
        libc::SIGTERM => "SIGTERM",
        libc::SIGXCPU => "SIGXCPU",
        _ => return format!("signal {signal}"),
    };
    known.to_owned()
}
