//! What the agent knows of the keeper and its groups.

use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use tokio::sync::watch;

use crate::{
    api::proto::{BfdView, HaView, KeeperView},
    ha::RoleChange,
};

/// What the keeper told.
#[derive(Debug, Default)]
pub(in crate::ha) struct Seen {
    ha: RwLock<HaView>,
    bfd: watch::Sender<BfdView>,
}

impl Seen {
    /// As last told, with the keeper that was last there; without one, none is wanted.
    pub(in crate::ha) fn view(&self) -> HaView {
        let view = self.ha.read();
        view.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn write(&self) -> RwLockWriteGuard<'_, HaView> {
        self.ha.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// BFD sessions, now and whenever they change.
    pub(in crate::ha) fn sessions(&self) -> watch::Receiver<BfdView> {
        self.bfd.subscribe()
    }

    pub(super) fn follow(&self, view: BfdView) {
        self.bfd.send_replace(view);
    }

    pub(super) fn meet(&self, keeper: Option<KeeperView>) {
        self.write().keeper = keeper;
    }

    /// A role is another; how everything else is comes next.
    pub(super) fn turn(&self, change: &RoleChange) {
        let mut seen = self.write();
        let mut groups = seen.groups.iter_mut();
        if let Some(group) = groups.find(|group| group.name == change.group) {
            group.role = change.role;
        }
    }

    pub(super) fn show(&self, view: HaView) {
        let mut seen = self.write();
        let keeper = seen.keeper.take();
        *seen = HaView { keeper, ..view };
    }
}
