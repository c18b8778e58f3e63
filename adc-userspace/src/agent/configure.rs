//! Changes of the configuration: one path for file, control API and command line.

use std::{collections::BTreeMap, path::Path, time::SystemTime};

use serde_json::{Value, json};

use super::state::Agent;
use crate::{
    api::proto::{
        ApiError, Applied, ConfigApply, ConfigDiff, ConfigView, Edit, ErrorCode, PlanView,
        Timestamp, edited,
    },
    config::{self, edit::Edits},
    health,
    model::Config,
    plan::Plan,
};

impl Agent {
    /// SIGHUP: the agent's own file again. A refused file changes nothing and is told in the log, the
    /// status and a metric.
    pub(super) async fn reload_file(&mut self) {
        match self.config_apply(ConfigApply::default(), false).await {
            Ok(applied) => tracing::info!(
                generation = applied.generation,
                changes = applied.plan.lines.len(),
                "reloaded {}",
                self.config_path.display()
            ),
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
        let outcome = self.try_apply(request, dry_run).await;
        if !dry_run {
            self.last_reload_error = outcome.as_ref().err().map(|error| error.what.clone());
        }
        outcome
    }

    async fn try_apply(
        &mut self,
        request: ConfigApply,
        dry_run: bool,
    ) -> Result<Applied, ApiError> {
        let mut notes = Vec::new();
        let (text, file) = match request.source {
            None => self.read_file()?,
            Some(source) => {
                let file =
                    config::parse(&source.text, &source.path).map_err(|e| ApiError::from(&e))?;
                if source.path != self.config_path {
                    notes.push(format!(
                        "{} is read when the agent restarts: copy the configuration there to keep it",
                        self.config_path.display()
                    ));
                }
                (source.text, file)
            }
        };
        notes.extend(self.only_at_start(&file));
        let mut edits = if request.reset_edits {
            Edits::default()
        } else {
            self.edits.clone()
        };
        let problems = edits.apply(&file).problems;
        notes.extend(problems.iter().map(ToString::to_string));
        let config = edits.apply(&file).config;
        let before = json!({ "hash": hash(&self.config) });
        let after = json!({ "hash": hash(&config) });
        if dry_run {
            return self.dry_run(&config, (before, after), notes);
        }
        if request.reset_edits {
            edits.clear();
        }
        self.save_edits(&edits)?;
        let plan = self.switch_to(config).await?;
        self.file = file;
        self.config_text = text;
        self.edit_problems = problems;
        self.edits = edits;
        Ok(self.applied(&plan, (before, after), notes))
    }

    /// One runtime edit.
    pub(super) async fn edit(&mut self, edit: Edit, dry_run: bool) -> Result<Applied, ApiError> {
        let mut edits = self.edits.clone();
        let config = edits.push(&edit, &self.file).map_err(ApiError::from)?;
        let subject = (edited(&edit, &self.config), edited(&edit, &config));
        if dry_run {
            return self.dry_run(&config, subject, Vec::new());
        }
        // On disk first: an edit that is in effect must survive a crash right after.
        self.save_edits(&edits)?;
        match self.switch_to(config).await {
            Ok(plan) => {
                self.edits = edits;
                Ok(self.applied(&plan, subject, Vec::new()))
            }
            Err(error) => {
                self.save_edits(&self.edits)?;
                Err(error)
            }
        }
    }

    /// Makes `config` the running one, or changes nothing.
    async fn switch_to(&mut self, config: Config) -> Result<Plan, ApiError> {
        let before = std::mem::replace(&mut self.config, config);
        let switched = self
            .watch_health(&BTreeMap::new())
            .map_err(|error| ApiError::invalid_config(format!("{error:#}"), Vec::new()))
            .and_then(|()| self.replan().map_err(|error| internal(&error)));
        match switched {
            Ok(plan) => {
                self.generation += 1;
                self.applied_at = Timestamp(SystemTime::now());
                self.reconcile_vips().await;
                Ok(plan)
            }
            Err(error) => {
                self.config = before;
                if let Err(again) = self
                    .watch_health(&BTreeMap::new())
                    .and_then(|()| self.replan().map(drop))
                {
                    tracing::error!("going back to the running configuration: {again:#}");
                    self.last_plan_error = Some(format!("{again:#}"));
                }
                Err(error)
            }
        }
    }

    fn dry_run(
        &self,
        config: &Config,
        (before, after): (Value, Value),
        notes: Vec<String>,
    ) -> Result<Applied, ApiError> {
        health::compile_monitors(&config.monitors).map_err(|invalid| {
            let text: Vec<_> = invalid
                .iter()
                .map(|(name, e)| format!("monitor {name}: {e}"))
                .collect();
            ApiError::invalid_config(text.join("; "), Vec::new())
        })?;
        let plan = self
            .plan_for(config, false)
            .map_err(|error| internal(&error))?;
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

    fn applied(&self, plan: &Plan, (before, after): (Value, Value), notes: Vec<String>) -> Applied {
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

    fn read_file(&self) -> Result<(String, Config), ApiError> {
        let mut file = config::load(&self.config_path).map_err(|errors| ApiError::from(&errors))?;
        if let Some(mode) = self.mode_override {
            file.dataplane.attach = mode;
        }
        let text = std::fs::read_to_string(&self.config_path).unwrap_or_default();
        Ok((text, file))
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
        differs("node", file.node == self.file.node);
        differs("dataplane", file.dataplane == self.file.dataplane);
        differs("metrics", file.telemetry == self.file.telemetry);
        notes
    }

    /// What runs and what it was made of.
    pub(super) fn config_view(&self) -> ConfigView {
        ConfigView {
            summary: self.config_summary(),
            text: self.config_text.clone(),
            edits: self.edits.iter().cloned().collect(),
            config: self.config.clone(),
        }
    }

    /// What runs against the file on disk.
    pub(super) fn config_diff(&self) -> Result<ConfigDiff, ApiError> {
        let (_, file) = self.read_file()?;
        let config = self.edits.apply(&file).config;
        let plan = self
            .plan_for(&config, false)
            .map_err(|error| internal(&error))?;
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
    ApiError::new(ErrorCode::Internal, format!("{error:#}"))
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
