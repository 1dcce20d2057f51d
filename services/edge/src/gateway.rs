//! Clients that arrive as the bridge's gateway: behind the engine's own proxy (loopback, rootless engines, IPv6 without
//! an IPv6 network) all have that one address, and no client's own is known (decision 12).

use monodon_admin::Check;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

/// Of the network that the process is in, which it does not leave.
static GATEWAYS: LazyLock<Vec<IpAddr>> = LazyLock::new(|| {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let v6 = read("/proc/net/ipv6_route");
    let v4 = read("/proc/net/route");
    v4.lines().filter_map(v4_gateway).chain(v6.lines().filter_map(v6_gateway)).collect()
});

/// Whether this is the address of a default gateway.
pub fn is_one(address: IpAddr) -> bool {
    GATEWAYS.contains(&address.to_canonical())
}

/// A warning where most clients are hidden and that matters: a site with names of its own has clients elsewhere, while
/// one for `localhost` has them on this machine, all through the engine's proxy.
pub fn check(hidden: u64, accepted: u64, public: bool) -> Check {
    let name = "edge:client_addresses";
    let check = if public && hidden > accepted / 2 {
        let gateways: Vec<String> = GATEWAYS.iter().map(ToString::to_string).collect();
        let words = format!(
            "most clients arrive as the network's gateway ({}), so their own addresses are unknown to the log and the \
             application, and no limit by client holds for them: the engine forwards through a proxy of its own (rootless, or IPv6 without an IPv6 network)",
            gateways.join(", ")
        );
        Check::warn(name, words)
    } else {
        Check::pass(name)
    };
    check.observed(hidden, "connections from the gateway")
}

/// A line of `/proc/net/route`: interface, destination, gateway, ... with addresses as the machine keeps them.
fn v4_gateway(line: &str) -> Option<IpAddr> {
    let mut fields = line.split_ascii_whitespace();
    let (_, destination, gateway) = (fields.next()?, fields.next()?, fields.next()?);
    let gateway = u32::from_str_radix(gateway, 16).ok().filter(|gateway| *gateway != 0)?;
    (destination == "00000000").then(|| Ipv4Addr::from(gateway.to_ne_bytes()).into())
}

/// A line of `/proc/net/ipv6_route`: destination, its prefix, source, its prefix, next hop, ...
fn v6_gateway(line: &str) -> Option<IpAddr> {
    let mut fields = line.split_ascii_whitespace();
    let (destination, prefix) = (fields.next()?, fields.next()?);
    let gateway = u128::from_str_radix(fields.nth(2)?, 16).ok().filter(|gateway| *gateway != 0)?;
    (prefix == "00" && destination.bytes().all(|byte| byte == b'0')).then(|| Ipv6Addr::from(gateway).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use monodon_admin::Status;

    #[test]
    fn default_gateways_are_found() {
        let routes = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
                      eth0\t00000000\t010012AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                      eth1\t0000FEA9\t010013AC\t0003\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
                      eth0\t000012AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
        let found: Vec<_> = routes.lines().filter_map(v4_gateway).collect();
        assert_eq!(found, ["172.18.0.1".parse::<IpAddr>().unwrap()]);
        let zero = "0".repeat(32);
        let routes = format!(
            "fd000000000000000000000000000000 40 {zero} 00 {zero} 00000100 00000001 00000000 00000001 eth0\n\
             {zero} 00 {zero} 00 fd000000000000000000000000000001 00000400 00000003 00000000 00000003 eth0\n\
             {zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200 lo\n"
        );
        let found: Vec<_> = routes.lines().filter_map(v6_gateway).collect();
        assert_eq!(found, ["fd00::1".parse::<IpAddr>().unwrap()]);
        assert!(!is_one("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn warns_where_a_public_site_s_clients_are_hidden() {
        assert_eq!(check(6, 10, true).status, Status::Warn);
        assert_eq!(check(5, 10, true).status, Status::Pass);
        assert_eq!(check(0, 0, true).status, Status::Pass);
        assert_eq!(check(10, 10, false).status, Status::Pass);
    }
}
