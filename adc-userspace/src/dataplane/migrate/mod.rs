//! From the maps of an earlier layout to ours, under traffic (docs/adr/0036-migration-of-flows.md).
//!
//! Maps whose layout has not changed are taken over as they are: the same map, pinned in both directories, used by both
//! programs. Flow tables that have changed are moved flow by flow, while a third program sends each packet to the program
//! that holds its flow. Every step may be the last of this process; the next start sees what was done and goes on.

mod counters;
mod element;
mod handover;
mod inherit;
mod layout;
mod mover;
mod survey;

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Instant,
};

use aya::programs::Xdp;

pub(super) use inherit::{Inheritance, pin_program};
pub(super) use survey::earlier_serves;

use super::{
    error::DataplaneError,
    loader::Dataplane,
    pins::{HANDOVER, PinDirectory},
};
use handover::Handover;
use layout::{FlowLayout, Headed};
use mover::{FamilyMove, Moved};

/// The tables that are moved if any of them has changed: main and half-open, by family.
const FLOWS4: [&str; 2] = ["FLOWS4", "HALF_OPEN4"];
const FLOWS6: [&str; 2] = ["FLOWS6", "HALF_OPEN6"];

/// What a directory is called whose maps and links are all used from ours: beside it, and no layout's name.
const ASIDE: &str = "taken-over";

/// Passes after which something must be wrong: the first moves everything, later ones find what half-open flows became.
const MOST_PASSES: u32 = 64;

/// A migration under way.
pub(super) struct Migration {
    earlier: PathBuf,
    began: Instant,
    /// Counters to be carried over.
    counters: Vec<&'static str>,
    /// `None` if the flow tables are as they were.
    flows: Option<FlowMove>,
}

/// What moves flows.
struct FlowMove {
    handover: Handover,
    v4: FamilyMove<adc_common::abi::Addr4, Headed>,
    v6: FamilyMove<adc_common::abi::Addr6, Headed>,
    moved: Moved,
}

impl Migration {
    /// Gets everything ready; nothing that forwards is touched. Flows are copied, so that nothing here takes what they hold.
    pub(super) fn prepare(
        inheritance: Inheritance,
        pins: &PinDirectory,
    ) -> Result<Self, DataplaneError> {
        let began = Instant::now();
        let Inheritance {
            earlier,
            layout,
            counters,
        } = inheritance;
        let flows = match layout {
            None | Some(FlowLayout::Same) => None,
            Some(FlowLayout::Headed) => {
                let handover = Handover::load(&earlier, pins)?;
                let mut flows = FlowMove {
                    handover,
                    v4: FamilyMove::open(&earlier, pins, FLOWS4)?,
                    v6: FamilyMove::open(&earlier, pins, FLOWS6)?,
                    moved: Moved::default(),
                };
                tracing::info!(from = %earlier.display(), "copying the flows of an earlier layout");
                flows.v4.copy()?;
                flows.v6.copy()?;
                Some(flows)
            }
        };
        inherit::links(&earlier, pins)?;
        Ok(Self {
            earlier,
            began,
            counters,
            flows,
        })
    }

    /// Moves all flows to `own`, the program that is to serve alone afterwards.
    fn hand_over(&mut self, own: &Xdp, pins: &PinDirectory) -> Result<(), DataplaneError> {
        let carry = |name| counters::carry(&self.earlier.join(name), &pins.map(name), name);
        let Some(flows) = &mut self.flows else {
            self.counters.iter().copied().try_for_each(carry)?;
            // All that served is pinned here as well. From now on a start that fails, or dies, is one of this layout: it must
            // not give back what the next program's links and maps rest on.
            return self.set_aside();
        };
        flows.handover.attach(pins)?;
        // What the earlier program counts from here on is not told any more.
        self.counters.iter().copied().try_for_each(carry)?;
        flows.handover.switch(own)?;
        tracing::info!(from = %self.earlier.display(), "moving the flows of an earlier layout");
        for _pass in 0..MOST_PASSES {
            let v4 = flows.v4.pass(&mut flows.moved)?;
            let v6 = flows.v6.pass(&mut flows.moved)?;
            if v4 && v6 {
                flows.v4.tidy()?;
                return flows.v6.tidy();
            }
        }
        Err(DataplaneError::Migration {
            doing: "moving flows from",
            path: self.earlier.clone(),
            reason: format!("there were new ones in each of {MOST_PASSES} passes"),
        })
    }

    /// Takes the earlier layout's directory out of the way in one step: a part of it would be taken for a layout that serves.
    fn set_aside(&mut self) -> Result<(), DataplaneError> {
        let aside = self.earlier.with_file_name(ASIDE);
        remove_all(&aside)?;
        fs::rename(&self.earlier, &aside).map_err(|source| DataplaneError::Pins {
            doing: "setting aside the pins of the earlier layout in",
            path: self.earlier.clone(),
            source,
        })?;
        self.earlier = aside;
        Ok(())
    }

    /// Forgets the earlier layout; nothing uses it any more.
    fn finish(mut self, pins: &PinDirectory) -> Result<(), DataplaneError> {
        if self.flows.is_some() {
            self.set_aside()?;
        }
        remove_all(&self.earlier)?;
        // Last: it says that the directory above may be removed.
        PinDirectory::remove(&pins.map(HANDOVER))?;
        let moved = self.flows.as_ref().map(|flows| flows.moved);
        let Moved {
            established,
            half_open,
            lost,
        } = moved.unwrap_or_default();
        let milliseconds = self.began.elapsed().as_millis();
        tracing::info!(
            from = %self.earlier.display(),
            established,
            half_open,
            lost,
            milliseconds,
            "took over the maps of an earlier layout"
        );
        if lost > 0 {
            tracing::warn!(
                lost,
                "there was no room for some flows: raise dataplane.limits"
            );
        }
        Ok(())
    }
}

impl Dataplane {
    /// Takes the flows of an earlier layout over, if there is one; packets meet the earlier program or this one, whichever
    /// has their flow. Links still have the program in between when this returns: attach the normal one then.
    ///
    /// # Errors
    /// Everything that served goes on, and another start carries on.
    pub fn hand_over(&mut self) -> Result<(), DataplaneError> {
        let Some(mut migration) = self.migration.take() else {
            return Ok(());
        };
        let (program, _, pins) = self.program()?;
        let outcome = migration.hand_over(program, pins);
        self.migration = Some(migration);
        outcome
    }

    /// Removes what is left of an earlier layout, once the normal program is attached everywhere.
    ///
    /// # Errors
    /// A pin can not be removed.
    pub fn finish_migration(&mut self) -> Result<(), DataplaneError> {
        if let Some(migration) = self.migration.take() {
            return migration.finish(&self.pins);
        }
        // An agent may have died before the last steps.
        remove_all(&self.pins.beside(ASIDE))?;
        PinDirectory::remove(&self.pins.map(HANDOVER))
    }

    /// After a start that failed: if flows were not being moved yet, everything is as before the start.
    ///
    /// # Errors
    /// Something of it could not be undone; the next start tries again.
    pub fn give_migration_up(pins: &PinDirectory) -> Result<(), DataplaneError> {
        match pins.earlier() {
            Some(earlier) if earlier.exists() && !handover::has_switched(pins)? => {
                inherit::abandon(earlier, pins)
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Removes a directory of pins, if it is there.
fn remove_all(directory: &Path) -> Result<(), DataplaneError> {
    match fs::remove_dir_all(directory) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(DataplaneError::Pins {
            doing: "removing the pins of the earlier layout in",
            path: directory.into(),
            source,
        }),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn failed(
    doing: &'static str,
    path: &Path,
    error: &(dyn std::error::Error + 'static),
) -> DataplaneError {
    DataplaneError::Migration {
        doing,
        path: path.into(),
        reason: super::attach::chain(error),
    }
}
