//! Instructions of classic BPF, by the kernel's numbers (linux/bpf_common.h).

pub(super) const LOAD_WORD: u16 = 0x20;
pub(super) const LOAD_HALF: u16 = 0x28;
pub(super) const LOAD_BYTE: u16 = 0x30;
pub(super) const LOAD_WORD_AT_X: u16 = 0x40;
pub(super) const LOAD_HALF_AT_X: u16 = 0x48;
/// X = 4 * (byte & 15): the length of an IPv4 header.
pub(super) const X_IS_HEADER_LENGTH: u16 = 0xb1;
pub(super) const JUMP_IF_EQUAL: u16 = 0x15;
pub(super) const RETURN: u16 = 0x06;
/// Where the type of a packet can be loaded from: `SKF_AD_OFF + SKF_AD_PKTTYPE` of linux/filter.h.
pub(super) const PACKET_TYPE: u32 = 0xffff_f000 + 4;
/// `PACKET_OUTGOING` of linux/if_packet.h: sent by this interface, not received.
pub(super) const OUTGOING: u32 = 4;
