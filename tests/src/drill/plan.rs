//! What can happen to a pair of nodes, and what should come of it.

use std::time::Duration;

use clap::ValueEnum;
use serde::{Serialize, Serializer};

/// Something that goes wrong, or is done on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// Nothing: what the namespaces lose by themselves
    Nothing,
    /// All processes of the active node are killed (kill -9), and its interfaces go down
    Crash,
    /// All processes of the active node are stopped (SIGSTOP); its data plane and its kernel live on
    Sigstop,
    /// The agent of the active node is killed (kill -9), and nothing else
    AgentKill,
    /// The agent of the active node is stopped in an orderly way, and started again
    AgentRestart,
    /// `adc ha failover --wait` on the active node
    PlannedFailover,
    /// The cable between the two nodes is cut; the switch still joins them
    OnePathCut,
    /// The active node loses the cable and the switch
    AllPathsCut,
    /// Nothing that the active node sends gets through; it hears everything
    OneWayCut,
    /// Nothing that the backup sends gets through: the active node is heard, and hears nothing of it
    OneWayCutDeaf,
    /// The nodes do not hear each other, and the active one not the witness; both keep their links, and clients reach both
    Partition,
    /// A node that crashed is started again while the other serves
    Rejoin,
    /// Both nodes are started at once, after both had crashed
    ColdStart,
    /// The clock (CLOCK_REALTIME) of the active node's processes jumps an hour ahead, and then to an hour ago
    ClockJump,
    /// Somebody else (keepalived) begins to use the group's VRID, for another VIP and with a lower priority
    StrangerBelow,
    /// The same with a higher priority
    StrangerAbove,
    /// Somebody who has not the key sends heartbeats in the name of the backup, which say that it is active
    WrongKey,
    /// The active node crashes, and somebody sends again and again what it sent while it lived
    Replay,
    /// Of adc and keepalived, the active adc node crashes (VRRP version 3)
    KeepalivedBackupV3,
    /// The same with version 2
    KeepalivedBackupV2,
    /// Of adc and keepalived, the active keepalived node crashes (VRRP version 3)
    KeepalivedActiveV3,
    /// The same with version 2
    KeepalivedActiveV2,
}

/// A pair of adc and keepalived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peering {
    /// Of VRRP: 2 or 3.
    pub version: u8,
    /// Otherwise keepalived is active and crashes.
    pub adc_crashes: bool,
}

/// How the nodes watch each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// VRRP alone, an advert every 100 ms
    Vrrp,
    /// The heartbeat's profile `standard`: every second, 3 may be missing
    Standard,
    /// The heartbeat's profile `fast`: every 20 ms, 5 may be missing
    Fast,
    /// The heartbeat's profile `ultra`: every 2 ms, 4 may be missing
    Ultra,
}

/// How packets are forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// DNAT; the backends' gateway moves with the VIP
    Nat,
    /// DNAT and SNAT; the address that the backends see moves with the VIP
    FullNat,
}

/// What should come of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expected {
    /// The other node takes over.
    Failover,
    /// Who is active stays so.
    None,
    /// One of the two becomes active.
    OneActive,
    /// Nothing is promised.
    Open,
}

/// What a fault may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// What should come of it.
    pub expected: Expected,
    /// Packets of the stream that may be lost; `None` = as many as there are in the time of the takeover.
    pub may_lose: Option<usize>,
    /// Whether there are connections to be kept.
    pub keeps_connections: bool,
}

impl Fault {
    /// What is promised with this profile.
    pub fn promise(self, profile: Profile) -> Promise {
        let promise = |expected, may_lose| Promise {
            expected,
            may_lose,
            keeps_connections: true,
        };
        let unmoved = promise(Expected::None, Some(0));
        match self {
            // VRRP tells neither a stranger from a neighbour nor an old advert from a new one.
            Self::StrangerAbove | Self::Replay if profile == Profile::Vrrp => {
                promise(Expected::Open, None)
            }
            Self::Crash
            | Self::Sigstop
            | Self::AllPathsCut
            | Self::OneWayCut
            | Self::Partition
            | Self::Replay => promise(Expected::Failover, None),
            Self::PlannedFailover => promise(Expected::Failover, Some(1)),
            Self::Nothing
            | Self::AgentKill
            | Self::AgentRestart
            | Self::OnePathCut
            | Self::OneWayCutDeaf
            | Self::Rejoin
            | Self::ClockJump
            | Self::StrangerBelow
            | Self::StrangerAbove
            | Self::WrongKey => unmoved,
            Self::ColdStart => Promise {
                keeps_connections: false,
                ..promise(Expected::OneActive, None)
            },
            Self::KeepalivedBackupV3
            | Self::KeepalivedBackupV2
            | Self::KeepalivedActiveV3
            | Self::KeepalivedActiveV2 => Promise {
                keeps_connections: false,
                ..promise(Expected::Failover, None)
            },
        }
    }

    /// Why there is nothing to be measured with this profile and mode.
    pub fn is_idle(self, profile: Profile, mode: Mode) -> Option<&'static str> {
        if profile == Profile::Vrrp {
            if self == Self::WrongKey {
                return Some("VRRP has no key");
            } else if self.has_witness() {
                return Some("VRRP asks no witness: both are active for as long as it lasts");
            }
        }
        self.peering()?;
        if profile != Profile::Vrrp {
            return Some("keepalived speaks VRRP only");
        }
        (mode != Mode::Nat).then_some("the other node forwards by nftables, which is nat")
    }

    /// Whether the nodes have a witness.
    pub fn has_witness(self) -> bool {
        self == Self::Partition
    }

    /// What is drilled unless the user says otherwise.
    pub fn usual_profile(self) -> Profile {
        match self.peering() {
            Some(_) => Profile::Vrrp,
            None => Profile::Fast,
        }
    }

    /// If the nodes are adc and keepalived.
    pub fn peering(self) -> Option<Peering> {
        let peering = |version, adc_crashes| {
            Some(Peering {
                version,
                adc_crashes,
            })
        };
        match self {
            Self::KeepalivedBackupV3 => peering(3, true),
            Self::KeepalivedBackupV2 => peering(2, true),
            Self::KeepalivedActiveV3 => peering(3, false),
            Self::KeepalivedActiveV2 => peering(2, false),
            Self::Nothing
            | Self::Crash
            | Self::Sigstop
            | Self::AgentKill
            | Self::AgentRestart
            | Self::PlannedFailover
            | Self::OnePathCut
            | Self::AllPathsCut
            | Self::OneWayCut
            | Self::OneWayCutDeaf
            | Self::Partition
            | Self::Rejoin
            | Self::ColdStart
            | Self::ClockJump
            | Self::StrangerBelow
            | Self::StrangerAbove
            | Self::WrongKey
            | Self::Replay => None,
        }
    }

    /// A program that it needs besides those that every fault needs.
    pub fn program(self) -> Option<&'static str> {
        let router = matches!(self, Self::StrangerBelow | Self::StrangerAbove);
        if router || self.peering().is_some() {
            return Some("keepalived");
        }
        let cut = matches!(
            self,
            Self::OneWayCut | Self::OneWayCutDeaf | Self::Partition
        );
        cut.then_some("nft")
    }

    /// Whether flows could get lost by it: with `full-nat` only these happen unless others are asked for.
    pub fn matters_to_flows(self) -> bool {
        matches!(
            self,
            Self::Crash | Self::Sigstop | Self::PlannedFailover | Self::AgentKill
        )
    }
}

impl Profile {
    /// After so long the other node is taken for dead.
    pub fn detection(self) -> Duration {
        match self {
            // 3 intervals and the skew of priority 100 (RFC 9568 section 6.1).
            Self::Vrrp => Duration::from_millis(361),
            Self::Standard => Duration::from_secs(3),
            Self::Fast => Duration::from_millis(100),
            Self::Ultra => Duration::from_millis(8),
        }
    }

    /// How long a node that hangs may go on being active: the lease. VRRP has none.
    pub fn lease(self) -> Option<Duration> {
        match self {
            Self::Vrrp => None,
            Self::Standard | Self::Fast | Self::Ultra => Some(self.detection()),
        }
    }

    /// The heartbeat's profile, if it is used.
    pub fn heartbeat(self) -> Option<&'static str> {
        match self {
            Self::Vrrp => None,
            Self::Standard => Some("standard"),
            Self::Fast => Some("fast"),
            Self::Ultra => Some("ultra"),
        }
    }
}

/// The name of a value on the command line, in the table and in JSON.
pub(super) fn name<T: ValueEnum + Copy>(value: T) -> String {
    let possible = value.to_possible_value();
    possible.map_or_else(String::new, |possible| possible.get_name().to_owned())
}

macro_rules! serialized_by_name {
    ($($kind:ty),+) => { $(
        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&name(*self))
            }
        }
    )+ };
}

serialized_by_name!(Fault, Profile, Mode);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_happen_is_idle() {
        let idle = |fault: Fault, profile, mode| fault.is_idle(profile, mode).is_some();
        let mixed = Fault::KeepalivedBackupV3;
        assert!(!idle(mixed, Profile::Vrrp, Mode::Nat));
        assert!(idle(mixed, Profile::Vrrp, Mode::FullNat), "it is nat");
        assert!(idle(mixed, Profile::Fast, Mode::Nat));
        for fault in [Fault::WrongKey, Fault::Partition] {
            assert!(idle(fault, Profile::Vrrp, Mode::Nat));
            assert!(!idle(fault, Profile::Ultra, Mode::FullNat));
        }
    }
}
