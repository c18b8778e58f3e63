//! Work on a thread of its own that goes on until somebody drops it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

/// A thread that does the same again and again; its last turn is over when this has been dropped.
#[derive(Debug)]
pub(crate) struct UntilDropped {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl UntilDropped {
    /// Starts it. A turn must not wait for long: whoever drops this waits for the turn.
    pub(crate) fn start(mut turn: impl FnMut() + Send + 'static) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let told = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                turn();
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for UntilDropped {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}
