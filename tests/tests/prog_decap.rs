//! The decapsulator in the kernel.

use adc_tests::{decap::check, program::DecapProgram, require};

#[test]
fn packets_are_taken_out_of_every_tunnel_in_the_kernel() {
    require!(object);
    check(&mut DecapProgram::load());
}
