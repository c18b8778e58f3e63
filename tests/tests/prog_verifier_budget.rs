//! minimal
use adc_tests::{
    program::{Limits, Program},
    require,
    walk::*,
};
#[test]
fn loads() {
    require!(object);
    let mut p = Program::load(Limits {
        flows: 256,
        half_open: 1024,
    });
    let info = p.info();
    eprintln!(
        "{:?} {:?} {}",
        info.verified_instruction_count(),
        info.size_translated(),
        info.size_jitted()
    );
    let c = Contents::default();
    p.pour(&c);
    eprintln!("{:?}", p.arrive(&[0; 60], adc_common::abi::InterfaceId(0)));
    eprintln!("{:?}", p.counters());
}
