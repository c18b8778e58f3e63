//! Why a packet was forwarded, passed or dropped.

/// What becomes of a packet, by class of reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReasonClass {
    /// Rewritten and sent on.
    Forwarded,
    /// Not ours: handed to the kernel's own stack untouched.
    Passed,
    /// Ours, but it can not be delivered.
    Dropped,
}

/// The bit of a reason in the set of those of a class.
const fn in_class(set: ReasonClass, class: ReasonClass, number: u32) -> u64 {
    if set as u32 == class as u32 {
        1 << number
    } else {
        0
    }
}

macro_rules! reasons {
    ($($variant:ident = $number:literal, $class:ident, $name:literal, $meaning:literal;)*) => {
        /// Why a packet met its fate. One enum = counter index = metric label = `adc drops` row.
        ///
        /// Numbers are part of the map ABI: they index `REASON_COUNTERS`.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $(#[doc = $meaning] $variant = $number,)*
        }

        impl Reason {
            /// Every reason, in numeric order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Number of reasons.
            pub const COUNT: usize = Self::ALL.len();

            /// Capacity of `REASON_COUNTERS`: room for reasons to come, so that a new one does not change the ABI.
            pub const CAPACITY: u32 = 64;

            /// Name in metrics, CLI and JSON: snake_case, stable.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// One line for people.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }

            /// Forwarded, passed or dropped.
            ///
            /// By bits, not by a `match`: what the compiler makes of that changes with every new reason, and one more
            /// took the verifier (Linux 6.18) from 486 273 instructions to 915 329.
            #[inline(always)]
            pub const fn class(self) -> ReasonClass {
                const FORWARDED: u64 = 0 $(| in_class(ReasonClass::Forwarded, ReasonClass::$class, $number))*;
                const PASSED: u64 = 0 $(| in_class(ReasonClass::Passed, ReasonClass::$class, $number))*;
                if FORWARDED >> self.index() & 1 == 1 {
                    ReasonClass::Forwarded
                } else if PASSED >> self.index() & 1 == 1 {
                    ReasonClass::Passed
                } else {
                    ReasonClass::Dropped
                }
            }

            /// Index into `REASON_COUNTERS`.
            #[inline(always)]
            pub const fn index(self) -> u32 {
                self as u32
            }
        }
    };
}

reasons! {
    ForwardedToBackend = 0, Forwarded, "forwarded_to_backend", "A packet of a tracked flow was sent to its backend.";
    ForwardedToClient = 1, Forwarded, "forwarded_to_client", "A reply of a tracked flow was sent to its client.";
    ScheduledNewFlow = 2, Forwarded, "scheduled_new_flow", "A new flow was scheduled and its first packet sent to the backend.";
    PickedUpFlow = 3, Forwarded, "picked_up_flow", "A TCP or SCTP packet of a flow this node did not know was sent where the ring decides.";
    NotIp = 4, Passed, "not_ip", "Neither IPv4 nor IPv6 (ARP, LLDP, ...).";
    NotOurs = 5, Passed, "not_ours", "No service and no flow matches; the kernel's stack gets it.";
    VipOtherPort = 6, Passed, "vip_other_port", "Addressed to a VIP, but to a port or protocol without a service.";
    OtherProtocol = 7, Passed, "other_protocol", "An IP protocol that adc does not balance (ND, OSPF, ...), or ICMP that is about no service.";
    FragmentNotOurs = 8, Passed, "fragment_not_ours", "An IP fragment that is not addressed to a VIP and belongs to no flow.";
    MalformedNotOurs = 9, Passed, "malformed_not_ours", "A malformed packet that is not addressed to a VIP.";
    TruncatedEthernet = 10, Dropped, "truncated_ethernet", "The frame ends inside its Ethernet header or VLAN tags.";
    TruncatedIp = 11, Dropped, "truncated_ip", "The packet ends inside its IP header.";
    BadIpHeader = 12, Dropped, "bad_ip_header", "IP version, header length or total length contradict the packet.";
    BadExtensionHeaders = 13, Dropped, "bad_extension_headers", "IPv6 extension headers are truncated, more than adc walks, or route the packet elsewhere first.";
    TruncatedTransport = 14, Dropped, "truncated_transport", "The packet ends inside its TCP or UDP header, or the header of its first SCTP chunk.";
    BadTransportHeader = 15, Dropped, "bad_transport_header", "TCP data offset, UDP length or SCTP chunk length contradict the packet, or an SCTP chunk stands where it must not (INIT with a tag or others, a tag of 0).";
    BadTcpFlags = 16, Dropped, "bad_tcp_flags", "A combination of TCP flags that no stack sends (null, SYN+FIN, Christmas tree).";
    ZeroPort = 17, Dropped, "zero_port", "TCP, UDP or SCTP source port 0.";
    Fragment = 18, Dropped, "fragment", "An IP fragment addressed to a VIP or from a backend, whose first is not known or was dropped; nobody keeps it.";
    TtlExceeded = 19, Dropped, "ttl_exceeded", "TTL or hop limit would reach zero here.";
    NoBackend = 20, Dropped, "no_backend", "The service has no backend that may take new flows.";
    BackendUnset = 21, Dropped, "backend_unset", "A ring slot or flow names a backend that is not in the table (an internal error).";
    NextHopUnresolved = 22, Dropped, "next_hop_unresolved", "The backend's next hop is not known (route or neighbour missing).";
    InterfaceUnset = 23, Dropped, "interface_unset", "The next hop's interface is not one adc is attached to.";
    TupleConflict = 24, Dropped, "tuple_conflict", "Another flow already uses the translated addresses and ports on every backend tried.";
    FlowTableError = 25, Dropped, "flow_table_error", "The kernel refused to create the half-open flow entries.";
    HandshakeMismatch = 26, Dropped, "handshake_mismatch", "A handshake packet does not acknowledge the sequence number it should, or in SCTP has not the tag it should.";
    HeadroomError = 27, Dropped, "headroom_error", "The driver refused to move the packet head for a VLAN tag, a tunnel header or a PROXY protocol header.";
    SnatNoFlow = 28, Passed, "snat_no_flow", "Addressed to a local address that full-nat sends from, but of no flow; the kernel's stack gets it.";
    SnatExhausted = 29, Dropped, "snat_exhausted", "Every local address and port tried is in use towards this backend.";
    RstWithoutFlow = 30, Dropped, "rst_without_flow", "A RST of no known flow for a full-nat service: to the backend it would look like another flow's.";
    UdpWithoutChecksum = 31, Dropped, "udp_without_checksum", "An IPv4 datagram without checksum, which IPv6 does not allow (NAT64).";
    TooBigForIpv6 = 32, Dropped, "too_big_for_ipv6", "With an IPv6 header in place of its IPv4 header the packet exceeds the MTU (NAT64).";
    IcmpErrorToBackend = 33, Forwarded, "icmp_error_to_backend", "An ICMP error about a tracked flow was translated and sent to its backend.";
    IcmpErrorToClient = 34, Forwarded, "icmp_error_to_client", "An ICMP error about a tracked flow was translated and sent to its client.";
    IcmpErrorUntracked = 35, Dropped, "icmp_error_untracked", "An ICMP error about a service, but about no flow of it.";
    BadIcmpError = 36, Dropped, "bad_icmp_error", "An ICMP error whose quoted packet is cut short, malformed, or not from where the error goes.";
    IcmpErrorAboutFragment = 37, Dropped, "icmp_error_about_fragment", "An ICMP error to a VIP that quotes a fragment without ports.";
    EchoRefused = 38, Dropped, "echo_refused", "An echo request, or a fragment of one, to a VIP that does not answer them.";
    FragmentTiny = 39, Dropped, "fragment_tiny", "A first fragment that ends inside its TCP, UDP or SCTP header.";
    FragmentOverlap = 40, Dropped, "fragment_overlap", "A fragment that overlaps the first one of its datagram.";
    FragmentHeld = 41, Dropped, "fragment_held", "A fragment that came before its first: the agent keeps it for a second and sends it after the first.";
    NotTranslated = 42, Dropped, "not_translated", "A fragment that is not translated: one of an IPv6 packet with extension headers behind the fragment header, of a flow to an IPv4 backend, or one that a PROXY protocol header belongs in.";
    PacketTooBig = 43, Dropped, "packet_too_big", "Larger than the MTU of the way on; its sender was told so by ICMP.";
    NeedsFragmenting = 44, Dropped, "needs_fragmenting", "Larger than the MTU of the way on, and its sender expects fragmentation (IPv4 without DF, or an IPv6 MTU below 1280), which adc does not do.";
    IcmpLimited = 45, Dropped, "icmp_limited", "Due an ICMP error (TTL exceeded, packet too big), but the limit of those per second was reached.";
    BackendDown = 46, Dropped, "backend_down", "The backend of the flow is down, and the packet can neither be scheduled anew nor answered.";
    BackendDownReset = 47, Dropped, "backend_down_reset", "The backend of the flow is down and its pool resets its flows: the sender was answered with a RST (not if the driver refuses to shorten the packet).";
    SynWithData = 48, Dropped, "syn_with_data", "A SYN with data (TCP Fast Open) for a service whose streams begin with a PROXY protocol header; the client sends it again without.";
    SctpFragment = 49, Dropped, "sctp_fragment", "A fragment of an SCTP packet whose ports change, which the CRC over the whole packet would have to follow, or of no flow yet.";
    OtherHost = 50, Passed, "other_host", "A frame to another machine's MAC (flooded by a switch, or seen by a promiscuous interface); the kernel ignores it.";
    GroupMac = 51, Passed, "group_mac", "An IP packet in a multicast or broadcast frame; the kernel's stack gets it.";
    IcmpErrorUnknown = 52, Dropped, "icmp_error_unknown", "An ICMP error about a flow between an IPv6 client and an IPv4 backend, of a kind that the other family does not have.";
    LeaseLapsed = 53, Dropped, "lease_lapsed", "Of an HA group that this node may not serve: it is a backup, or its lease ran out.";
    SelfTest = 54, Passed, "self_test", "A question of this node's agent to its own data plane, not a packet from a wire.";
}

#[expect(
    clippy::derivable_impls,
    reason = "the list above has no place for an attribute"
)]
impl Default for Reason {
    fn default() -> Self {
        Self::ForwardedToBackend
    }
}

const _: () = {
    assert!(
        Reason::COUNT <= Reason::CAPACITY as usize,
        "more reasons than counters"
    );
    let mut i = 0;
    while i < Reason::COUNT {
        assert!(
            Reason::ALL[i].index() as usize == i,
            "reason numbers must be dense and in order"
        );
        i += 1;
    }
};
