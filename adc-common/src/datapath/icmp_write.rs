//! Writes an ICMP error in the other family: outer header, message, and the header of what is quoted, in front of the
//! quoted ports, which stay where they are (RFC 7915 §4.1 to §4.3, §5.1 to §5.3).

use super::{
    checksum::{self, Delta},
    deliver::link_length,
    icmp::transport_checksum,
    icmp_counterpart::Headline,
    icmp_cross::{Errand, HEADERS4, HEADERS6, ICMP, sum, sum_of_ends},
    parse::offset16,
    ports::{PacketBuf, Tables},
    scratch::Scratch,
    translate::{
        FRAGMENT, Head, IPV4, IPV6, identification, ipv4, mapped_ends, move_front, relink, version6,
    },
    wire::Ports,
};
use crate::abi::{Addr4, Addr6, Protocol};

/// The word of type, code and checksum; `after` is what takes the place of `errand.before`, but for the message itself, and
/// `change` what changes behind it.
#[inline(always)]
fn first_word(errand: &Errand, after: Delta, change: Delta) -> [u8; 4] {
    let Headline { kind, code, rest } = errand.headline;
    let after = after.plus(sum([kind, code, 0, 0])).plus(sum(rest));
    let change = Delta::replace(errand.before, after).plus(change);
    let [high, low] = checksum::apply(errand.check, change);
    [kind, code, high, low]
}

/// Moves the front of the packet so that the headers of the other family fit in front of the quoted ports, and notes where
/// everything is then.
#[inline(never)]
pub(super) fn make_room<P: PacketBuf>(packet: &mut P, scratch: &mut Scratch<Addr6>) -> bool {
    let Scratch {
        delivery,
        quote,
        errand,
        ..
    } = scratch;
    let network = link_length(&delivery.hop);
    let (ip, headers) = if delivery.reply == 0 {
        (IPV4, HEADERS4)
    } else if errand.fragment == 0 {
        (IPV6, HEADERS6)
    } else {
        (IPV6, HEADERS6 + FRAGMENT)
    };
    let before = usize::from(quote.ports);
    let behind = quote.end.wrapping_sub(quote.ports);
    quote.network = offset16(network);
    quote.icmp = offset16(network + ip);
    quote.ports = offset16(network + headers);
    quote.end = quote.ports.wrapping_add(behind);
    move_front(packet, before, network + headers).is_some()
}

/// Gives the quoted ports, and the checksum behind them, what their sender wrote.
#[inline(never)]
pub(super) fn restore<P: PacketBuf>(packet: &mut P, scratch: &mut Scratch<Addr6>) -> bool {
    let Scratch {
        delivery,
        other,
        quote,
        ..
    } = scratch;
    let (from, to) = (&other.tuple, &delivery.to);
    // `to` travels as the error does, what is quoted came the other way.
    let sent = Ports {
        source: to.dport.0,
        dest: to.sport.0,
    };
    let ports = Delta::of_port_change(from, to);
    let whole = Delta::of_addresses(from, to).plus(ports);
    let written = packet.set_header(usize::from(quote.ports), &sent);
    let above = transport_checksum(packet, other.protocol, quote, whole);
    let (Some(()), Some(above)) = (written, above) else {
        return false;
    };
    quote.change = quote.change.plus(ports).plus(above);
    true
}

/// Writes the quoted IPv4 header, and the message in front of it.
#[inline(never)]
pub(super) fn write4<P: PacketBuf>(packet: &mut P, scratch: &mut Scratch<Addr6>) -> bool {
    let Scratch {
        delivery,
        other,
        quote,
        errand,
        ..
    } = scratch;
    let Some([src, dst]) = mapped_ends(delivery) else {
        return false;
    };
    let total = usize::from(errand.length) + IPV4;
    let (id, frags) = if errand.fragment == 0 {
        identification(total, [0, 0])
    } else {
        (errand.id, [errand.more << 5, 0])
    };
    let header = ipv4(Head {
        class: errand.quoted_class,
        total,
        id,
        frags,
        hop_limit: errand.hop_limit,
        protocol: other.protocol,
        // It went the other way.
        ends: [dst, src],
    });
    // A header with the right checksum sums to nothing, and there is no pseudo-header.
    let first = first_word(errand, Delta::NONE, quote.change);
    let [_, _, high, low] = first;
    errand.check = [high, low];
    let icmp = usize::from(quote.icmp);
    packet
        .set_header(icmp, &first)
        .and_then(|()| packet.set_header(icmp + 4, &errand.headline.rest))
        .and_then(|()| packet.set_header(icmp + ICMP, &header))
        .is_some()
}

/// Writes what is in front of an ICMPv4 message.
#[inline(never)]
pub(super) fn seal4<P, T>(packet: &mut P, tables: &T, scratch: &mut Scratch<Addr6>) -> bool
where
    P: PacketBuf,
    T: Tables,
{
    let Scratch {
        seen,
        delivery,
        quote,
        errand,
        ..
    } = scratch;
    let Some(ends) = mapped_ends(delivery) else {
        return false;
    };
    let Some(egress) = tables.interface(delivery.hop.interface) else {
        return false;
    };
    let network = usize::from(quote.network);
    let total = usize::from(quote.end.wrapping_sub(quote.network));
    let (id, frags) = identification(total, errand.check);
    let header = ipv4(Head {
        class: errand.class,
        total,
        id,
        frags,
        hop_limit: seen.frame.hop_limit.wrapping_sub(1),
        protocol: Protocol::ICMP,
        ends,
    });
    packet
        .set_header(network, &header)
        .and_then(|()| relink::<Addr4, _>(packet, seen, delivery, egress, network))
        .is_some()
}

/// Writes the quoted IPv6 header, and the message in front of it.
#[inline(never)]
pub(super) fn write6<P: PacketBuf>(packet: &mut P, scratch: &mut Scratch<Addr6>) -> bool {
    let Scratch {
        delivery,
        other,
        quote,
        errand,
        ..
    } = scratch;
    let icmp = usize::from(quote.icmp);
    let quoted = icmp + ICMP;
    let protocol = other.protocol.0;
    let [id_high, id_low] = errand.id;
    let head = [protocol, 0, 0, errand.more];
    let id = [0, 0, id_high, id_low];
    let (next, fragment, written) = if errand.fragment == 0 {
        (protocol, 0, Some(Delta::NONE))
    } else {
        let written = packet
            .set_header(quoted + IPV6, &head)
            .and_then(|()| packet.set_header(quoted + IPV6 + 4, &id));
        let sums = sum(head).plus(sum(id));
        (
            Protocol::FRAGMENT.0,
            offset16(FRAGMENT),
            written.map(|()| sums),
        )
    };
    let Some(fragment_sum) = written else {
        return false;
    };
    let [length_high, length_low] = errand.length.wrapping_add(fragment).to_be_bytes();
    let first = version6(errand.quoted_class);
    let second = [length_high, length_low, next, errand.hop_limit];
    let whole = usize::from(quote.end.wrapping_sub(quote.icmp));
    // The addresses stand there twice: in the quoted header, and in the pseudo-header.
    let ends = sum_of_ends(&delivery.to);
    let after = fragment_sum
        .plus(sum(first))
        .plus(sum(second))
        .plus(ends)
        .plus(ends)
        .plus(Delta::of_transport(Protocol::ICMP6, whole));
    packet
        .set_header(icmp, &first_word(errand, after, quote.change))
        .and_then(|()| packet.set_header(icmp + 4, &errand.headline.rest))
        .and_then(|()| packet.set_header(quoted, &first))
        .and_then(|()| packet.set_header(quoted + 4, &second))
        .and_then(|()| packet.set_header(quoted + 8, &delivery.to.dst.0))
        .and_then(|()| packet.set_header(quoted + 24, &delivery.to.src.0))
        .is_some()
}

/// Writes what is in front of an ICMPv6 message.
#[inline(never)]
pub(super) fn seal6<P, T>(packet: &mut P, tables: &T, scratch: &mut Scratch<Addr6>) -> bool
where
    P: PacketBuf,
    T: Tables,
{
    let Scratch {
        seen,
        delivery,
        quote,
        errand,
        ..
    } = scratch;
    let Some(egress) = tables.interface(delivery.hop.interface) else {
        return false;
    };
    let network = usize::from(quote.network);
    let [high, low] = quote.end.wrapping_sub(quote.icmp).to_be_bytes();
    let hop_limit = seen.frame.hop_limit.wrapping_sub(1);
    packet
        .set_header(network, &version6(errand.class))
        .and_then(|()| packet.set_header(network + 4, &[high, low, Protocol::ICMP6.0, hop_limit]))
        .and_then(|()| packet.set_header(network + 8, &delivery.to.src.0))
        .and_then(|()| packet.set_header(network + 24, &delivery.to.dst.0))
        .and_then(|()| relink::<Addr6, _>(packet, seen, delivery, egress, network))
        .is_some()
}
