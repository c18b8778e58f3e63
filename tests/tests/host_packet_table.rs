//! The packet table on the host: `process()` over hash maps.

use adc_tests::walk::{Cuts, HostWalk, cases};

#[test]
fn every_case_of_the_packet_table_holds_on_the_host() {
    let mut host = HostWalk::default();
    let cases = cases::all();
    let failed: Vec<&str> = cases
        .iter()
        .filter(|case| {
            let play = || case.play(&mut [&mut host], Cuts::Every);
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
