//! Whether the peer lives, from when its heartbeats came by which path. Pure.
//!
//! The peer is silent only when **all** paths are: one cable, one switch or one VLAN that fails moves nothing.

use std::time::{Duration, Instant};

use super::packet::{Claim, GroupId, Heartbeat, MAX_PATHS, SyncState};
use crate::model::Timing;

/// A peer that sends more slowly than we do is waited for, up to this interval: a pair whose profiles differ for a while is
/// no reason to fail over.
const SLOWEST: Duration = Duration::from_secs(1);

/// What is known of the peer now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was never heard, and it is too early to say that it will not be.
    Waiting,
    /// It is heard by one path at least.
    Present(Presence),
    /// It is heard by none.
    Silent {
        /// When it was last heard; `None` = never.
        last: Option<Instant>,
    },
}

/// What a peer that is heard says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence {
    /// It hears us, by one path at least. If not, it is about to take what we have.
    pub hears_us: bool,
    /// Its packets are forwarded.
    pub data_plane_ok: bool,
    /// Its agent works.
    pub agent_ok: bool,
    /// How far it has our flows.
    pub sync: SyncState,
    /// When it was last heard.
    pub last: Instant,
}

/// The watch over one peer.
#[derive(Clone, Debug)]
pub struct Detector {
    timing: Timing,
    peer_interval: Duration,
    started: Instant,
    paths: Vec<Option<Instant>>,
    /// The newest heartbeat, whichever path it came by.
    newest: Option<Heartbeat>,
}

impl Detector {
    /// A watch over so many paths, 16 at most, that begins now.
    pub fn new(timing: Timing, paths: usize, now: Instant) -> Self {
        Self {
            timing,
            peer_interval: Duration::ZERO,
            started: now,
            paths: vec![None; paths.min(MAX_PATHS)],
            newest: None,
        }
    }

    /// Takes in an admitted heartbeat that came by `path`.
    pub fn hear(&mut self, path: usize, heartbeat: &Heartbeat, now: Instant) {
        if let Some(last) = self.paths.get_mut(path) {
            *last = Some(now);
        }
        let order = |heartbeat: &Heartbeat| (heartbeat.boot, heartbeat.seq);
        // A slower path may bring an older one later.
        if (self.newest.as_ref()).is_some_and(|newest| order(newest) > order(heartbeat)) {
            return;
        }
        self.peer_interval = heartbeat.interval.min(SLOWEST);
        self.newest = Some(heartbeat.clone());
    }

    /// The newest heartbeat, however old it is.
    pub fn newest(&self) -> Option<&Heartbeat> {
        self.newest.as_ref()
    }

    /// What the newest heartbeat says of a group.
    pub fn claim(&self, group: GroupId) -> Option<Claim> {
        self.newest.as_ref()?.claim(group).copied()
    }

    /// How long a path may be quiet.
    pub fn patience(&self) -> Duration {
        let interval = self.timing.interval.max(self.peer_interval);
        interval * u32::from(self.timing.multiplier)
    }

    /// The paths by which the peer is heard: bit n for path n.
    pub fn heard(&self, now: Instant) -> u16 {
        let bits = self.paths.iter().enumerate();
        let bits = bits.filter(|(_, last)| self.is_fresh(**last, now));
        bits.fold(0, |mask, (path, _)| mask | 1 << path)
    }

    /// When the peer was last heard by each path.
    pub fn last_by_path(&self) -> &[Option<Instant>] {
        &self.paths
    }

    /// The verdict. What has arrived must have been taken in before: after a pause of our own, what waits in the sockets is
    /// proof of life.
    pub fn verdict(&self, now: Instant) -> Verdict {
        let last = self.paths.iter().copied().flatten().max();
        match (last, &self.newest) {
            (Some(last), Some(newest)) if self.is_fresh(Some(last), now) => {
                Verdict::Present(Presence {
                    hears_us: newest.heard != 0,
                    data_plane_ok: newest.data_plane_ok,
                    agent_ok: newest.agent_ok,
                    sync: newest.sync,
                    last,
                })
            }
            (None, _) if now.saturating_duration_since(self.started) < self.patience() => {
                Verdict::Waiting
            }
            (last, _) => Verdict::Silent { last },
        }
    }

    fn is_fresh(&self, last: Option<Instant>, now: Instant) -> bool {
        last.is_some_and(|last| now.saturating_duration_since(last) < self.patience())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ha::heartbeat::packet::{Boot, Echo, NodeId},
        model::Profile,
    };

    fn heartbeat(seq: u64, heard: u16) -> Heartbeat {
        Heartbeat {
            node: NodeId(2),
            boot: Boot(1),
            seq,
            path: 0,
            heard,
            echo: Echo::default(),
            interval: Duration::from_millis(20),
            multiplier: 5,
            data_plane_ok: true,
            agent_ok: true,
            config_hash: 0,
            sync: SyncState::Off,
            groups: Vec::new(),
        }
    }

    struct Watch {
        detector: Detector,
        start: Instant,
    }

    impl Watch {
        fn new(paths: usize) -> Self {
            let start = Instant::now();
            let detector = Detector::new(Profile::Fast.timing(), paths, start);
            Self { detector, start }
        }

        fn at(&self, milliseconds: u64) -> Instant {
            self.start + Duration::from_millis(milliseconds)
        }

        fn hear(&mut self, path: usize, seq: u64, heard: u16, milliseconds: u64) {
            let at = self.at(milliseconds);
            self.detector.hear(path, &heartbeat(seq, heard), at);
        }

        fn is_silent(&self, milliseconds: u64) -> bool {
            let verdict = self.detector.verdict(self.at(milliseconds));
            matches!(verdict, Verdict::Silent { .. })
        }
    }

    #[test]
    fn only_the_silence_of_all_paths_is_silence() {
        let mut watch = Watch::new(2);
        watch.hear(0, 1, 3, 0);
        watch.hear(1, 1, 3, 60);
        assert!(!watch.is_silent(159));
        assert_eq!(watch.detector.heard(watch.at(99)), 0b11);
        assert_eq!(watch.detector.heard(watch.at(100)), 0b10);
        assert!(watch.is_silent(160));
        let last = Some(watch.at(60));
        assert_eq!(
            watch.detector.verdict(watch.at(160)),
            Verdict::Silent { last }
        );
    }

    #[test]
    fn a_peer_that_was_never_heard_is_waited_for_once() {
        let watch = Watch::new(1);
        assert_eq!(watch.detector.verdict(watch.at(99)), Verdict::Waiting);
        let never = Verdict::Silent { last: None };
        assert_eq!(watch.detector.verdict(watch.at(100)), never);
    }

    #[test]
    fn what_the_newest_heartbeat_says_counts_whichever_came_last() {
        let mut watch = Watch::new(2);
        watch.hear(0, 5, 0, 0);
        watch.hear(1, 4, 3, 1);
        let Verdict::Present(presence) = watch.detector.verdict(watch.at(2)) else {
            panic!("it was heard");
        };
        assert!(!presence.hears_us);
        assert_eq!(presence.last, watch.at(1));
    }

    #[test]
    fn a_slower_peer_is_waited_for_but_not_for_ever() {
        let mut watch = Watch::new(1);
        let slow = |interval| Heartbeat {
            interval,
            ..heartbeat(1, 1)
        };
        let now = watch.at(0);
        watch.detector.hear(0, &slow(Duration::from_secs(1)), now);
        assert!(!watch.is_silent(4_999));
        assert!(watch.is_silent(5_000));
        watch.detector.hear(0, &slow(Duration::from_hours(1)), now);
        assert!(watch.is_silent(5_000));
    }
}
