//! A case: tables, then packets one after another, each with what must become of it.

use adc_common::abi::{InterfaceId, Reason, ReasonClass, ReasonCounters, TableCounters};

use super::{Arrival, Contents, Counters, Exit, Walk, talk::Crossing};
use crate::{
    packets::{complaint, ip_offset},
    program::SHORTEST_FRAME,
};

/// Where frames are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cuts {
    /// At every length.
    Every,
    /// At every seventh, for places that are slow.
    Some,
}

impl Cuts {
    const fn stride(self) -> usize {
        match self {
            Self::Every => 1,
            Self::Some => 7,
        }
    }
}

/// A named sequence of packets.
#[derive(Debug)]
pub struct Case {
    /// A sentence: what happens, and what must come of it.
    pub name: String,
    contents: Contents,
    steps: Vec<Step>,
    table: TableCounters,
    /// Flow entries at the end: in the main tables, half-open.
    flows: Option<(usize, usize)>,
}

#[derive(Debug)]
enum Step {
    Packet(Box<Packet>),
    Age(u32),
    Fill(usize),
    Evict { answers: bool },
    Reload(Box<Contents>),
}

#[derive(Debug)]
struct Packet {
    what: &'static str,
    by: InterfaceId,
    frame: Vec<u8>,
    reason: Reason,
    exit: Exit,
    out: Vec<u8>,
}

impl Case {
    /// A case that begins without flows.
    pub fn new(name: impl Into<String>, contents: &Contents) -> Self {
        Self {
            name: name.into(),
            contents: contents.clone(),
            steps: Vec::new(),
            table: TableCounters::default(),
            flows: None,
        }
    }

    /// A packet that is forwarded.
    #[must_use]
    pub fn sent(self, what: &'static str, crossing: Crossing, reason: Reason) -> Self {
        assert_eq!(complaint(&crossing.out), None, "the expectation of {what}");
        self.sent_as_it_is(what, crossing, reason)
    }

    /// The same of one whose checksum is wrong.
    #[must_use]
    pub fn sent_as_it_is(mut self, what: &'static str, crossing: Crossing, reason: Reason) -> Self {
        let Crossing {
            by,
            frame,
            exit,
            out,
            ..
        } = crossing;
        self.steps.push(Step::Packet(Box::new(Packet {
            what,
            by,
            frame,
            reason,
            exit,
            out,
        })));
        self
    }

    /// A packet that is not forwarded, and untouched.
    #[must_use]
    pub fn stays(
        mut self,
        what: &'static str,
        by: InterfaceId,
        frame: Vec<u8>,
        reason: Reason,
    ) -> Self {
        let exit = match reason.class() {
            ReasonClass::Passed => Exit::Pass,
            ReasonClass::Dropped => Exit::Drop,
            ReasonClass::Forwarded => panic!("{what}: {reason:?} forwards"),
        };
        self.steps.push(Step::Packet(Box::new(Packet {
            what,
            by,
            out: frame.clone(),
            frame,
            reason,
            exit,
        })));
        self
    }

    /// A packet that goes no further and comes back as an ICMP error.
    #[must_use]
    pub fn answered(
        mut self,
        what: &'static str,
        by: InterfaceId,
        frame: Vec<u8>,
        reason: Reason,
        out: Vec<u8>,
    ) -> Self {
        assert_eq!(complaint(&out), None, "the expectation of {what}");
        self.steps.push(Step::Packet(Box::new(Packet {
            what,
            by,
            frame,
            reason,
            exit: Exit::Transmit,
            out,
        })));
        self
    }

    /// Time passes, in seconds.
    #[must_use]
    pub fn after(mut self, seconds: u32) -> Self {
        self.steps.push(Step::Age(seconds));
        self
    }

    /// The main flow tables become full, but for `spare` entries.
    #[must_use]
    pub fn full_but(mut self, spare: usize) -> Self {
        self.steps.push(Step::Fill(spare));
        self
    }

    /// The LRU forgets one half of every half-open flow: the one for answers, or the other.
    #[must_use]
    pub fn evicted(mut self, answers: bool) -> Self {
        self.steps.push(Step::Evict { answers });
        self
    }

    /// The configuration changes.
    #[must_use]
    pub fn reload(mut self, contents: &Contents) -> Self {
        self.steps.push(Step::Reload(Box::new(contents.clone())));
        self
    }

    /// What must have been done to the flow tables by the end; nothing, if this is not called.
    #[must_use]
    pub fn counts(mut self, table: TableCounters) -> Self {
        self.table = table;
        self
    }

    /// How many flows must be there at the end: validated and half-open.
    #[must_use]
    pub fn leaves(self, validated: usize, half_open: usize) -> Self {
        self.leaves_entries(validated * 2, half_open * 2)
    }

    /// The same in entries: a flow whose backend answers directly has one.
    #[must_use]
    pub fn leaves_entries(mut self, main: usize, half_open: usize) -> Self {
        self.flows = Some((main, half_open));
        self
    }

    /// Plays the case in every place, packet by packet side by side. Before each packet its truncations come:
    /// they must change nothing.
    ///
    /// # Panics
    /// With the case, the packet and the place in the message, if anything is not as expected.
    pub fn play(&self, places: &mut [&mut dyn Walk], cuts: Cuts) {
        for place in places.iter_mut() {
            place.pour(&self.contents);
        }
        let before: Vec<Counters> = places.iter_mut().map(|place| place.counters()).collect();
        for step in &self.steps {
            match step {
                Step::Packet(packet) => {
                    self.truncations(packet, places, cuts);
                    for place in places.iter_mut() {
                        self.packet(packet, *place);
                    }
                }
                Step::Age(seconds) => {
                    for place in places.iter_mut() {
                        place.age(*seconds);
                    }
                }
                Step::Fill(spare) => {
                    for place in places.iter_mut() {
                        place.fill(*spare);
                    }
                }
                Step::Evict { answers } => {
                    for place in places.iter_mut() {
                        place.evict(*answers);
                    }
                }
                Step::Reload(contents) => {
                    for place in places.iter_mut() {
                        place.reload(contents);
                    }
                }
            }
        }
        for (place, before) in places.iter_mut().zip(&before) {
            self.end(*place, before);
        }
    }

    fn packet(&self, packet: &Packet, place: &mut dyn Walk) {
        let at = format!("{}: {} ({})", self.name, packet.what, place.name());
        let before = place.counters();
        let Some(arrival) = place.arrive(&packet.frame, packet.by) else {
            panic!("{at}: the frame is too short");
        };
        let counted = place.counters().since(&before);
        let reasons: Vec<_> = counted.reasons.keys().copied().collect();
        assert_eq!(reasons, [packet.reason.name()], "{at}: reason");
        assert_eq!(arrival.exit, packet.exit, "{at}: verdict");
        let expected = Arrival {
            exit: packet.exit,
            frame: packet.out.clone(),
        };
        assert!(
            arrival == expected,
            "{at}: {arrival:?}\nshould be {expected:?}"
        );
        let bytes = packet.frame.len() as u64;
        let reason = counted.reasons.get(packet.reason.name());
        assert_eq!(reason, Some(&ReasonCounters { packets: 1, bytes }), "{at}");
        let backend = counted
            .backends
            .values()
            .next()
            .copied()
            .unwrap_or_default();
        let once = (1, bytes);
        // The far end of a flow is told to; the flow's own packets are counted.
        let error = matches!(
            packet.reason,
            Reason::IcmpErrorToBackend | Reason::IcmpErrorToClient
        );
        let (forward, reply) = if error {
            ((0, 0), (0, 0))
        } else if packet.reason == Reason::ForwardedToClient {
            ((0, 0), once)
        } else if packet.reason.class() == ReasonClass::Forwarded {
            (once, (0, 0))
        } else {
            ((0, 0), (0, 0))
        };
        assert_eq!(
            (backend.forward_packets, backend.forward_bytes),
            forward,
            "{at}: to the backend"
        );
        assert_eq!(
            (backend.reply_packets, backend.reply_bytes),
            reply,
            "{at}: to the client"
        );
        let closed = u64::from(closes_window(&packet.frame));
        assert_eq!(
            (backend.forward_zero_windows, backend.reply_zero_windows),
            (forward.0 * closed, reply.0 * closed),
            "{at}: zero windows"
        );
        assert!(counted.backends.len() <= 1, "{at}: several backends");
    }

    /// A frame that is cut anywhere inside its IP packet is never forwarded and never changed, moves nothing but
    /// the counter of a reason, and that the same in every place.
    fn truncations(&self, packet: &Packet, places: &mut [&mut dyn Walk], cuts: Cuts) {
        let whole = whole(&packet.frame);
        let lengths = (SHORTEST_FRAME..whole).step_by(cuts.stride());
        let mut sums: Option<Counters> = None;
        for place in places.iter_mut() {
            // What the kernel can not be given is tried where it can, and not compared.
            self.cut(packet, 0..SHORTEST_FRAME, *place);
            let before = place.counters();
            self.cut(packet, lengths.clone(), *place);
            let sum = place.counters().since(&before);
            let at = format!("{}: {} cut ({})", self.name, packet.what, place.name());
            assert_eq!(sum.table, TableCounters::default(), "{at}: tables");
            assert!(sum.backends.is_empty(), "{at}: backends");
            let counted: u64 = sum.reasons.values().map(|reason| reason.packets).sum();
            assert_eq!(counted, lengths.len() as u64, "{at}: one reason each");
            assert_eq!(
                sums.get_or_insert_with(|| sum.clone()),
                &sum,
                "{at}: reasons"
            );
        }
    }

    fn cut(&self, packet: &Packet, lengths: impl Iterator<Item = usize>, place: &mut dyn Walk) {
        for length in lengths {
            let cut = &packet.frame[..length];
            let Some(arrival) = place.arrive(cut, packet.by) else {
                continue;
            };
            let stays = matches!(arrival.exit, Exit::Pass | Exit::Drop) && arrival.frame == cut;
            assert!(
                stays,
                "{}: {} cut to {length} bytes ({}): {arrival:?}",
                self.name,
                packet.what,
                place.name()
            );
        }
    }

    fn end(&self, place: &mut dyn Walk, before: &Counters) {
        let at = format!("{} ({})", self.name, place.name());
        let counted = place.counters().since(before);
        assert_eq!(counted.table, self.table, "{at}: flow tables");
        let established: u64 = counted.backends.values().map(|b| b.flows_established).sum();
        assert_eq!(established, self.table.inserted, "{at}: flows_established");
        if let Some(wanted) = self.flows {
            let flows = place.flows();
            let entries = (
                flows.main4.len() + flows.main6.len(),
                flows.half4.len() + flows.half6.len(),
            );
            assert_eq!(entries, wanted, "{at}: flow entries: {flows:?}");
        }
    }
}

/// How much of a frame its headers claim: without padding.
fn whole(frame: &[u8]) -> usize {
    let ip = match etherparse::SlicedPacket::from_ethernet(frame) {
        Ok(packet) => packet.net,
        Err(_) => None,
    };
    match ip {
        Some(etherparse::NetSlice::Ipv4(ip)) => {
            ip_offset(frame) + usize::from(ip.header().total_len())
        }
        Some(etherparse::NetSlice::Ipv6(ip)) => {
            ip_offset(frame) + 40 + usize::from(ip.header().payload_length())
        }
        Some(etherparse::NetSlice::Arp(_)) | None => frame.len(),
    }
}

/// Whether the frame is a TCP segment whose sender has no room for more data: a window of 0 in anything but a RST.
fn closes_window(frame: &[u8]) -> bool {
    let transport = etherparse::SlicedPacket::from_ethernet(frame).map(|parsed| parsed.transport);
    let Ok(Some(etherparse::TransportSlice::Tcp(tcp))) = transport else {
        return false;
    };
    tcp.window_size() == 0 && !tcp.rst()
}
