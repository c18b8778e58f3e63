//! The largest segment that a SYN announces, made smaller.

use core::mem::MaybeUninit;

use super::{
    checksum::{self, Delta},
    family::Family,
    parse::Frame,
    ports::{MAX_HEADER_OFFSET, PacketBuf, Tables},
    preface,
    scratch::{Delivery, Seen},
    tunnel,
    wire::{TCP_CHECKSUM, TcpControl},
};
use crate::abi::{FlowFlags, Protocol, ServiceEntry};

/// Bytes of a TCP header without options.
const TCP: u32 = 20;

const _: () = assert!(size_of::<TcpControl>() == TCP as usize);

/// Options that are walked, padding (NOP) among them. Linux, Windows and the BSDs put the MSS first.
const MAX_OPTIONS: usize = 16;

/// Lowers the MSS option of a SYN to what its service wants. A SYN without the option is left alone: it means 536 or
/// 1220 bytes (RFC 9293 §3.7.1), which is small enough. `None` if the packet ends before its options do.
#[inline(never)]
pub(super) fn clamp<A, P, T>(
    packet: &mut P,
    tables: &T,
    seen: &Seen<A>,
    delivery: &Delivery<A>,
) -> Option<()>
where
    A: Family,
    P: PacketBuf,
    T: Tables,
{
    // SCTP opens with the same flag, and has no such option.
    if seen.key.protocol != Protocol::TCP {
        return None;
    }
    let backend = tables.backend(delivery.backend)?;
    // The client's first segment is to have room for the header in front of it.
    let preface = preface::room::<A>(delivery);
    let limit = match tables.service(backend.service)?.mss_clamp {
        0 if preface == 0 => return Some(()),
        0 => u16::MAX,
        ServiceEntry::MSS_OF_MTU => {
            let tunnel = if delivery.direct.contains(FlowFlags::TUNNEL) {
                tunnel::overhead(backend)
            } else {
                0
            };
            of_mtu(tables, &seen.frame, delivery, tunnel + A::HEADER)?
        }
        limit => limit,
    };
    let transport = seen.frame.transport();
    let at = find(packet, transport)?;
    let mut old = MaybeUninit::<[u8; 2]>::uninit();
    let old = *packet.header(at, &mut old)?;
    let announced = u16::from_be_bytes(old);
    let lowered = announced.min(limit).saturating_sub(preface);
    if lowered == 0 || lowered == announced {
        return Some(());
    }
    let new = lowered.to_be_bytes();
    let mut check = MaybeUninit::<[u8; 2]>::uninit();
    let check = *packet.header(transport + TCP_CHECKSUM, &mut check)?;
    // RFC 1071 §2 B: at an odd offset the two bytes stand in each other's place.
    let word = |[high, low]: [u8; 2]| {
        if (at ^ transport) & 1 == 0 {
            u16::from_ne_bytes([high, low])
        } else {
            u16::from_ne_bytes([low, high])
        }
    };
    let change = Delta::replace16(word(old), word(new));
    packet.set_header(at, &new)?;
    packet.set_header(transport + TCP_CHECKSUM, &checksum::apply(check, change))
}

/// What fits both the interface that the SYN came by and the one it leaves by; the answers take the same way back, or
/// are the backend's affair.
#[inline(always)]
fn of_mtu<A: Family, T: Tables>(
    tables: &T,
    frame: &Frame,
    delivery: &Delivery<A>,
    headers: u32,
) -> Option<u16> {
    let ingress = tables.interface(frame.ingress())?;
    let egress = tables.interface(delivery.hop.interface)?;
    let mtu = ingress.mtu.min(egress.mtu);
    let room = mtu.checked_sub(headers + TCP)?;
    u16::try_from(room).ok().filter(|room| *room > 0)
}

/// Offset of the value of the MSS option (kind 2, length 4; RFC 9293 §3.2).
#[inline(always)]
fn find<P: PacketBuf>(packet: &P, transport: usize) -> Option<usize> {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const MSS: u8 = 2;
    let mut control = MaybeUninit::<TcpControl>::uninit();
    let header = usize::from(packet.header(transport, &mut control)?.data_offset >> 4) * 4;
    let end = transport + header;
    let mut at = transport + TCP as usize;
    for _ in 0..MAX_OPTIONS {
        // The mask makes all ways to an offset look alike to the verifier, which would follow each otherwise.
        at &= MAX_HEADER_OFFSET;
        if at + 4 > end {
            return None;
        }
        let mut option = MaybeUninit::<[u8; 2]>::uninit();
        let [kind, length] = *packet.header(at, &mut option)?;
        match kind {
            END => return None,
            NO_OPERATION => at += 1,
            MSS if length == 4 => return Some(at + 2),
            _ if length < 2 => return None,
            _ => at += usize::from(length),
        }
    }
    None
}
