//! What is done about a keeper that is gone.

use std::io;

use tokio::time::Instant;

use super::{FIRST_PAUSE, LONGEST_PAUSE, Supervisor, WELL, away};
use crate::{
    api::proto::{ApiError, HaOrder},
    ha::keeper::Request,
};

impl Supervisor {
    /// The keeper died, or closed the connection to hear a newer agent.
    pub(super) async fn lost(&mut self) {
        self.link = None;
        if self.settings.is_none() {
            return;
        }
        if self.linked.elapsed() > WELL {
            self.pause = FIRST_PAUSE;
        }
        if self.connect(false).await.is_ok() {
            return;
        }
        self.restarts += 1;
        tracing::error!("the keeper died; starting another");
        if self.linked.elapsed() > self.pause {
            self.mend().await;
        } else {
            self.retry = Some(Instant::now() + self.pause);
        }
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    /// Tries to have a keeper again.
    pub(super) async fn mend(&mut self) {
        self.retry = None;
        if self.settings.is_none() || self.link.is_some() {
            return;
        }
        let held = self
            .seen
            .view()
            .groups
            .into_iter()
            .filter(|group| group.held);
        let held: Vec<_> = held.map(|group| group.name).collect();
        match self.connect(true).await {
            Ok(()) => {
                // Orders do not outlive a keeper; that one must.
                for name in held {
                    let hold = Request::Order(name, HaOrder::Hold);
                    if let Err(error) = self.settle(hold).await {
                        tracing::error!("holding back again: {}", error.what);
                    }
                }
            }
            Err(error) => {
                self.try_again(&error);
            }
        }
    }

    /// Plans the next try.
    pub(super) fn try_again(&mut self, error: &io::Error) -> ApiError {
        self.link = None;
        self.retry = Some(Instant::now() + self.pause);
        let error = away(error);
        tracing::error!("{}; trying again in {:?}", error.what, self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        error
    }
}
