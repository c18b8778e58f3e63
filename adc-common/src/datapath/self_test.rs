//! The question by which the agent makes sure that the loaded program answers, and finds its tables.
//!
//! It never comes from a wire: the agent runs the program on it (`BPF_PROG_TEST_RUN`), and such a run comes in by loopback
//! (`bpf_prog_test_run_xdp`, net/bpf/test_run.c), which has index 1 in every network namespace (`LOOPBACK_IFINDEX`,
//! include/net/flow.h). It looks like ARP with IPv6-sized addresses and an operation that is reserved for experiments, so a
//! frame of the same form from a wire is what it looks like: ARP that concerns nobody.

use core::mem::MaybeUninit;

use super::{
    ports::{PacketBuf, Tables},
    scratch::Scratch,
    wire::{ArpQuestion, ETHERTYPE_ARP},
};
use crate::abi::{Addr4, Addr16, GroupSlot, Reason};

/// Index of the interface that a run of the agent's comes in by.
const LOOPBACK: u32 = 1;

/// Bytes of the question: an Ethernet header and the message.
pub const QUESTION_BYTES: usize = 14 + size_of::<ArpQuestion>();

/// The question whether the program knows the group of a VIP, and its lease. IPv4 addresses are mapped.
pub fn question(vip: Addr16) -> [u8; QUESTION_BYTES] {
    let mut frame = [0; QUESTION_BYTES];
    frame[12..14].copy_from_slice(&ETHERTYPE_ARP);
    frame[14..22].copy_from_slice(&ArpQuestion::SELF_TEST);
    frame[QUESTION_BYTES - 16..].copy_from_slice(&vip.0);
    frame
}

/// The answer to an ARP message at `offset` that is no request for an IPv4 address.
#[inline(never)]
pub(super) fn answer<P: PacketBuf, T: Tables>(packet: &P, tables: &T, offset: usize) -> Reason {
    let mut message = MaybeUninit::<ArpQuestion>::uninit();
    if packet.ingress_ifindex() != LOOPBACK {
        return Reason::NotIp;
    }
    let Some(message) = packet.header(offset, &mut message) else {
        return Reason::NotIp;
    };
    if message.kind != ArpQuestion::SELF_TEST {
        return Reason::NotIp;
    }
    let target = Addr16(message.target);
    let found = tables.with_scratch(|scratch: &mut Scratch<Addr4>| {
        scratch.index.vip = target;
        let slot = tables.group_of(&scratch.index.vip);
        slot.is_some_and(|slot| slot != GroupSlot(0) && tables.lease(slot).is_some())
    });
    if found == Some(true) {
        Reason::SelfTest
    } else {
        Reason::NotIp
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        abi::{Addr6, LeaseEntry},
        datapath::{Action, process},
        host::{HostClock, HostPacket, HostTables},
    };

    const SLOT: GroupSlot = GroupSlot(3);

    fn vips() -> [Addr16; 2] {
        let mut v6 = [0; 16];
        (v6[0], v6[15]) = (0xfd, 9);
        [Addr4([192, 0, 2, 1]).into(), Addr6(v6).into()]
    }

    fn tables() -> HostTables {
        let mut tables = HostTables::default();
        tables.leases.insert(SLOT, LeaseEntry::default());
        for vip in vips() {
            tables.group_vips.insert(vip, SLOT);
        }
        tables
    }

    fn ask(tables: &HostTables, vip: Addr16, ifindex: u32) -> Reason {
        let frame = question(vip).to_vec();
        let mut packet = HostPacket::new(frame.clone(), ifindex);
        let verdict = process(&mut packet, tables, &HostClock::default());
        assert_eq!(verdict.action, Action::Pass);
        assert_eq!(packet.bytes(), frame);
        verdict.reason
    }

    #[test]
    fn a_vip_of_a_group_is_known_whether_its_lease_runs_or_not() {
        for vip in vips() {
            assert_eq!(ask(&tables(), vip, LOOPBACK), Reason::SelfTest);
        }
    }

    #[test]
    fn what_the_tables_do_not_have_is_told_apart() {
        let [vip, _] = vips();
        let other = Addr4([192, 0, 2, 2]).into();
        assert_eq!(ask(&tables(), other, LOOPBACK), Reason::NotIp);
        let mut no_lease = tables();
        no_lease.leases.clear();
        assert_eq!(ask(&no_lease, vip, LOOPBACK), Reason::NotIp);
    }

    #[test]
    fn a_frame_from_a_wire_is_no_question_of_the_agents() {
        let [vip, _] = vips();
        assert_eq!(ask(&tables(), vip, 2), Reason::NotIp);
    }
}
