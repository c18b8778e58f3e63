//! Adverts that came to an interface and were of no group here, counted by interface and reason.
//!
//! Nothing is known of their senders: other people's routers may share the link, and so may somebody who got a VRID wrong.

use std::collections::BTreeMap;

use super::{socket::Packet, vrrp::Refusal};
use crate::api::proto::HaInterfaceView;

/// The only reasons there are: what is known of such an advert is its second byte, which every version has the VRID in.
const REASONS: [Refusal; 2] = [Refusal::Length, Refusal::Vrid];

/// The counts.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    counts: BTreeMap<String, BTreeMap<Refusal, u64>>,
    total: u64,
}

impl Strangers {
    /// From now on the interface is shown, whether or not anything of that kind comes.
    pub(super) fn watch(&mut self, interface: &str) {
        if !self.counts.contains_key(interface) {
            let none = REASONS.map(|reason| (reason, 0));
            self.counts.insert(interface.to_owned(), none.into());
        }
    }

    /// Counts an advert.
    pub(super) fn note(&mut self, interface: &str, packet: &Packet) {
        let reason = match packet.payload.get(1) {
            None => Refusal::Length,
            Some(_) => Refusal::Vrid,
        };
        self.watch(interface);
        let counts = self.counts.get_mut(interface);
        if let Some(count) = counts.and_then(|counts| counts.get_mut(&reason)) {
            *count += 1;
        }
        self.total += 1;
        // Told at powers of two: a link may be full of them.
        if self.total.is_power_of_two() {
            let source = packet.envelope.source;
            tracing::debug!(interface, %source, %reason, count = self.total, "an advert for no group of ours");
        }
    }

    /// What people are shown.
    pub(super) fn views(&self) -> Vec<HaInterfaceView> {
        let views = self.counts.iter().map(|(interface, counts)| {
            let refused = counts.iter();
            let refused = refused.map(|(reason, count)| (reason.name().to_owned(), *count));
            HaInterfaceView {
                interface: interface.clone(),
                adverts_refused: refused.collect(),
            }
        });
        views.collect()
    }
}
