//! A packet as fragments.

use etherparse::{IpFragOffset, IpNumber, Ipv4Header, Ipv6FragmentHeader};

use super::damage::ip_offset;

/// Bytes of an IPv6 header.
const IPV6: usize = 40;

/// Cuts the packet in a frame into fragments of `size` bytes each, all with `id`. In IPv6 the fragment header stands before
/// all others.
///
/// # Panics
/// If `size` is no multiple of eight, or the packet is a fragment itself.
pub fn split(frame: &[u8], size: usize, id: u32) -> Vec<Vec<u8>> {
    assert!(
        size > 0 && size.is_multiple_of(8),
        "fragments are in units of eight"
    );
    let (link, packet) = frame.split_at(ip_offset(frame));
    let v6 = packet[0] >> 4 == 6;
    let header_length = if v6 {
        IPV6
    } else {
        usize::from(packet[0] & 15) * 4
    };
    let (header, body) = packet.split_at(header_length);
    let pieces = body.chunks(size).enumerate().map(|(n, piece)| {
        let more = (n + 1) * size < body.len();
        let offset = IpFragOffset::try_new(u16::try_from(n * size / 8).expect("offset"));
        let offset = offset.expect("13 bits");
        let head = if v6 {
            head6(header, offset, more, id, piece.len())
        } else {
            head4(header, offset, more, id, piece.len())
        };
        [link, &head, piece].concat()
    });
    pieces.collect()
}

fn head4(header: &[u8], offset: IpFragOffset, more: bool, id: u32, length: usize) -> Vec<u8> {
    let mut header = Ipv4Header::from_slice(header).expect("an IPv4 header").0;
    assert!(header.fragment_offset.value() == 0 && !header.more_fragments);
    header.dont_fragment = false;
    header.more_fragments = more;
    header.fragment_offset = offset;
    header.identification = u16::try_from(id).expect("16 bits");
    header.total_len = u16::try_from(header.header_len() + length).expect("length");
    header.header_checksum = header.calc_header_checksum();
    header.to_bytes().to_vec()
}

fn head6(header: &[u8], offset: IpFragOffset, more: bool, id: u32, length: usize) -> Vec<u8> {
    let mut head = header.to_vec();
    let next = IpNumber(head[6]);
    head[6] = IpNumber::IPV6_FRAGMENTATION_HEADER.0;
    let total = u16::try_from(8 + length).expect("length");
    head[4..6].copy_from_slice(&total.to_be_bytes());
    head.extend(Ipv6FragmentHeader::new(next, offset, more, id).to_bytes());
    head
}
