//! Flow entries of earlier layouts, and what becomes of them in ours. Pure.
//!
//! A layout is told by the sizes of its values. When a release changes [`FlowEntry`] or [`HalfOpenEntry`], the shape that
//! they had becomes an implementation of [`Earlier`] here and a variant of [`FlowLayout`], in place of what nobody can meet
//! any more.

use adc_common::abi::{Addr4, Addr6, FlowEntry, HalfOpenEntry};
use bytemuck::Pod;

/// Entries of another layout.
pub(super) trait Earlier<A> {
    /// Value of its main table.
    type Entry: Pod + PartialEq;
    /// Value of its half-open table.
    type HalfOpen: Pod + PartialEq;

    /// What it says, as this release says it.
    fn entry(earlier: &Self::Entry) -> FlowEntry<A>;

    /// The same of a half-open flow.
    fn half_open(earlier: &Self::HalfOpen) -> HalfOpenEntry<A>;
}

/// Flow tables that this release takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FlowLayout {
    /// As ours: the tables themselves are taken over.
    Same,
    /// Eight bytes stand before each entry. No release had it: it is what `adc-ebpf` builds with the feature
    /// `earlier-layout`, so that moving is tested before the first release has to rely on it.
    Headed,
}

/// The layout called so above.
pub(super) struct Headed;

impl FlowLayout {
    /// By the value sizes of the tables, bytes: main and half-open of IPv4, then of IPv6. `None` = one that is not known.
    pub(super) fn of(sizes: [usize; 4]) -> Option<Self> {
        const SAME: [usize; 4] = [
            size_of::<FlowEntry<Addr4>>(),
            size_of::<HalfOpenEntry<Addr4>>(),
            size_of::<FlowEntry<Addr6>>(),
            size_of::<HalfOpenEntry<Addr6>>(),
        ];
        if sizes == SAME {
            Some(Self::Same)
        } else if sizes == SAME.map(|size| size + HEAD) {
            Some(Self::Headed)
        } else {
            None
        }
    }
}

const HEAD: usize = size_of::<u64>();

/// The bytes behind the head. Both are plain bytes of known sizes, so this can not fail.
fn behind_head<V: Pod, T: Pod>(earlier: &V) -> T {
    const { assert!(size_of::<V>() == size_of::<T>() + HEAD) };
    let bytes = bytemuck::bytes_of(earlier);
    let (_head, entry) = bytes.split_at(HEAD);
    bytemuck::pod_read_unaligned(entry)
}

impl Earlier<Addr4> for Headed {
    type Entry = [u64; 5];
    type HalfOpen = [u64; 6];

    fn entry(earlier: &Self::Entry) -> FlowEntry<Addr4> {
        behind_head(earlier)
    }

    fn half_open(earlier: &Self::HalfOpen) -> HalfOpenEntry<Addr4> {
        behind_head(earlier)
    }
}

impl Earlier<Addr6> for Headed {
    type Entry = [u64; 8];
    type HalfOpen = [u64; 9];

    fn entry(earlier: &Self::Entry) -> FlowEntry<Addr6> {
        behind_head(earlier)
    }

    fn half_open(earlier: &Self::HalfOpen) -> HalfOpenEntry<Addr6> {
        behind_head(earlier)
    }
}

#[cfg(test)]
mod tests {
    use adc_common::abi::{BackendId, FlowFlags, Phase, Port, Tick, Tuple};

    use super::*;

    fn entry() -> FlowEntry<Addr4> {
        FlowEntry {
            other: Tuple {
                src: Addr4([10, 2, 0, 1]),
                dst: Addr4([192, 0, 2, 7]),
                sport: Port([0x1f, 0x90]),
                dport: Port([0x9c, 0x40]),
            },
            last_seen: Tick(77),
            backend: BackendId(3),
            phase: Phase::ESTABLISHED,
            flags: FlowFlags::REPLY,
            ..FlowEntry::default()
        }
    }

    fn headed<const N: usize>(value: &impl Pod) -> [u64; N] {
        let mut words = [u64::MAX; N];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        bytes[HEAD..].copy_from_slice(bytemuck::bytes_of(value));
        words
    }

    #[test]
    fn every_field_of_a_flow_arrives() {
        assert_eq!(Headed::entry(&headed::<5>(&entry())), entry());
        let half = HalfOpenEntry {
            flow: entry(),
            initial_seq: 0x0102_0304,
            preface: 1,
            ..HalfOpenEntry::default()
        };
        assert_eq!(Headed::half_open(&headed::<6>(&half)), half);
    }

    #[test]
    fn a_layout_is_known_by_the_sizes_of_all_its_tables() {
        assert_eq!(FlowLayout::of([32, 40, 56, 64]), Some(FlowLayout::Same));
        assert_eq!(FlowLayout::of([40, 48, 64, 72]), Some(FlowLayout::Headed));
        assert_eq!(FlowLayout::of([40, 40, 56, 64]), None, "a mix");
        assert_eq!(FlowLayout::of([24, 32, 48, 56]), None);
    }
}
