//! What is done every few seconds: flows that are over are removed, and whatever failed is tried again.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use adc_common::abi::BackendId;
use anyhow::Result;

use super::state::Agent;
use crate::{
    api::proto::sentence,
    dataplane::{self, Timeouts},
};

/// How old the flow figures of a metrics scrape may be; people and programs that ask get them fresh.
const FRESH_ENOUGH: Duration = Duration::from_secs(1);

impl Agent {
    /// The periodic sweep; also the next try of whatever failed, and the look after what others may have changed.
    pub(super) async fn on_sweep(&mut self) {
        if let Err(error) = self.sweep_now() {
            tracing::error!("sweeping flows: {}", sentence(error.as_ref()));
            return;
        }
        if !self.draining_out.is_empty() || self.troubles.plan.is_some() {
            match self.replan_counted() {
                Ok(_plan) => {}
                Err(error) => self.troubles.plan = Some(sentence(error.as_ref())),
            }
        }
        self.challenge();
        if let Err(error) = self.note_refusals() {
            tracing::error!("counting refused flows: {}", sentence(error.as_ref()));
        }
        self.mend_interfaces();
        self.publish_names();
        self.reconcile_addresses().await;
        self.announcer.look_at_routes();
    }

    /// Removes flows that are over and counts the others.
    pub(super) fn sweep_now(&mut self) -> Result<()> {
        let timeouts = self.timeouts();
        let retiring: BTreeSet<BackendId> =
            self.draining_out.iter().map(|backend| backend.id).collect();
        let flows = &mut self.dataplane.flows;
        let swept =
            tokio::task::block_in_place(|| flows.sweep(dataplane::now(), &timeouts, &retiring));
        self.troubles.sweep = swept.as_ref().err().map(ToString::to_string);
        self.sweep = swept?;
        self.swept = Some(Instant::now());
        Ok(())
    }

    /// Idle timeouts of the flows of every backend in the tables.
    pub(super) fn timeouts(&self) -> Timeouts {
        let observed = self.dataplane.tables.observed();
        let backends = observed.backends.iter();
        let timeouts = backends
            .filter_map(|(id, entry)| Some((*id, observed.services.get(&entry.service)?.timeouts)));
        Timeouts(timeouts.collect())
    }

    /// The same, unless it was done a moment ago: a scrape must not walk the tables over and over.
    pub(super) fn sweep_if_stale(&mut self) -> Result<()> {
        if self
            .swept
            .is_some_and(|swept| swept.elapsed() < FRESH_ENOUGH)
        {
            return Ok(());
        }
        self.sweep_now()
    }
}
