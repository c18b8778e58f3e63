//! Answers a TCP segment with a RST: turns the frame around and takes everything off that is not header.

use core::mem::MaybeUninit;

use super::{
    checksum::{self, Delta},
    family::Family,
    parse::Frame,
    ports::{PacketBuf, Tables},
    scratch::Scratch,
    wire::{BareTcp, EthernetHeader, tcp_flags::RST},
};
use crate::abi::{Addr4, Protocol, Tuple};
use network_types::tcp::TcpHdr;

/// Length of the header in words, in its upper half.
const DATA_OFFSET: u8 = 5 << 4;

/// Sends the sender a RST whose sequence number is the one that it acknowledges.
///
/// That is the number which a receiver expects next, so that one which follows RFC 5961 §3.2 believes it too
/// (RFC 9293 §3.10.7.1). It leaves by the way the segment came, VLAN tags included. False if it could not be made.
#[inline(never)]
pub(super) fn answer<A: Family, P: PacketBuf, T: Tables>(
    packet: &mut P,
    tables: &T,
    scratch: &Scratch<A>,
) -> bool {
    let Scratch { seen, delivery, .. } = scratch;
    let to = seen.key.tuple.reversed();
    // An IPv4 backend of an IPv6 client: its segments are IPv4, whatever table their flow is in.
    let turned = if A::MAY_CROSS && delivery.crosses != 0 && delivery.reply != 0 {
        narrow(&to).and_then(|to| turn_around(packet, tables, &seen.frame, &to))
    } else {
        turn_around(packet, tables, &seen.frame, &to)
    };
    turned.is_some()
}

/// A tuple of v4-mapped addresses as what it stands for.
#[inline(always)]
fn narrow<A: Family>(tuple: &Tuple<A>) -> Option<Tuple<Addr4>> {
    Some(Tuple {
        src: Addr4::from_addr16(tuple.src.into())?,
        dst: Addr4::from_addr16(tuple.dst.into())?,
        sport: tuple.sport,
        dport: tuple.dport,
    })
}

#[inline(always)]
fn turn_around<A: Family, P: PacketBuf, T: Tables>(
    packet: &mut P,
    tables: &T,
    frame: &Frame,
    to: &Tuple<A>,
) -> Option<()> {
    let mut ethernet = MaybeUninit::<EthernetHeader>::uninit();
    let ethernet = packet.header(0, &mut ethernet)?;
    let mut tcp = MaybeUninit::<TcpHdr>::uninit();
    let seq = packet.header(frame.transport(), &mut tcp)?.ack_seq;
    // Not the address it was sent to, which may be a group's.
    let interface = tables.interface(frame.ingress())?;
    let link = EthernetHeader {
        dst: ethernet.src,
        src: interface.mac.0,
        ethertype: ethernet.ethertype,
    };
    let network = frame.network();
    let transport = network + A::HEADER as usize;
    let end = transport + size_of::<BareTcp>();
    let surplus = packet.length().checked_sub(end)?;
    if surplus > 0 && !packet.shrink_tail(surplus) {
        return None;
    }
    packet.set_header(transport, &header(to, seq))?;
    A::write_bare(packet, network, to, Protocol::TCP, size_of::<BareTcp>())?;
    packet.set_header(0, &link)
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "20 bytes")]
fn header<A: Family>(to: &Tuple<A>, seq: [u8; 4]) -> BareTcp {
    let control = [DATA_OFFSET, RST, 0, 0];
    let [high, low] = (size_of::<BareTcp>() as u16).to_be_bytes();
    // The pseudo-headers of RFC 9293 §3.1 and RFC 8200 §8.1 hold the same words.
    let pseudo = [0, Protocol::TCP.0, high, low];
    let sum = (to.src.checksum_words())
        .plus(to.dst.checksum_words())
        .plus(Delta::of_word(u32::from_ne_bytes(pseudo)))
        .plus(Delta::of_ports(to.sport, to.dport))
        .plus(Delta::of_word(u32::from_ne_bytes(seq)))
        .plus(Delta::of_word(u32::from_ne_bytes(control)));
    BareTcp {
        source: to.sport.0,
        dest: to.dport.0,
        seq,
        ack_seq: [0; 4],
        control,
        check: checksum::of(sum),
        urgent: [0; 2],
    }
}
