//! What the threads of replication and the agent share.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use super::{counts::Counters, names::Directory};
use crate::ha::heartbeat::packet::SyncState;

/// News that waited for longer than this at the other node is no state to take over with.
pub(super) const MAX_LAG: Duration = Duration::from_secs(1);

/// What the threads of replication and the agent share.
pub(super) struct Shared {
    pub(super) stop: AtomicBool,
    pub(super) counters: Counters,
    pub(super) state: watch::Sender<SyncState>,
    directory: Mutex<Arc<Directory>>,
    /// Whether the directory says what this node is for its groups.
    open: AtomicBool,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            stop: AtomicBool::new(false),
            counters: Counters::default(),
            state: watch::Sender::new(SyncState::Pulling),
            directory: Mutex::default(),
            open: AtomicBool::new(false),
        }
    }

    pub(super) fn directory(&self) -> Arc<Directory> {
        let directory = self.directory.lock();
        Arc::clone(&directory.unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes what ids stand for now. The same again is no news.
    pub(super) fn set_directory(&self, directory: Directory) {
        let mut known = self
            .directory
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if **known != directory {
            *known = Arc::new(directory);
        }
    }

    /// From here on the other node is told of flows. Before, it would take a node that does not know its roles yet for one
    /// without flows.
    pub(super) fn open(&self) {
        self.open.store(true, Ordering::Release);
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Says how far this node has the other's flows.
    pub(super) fn set_state(&self, state: SyncState) {
        self.state.send_if_modified(|known| {
            let changed = *known != state;
            *known = state;
            changed
        });
    }
}
