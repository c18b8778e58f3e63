//! Stories of several packets that a table can not hold, in the kernel.

use adc_tests::{
    program::{Limits, Program},
    require,
    walk::stories,
};

/// Half-open flows that the tables of this test hold.
const HALF_OPEN: u32 = 1024;

#[test]
fn two_services_may_share_a_backend_and_a_flood_of_syns_harms_nobody() {
    require!(object);
    let mut kernel = Program::load(Limits {
        flows: 1024,
        half_open: HALF_OPEN,
    });
    stories::two_services_share_a_backend(&mut kernel);
    stories::a_syn_flood_leaves_established_flows_alone(&mut kernel, HALF_OPEN * 4);
}
