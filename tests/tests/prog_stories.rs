//! Stories of several packets that a table can not hold, in the kernel.

use adc_tests::{
    program::{Limits, Program},
    require,
    walk::stories,
};

/// Half-open flows that the tables of this test hold.
const HALF_OPEN: u32 = 1024;

#[test]
fn every_story_holds_in_the_kernel() {
    require!(object);
    let mut kernel = Program::load(Limits {
        flows: 1024,
        half_open: HALF_OPEN,
    });
    stories::two_services_share_a_backend(&mut kernel);
    stories::a_half_flow_is_not_mistaken_for_another(&mut kernel);
    stories::a_syn_flood_leaves_established_flows_alone(&mut kernel, HALF_OPEN * 4);
}
