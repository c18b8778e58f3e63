//! The packet table: what becomes of which packet, in sentences. Runs on the host (`host_packet_table`) and in
//! the kernel (`prog_packet_table`).

mod addressed;
mod bad;
mod clients;
mod conflict;
mod direct;
mod down;
mod fenced;
mod fragments;
mod full_nat;
mod handshake;
mod header;
mod icmp_errors;
mod life;
mod mss;
mod nat64;
mod nat64_errors;
mod nat64_fragments;
mod odd;
mod passed;
mod ping;
mod preface;
mod preface_limits;
mod ranges;
mod sctp;
mod tagged;
mod too_big;
mod udp;
mod unable;

use adc_common::abi::{Reason, TableCounters};

use super::{Case, Talk};
use crate::packets::Segment;

/// Every case.
pub fn all() -> Vec<Case> {
    [
        handshake::cases(),
        life::cases(),
        odd::cases(),
        udp::cases(),
        tagged::cases(),
        header::cases(),
        clients::cases(),
        conflict::cases(),
        down::cases(),
        fenced::cases(),
        full_nat::cases(),
        nat64::cases(),
        nat64_errors::cases(),
        nat64_fragments::cases(),
        passed::cases(),
        unable::cases(),
        bad::cases(),
        icmp_errors::cases(),
        ping::cases(),
        fragments::cases(),
        direct::cases(),
        too_big::cases(),
        mss::cases(),
        ranges::cases(),
        preface::cases(),
        preface_limits::cases(),
        sctp::cases(),
        addressed::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Initial sequence number of the clients.
const CLIENT: u32 = 0xffff_fff0;
/// Initial sequence number of the backends.
const BACKEND: u32 = 5_000_000;

/// One flow was validated.
const ONE: TableCounters = TableCounters {
    inserted: 1,
    removed: 0,
    full: 0,
    orphans: 0,
    untold: 0,
};

fn syn() -> Segment {
    // MSS, SACK, timestamps, window scale, as Linux sends them.
    Segment::tcp("S", CLIENT, 0).tcp_options(&[
        2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7,
    ])
}

fn syn_ack() -> Segment {
    Segment::tcp("SA", BACKEND, CLIENT.wrapping_add(1)).tcp_options(&[2, 4, 5, 0xb4])
}

fn ack() -> Segment {
    Segment::tcp("A", CLIENT.wrapping_add(1), BACKEND + 1)
}

/// The client's packet after the handshake, `at` bytes into its stream.
fn request(flags: &str, at: u32) -> Segment {
    Segment::tcp(flags, CLIENT.wrapping_add(1 + at), BACKEND + 1)
}

/// The backend's packet after the handshake, `at` bytes into its stream.
fn answer(flags: &str, at: u32) -> Segment {
    Segment::tcp(flags, BACKEND + 1 + at, CLIENT.wrapping_add(1))
}

/// A complete handshake.
fn established(case: Case, talk: &Talk) -> Case {
    case.sent("the SYN", talk.request(&syn()), Reason::ScheduledNewFlow)
        .sent(
            "the SYN-ACK",
            talk.answer(&syn_ack()),
            Reason::ForwardedToClient,
        )
        .sent("the ACK", talk.request(&ack()), Reason::ForwardedToBackend)
}
