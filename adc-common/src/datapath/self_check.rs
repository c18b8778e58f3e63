//! The walk, watched: one packet of N has its checksums verified as it comes and as it leaves.

use super::{
    pipeline::process,
    ports::{Clock, PacketBuf, Tables},
    soundness::{Soundness, soundness},
    verdict::{Action, Verdict},
};

/// [`process`], and counts what became of the checksums of one packet of `every`; of none if that is 0.
///
/// In the kernel the three steps are programs of their own, which hand the packet on: in one program the verifier
/// would look at the walk again for every way through the first step, and at the last step for every way through the walk.
pub fn process_checked<P: PacketBuf, T: Tables, C: Clock>(
    packet: &mut P,
    tables: &T,
    clock: &C,
    every: u32,
) -> Verdict {
    if every != 0 {
        watch(packet, tables, every);
    }
    let verdict = process(packet, tables, clock);
    if every != 0 {
        let leaves = match verdict.action {
            Action::Transmit | Action::Redirect(_) => true,
            Action::Pass | Action::Drop => false,
        };
        judge(packet, tables, leaves);
    }
    verdict
}

/// Notes whether it is the turn of this packet, as of one of `every` (not 0), and its checksums are right, so that they have to be right when it leaves.
#[inline(always)]
pub fn watch<P: PacketBuf, T: Tables>(packet: &P, tables: &T, every: u32) {
    let turn = tables.self_check(|counters| {
        counters.seen = counters.seen.wrapping_add(1);
        counters.watching = 0;
        counters.seen.is_multiple_of(u64::from(every))
    });
    if turn != Some(true) {
        return;
    }
    let finding = soundness(packet, tables);
    let _counted = tables.self_check(|counters| match finding {
        Soundness::Sound => counters.watching = 1,
        Soundness::Broken => counters.arrived_broken = counters.arrived_broken.wrapping_add(1),
        Soundness::Unknown => counters.not_checked = counters.not_checked.wrapping_add(1),
    });
}

/// Counts what became of a packet that came with right checksums; whether it `leaves` this machine at all.
#[inline(always)]
pub fn judge<P: PacketBuf, T: Tables>(packet: &P, tables: &T, leaves: bool) {
    let watching = tables.self_check(|counters| core::mem::take(&mut counters.watching));
    if watching != Some(1) {
        return;
    }
    let finding = if leaves {
        soundness(packet, tables)
    } else {
        Soundness::Unknown
    };
    let _counted = tables.self_check(|counters| match finding {
        Soundness::Sound => counters.sound = counters.sound.wrapping_add(1),
        Soundness::Broken => counters.failed = counters.failed.wrapping_add(1),
        Soundness::Unknown => counters.not_checked = counters.not_checked.wrapping_add(1),
    });
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;
    use crate::{
        abi::SelfCheckCounters,
        host::{HostPacket, HostTables},
    };

    fn packet(broken: bool) -> HostPacket {
        let mut bytes = Vec::new();
        PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4([192, 0, 2, 1], [198, 51, 100, 7], 64)
            .tcp(1, 2, 3, 4)
            .write(&mut bytes, &[1, 2, 3])
            .unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= u8::from(broken);
        HostPacket::new(bytes, 1)
    }

    #[test]
    fn one_packet_of_n_is_watched() {
        let tables = HostTables::default();
        let turns = (0..9).filter(|_| {
            watch(&packet(false), &tables, 3);
            tables.self_checks.borrow().watching == 1
        });
        assert_eq!(turns.count(), 3);
        assert_eq!(tables.self_checks.borrow().seen, 9);
    }

    #[test]
    fn what_comes_broken_is_counted_and_not_watched() {
        let tables = HostTables::default();
        watch(&packet(true), &tables, 1);
        judge(&packet(true), &tables, true);
        let counted = SelfCheckCounters {
            seen: 1,
            arrived_broken: 1,
            ..SelfCheckCounters::default()
        };
        assert_eq!(*tables.self_checks.borrow(), counted);
    }

    #[test]
    fn what_leaves_broken_is_a_failure_and_what_stays_is_none() {
        let tables = HostTables::default();
        for (broken, leaves) in [(false, true), (true, true), (true, false)] {
            tables.self_checks.borrow_mut().watching = 1;
            judge(&packet(broken), &tables, leaves);
        }
        judge(&packet(true), &tables, true);
        let counted = SelfCheckCounters {
            sound: 1,
            failed: 1,
            not_checked: 1,
            ..SelfCheckCounters::default()
        };
        assert_eq!(*tables.self_checks.borrow(), counted);
    }
}
