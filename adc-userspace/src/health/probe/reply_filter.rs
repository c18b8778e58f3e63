//! A socket filter that lets a raw ICMP socket queue nothing but the reply to its own request.
//!
//! Every raw socket gets a copy of every ICMP packet from its peer. When many probes ask one host at once
//! (or it floods us), a receive buffer fills with other people's packets in no time, and the one reply
//! that counts is dropped.

use libc::{
    BPF_B, BPF_IMM, BPF_IND, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_LDX, BPF_MSH, BPF_RET, BPF_W,
};
use socket2::SockFilter;

use super::echo::{Echo, Family};

/// Bytes of a packet to keep: all.
const ACCEPT: u32 = u32::MAX;
const DROP: u32 = 0;

/// Classic BPF (`socket(7)`, SO_ATTACH_FILTER): type, then identifier and sequence number as one word.
pub(super) fn only_reply_to(echo: &Echo) -> [SockFilter; 7] {
    // X = where the ICMP message starts. A raw IPv4 socket sees the IP header, an IPv6 one does not.
    let find_message = match echo.family {
        Family::V4 => op(BPF_LDX | BPF_B | BPF_MSH, 0, 0, 0),
        Family::V6 => op(BPF_LDX | BPF_W | BPF_IMM, 0, 0, 0),
    };
    let tag = u32::from(echo.id) << 16 | u32::from(echo.sequence);
    [
        find_message,
        op(BPF_LD | BPF_B | BPF_IND, 0, 0, 0),
        op(
            BPF_JMP | BPF_JEQ | BPF_K,
            0,
            3,
            u32::from(echo.family.reply_type()),
        ),
        op(BPF_LD | BPF_W | BPF_IND, 0, 0, 4),
        op(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, tag),
        op(BPF_RET | BPF_K, 0, 0, ACCEPT),
        op(BPF_RET | BPF_K, 0, 0, DROP),
    ]
}

/// One instruction; jumps are relative to the next one.
fn op(code: u32, if_equal: u8, if_not: u8, operand: u32) -> SockFilter {
    // All codes fit: classic BPF defines eight bits of them.
    let code = u16::try_from(code).unwrap_or(u16::MAX);
    SockFilter::new(code, if_equal, if_not, operand)
}
