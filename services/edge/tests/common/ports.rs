//! Ports for processes that are started later.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::Mutex;

/// Below what the kernel gives to outgoing connections and to whoever binds port 0 (`ip_local_port_range`).
const FIRST: u16 = 10_000;
const COUNT: u32 = 22_000;

/// A port that nothing listens on, and that no other test gets as long as this process lives.
///
/// Binding port 0 and letting go of it does not do: before the process that is meant has bound it, the kernel gives it to a
/// client or to another test, and where listeners share ports (`SO_REUSEPORT`) nobody even notices. So each is marked by an
/// abstract socket of its name, which lives in the same network namespace as the port and ends with this process.
pub fn free_port() -> u16 {
    static MARKS: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());
    let mut marks = MARKS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // Processes begin far from each other.
    let begin = std::process::id().wrapping_mul(7919).wrapping_add(marks.len() as u32);
    for next in 0..COUNT {
        let port = FIRST + (begin.wrapping_add(next) % COUNT) as u16;
        let Ok(mark) = SocketAddr::from_abstract_name(format!("monodon-test-port-{port}"))
            .and_then(|name| UnixListener::bind_addr(&name))
        else {
            continue;
        };
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            marks.push(mark);
            return port;
        }
    }
    panic!("no port from {FIRST} to {} is free", u32::from(FIRST) + COUNT - 1);
}
