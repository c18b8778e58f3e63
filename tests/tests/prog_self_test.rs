//! The question that the agent asks its data plane is answered by the program in the kernel, and leaves nothing behind.

use std::net::IpAddr;

use adc_common::{
    abi::{GroupSlot, Reason},
    datapath::question,
};
use adc_tests::{
    program::{Limits, Program},
    require,
    walk::{Exit, FRONT, Lease, Walk as _, World},
};

const OURS: GroupSlot = GroupSlot(3);

#[test]
fn a_vip_of_a_group_is_known_and_another_address_is_not() {
    require!(object);
    let limits = Limits {
        flows: 1_024,
        half_open: 1_024,
    };
    let mut program = Program::load(limits);
    let known: [IpAddr; 2] = ["198.51.100.7", "2001:db8:7::7"].map(|vip| vip.parse().unwrap());
    let unknown: IpAddr = "198.51.100.8".parse().unwrap();
    let world = World::one_arm();
    let contents = known
        .into_iter()
        .fold(world.contents, |all, vip| all.in_group(OURS, vip));
    // Whether this node may serve the group is another question.
    for lease in [Lease::Sure, Lease::Lapsed] {
        program.pour(&contents.clone().leased(OURS, lease));
        let mut ask = |vip: IpAddr| {
            let frame = question(vip.into());
            let count = |program: &mut Program| {
                let counters = program.counters();
                let counted = counters.reasons.get(Reason::SelfTest.name());
                counted.map_or(0, |counted| counted.packets)
            };
            let before = count(&mut program);
            let arrival = program.run(&frame, FRONT).expect("long enough");
            assert_eq!((arrival.exit, arrival.frame), (Exit::Pass, frame.to_vec()));
            count(&mut program) - before
        };
        for vip in known {
            assert_eq!(ask(vip), 1, "{vip}, {lease:?}");
        }
        assert_eq!(ask(unknown), 0, "{lease:?}");
        assert_eq!(program.flows(), adc_tests::walk::Flows::default());
    }
}
