//! What follows when the HA thread hangs.

use std::time::Duration;

use super::*;
use crate::{
    ha::{
        heartbeat::{
            detector::Detector,
            packet::{Boot, Claim, Echo, Heartbeat},
        },
        pair::attendance::PATIENCE,
    },
    model::Profile,
};

const STEP: Duration = Duration::from_millis(50);

struct Bench {
    judge: PairJudge,
    detector: Detector,
    now: Instant,
    /// A backup is heard.
    peer_is_there: bool,
    sent: u64,
    _events: mpsc::Receiver<PairEvent>,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        let timing = Profile::Fast.timing();
        let (events, received) = mpsc::channel(16);
        let judge = PairJudge {
            own: NodeId(1),
            peer: NodeId(2),
            timing,
            docket: Arc::default(),
            attendance: Attendance::new(now),
            witness: None,
            leases: Leases::default(),
            events,
            cases: Vec::new(),
            apart: BTreeMap::new(),
        };
        Self {
            judge,
            detector: Detector::new(timing, 1, now),
            now,
            peer_is_there: false,
            sent: 0,
            _events: received,
        }
    }

    fn hear(&mut self) {
        self.sent += 1;
        let timing = Profile::Fast.timing();
        let heartbeat = Heartbeat {
            node: NodeId(2),
            boot: Boot(1),
            seq: self.sent,
            path: 0,
            heard: 1,
            echo: Echo::default(),
            interval: timing.interval,
            multiplier: timing.multiplier,
            data_plane_ok: true,
            agent_ok: true,
            config_hash: 0,
            sync: SyncState::InSync,
            groups: vec![Claim {
                group: GroupId::of("front"),
                role: Role::Backup,
                priority: 50,
                term: 0,
                held: false,
                yields: false,
                wants: false,
            }],
        };
        self.detector.hear(0, &heartbeat, self.now);
    }

    fn brief(&self) {
        let brief = Brief {
            priority: 100,
            fit: true,
            preempt: true,
            preempt_delay: Duration::ZERO,
            sync_group: None,
        };
        self.judge.docket.brief(&"front".parse().unwrap(), brief);
    }

    /// Decides for so long, while nobody comes to the docket; the role at the end.
    fn run(&mut self, time: Duration) -> Role {
        let end = self.now + time;
        let mut role = Role::Init;
        while self.now < end {
            self.now += STEP;
            if self.peer_is_there {
                self.hear();
            }
            let judgement = self.judge.decide(&View {
                detector: &self.detector,
                confirmed: None,
                statement: Statement {
                    data_plane_ok: true,
                    ..Statement::default()
                },
                now: self.now,
            });
            role = judgement.claims[0].role;
        }
        role
    }
}

#[test]
fn a_node_without_a_peer_that_could_serve_goes_on_as_it_was() {
    let mut bench = Bench::new();
    bench.brief();
    assert_eq!(bench.run(PATIENCE * 2), Role::Active);
    assert!(bench.judge.cases[0].lease.is_some());
}

#[test]
fn leases_are_renewed_only_while_the_ha_thread_comes_to_the_docket() {
    let mut bench = Bench::new();
    bench.brief();
    let almost = PATIENCE.saturating_sub(Duration::from_secs(1));
    // The peer is not there.
    assert_eq!(bench.run(Duration::from_secs(1)), Role::Active);
    bench.peer_is_there = true;
    assert_eq!(bench.run(almost), Role::Active);
    assert_eq!(bench.run(STEP), Role::Fault);
    assert_eq!(bench.judge.cases[0].lease, None);
    bench.brief();
    assert_eq!(bench.run(Duration::from_secs(1)), Role::Active);
    assert!(bench.judge.cases[0].lease.is_some());
}
