//! `adc-sync-bench`: what flow replication costs per new flow. Needs root, `adc` and the XDP object.

fn main() {
    adc_tests::sync_bench::run();
}
