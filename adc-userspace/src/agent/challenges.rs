//! Asking the ends of flows where they stand: those of backends that are down, and those in which a RST was seen.

use std::collections::{BTreeMap, BTreeSet};

use adc_common::abi::{BackendFlags, BackendId, Hop, InterfaceId, Mac, Phase};

use super::state::Agent;
use crate::{
    challenge::{Book, Finished, Frame, Question, Sender, challenge},
    dataplane::FlowEnds,
};

/// What the agent needs to ask.
#[derive(Debug)]
pub(super) struct Challenger {
    book: Book,
    sender: Sender,
}

/// How packets leave: index and MAC of an interface.
type Ways = BTreeMap<InterfaceId, (u32, Mac)>;

impl Challenger {
    pub(super) fn start() -> Self {
        Self {
            book: Book::default(),
            sender: Sender::start(),
        }
    }
}

impl Agent {
    /// The next round, if there is anybody to ask.
    pub(super) fn challenge(&mut self) {
        let observed = self.dataplane.tables.observed();
        let resets = |flags: BackendFlags| flags.contains(BackendFlags::DOWN_RESET);
        let down: BTreeSet<BackendId> = (observed.backends.iter())
            .filter(|(_, entry)| resets(entry.flags))
            .map(|(id, _)| *id)
            .collect();
        let Challenger { book, sender } = &mut self.challenger;
        book.set_down(&down);
        let seen = self.sweep.phases.get(Phase::RESET.index()).copied();
        if book.is_idle(seen.unwrap_or_default()) || !sender.is_free() {
            return;
        }
        let ways: Ways = (self.interfaces.values())
            .filter_map(|interface| {
                let facts = interface.facts.as_ref()?;
                Some((interface.id, (facts.ifindex, facts.mac?)))
            })
            .collect();
        let mut frames = Vec::new();
        let mut round = book.round();
        let walked = tokio::task::block_in_place(|| {
            self.dataplane.flows.for_each_ends(|flow| {
                if let Some(question) = round.consider(&flow) {
                    let backend = observed.backends.get(&flow.backend);
                    let hop = backend
                        .filter(|entry| entry.flags.contains(BackendFlags::HOP_RESOLVED))
                        .map(|entry| entry.hop);
                    ask(&flow, question, hop, &ways, &mut frames);
                }
            })
        });
        let finished = round.end();
        if let Err(error) = walked {
            tracing::warn!("looking for connections to reset: {error}");
        }
        for Finished { backend, flows } in finished.into_iter().filter(|found| found.flows > 0) {
            let address = observed.backends.get(&backend);
            let address = address.map(|entry| std::net::IpAddr::from(entry.address));
            let address = address.map_or_else(String::new, |address| address.to_string());
            tracing::info!(
                backend = backend.0,
                address,
                flows,
                "the backend is down: its connections were reset"
            );
        }
        if !frames.is_empty() {
            sender.send(frames);
        }
    }
}

/// Frames for one flow. An end that can not be reached is not asked.
fn ask(
    flow: &FlowEnds,
    question: Question,
    backend_hop: Option<Hop>,
    ways: &Ways,
    frames: &mut Vec<Frame>,
) {
    let to_client = question.client.then_some(flow.client_hop);
    let legs = [
        (to_client, flow.vip, flow.client),
        (backend_hop, flow.seen_as, flow.server),
    ];
    for (hop, from, to) in legs {
        let Some(hop) = hop else { continue };
        let Some((ifindex, mac)) = ways.get(&hop.interface) else {
            continue;
        };
        let ifindex = *ifindex;
        // Ends of different families have no segment in common.
        if let Ok(pair) = challenge(*mac, &hop, from, to, fastrand::u32(..)) {
            frames.extend(pair.map(|bytes| Frame { ifindex, bytes }));
        }
    }
}
