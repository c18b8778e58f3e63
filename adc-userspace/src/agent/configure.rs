//! Changes of the configuration: one path for file, control API and command line.

use std::{collections::BTreeMap, path::Path, time::SystemTime};

use serde_json::{Value, json};

use super::{
    monitors::{self, Monitors},
    state::Agent,
};
use crate::{
    api::proto::{
        ApiError, Applied, ConfigApply, ConfigDiff, ConfigView, Edit, ErrorCode, PlanView,
        Timestamp, edited, sentence,
    },
    config::{self, edit::Edits},
    health::TargetKey,
    model::{Config, Ha, Health},
    plan::{Plan, PlanError},
};

impl Agent {
    /// SIGHUP: the agent's own file again. A refused file changes nothing and is told in the log, the
    /// status and a metric.
    pub(super) async fn reload_file(&mut self) {
        match self.config_apply(ConfigApply::default(), false).await {
            Ok(applied) => {
                tracing::info!(
                    generation = applied.generation,
                    changes = applied.plan.lines.len(),
                    "reloaded {}",
                    self.config_path.display()
                );
                for note in &applied.notes {
                    tracing::warn!("{note}");
                }
            }
            Err(error) => {
                tracing::error!("reload refused: {}", error.what);
                for problem in &error.problems {
                    tracing::error!("{problem}");
                }
            }
        }
    }

    /// A new file, from disk or from the request.
    pub(super) async fn config_apply(
        &mut self,
        request: ConfigApply,
        dry_run: bool,
    ) -> Result<Applied, ApiError> {
        let own = (request.source.as_ref()).is_none_or(|source| source.path == self.config_path);
        let outcome = self.try_apply(request, dry_run).await;
        // Only the agent's own file: it is what the next start depends on. Who sends another one is told.
        if own && !dry_run {
            self.last_reload_error = outcome.as_ref().err().map(|error| error.what.clone());
        }
        outcome
    }

    async fn try_apply(
        &mut self,
        request: ConfigApply,
        dry_run: bool,
    ) -> Result<Applied, ApiError> {
        self.refuse_if_stopping()?;
        let mut notes = Vec::new();
        let (path, file) = match &request.source {
            None => (self.config_path.clone(), self.read_file()?),
            Some(source) => {
                if source.path != self.config_path {
                    notes.push(format!(
                        "{} is read when the agent restarts: copy the configuration there to keep it",
                        self.config_path.display()
                    ));
                }
                let file = config::parse_here(&source.text, &source.path);
                let file = file.map_err(|errors| ApiError::from(&errors))?;
                (source.path.clone(), self.with_mode(file))
            }
        };
        notes.extend(self.only_at_start(&file));
        let mut edits = self.edits.clone();
        if request.reset_edits {
            edits.clear();
        }
        let edited = edits.apply(&file);
        notes.extend(edited.problems.iter().map(ToString::to_string));
        let config = self.as_started(edited.config);
        // Anew, also those whose definition is as before: a CA file may have been replaced.
        let monitors = monitors::ready(&config.monitors, &path)?;
        let before = json!({ "hash": hash(&self.config) });
        let after = json!({ "hash": hash(&config) });
        if dry_run {
            return self.dry_run(&config, (before, after), notes);
        }
        let plan = self.switch_and_keep(config, monitors, edits).await?;
        self.file = file;
        self.reloaded_at = self.applied_at;
        self.edit_problems = edited.problems;
        Ok(self.applied(&plan, (before, after), notes))
    }

    /// One runtime edit.
    pub(super) async fn edit(&mut self, edit: Edit, dry_run: bool) -> Result<Applied, ApiError> {
        self.refuse_if_stopping()?;
        let mut edits = self.edits.clone();
        let config = edits.push(&edit, &self.file).map_err(ApiError::from)?;
        let config = self.as_started(config);
        let subject = (edited(&edit, &self.config), edited(&edit, &config));
        if dry_run {
            return self.dry_run(&config, subject, Vec::new());
        }
        // Edits change no monitor, so those that are ready serve: a backend can be drained although a CA file is
        // gone.
        let monitors = self.monitors.clone();
        let problems = edits.apply(&self.file).problems;
        let plan = self.switch_and_keep(config, monitors, edits).await?;
        self.edit_problems = problems;
        Ok(self.applied(&plan, subject, Vec::new()))
    }

    /// Makes `config` the running one and `edits` what the next start finds, or changes neither.
    async fn switch_and_keep(
        &mut self,
        config: Config,
        monitors: Monitors,
        edits: Edits,
    ) -> Result<Plan, ApiError> {
        let changed = edits != self.edits;
        // On disk first: an edit that is in effect must survive a crash right after.
        if changed {
            self.save_edits(&edits)?;
        }
        let switched = self.switch_to(config, monitors).await;
        match &switched {
            Ok(_plan) => self.edits = edits,
            Err(_) if changed => {
                if let Err(error) = self.save_edits(&self.edits) {
                    tracing::error!(
                        "{}; the next start will find the refused change",
                        error.what
                    );
                }
            }
            Err(_) => {}
        }
        switched
    }

    /// Makes `config` the running one, or changes nothing.
    async fn switch_to(&mut self, config: Config, monitors: Monitors) -> Result<Plan, ApiError> {
        // What does not fit is found before anything is touched.
        self.plan_for(&config, false)
            .map_err(|error| misfit(&error))?;
        let known: BTreeMap<TargetKey, Health> = self
            .health
            .iter()
            .map(|(key, (health, _))| (key.clone(), *health))
            .collect();
        let config = std::mem::replace(&mut self.config, config);
        let monitors = std::mem::replace(&mut self.monitors, monitors);
        self.watch_health(&BTreeMap::new());
        match self.replan() {
            Ok(plan) => {
                self.generation += 1;
                self.applied_at = Timestamp(SystemTime::now());
                // It is logged, and shown.
                drop(self.configure_ha().await);
                self.reconcile_addresses().await;
                Ok(plan)
            }
            Err(error) => {
                self.config = config;
                self.monitors = monitors;
                // Checks that the other configuration had stopped begin with what was known.
                self.watch_health(&known);
                self.replan_or_report();
                Err(internal(&error))
            }
        }
    }

    fn refuse_if_stopping(&self) -> Result<(), ApiError> {
        if self.stopping {
            let what = "the agent is stopping: nothing can be changed any more";
            return Err(ApiError::new(ErrorCode::Unavailable, what));
        }
        Ok(())
    }

    /// With what is only read at the start as it was at the start.
    fn as_started(&self, config: Config) -> Config {
        Config {
            node: self.config.node.clone(),
            dataplane: self.config.dataplane.clone(),
            telemetry: self.config.telemetry.clone(),
            ha: Ha {
                heartbeat: self.config.ha.heartbeat.clone(),
                sync: self.config.ha.sync.clone(),
                ..config.ha
            },
            ..config
        }
    }

    fn with_mode(&self, mut file: Config) -> Config {
        if let Some(mode) = self.mode_override {
            file.dataplane.attach = mode;
        }
        file
    }

    fn dry_run(
        &self,
        config: &Config,
        (before, after): (Value, Value),
        notes: Vec<String>,
    ) -> Result<Applied, ApiError> {
        let plan = self
            .plan_for(config, false)
            .map_err(|error| misfit(&error))?;
        Ok(Applied {
            applied: false,
            generation: self.generation,
            hash: hash(&self.config),
            plan: plan_view(&plan),
            before,
            after,
            notes,
        })
    }

    fn applied(
        &self,
        plan: &Plan,
        (before, after): (Value, Value),
        mut notes: Vec<String>,
    ) -> Applied {
        notes.extend(self.troubles.vips.clone());
        let foreign = self.foreign_addresses().into_iter();
        notes.extend(foreign.map(|warning| format!("{}; {}", warning.what, warning.remedy)));
        Applied {
            applied: true,
            generation: self.generation,
            hash: hash(&self.config),
            plan: plan_view(plan),
            before,
            after,
            notes,
        }
    }

    fn save_edits(&self, edits: &Edits) -> Result<(), ApiError> {
        edits.save(&self.config.node.state_dir).map_err(|error| {
            ApiError::new(
                ErrorCode::Internal,
                format!("keeping runtime edits: {error}; nothing was changed"),
            )
        })
    }

    fn read_file(&self) -> Result<Config, ApiError> {
        let file = config::load(&self.config_path).map_err(|errors| ApiError::from(&errors))?;
        Ok(self.with_mode(file))
    }

    /// What of a new file waits for the next start.
    fn only_at_start(&self, file: &Config) -> Vec<String> {
        let mut notes = Vec::new();
        let mut differs = |what: &str, same: bool| {
            if !same {
                notes.push(format!(
                    "[{what}] is read when the agent starts: its changes wait for a restart"
                ));
            }
        };
        differs("node", file.node == self.config.node);
        differs("dataplane", file.dataplane == self.config.dataplane);
        differs("metrics", file.telemetry == self.config.telemetry);
        differs(
            "ha.heartbeat",
            file.ha.heartbeat == self.config.ha.heartbeat,
        );
        differs("ha.sync", file.ha.sync == self.config.ha.sync);
        notes
    }

    /// What runs and what it was made of.
    pub(super) fn config_view(&self) -> ConfigView {
        ConfigView {
            summary: self.config_summary(),
            text: config::render(&self.config),
            edits: self.edits.iter().cloned().collect(),
            config: self.config.clone(),
        }
    }

    /// What runs against the file on disk.
    pub(super) fn config_diff(&self) -> Result<ConfigDiff, ApiError> {
        let file = self.read_file()?;
        let config = self.as_started(self.edits.apply(&file).config);
        let plan = self
            .plan_for(&config, false)
            .map_err(|error| misfit(&error))?;
        Ok(ConfigDiff {
            path: self.config_path.clone(),
            edits: self.edits.iter().cloned().collect(),
            differences: config::differences(&file, &self.config),
            plan: plan_view(&plan),
        })
    }

    /// Checks a text as this agent would.
    pub(super) fn config_check(text: &str) -> Result<Config, ApiError> {
        config::parse(text, Path::new("<request>")).map_err(|errors| ApiError::from(&errors))
    }
}

/// A plan for people and programs.
fn plan_view(plan: &Plan) -> PlanView {
    let text = if plan.is_empty() {
        String::new()
    } else {
        plan.to_string()
    };
    PlanView {
        lines: text.lines().map(str::to_owned).collect(),
        steps: serde_json::to_value(plan).unwrap_or_default(),
    }
}

pub(super) fn internal(error: &anyhow::Error) -> ApiError {
    ApiError::new(ErrorCode::Internal, sentence(error.as_ref()))
}

/// What the tables have no room for.
pub(super) fn misfit(error: &PlanError) -> ApiError {
    ApiError::new(ErrorCode::Conflict, format!("{error}; nothing was changed"))
}

/// FNV-1a over what nodes of a pair must share: monitors, pools and services, not the node's own sections.
pub(super) fn hash(config: &Config) -> String {
    let shared = json!({
        "monitors": config.monitors,
        "pools": config.pools,
        "services": config.services,
    });
    let hash = shared
        .to_string()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    format!("{hash:016x}")
}
