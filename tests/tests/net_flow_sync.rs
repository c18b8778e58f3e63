//! Two adc nodes with each other's flows: connections outlive the node that made them.

use adc_tests::{
    require,
    sync_pair::{FULL_NAT, NAT, SyncPair},
};

/// Connections per mode.
const HELD: usize = 500;

#[test]
fn a_thousand_connections_outlive_the_node_that_made_them_and_come_back_with_it() {
    require!(namespaces, agent);
    let mut pair = SyncPair::start();
    let nat = pair.hold(NAT, HELD);
    let full_nat = pair.hold(FULL_NAT, HELD);
    pair.wait_for_flows(&pair.second, 2 * HELD as u64);

    pair.first.power_off();
    pair.wait_for_second_alone();
    for held in [&nat, &full_nat] {
        held.assert_all_alive();
    }

    pair.first.power_on();
    pair.wait_for(0);
    assert!(
        pair.first.is_in_sync(),
        "it preempted before it had the flows"
    );
    for held in [&nat, &full_nat] {
        held.assert_all_alive();
    }
}
