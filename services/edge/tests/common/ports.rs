//! Ports for processes that are started later.

use std::hash::{BuildHasher, RandomState};
use std::io::ErrorKind;
use std::net::TcpListener;
use std::ops::Range;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::Mutex;

/// Below what the kernel gives to outgoing connections and to whoever binds port 0, as it comes.
const USUAL: Range<u16> = 10_000..32_000;
/// A range with fewer is no use to many tests at once.
const ENOUGH: u16 = 2_000;

/// A port that nothing listens on, and that no other test gets as long as this process lives.
///
/// Binding port 0 and letting go of it does not do: before the process that is meant has bound it, the kernel gives it to a
/// client or to another test, and where listeners share ports (`SO_REUSEPORT`) nobody even notices. So each is marked by an
/// abstract socket of its name, which lives in the same network namespace as the port and ends with this process. Tests in
/// namespaces of their own, whose container engine binds the ports, do not see each other's marks: that they meet is left to
/// chance, so each looks from anywhere on.
pub fn free_port() -> u16 {
    static MARKS: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());
    let ports = range();
    let begin = RandomState::new().hash_one(()) % ports.len() as u64;
    for port in (ports.start + begin as u16..ports.end).chain(ports.start..ports.start + begin as u16) {
        let name = SocketAddr::from_abstract_name(format!("monodon-test-port-{port}")).expect("a short name");
        let bound =
            UnixListener::bind_addr(&name).and_then(|mark| TcpListener::bind(("0.0.0.0", port)).map(|_released| mark));
        match bound {
            Ok(mark) => {
                MARKS.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(mark);
                return port;
            }
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => panic!("cannot try whether port {port} is free: {error}"),
        }
    }
    panic!("no port from {} to {} is free", ports.start, ports.end - 1);
}

/// What the kernel does not give away by itself (`ip_local_port_range`, which some machines widen). Where that leaves too little
/// it is the usual range nevertheless: a port that is taken away now and then is better than no test.
fn range() -> Range<u16> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ends = text.split_whitespace().map_while(|end| end.parse::<u16>().ok());
    let (Some(low), Some(high)) = (ends.next(), ends.next()) else { return USUAL };
    let below = USUAL.start..low.clamp(USUAL.start, USUAL.end);
    let above = high.max(USUAL.start)..u16::MAX;
    [below, above].into_iter().find(|ports| ports.len() >= usize::from(ENOUGH)).unwrap_or(USUAL)
}
