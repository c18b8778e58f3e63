//! Fragments among the traffic.

use adc_common::abi::InterfaceId;

use super::Traffic;
use crate::{
    packets::{Segment, split},
    walk::Talk,
};

impl Traffic {
    /// One fragment of a packet. Few identifications: now and then the others have come before.
    pub(super) fn piece(
        &mut self,
        talk: &Talk,
        segment: &Segment,
        from_client: bool,
    ) -> (InterfaceId, Vec<u8>) {
        let segment = segment.clone().padded(0);
        let (interface, frame) = if from_client {
            (talk.client_link.interface, talk.client_sends(&segment))
        } else {
            (talk.backend_link.interface, talk.backend_sends(&segment))
        };
        let size = *self.dice.pick(&[8, 16, 24, 40]);
        // They change before a first fragment is forgotten: an emulated kernel takes long, and the host's clock stands still.
        let id = self.fragments / 32 * 3 + self.dice.below(3_usize);
        self.fragments += 1;
        let mut pieces = split(&frame, size, u32::try_from(id).expect("few"));
        let chosen = if self.dice.once_in(2) {
            0
        } else {
            self.dice.below(pieces.len())
        };
        (interface, pieces.swap_remove(chosen))
    }
}
