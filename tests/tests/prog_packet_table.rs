//! The packet table in the kernel, side by side with the host.

use adc_tests::{
    program::{Limits, Program},
    require,
    walk::{Cuts, HostWalk, cases},
};

#[test]
fn every_case_of_the_packet_table_holds_in_the_kernel() {
    require!(object);
    let mut kernel = Program::load(Limits {
        flows: 256,
        half_open: 1024,
    });
    let mut host = HostWalk::default();
    // The matrix emulates its kernels; that they agree at every length is shown once, on this one.
    let cuts = if std::env::var_os("ADC_KERNEL_MATRIX").is_some() {
        Cuts::Some
    } else {
        Cuts::Every
    };
    let cases = cases::all();
    let failed: Vec<&str> = cases
        .iter()
        .filter(|case| {
            let play = || case.play(&mut [&mut kernel, &mut host], cuts);
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(play)).is_err()
        })
        .map(|case| case.name.as_str())
        .collect();
    assert!(
        failed.is_empty(),
        "{} of {}: {failed:#?}",
        failed.len(),
        cases.len()
    );
}
