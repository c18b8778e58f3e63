//! What tracked things add up to. Pure.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::vrrp::Tracking;
use crate::{
    bfd::Verdict,
    model::{PoolName, Track, Tracked},
    neighbours::Devices,
};

/// Makes any priority the least, whatever else adds to it (weights are 16 bits wide).
const LEAST: i32 = -(1 << 24);

/// What is known of the things that groups track.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Devices of this machine.
    pub(super) devices: Devices,
    /// Backends that take new flows, per pool.
    pub(super) pools: BTreeMap<PoolName, u32>,
    /// What the agent found of the data plane; the error is what is wrong with it.
    pub(super) self_test: Option<Result<(), String>>,
    /// What BFD sessions say, by name.
    pub(super) sessions: BTreeMap<String, Verdict>,
}

/// One tracked thing as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// What is watched.
    pub(super) thing: String,
    /// Whether it is well; `None` while nobody knows.
    pub(super) well: Option<bool>,
    /// What it adds to the priority now.
    pub(super) weight: i32,
    /// Whether it keeps the node from being active.
    pub(super) fault: bool,
}

/// Judges every tracked thing; `scripts` are the verdicts of the scripts among them, in their order.
pub(super) fn judge(track: &[Track], known: &Known, scripts: &[Option<bool>]) -> Vec<Finding> {
    let mut scripts = scripts.iter();
    let findings = track.iter().map(|track| {
        let well = match &track.what {
            Tracked::Interface(name) => {
                Some(known.devices.get(name).is_some_and(|device| device.usable))
            }
            Tracked::Pool { pool, min_up } => known.pools.get(pool).map(|up| up >= min_up),
            Tracked::Bfd(session) => reaches(known.sessions.get(session.as_str())),
            Tracked::Script(_) => scripts.next().copied().flatten(),
            Tracked::SelfTest => return self_test(known, track.weight),
        };
        Finding {
            thing: Thing(&track.what).to_string(),
            well,
            weight: counted(track.weight, well),
            fault: track.weight.is_none() && well != Some(true),
        }
    });
    let mut findings: Vec<_> = findings.collect();
    if !track.iter().any(|track| track.what == Tracked::SelfTest) {
        findings.push(self_test(known, None));
    }
    findings
}

/// What a weight adds to the priority.
fn counted(weight: Option<i16>, well: Option<bool>) -> i32 {
    let counts = weight.filter(|weight| well == Some(*weight > 0));
    counts.unwrap_or(0).into()
}

/// The data plane as the agent found it. One that nobody has tested yet is none that failed: it serves already, or the lease
/// keeps it from that.
fn self_test(known: &Known, weight: Option<i16>) -> Finding {
    let well = known.self_test.as_ref().map(Result::is_ok);
    let thing = match &known.self_test {
        Some(Err(what)) => format!("the data plane ({what})"),
        Some(Ok(())) | None => Thing(&Tracked::SelfTest).to_string(),
    };
    Finding {
        thing,
        well,
        weight: counted(weight, well),
        fault: weight.is_none() && well == Some(false),
    }
}

/// What it means that there has been no agent for so long: backends are not checked and next hops not followed, so any other
/// node is better, and none is worse.
pub(super) fn absence(gone: Option<Duration>, grace: Duration) -> Option<Finding> {
    gone.filter(|gone| *gone >= grace).map(|_| Finding {
        thing: "agent".into(),
        well: Some(false),
        weight: LEAST,
        fault: false,
    })
}

/// What findings mean for the group.
pub(super) fn sum(findings: &[Finding]) -> Tracking {
    let fault = findings.iter().find(|finding| finding.fault);
    Tracking {
        weight: findings.iter().map(|finding| finding.weight).sum(),
        fault: fault.map(|finding| match finding.well {
            Some(_) => format!("{} is not well", finding.thing),
            None => format!("{} has not been checked yet", finding.thing),
        }),
    }
}

/// Whether a path is well. That the peer took its session down on purpose is no sign that it is not: else whoever works on a
/// router's BFD takes the VIPs off every node.
fn reaches(verdict: Option<&Verdict>) -> Option<bool> {
    match verdict {
        Some(Verdict::Up | Verdict::Withdrawn) => Some(true),
        Some(Verdict::Down) => Some(false),
        Some(Verdict::Unknown) | None => None,
    }
}

/// For people.
struct Thing<'a>(&'a Tracked);

impl fmt::Display for Thing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Tracked::Interface(name) => write!(f, "interface {name}"),
            Tracked::Pool { pool, min_up } => write!(f, "pool {pool} (at least {min_up} up)"),
            Tracked::SelfTest => f.write_str("the data plane"),
            Tracked::Bfd(session) => write!(f, "BFD session {session}"),
            Tracked::Script(script) => write!(f, "script {}", script.program.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::Script, neighbours::Device};

    fn known(usable: bool, up: u32) -> Known {
        let device = Device {
            index: 2,
            mac: None,
            up: usable,
            virtual_mac: None,
            usable,
            addresses: Vec::new(),
            carried: Vec::new(),
            kept: Vec::new(),
        };
        Known {
            devices: [("eth1".to_owned(), device)].into(),
            pools: [("web".parse().unwrap(), up)].into(),
            self_test: None,
            sessions: BTreeMap::new(),
        }
    }

    fn interface(weight: Option<i16>) -> Track {
        Track {
            what: Tracked::Interface("eth1".into()),
            weight,
        }
    }

    fn pool(weight: Option<i16>) -> Track {
        let (pool, min_up) = ("web".parse().unwrap(), 2);
        Track {
            what: Tracked::Pool { pool, min_up },
            weight,
        }
    }

    #[test]
    fn a_path_that_is_down_is_not_well_and_one_that_the_peer_gave_up_on_purpose_is() {
        let track = [Track {
            what: Tracked::Bfd("router".parse().unwrap()),
            weight: None,
        }];
        let cases = [
            (Some(Verdict::Up), true),
            (Some(Verdict::Withdrawn), true),
            (Some(Verdict::Down), false),
            (Some(Verdict::Unknown), false),
            (None, false),
        ];
        for (verdict, well) in cases {
            let sessions = verdict.map(|verdict| ("router".to_owned(), verdict));
            let known = Known {
                sessions: sessions.into_iter().collect(),
                ..Known::default()
            };
            let fault = sum(&judge(&track, &known, &[])).fault;
            assert_eq!(fault.is_none(), well, "{verdict:?}: {fault:?}");
        }
    }

    fn script(weight: Option<i16>) -> Track {
        let script = Script {
            program: "/usr/bin/well".into(),
            args: Vec::new(),
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            rise: 1,
            fall: 1,
        };
        Track {
            what: Tracked::Script(script),
            weight,
        }
    }

    fn weight(track: &[Track], known: &Known) -> i32 {
        sum(&judge(track, known, &[])).weight
    }

    #[test]
    fn a_positive_weight_counts_while_well_and_a_negative_one_while_not() {
        let track = [interface(Some(20)), pool(Some(-50))];
        assert_eq!(weight(&track, &known(true, 2)), 20);
        assert_eq!(weight(&track, &known(true, 1)), -30);
        assert_eq!(weight(&track, &known(false, 1)), -50);
    }

    #[test]
    fn without_a_weight_it_is_a_fault() {
        let fault = |known| sum(&judge(&[interface(None)], &known, &[])).fault;
        assert_eq!(fault(known(true, 0)), None);
        assert_eq!(
            fault(known(false, 0)).unwrap(),
            "interface eth1 is not well"
        );
        assert!(
            fault(Known::default()).is_some(),
            "a missing device is not well"
        );
    }

    #[test]
    fn what_nobody_knows_yet_has_no_weight_but_keeps_the_node_back() {
        let unknown = Known::default();
        assert_eq!(weight(&[pool(Some(-50))], &unknown), 0);
        let fault = sum(&judge(&[pool(None)], &unknown, &[])).fault.unwrap();
        assert!(fault.contains("not been checked yet"), "{fault}");
    }

    #[test]
    fn a_data_plane_that_failed_is_a_fault_of_every_group_unless_it_has_a_weight() {
        let known = |self_test| Known {
            self_test,
            ..known(true, 2)
        };
        let failed = || known(Some(Err("eth0 has no program".into())));
        let tests = |weight| {
            let what = Tracked::SelfTest;
            [Track { what, weight }]
        };
        assert_eq!(sum(&judge(&[], &known(None), &[])), Tracking::default());
        assert_eq!(sum(&judge(&[], &known(Some(Ok(()))), &[])).fault, None);
        let fault = sum(&judge(&[], &failed(), &[])).fault.unwrap();
        assert_eq!(fault, "the data plane (eth0 has no program) is not well");
        assert_eq!(sum(&judge(&tests(None), &failed(), &[])).fault, Some(fault));
        let weighed = sum(&judge(&tests(Some(-50)), &failed(), &[]));
        let expected = Tracking {
            weight: -50,
            fault: None,
        };
        assert_eq!(weighed, expected);
    }

    #[test]
    fn without_an_agent_the_priority_is_the_least_but_only_after_a_while() {
        let grace = Duration::from_secs(30);
        assert_eq!(absence(None, grace), None);
        assert_eq!(absence(Some(Duration::from_millis(29_999)), grace), None);
        let mut findings = judge(&[interface(Some(254))], &known(true, 0), &[]);
        findings.extend(absence(Some(grace), grace));
        let Tracking { weight, fault } = sum(&findings);
        assert!(weight <= -254, "{weight}");
        assert_eq!(fault, None, "it keeps what nobody else takes");
    }

    #[test]
    fn each_script_has_its_own_verdict() {
        let track = [script(Some(-10)), interface(Some(1)), script(Some(-20))];
        let findings = judge(&track, &known(true, 0), &[Some(true), Some(false)]);
        assert_eq!(sum(&findings).weight, 1 - 20);
    }
}
