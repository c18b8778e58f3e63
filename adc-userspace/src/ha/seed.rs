//! Seeds of simulations: a test that fails says with which seed it fails again.

/// Says its number if the test panics while this is there.
pub(in crate::ha) struct Seed(pub(in crate::ha) u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("ADC_SEED={} runs it again", self.0);
        }
    }
}

/// The seeds of a test: `ADC_SEED`, or so many at random.
pub(in crate::ha) fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("ADC_SEED") {
        Ok(seed) => vec![seed.parse().expect("ADC_SEED is a number")],
        Err(_) => (0..count).map(|_| fastrand::u64(..)).collect(),
    }
}
