//! From where a broker listens to where it is reached.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// An address to connect to on this machine: all interfaces are reached by the loopback one.
pub(super) fn reachable(mut listened: SocketAddr) -> SocketAddr {
    match listened.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => listened.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => listened.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    listened
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_interfaces_are_reached_by_the_loopback_one() {
        for (listen, expected) in
            [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("192.0.2.1:1", "192.0.2.1:1")]
        {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), expected);
        }
    }
}
