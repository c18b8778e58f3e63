//! Which way packets go, and what the row is called.

use adc_common::{
    abi::{FlowFlags, ForwardingMode, Phase, Protocol, Reason},
    bench::{FRESH, FRESH_FLOWS, FULL_NAT, IPV6, REPLY},
};

/// Which flow tables, and how they are filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tables {
    pub(crate) mode: ForwardingMode,
    pub(crate) ipv6: bool,
    pub(crate) protocol: Protocol,
}

/// What the packets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Of established flows, from the client.
    Forward,
    /// Of established flows, from the backend.
    Reply,
    /// Each the first of its flow.
    New,
}

/// A row's subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) tables: Tables,
    pub(crate) kind: Kind,
}

/// Established flows in a full measurement.
pub(crate) const MOST_FLOWS: u32 = 524_288;

/// Flows that the main table has room for: half full at the most, as the table was that the anchors in
/// docs/performance.md were measured with.
pub(crate) const CAPACITY: u32 = 2 * MOST_FLOWS;

/// Numbers of established flows to measure with.
pub(crate) const FLOW_COUNTS: [u32; 4] = [1, 1_024, 65_536, MOST_FLOWS];

impl Tables {
    pub(crate) const TCP4: Self = Self {
        mode: ForwardingMode::NAT,
        ipv6: false,
        protocol: Protocol::TCP,
    };

    const fn tcp4(mode: ForwardingMode) -> Self {
        Self { mode, ..Self::TCP4 }
    }

    const fn nat(ipv6: bool, protocol: Protocol) -> Self {
        let mode = ForwardingMode::NAT;
        Self {
            mode,
            ipv6,
            protocol,
        }
    }

    pub(crate) const ALL: [Self; 7] = [
        Self::TCP4,
        Self::tcp4(ForwardingMode::FULL_NAT),
        Self::tcp4(ForwardingMode::DSR_L2),
        Self::tcp4(ForwardingMode::DSR_IPIP),
        Self::nat(true, Protocol::TCP),
        Self::nat(false, Protocol::UDP),
        Self::nat(true, Protocol::UDP),
    ];

    /// Whether backends answer clients directly: then there are no replies.
    pub(crate) fn is_direct(self) -> bool {
        self.mode.flow_flags() != FlowFlags::default()
    }

    pub(crate) fn is_full_nat(self) -> bool {
        self.mode == ForwardingMode::FULL_NAT
    }

    /// Rows of these tables, in an order in which the main table never holds more flows than send packets: the
    /// others would lengthen the chains that are searched.
    pub(crate) fn rows(self) -> impl Iterator<Item = (Path, u32)> {
        let path = move |kind| Path { tables: self, kind };
        FLOW_COUNTS
            .into_iter()
            .flat_map(move |flows| [(path(Kind::Forward), flows), (path(Kind::Reply), flows)])
            .filter(move |(path, _)| !(self.is_direct() && path.kind == Kind::Reply))
            .chain([(path(Kind::New), FRESH_FLOWS)])
    }

    /// Phase of established flows.
    pub(crate) fn phase(self) -> Phase {
        if self.protocol == Protocol::TCP {
            Phase::ESTABLISHED
        } else {
            Phase::REPLIED
        }
    }
}

impl Kind {
    /// The reason every packet of this kind must end with.
    pub(crate) const fn reason(self) -> Reason {
        match self {
            Self::Forward => Reason::ForwardedToBackend,
            Self::Reply => Reason::ForwardedToClient,
            Self::New => Reason::ScheduledNewFlow,
        }
    }
}

impl Path {
    /// `<mode>-<tcp|udp><4|6>-<forward|reply|new>`.
    pub(crate) fn name(self) -> String {
        let protocol = if self.tables.protocol == Protocol::TCP {
            "tcp"
        } else {
            "udp"
        };
        let family = if self.tables.ipv6 { 6 } else { 4 };
        let kind = match self.kind {
            Kind::Forward => "forward",
            Kind::Reply => "reply",
            Kind::New => "new",
        };
        let mode = match self.tables.mode {
            ForwardingMode::FULL_NAT => "full-nat",
            ForwardingMode::DSR_L2 => "dsr-l2",
            ForwardingMode::DSR_IPIP => "dsr-ipip",
            _ => "nat",
        };
        format!("{mode}-{protocol}{family}-{kind}")
    }

    /// Bits of [`adc_common::bench::Traffic::kind`].
    pub(crate) fn bits(self) -> u32 {
        let family = if self.tables.ipv6 { IPV6 } else { 0 };
        let kind = match self.kind {
            Kind::Forward => 0,
            Kind::Reply => REPLY,
            Kind::New => FRESH,
        };
        let mode = if self.tables.is_full_nat() {
            FULL_NAT
        } else {
            0
        };
        family | kind | mode
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_flows_are_measured_before_more_are_in_the_table() {
        let counts: Vec<u32> = Tables::TCP4.rows().map(|(_, flows)| flows).collect();
        assert!(counts.is_sorted(), "{counts:?}");
        assert_eq!(counts.len(), 2 * FLOW_COUNTS.len() + 1);
    }

    #[test]
    fn rows_are_named_mode_protocol_family_and_direction() {
        let path = Path {
            tables: Tables {
                mode: ForwardingMode::NAT,
                ipv6: true,
                protocol: Protocol::UDP,
            },
            kind: Kind::Reply,
        };
        assert_eq!(path.name(), "nat-udp6-reply");
    }
}
