//! Keeps fragments that came before the first of their datagram, and hands them back to the program when that has come.
//!
//! The program can not hold a packet, so it puts such a fragment into the ring `ORPHANS`. A thread of its own takes it
//! from there, waits until `FRAGMENTS4` or `FRAGMENTS6` knows the datagram, and runs the very same program on the frame, as
//! if it had come in by its interface only now: `BPF_PROG_TEST_RUN` with live frames (Linux 5.18) does for real what
//! the program's verdict says. Without the agent such fragments are lost, and nothing else.

mod inject;
mod waiting;

use std::{
    os::fd::{AsFd as _, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use adc_common::abi::{
    Addr4, Addr6, FRAGMENT_LIFETIME, FragmentEntry, FragmentKey, OrphanRecord, Tick,
};
use aya::maps::{HashMap, MapData, MapError, RingBuf};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use self::waiting::{Datagram, Waiting};
use super::{clock, error::DataplaneError, loader::Maps, mapped::Mapped};

/// How often is asked whether a first fragment has come, while others wait for theirs.
const PACE: Duration = Duration::from_millis(2);

/// Fragments taken from the ring per [`PACE`]: a flood of them fills the ring, where the program drops them, and not a CPU.
const AT_ONCE: usize = 64;

/// How long the thread sleeps on an empty ring before it looks whether it is still wanted, milliseconds.
const IDLE_MILLIS: u16 = 100;

/// What became of fragments that were kept, since the agent started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrphanTotals {
    /// Handed back to the program after their first fragment.
    pub resumed: u64,
    /// Given up: the first fragment did not come in time.
    pub expired: u64,
    /// Not kept: too many of one sender, or of all.
    pub refused: u64,
    /// The kernel did not take them back.
    pub failed: u64,
}

/// Counters that the thread moves.
#[derive(Debug, Default)]
pub struct OrphanCounts {
    resumed: AtomicU64,
    expired: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

impl OrphanCounts {
    /// As they are now.
    pub fn totals(&self) -> OrphanTotals {
        OrphanTotals {
            resumed: self.resumed.load(Ordering::Relaxed),
            expired: self.expired.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }
}

/// The thread. It ends soon after this is dropped.
pub struct OrphanKeeper {
    counts: Arc<OrphanCounts>,
    pub(super) firsts: Arc<Firsts>,
    wanted: Arc<AtomicBool>,
}

impl Drop for OrphanKeeper {
    fn drop(&mut self) {
        self.wanted.store(false, Ordering::Relaxed);
    }
}

impl OrphanKeeper {
    /// Starts it on the loaded program.
    pub(super) fn start(maps: &mut Maps<'_>) -> Result<Self, DataplaneError> {
        let fail = |map| move |error: MapError| DataplaneError::map("opening", map, error);
        let counts = Arc::new(OrphanCounts::default());
        let wanted = Arc::new(AtomicBool::new(true));
        let firsts = Arc::new(Firsts {
            v4: maps
                .take("FRAGMENTS4")?
                .try_into()
                .map_err(fail("FRAGMENTS4"))?,
            v6: maps
                .take("FRAGMENTS6")?
                .try_into()
                .map_err(fail("FRAGMENTS6"))?,
        });
        let keeper = Keeper {
            ring: maps.take("ORPHANS")?.try_into().map_err(fail("ORPHANS"))?,
            firsts: Arc::clone(&firsts),
            program: maps.program()?,
            waiting: Waiting::default(),
            counts: Arc::clone(&counts),
            complained: false,
        };
        let on = Arc::clone(&wanted);
        thread::Builder::new()
            .name("fragments".into())
            .spawn(move || keeper.run(&on))
            .map_err(|error| DataplaneError::Load {
                reason: format!("no thread for fragments: {error}"),
            })?;
        Ok(Self {
            counts,
            firsts,
            wanted,
        })
    }

    /// What became of the fragments so far.
    pub fn counts(&self) -> &Arc<OrphanCounts> {
        &self.counts
    }
}

/// What the thread works with.
struct Keeper {
    ring: RingBuf<MapData>,
    firsts: Arc<Firsts>,
    program: OwnedFd,
    waiting: Waiting,
    counts: Arc<OrphanCounts>,
    /// Whether a refusal of the kernel has been logged.
    complained: bool,
}

/// First fragments, as the program remembers them.
pub(super) struct Firsts {
    pub(super) v4: HashMap<MapData, Mapped<FragmentKey<Addr4>>, Mapped<FragmentEntry>>,
    pub(super) v6: HashMap<MapData, Mapped<FragmentKey<Addr6>>, Mapped<FragmentEntry>>,
}

impl Firsts {
    /// Whether the program knows the datagram, and will for long enough: what it does not know comes straight back.
    fn know(&self, datagram: &Datagram, now: Tick) -> bool {
        const FRESH: Tick = Tick(FRAGMENT_LIFETIME.0 / 2);
        let fresh = |entry: Mapped<FragmentEntry>| now.since(entry.0.seen) < FRESH;
        let Datagram {
            src,
            dst,
            id,
            protocol,
        } = *datagram;
        if let (Some(src), Some(dst)) = (src.v4(), dst.v4()) {
            let key = FragmentKey::new(src, dst, id, protocol);
            self.v4.get(&Mapped(key), 0).is_ok_and(fresh)
        } else {
            let key = FragmentKey::new(Addr6(src.0), Addr6(dst.0), id, protocol);
            self.v6.get(&Mapped(key), 0).is_ok_and(fresh)
        }
    }
}

impl Keeper {
    fn run(mut self, wanted: &AtomicBool) {
        while wanted.load(Ordering::Relaxed) {
            if self.waiting.is_empty() {
                let mut ring = [PollFd::new(self.ring.as_fd(), PollFlags::POLLIN)];
                // Interrupted or in vain: the ring is looked at either way.
                let _ready = poll(&mut ring, PollTimeout::from(IDLE_MILLIS));
            } else {
                thread::sleep(PACE);
            }
            self.step();
        }
    }

    fn step(&mut self) {
        let now = clock::now();
        for _ in 0..AT_ONCE {
            let Some(record) = self.ring.next() else {
                break;
            };
            // The only writer is the program, whose records have this size.
            let Ok(record) = bytemuck::try_from_bytes::<OrphanRecord>(&record) else {
                continue;
            };
            let frame = record.frame.get(..usize::from(record.about.length));
            if !frame.is_some_and(|frame| self.waiting.keep(&record.about, frame, now)) {
                self.counts.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
        for frame in self
            .waiting
            .take(|datagram| self.firsts.know(datagram, now))
        {
            match inject::live(self.program.as_fd(), &frame.bytes, frame.ifindex) {
                Ok(()) => self.counts.resumed.fetch_add(1, Ordering::Relaxed),
                Err(error) => {
                    if !self.complained {
                        tracing::warn!(%error, "the kernel does not take a held fragment back; fragments that come before their first are lost");
                        self.complained = true;
                    }
                    self.counts.failed.fetch_add(1, Ordering::Relaxed)
                }
            };
        }
        let expired = self.waiting.expire(now) as u64;
        self.counts.expired.fetch_add(expired, Ordering::Relaxed);
    }
}
