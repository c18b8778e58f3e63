//! What the walk asked, and was told.

use std::net::{IpAddr, SocketAddr};

use adc_common::{
    abi::{
        Addr16, BackendEntry, BackendId, FlowEntry, FlowFlags, FlowKey, GroupSlot, HalfOpenEntry,
        Hop, InterfaceEntry, InterfaceId, LeaseEntry, Phase, Protocol, Reason, ServiceEntry,
        ServiceId, Tick, Tuple,
    },
    datapath::InsertError,
};

/// A flow table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Validated flows.
    Main,
    /// Handshakes in progress, unanswered datagrams.
    HalfOpen,
}

/// One direction of a flow: the packets that match it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Half {
    /// TCP or UDP, if the packet was parsed that far.
    pub protocol: Protocol,
    /// Source of the packets.
    pub from: SocketAddr,
    /// Their destination.
    pub to: SocketAddr,
}

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowFacts {
    /// Where the flow is in its life.
    pub phase: Phase,
    /// The backend it is bound to.
    pub backend: BackendId,
    /// Whether the entry matches packets from the backend.
    pub reply: bool,
    /// Whether a FIN was seen in this direction.
    pub fin_seen: bool,
    /// Source that its packets are sent on with.
    pub sent_from: SocketAddr,
    /// Destination that its packets are sent on with.
    pub sent_to: SocketAddr,
    /// The client's last hop.
    pub client_hop: Hop,
    /// When a packet of this direction was last noted.
    pub last_seen: Tick,
}

/// One question of the walk to its tables, or one change that it would have made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Looked for a flow.
    FlowLookup {
        /// Where.
        table: Table,
        /// For packets like this.
        half: Half,
        /// The entry.
        found: Option<FlowFacts>,
    },
    /// Read the lease on an HA group.
    Lease {
        /// Which.
        slot: GroupSlot,
        /// Whether the group may be served; `None` if its lease does not count.
        held: Option<bool>,
    },
    /// Would have changed an entry.
    FlowChange {
        /// Where.
        table: Table,
        /// Of packets like this.
        half: Half,
        /// As it is.
        before: FlowFacts,
        /// As it would be.
        after: FlowFacts,
    },
    /// Would have inserted an entry.
    FlowInsert {
        /// Where.
        table: Table,
        /// For packets like this.
        half: Half,
        /// The entry.
        flow: FlowFacts,
        /// Whether the key was free.
        outcome: Result<(), InsertError>,
    },
    /// Would have removed an entry.
    FlowRemove {
        /// Where.
        table: Table,
        /// Of packets like this.
        half: Half,
    },
    /// Looked for the service of an address and port.
    ServiceLookup {
        /// The address.
        vip: IpAddr,
        /// The port; 0 with protocol 0 asks whether the address is a VIP.
        port: u16,
        /// The protocol.
        protocol: Protocol,
        /// The service; unset for the marker of a VIP.
        found: Option<ServiceId>,
    },
    /// Looked for a service with many ports.
    RangeLookup {
        /// The VIP.
        vip: IpAddr,
        /// The port.
        port: u16,
        /// The protocol.
        protocol: Protocol,
        /// The service.
        found: Option<ServiceId>,
    },
    /// Read a service.
    Service {
        /// Which.
        id: ServiceId,
        /// What it says; `None` = there is none.
        entry: Option<ServiceEntry>,
    },
    /// Took a slot of a ring.
    RingSlot {
        /// Of this service.
        service: ServiceId,
        /// Which slot.
        slot: usize,
        /// Who is there; unset = nobody.
        backend: BackendId,
    },
    /// Read a backend.
    Backend {
        /// Which.
        id: BackendId,
        /// What it says; `None` = there is none.
        entry: Option<BackendEntry>,
    },
    /// Read an interface.
    Interface {
        /// Which.
        id: InterfaceId,
        /// What it says; `None` = adc is not attached to it.
        entry: Option<InterfaceEntry>,
    },
    /// Asked which interface the packet came in by.
    Ingress {
        /// Its kernel index.
        ifindex: u32,
        /// Its id; unset = adc is not attached to it.
        id: InterfaceId,
    },
    /// Would have counted the packet.
    Count {
        /// Under this reason.
        reason: Reason,
    },
}

impl Half {
    pub(super) fn of<A: Copy + Into<Addr16>>(key: &FlowKey<A>) -> Self {
        let (from, to) = ends(key.tuple);
        Self {
            protocol: key.protocol,
            from,
            to,
        }
    }
}

impl Step {
    /// A lease was read at `now`, in nanoseconds.
    pub(super) fn lease(slot: GroupSlot, lease: Option<&LeaseEntry>, now: u64) -> Self {
        let held = match lease {
            Some(lease) if lease.until == LeaseEntry::NEVER => None,
            Some(lease) => Some(now < lease.until),
            None => Some(false),
        };
        Self::Lease { slot, held }
    }
}

impl FlowFacts {
    pub(super) fn of<A: Copy + Into<Addr16>>(entry: &FlowEntry<A>) -> Self {
        let (sent_from, sent_to) = ends(entry.other.reversed());
        Self {
            phase: entry.phase,
            backend: entry.backend,
            reply: entry.flags.contains(FlowFlags::REPLY),
            fin_seen: entry.flags.contains(FlowFlags::FIN_SEEN),
            sent_from,
            sent_to,
            client_hop: entry.hop,
            last_seen: entry.last_seen,
        }
    }

    pub(super) fn of_half_open<A: Copy + Into<Addr16>>(entry: &HalfOpenEntry<A>) -> Self {
        Self::of(&entry.flow)
    }
}

fn ends<A: Copy + Into<Addr16>>(tuple: Tuple<A>) -> (SocketAddr, SocketAddr) {
    let ip = |address: A| -> IpAddr { address.into().into() };
    (
        SocketAddr::new(ip(tuple.src), tuple.sport.host()),
        SocketAddr::new(ip(tuple.dst), tuple.dport.host()),
    )
}
