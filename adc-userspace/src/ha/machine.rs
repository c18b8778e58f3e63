//! What decides about a group: VRRP's state machine, or the heartbeat.

use std::{net::IpAddr, time::Instant};

use super::{
    Role,
    pair::Decision,
    ruled::Ruled,
    vrrp::{Action, Family, Input, Instance},
};

pub(super) enum Machine {
    Vrrp(Instance),
    Ruled(Ruled),
}

impl Machine {
    pub(super) fn step(&mut self, now: Instant, input: Input) -> Vec<Action> {
        match self {
            Self::Vrrp(instance) => instance.step(now, input),
            Self::Ruled(ruled) => ruled.step(now, input),
        }
    }

    /// Follows what the heartbeat's thread decided.
    pub(super) fn decided(&mut self, decision: &Decision) -> Vec<Action> {
        match self {
            // Decided before the group became one of VRRP's.
            Self::Vrrp(_) => Vec::new(),
            Self::Ruled(ruled) => ruled.decided(decision),
        }
    }

    pub(super) fn role(&self) -> Role {
        match self {
            Self::Vrrp(instance) => instance.role(),
            Self::Ruled(ruled) => ruled.role(),
        }
    }

    /// Whether the addresses are to be on.
    pub(super) fn carries(&self) -> bool {
        match self {
            Self::Vrrp(instance) => instance.carries(),
            Self::Ruled(ruled) => ruled.role() == Role::Active,
        }
    }

    pub(super) fn fault(&self) -> Option<&str> {
        match self {
            Self::Vrrp(instance) => instance.fault(),
            Self::Ruled(ruled) => ruled.fault(),
        }
    }

    pub(super) fn priority(&self) -> u8 {
        match self {
            Self::Vrrp(instance) => instance.priority(),
            Self::Ruled(ruled) => ruled.priority(),
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Vrrp(instance) => instance.deadline(),
            Self::Ruled(ruled) => ruled.deadline(),
        }
    }

    /// When another router of the group was last heard; what the heartbeat heard comes with its decisions.
    pub(super) fn last_heard(&self) -> Option<Instant> {
        match self {
            Self::Vrrp(instance) => instance.last_heard().map(|(at, _)| at).max(),
            Self::Ruled(_) => None,
        }
    }

    /// The address that adverts of a family are sent from; the heartbeat has its own.
    pub(super) fn own(&self, family: Family) -> Option<IpAddr> {
        match self {
            Self::Vrrp(instance) => instance.own(family),
            Self::Ruled(_) => None,
        }
    }

    /// What is wrong with the link that adverts go by; the heartbeat has its own.
    pub(super) fn link_fault(&self) -> Option<String> {
        match self {
            Self::Vrrp(instance) => instance.link_fault().map(str::to_owned),
            Self::Ruled(_) => None,
        }
    }

    /// Until when the data plane serves the group, where it is for the HA thread to say so.
    pub(super) fn lease(&self) -> Option<Instant> {
        match self {
            Self::Vrrp(instance) => instance.lease(),
            // The heartbeat's thread grants it.
            Self::Ruled(_) => None,
        }
    }
}
