//! What to do about a reason.

use adc_common::abi::Reason;

/// What to do next, for every reason that drops packets and for those that pass what somebody may have expected
/// to be balanced. `None` = nothing is wrong.
pub const fn hint(reason: Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::ForwardedToBackend
        | Reason::ForwardedToClient
        | Reason::ScheduledNewFlow
        | Reason::IcmpErrorToBackend
        | Reason::IcmpErrorToClient
        | Reason::NotIp
        | Reason::OtherProtocol => return None,
        Reason::PickedUpFlow => {
            "normal after a failover or a lost half-open flow; if it is frequent, replies may not return through this node, or the half-open table is too small (dataplane.limits)"
        }
        Reason::NotOurs => {
            "no service has this address: compare it with `adc service list`; if it is a reply of a backend, its flow has ended (`adc flow list`) or it was opened around adc"
        }
        Reason::VipOtherPort => {
            "the address is a VIP, but no service has this port and protocol: `adc service list`; the node's own stack answers"
        }
        Reason::FragmentNotOurs | Reason::MalformedNotOurs => {
            "not addressed to a VIP: the kernel's stack judges it"
        }
        Reason::OtherHost => {
            "the frame names another machine's MAC: a switch floods it, or the sender has an old ARP or ND entry for the VIP (`ip neigh` there); this node's own MACs are those of the interface and of the VLANs on it"
        }
        Reason::GroupMac => {
            "a multicast or broadcast frame: adc forwards what is sent to this node alone, and the kernel's stack judges the rest"
        }
        Reason::TruncatedEthernet | Reason::TruncatedIp | Reason::TruncatedTransport => {
            "the packet is shorter than its headers: damaged on the way, or cut by whoever recorded it; look at the sender and at `ethtool -S` of the interface"
        }
        Reason::BadIpHeader | Reason::BadTransportHeader => {
            "length fields contradict the packet, or an SCTP chunk stands where it must not: damaged or forged; `adc capture reason REASON -w FILE` shows who sends such packets"
        }
        Reason::BadExtensionHeaders => {
            "a chain of IPv6 extension headers that no ordinary client sends; `adc capture reason bad_extension_headers -w FILE` shows the sender"
        }
        Reason::BadTcpFlags => "a port scan, or damaged: nothing to mend here",
        Reason::ZeroPort => "source port 0 is reserved: forged, or a broken client",
        Reason::Fragment => {
            "the sender's packets are larger than some link on the way: lower its MTU, or clamp the MSS (a tunnel or VPN in front of it, usually)"
        }
        Reason::TtlExceeded => {
            "the packet was to end here: a traceroute, or a routing loop in front of this node (`traceroute` to the VIP from the client)"
        }
        Reason::NoBackend => {
            "every backend of the service is down, draining or of weight 0: `adc backend list` says why for each"
        }
        Reason::BackendUnset => {
            "an error inside adc: please report it with `adc status -o json` and the output of this command"
        }
        Reason::NextHopUnresolved => {
            "no route or neighbour for the backend: `ip route get ADDRESS` and `ip neigh` on this node; `adc backend list` names the obstacle"
        }
        Reason::InterfaceUnset => {
            "the packet would leave (or came in) by an interface that adc is not attached to: add it to dataplane.interfaces, or correct the route"
        }
        Reason::TupleConflict => {
            "the same client uses the same port to several VIPs of one backend: give the backend another port, or another address, for one of the services"
        }
        Reason::FlowTableError => {
            "the kernel refused a flow entry: look at `adc flow count`, raise dataplane.limits.half_open_*, and look at the kernel's log"
        }
        Reason::HandshakeMismatch => {
            "not what the handshake expects: a forged or very late packet, or replies that do not return through this node; a client that is real tries again with a new SYN (SCTP: INIT)"
        }
        Reason::SnatNoFlow => {
            "a backend's packet to a local address of full-nat, of a flow that has ended or that another node opened; the node's own stack answers with a RST"
        }
        Reason::SnatExhausted => {
            "too many flows to this backend for its local addresses: give the service more of them, or more backends"
        }
        Reason::RstWithoutFlow => {
            "the flow that it would reset is not known here: it has ended, or packets of it took another way"
        }
        Reason::UdpWithoutChecksum => {
            "the sender leaves UDP checksums out, which IPv6 forbids: switch them on there, or give it an IPv4 service"
        }
        Reason::TooBigForIpv6 => {
            "an IPv6 header is 20 bytes longer: lower the MTU of the IPv4 side by 20, or clamp the MSS"
        }
        Reason::IcmpErrorUntracked => {
            "the flow that the error is about has ended, or was never here (backscatter of forged packets): nothing to mend"
        }
        Reason::BadIcmpError => {
            "an error that quotes what this node did not send there: forged, or a router that shortens its quotes below RFC 792"
        }
        Reason::IcmpErrorAboutFragment => {
            "the quoted fragment has no ports, so nobody knows its flow; the error about the first fragment, if there was one, went through"
        }
        Reason::LeaseLapsed => {
            "this node's lease on the HA group of the address ran out, or it is a backup: `adc ha status` says which node is active, and why this one is not; if nobody is, look whether the agent or the keeper hangs here (`systemctl status adc`). A host that still sends here has an old ARP or ND entry"
        }
        Reason::SelfTest => {
            "the agent asks its data plane once a second for each VIP of an HA group whether it knows it: nothing to mend"
        }
        Reason::EchoRefused => {
            "ping = false for every service of this VIP: set it to true to be pinged"
        }
        Reason::FragmentTiny => {
            "no honest stack cuts a packet inside its TCP, UDP or SCTP header: an attempt to slip past filters"
        }
        Reason::FragmentOverlap => {
            "fragments of one datagram overlap: forged, or a sender that uses its IPv4 identifications again too soon"
        }
        Reason::FragmentHeld => {
            "normal if fragments take several ways; if it is frequent, look for a link that reorders (bonding in round-robin mode)"
        }
        Reason::NotTranslated => {
            "no ordinary client sends such fragments to an IPv4 backend; with proxy_protocol, the first segment must fit one packet: lower the MSS (mss_clamp)"
        }
        Reason::IcmpErrorUnknown => {
            "nothing to mend: the error says something of which there is no IPv6 (or IPv4) form, about a source route or an option for example"
        }
        Reason::PacketTooBig => {
            "larger than the MTU of the way to its receiver: the sender was told so by ICMP and should send smaller ones; if it does not, a firewall on the way drops ICMP: clamp the MSS (mss_clamp)"
        }
        Reason::NeedsFragmenting => {
            "larger than the MTU of the way to its receiver, and nobody could be told: lower the sender's MTU, raise that of the way, or clamp the MSS (mss_clamp)"
        }
        Reason::IcmpLimited => {
            "so many packets were due an ICMP error that this one got none: a scan, a routing loop, or a sender that ignores what it is told"
        }
        Reason::BackendDown => {
            "the flow's backend is down (`adc backend list`), and its pool's on_down lets go of such flows: the client's next attempt reaches another backend"
        }
        Reason::BackendDownReset => {
            "the flow's backend is down (`adc backend list`), and its pool says on_down = \"reset\": both ends are told, and the client connects again"
        }
        Reason::SynWithData => {
            "the client sends data with its SYN (TCP Fast Open), where the PROXY protocol header belongs: it sends the SYN again without, a second later; switch Fast Open off at the backends, so that clients learn no cookie"
        }
        Reason::SctpFragment => {
            "SCTP packets larger than some link on the way: switch path MTU discovery on at the sender, lower its path MTU, or give service and backends the same port in mode nat or dsr-*"
        }
        Reason::HeadroomError => {
            "the driver leaves no room for a VLAN tag or a header: `adc doctor -i INTERFACE`, or attach = \"skb\""
        }
    })
}

#[cfg(test)]
mod tests {
    use adc_common::abi::ReasonClass;

    use super::*;

    #[test]
    fn every_reason_that_drops_says_what_to_do() {
        for reason in Reason::ALL {
            if reason.class() == ReasonClass::Dropped {
                assert!(
                    hint(*reason).is_some_and(|hint| !hint.is_empty()),
                    "{reason:?}"
                );
            }
        }
    }
}
