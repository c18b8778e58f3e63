//! How far the ports of local addresses go, on the host.

use adc_tests::walk::{HostWalk, snat};

#[test]
fn sixty_thousand_flows_reach_one_backend_through_one_local_address() {
    snat::flows_of_one_address(&mut HostWalk::default(), 60_000);
}

#[test]
fn exhaustion_ends_when_a_flow_does() {
    snat::exhaustion_ends_when_a_flow_does(&mut HostWalk::default());
}
