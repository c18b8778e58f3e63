//! How far the ports of local addresses go, in the kernel.

use adc_tests::{
    program::{Limits, Program},
    require,
    walk::snat,
};

#[test]
fn sixty_thousand_flows_reach_one_backend_through_one_local_address() {
    require!(object);
    // Emulated kernels are slow; what they must show is that they take the same steps.
    let flows = if std::env::var_os("ADC_KERNEL_MATRIX").is_some() {
        2_000
    } else {
        60_000
    };
    let mut kernel = Program::load(Limits {
        flows: 131_072,
        half_open: 1_024,
    });
    snat::flows_of_one_address(&mut kernel, flows);
}
