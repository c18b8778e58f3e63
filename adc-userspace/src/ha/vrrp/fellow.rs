//! A group among others that it moves with.

use std::time::Instant;

use super::{Action, Instance};
use crate::ha::Role;

impl Instance {
    /// Why it has no link to send adverts by; `None` before it starts.
    pub fn link_fault(&self) -> Option<&str> {
        let wires = self.wires.iter().filter(|_| self.started);
        let mut faults = wires.filter_map(|wire| wire.own.as_ref().err());
        faults.next().map(String::as_str)
    }

    /// Becomes a backup because another group did.
    pub(super) fn let_go(&mut self, now: Instant, why: String, actions: &mut Vec<Action>) {
        if self.role == Role::Active {
            self.leave(now, Role::Backup, why, true, actions);
        } else {
            self.give_up(now, why, actions);
        }
    }
}
