//! What checks found, and what follows from it.

use serde::{Deserialize, Serialize};

use super::{AdminState, Weight};

/// Health of one backend, set by checks only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// No monitor has given a verdict yet, or there is none.
    Unknown,
    /// Takes new flows.
    Up,
    /// Takes none.
    Down,
}

/// What the data plane uses, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectiveState {
    /// Weight in the ring; 0 = no new flows.
    pub weight: Weight,
    /// One line that explains the weight, e.g. `draining (set by an operator)`, `down: tcp connect: refused`.
    pub reason: String,
}

impl EffectiveState {
    /// Combines the four inputs; people's decisions outrank checks, and both outrank the weight.
    ///
    /// `monitored` = the pool has monitors; `detail` = the last probe's finding; `reachable` = the next
    /// hop is resolved.
    pub fn of(
        weight: Weight,
        admin: AdminState,
        health: Health,
        monitored: bool,
        detail: &str,
        reachable: bool,
    ) -> Self {
        let none = |reason: String| Self {
            weight: Weight(0),
            reason,
        };
        match admin {
            AdminState::Draining => return none("draining: set by an operator".into()),
            AdminState::Maintenance => return none("maintenance: set by an operator".into()),
            AdminState::Enabled => {}
        }
        if monitored {
            match health {
                Health::Unknown if detail.is_empty() => {
                    return none("unknown: no check has finished yet".into());
                }
                Health::Unknown => return none(format!("unknown: {detail}")),
                Health::Down => return none(format!("down: {detail}")),
                Health::Up => {}
            }
        }
        if !reachable {
            return none("unreachable: no route or neighbour for its next hop".into());
        }
        if weight == Weight(0) {
            return none("weight 0".into());
        }
        Self {
            weight,
            reason: if monitored {
                "up".into()
            } else {
                "up: not monitored".into()
            },
        }
    }
}

impl Health {
    /// As written in CLI, metrics and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}
