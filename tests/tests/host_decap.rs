//! The decapsulator on the host.

use std::net::IpAddr;

use adc_common::{
    abi::{Addr16, DecapOutcome, Mac, Port},
    datapath::{DecapTables, decapsulate},
    host::HostPacket,
};
use adc_tests::{
    decap::{Decap, OTHER_MAC, OWN_MAC, VIPS, check},
    packets::MacAddress,
};

struct Host;

impl DecapTables for Host {
    fn port(&self) -> Port {
        Port::new(6080)
    }

    fn is_own(&self, destination: Mac) -> bool {
        [OWN_MAC, OTHER_MAC].contains(&MacAddress(destination.0))
    }

    fn wants(&self, vip: &Addr16) -> bool {
        let vip = IpAddr::from(*vip).to_string();
        VIPS.contains(&vip.as_str())
    }
}

impl Decap for Host {
    fn name(&self) -> &'static str {
        "host"
    }

    fn arrive(&mut self, frame: &[u8]) -> Option<(DecapOutcome, Vec<u8>)> {
        let mut packet = HostPacket::new(frame.to_vec(), 1);
        let outcome = decapsulate(&mut packet, self);
        Some((outcome, packet.bytes().to_vec()))
    }
}

#[test]
fn packets_are_taken_out_of_every_tunnel_on_the_host() {
    check(&mut Host);
}
