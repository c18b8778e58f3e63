//! What follows when the HA thread hangs.

use std::time::Duration;

use super::*;
use crate::{ha::heartbeat::detector::Detector, ha::pair::attendance::PATIENCE, model::Profile};

const STEP: Duration = Duration::from_millis(50);

struct Bench {
    judge: PairJudge,
    detector: Detector,
    now: Instant,
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
            _events: received,
        }
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
fn leases_are_renewed_only_while_the_ha_thread_comes_to_the_docket() {
    let mut bench = Bench::new();
    bench.brief();
    let almost = PATIENCE.saturating_sub(Duration::from_secs(1));
    // The peer is not there.
    assert_eq!(bench.run(Duration::from_secs(1)), Role::Active);
    assert_eq!(bench.run(almost), Role::Active);
    assert_eq!(bench.run(STEP), Role::Fault);
    assert_eq!(bench.judge.cases[0].lease, None);
    bench.brief();
    assert_eq!(bench.run(Duration::from_secs(1)), Role::Active);
    assert!(bench.judge.cases[0].lease.is_some());
}
