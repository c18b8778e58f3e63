//! Addresses that packets can not be sent to or expected from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::super::error::Fault;
use crate::model::BackendAddress;

const ALLOWED: &str = "a unicast address that is reachable from the network";

/// What is wrong with the address of a VIP, backend or SNAT address (`what`), if anything.
pub(super) fn address_fault(address: SocketAddr, what: &str) -> Option<Fault> {
    let problem = match address.ip() {
        IpAddr::V4(v4) => v4_problem(v4),
        IpAddr::V6(v6) => v6_problem(v6),
    };
    let zone = match address {
        SocketAddr::V4(_) => false,
        SocketAddr::V6(v6) => v6.scope_id() != 0 || v6.flowinfo() != 0,
    };
    let problem = problem.or(zone.then_some("has a zone; write it without"))?;
    let shown = match what {
        "backend" => BackendAddress(address).to_string(),
        _ => address.ip().to_string(),
    };
    let fault = Fault::new(format!("a {what} can not have this address: it {problem}"));
    Some(fault.value(shown).allowed(ALLOWED))
}

fn v4_problem(address: Ipv4Addr) -> Option<&'static str> {
    if address.octets()[0] == 0 {
        Some("is unspecified (0.0.0.0/8)")
    } else if address.is_loopback() {
        Some("is a loopback address, to which nothing can be forwarded from the wire")
    } else if address.is_multicast() {
        Some("is multicast")
    } else if address.is_broadcast() {
        Some("is the broadcast address")
    } else {
        None
    }
}

fn v6_problem(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_unspecified() {
        Some("is unspecified")
    } else if address.is_loopback() {
        Some("is the loopback address, to which nothing can be forwarded from the wire")
    } else if address.is_multicast() {
        Some("is multicast")
    } else if address.is_unicast_link_local() {
        Some("is link-local, so it says nothing without an interface")
    } else if address.to_ipv4_mapped().is_some() {
        Some("is an IPv4 address in IPv6 clothes; write it as IPv4")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::address_fault;

    #[test]
    fn addresses_that_can_not_be_forwarded_to_are_refused() {
        for bad in [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "127.9.9.9",
            "224.0.0.1",
            "239.255.255.255",
            "255.255.255.255",
            "::",
            "::1",
            "ff02::1",
            "fe80::1",
            "febf::1",
            "::ffff:10.0.0.1",
        ] {
            let fault = address_fault(
                (bad.parse::<std::net::IpAddr>().unwrap(), 80).into(),
                "backend",
            );
            assert!(fault.is_some(), "{bad} was accepted");
        }
        assert!(address_fault("[2001:db8::1%3]:80".parse().unwrap(), "backend").is_some());
    }

    #[test]
    fn ordinary_and_private_addresses_are_accepted() {
        for good in [
            "10.0.0.1",
            "192.0.2.1",
            "169.254.1.1",
            "223.255.255.255",
            "240.0.0.1",
            "2001:db8::1",
            "fd00::1",
        ] {
            let fault = address_fault(
                (good.parse::<std::net::IpAddr>().unwrap(), 80).into(),
                "VIP",
            );
            assert_eq!(fault, None, "{good}");
        }
    }
}
