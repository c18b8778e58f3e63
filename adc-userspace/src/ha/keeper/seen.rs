//! What the agent knows of the keeper and its groups.

use std::sync::{PoisonError, RwLock};

use crate::api::proto::{HaGroupView, KeeperView};

/// What the keeper told.
#[derive(Debug, Default)]
pub(in crate::ha) struct Seen {
    groups: RwLock<Vec<HaGroupView>>,
    keeper: RwLock<Option<KeeperView>>,
}

impl Seen {
    /// Groups as last told.
    pub(in crate::ha) fn groups(&self) -> Vec<HaGroupView> {
        let groups = self.groups.read();
        groups.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The keeper that was last there; `None` = none is wanted.
    pub(in crate::ha) fn keeper(&self) -> Option<KeeperView> {
        let keeper = self.keeper.read();
        keeper.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn meet(&self, keeper: Option<KeeperView>) {
        *self.keeper.write().unwrap_or_else(PoisonError::into_inner) = keeper;
    }

    pub(super) fn show(&self, groups: Vec<HaGroupView>) {
        *self.groups.write().unwrap_or_else(PoisonError::into_inner) = groups;
    }
}
