//! Whose turn it is to take a slot.
//!
//! A member of weight `w` has its turns at the times 0, 1/w, 2/w, ...; all members' turns are taken in the order
//! of time, then of index. So in any stretch of time a member has turns in proportion to its weight, every
//! member has its first turn before any has its second, and taking one member away leaves the order
//! of all others' turns as it was, which is what keeps the rest of the ring in place.

use adc_common::abi::RING_SLOTS;

use crate::model::Weight;

/// The turns of one time unit, which then repeat for ever; or as many of them as a ring can use.
#[derive(Default)]
pub(super) struct Turns {
    /// `time << 16 | index`, sorted.
    keys: Vec<u64>,
    weights: Vec<u64>,
}

impl Turns {
    /// The turns of members with these weights, all above 0; a member is its index among them.
    pub(super) fn of(&mut self, weights: impl Iterator<Item = Weight>) {
        self.weights.clear();
        self.weights
            .extend(weights.map(|Weight(weight)| u64::from(weight)));
        // Only ratios matter, and small numbers make a short time unit.
        let divisor = self.weights.iter().copied().fold(0, gcd).max(1);
        let total: u64 = self.weights.iter().map(|weight| weight / divisor).sum();

        self.keys.clear();
        for (index, weight) in (0u64..).zip(&self.weights) {
            let weight = weight / divisor;
            let usable = (weight * RING_SLOTS as u64).div_ceil(total);
            for turn in 0..weight.min(usable) {
                // Two different times are at least 1 / (1 000 * 999) apart: 32 bits tell them apart, and
                // round equal ones equally.
                let time = (turn << 32) / weight;
                self.keys.push((time << 16) | index);
            }
        }
        self.keys.sort_unstable();
    }

    /// Indexes of the members in the order of their turns, without end.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        self.keys
            .iter()
            .cycle()
            .map(|key| usize::from((key & 0xffff) as u16))
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
