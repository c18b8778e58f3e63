//! Commands that talk to the agent.

use std::{fs, path::Path};

use serde::Serialize;

use super::{Done, Outcome, block_on, show};
use crate::{
    api::{
        client::Client,
        proto::{
            ApiError, BackendFilter, BackendPatch, ConfigApply, ConfigSource, ErrorCode,
            FlowFilter, NewBackend, NewPool, NewService,
        },
    },
    cli::{
        Exit, Local,
        args::{
            BackendArg, BackendChange, BackendCommand, Change, ConfigCommand, FlowArgs,
            FlowCommand, Format, PoolCommand, ServiceCommand,
        },
        output,
    },
    model::{AdminState, MssClamp, Scheduler, Timeouts, Tunnel, Weight},
};

/// Commands that talk to the agent.
pub(super) struct Agent {
    pub(super) client: Client,
    pub(super) format: Format,
}

impl Agent {
    pub(super) fn show<T: Serialize>(&self, value: &T, table: impl FnOnce(&T) -> String) -> Done {
        show(self.format, value, table)
    }

    pub(super) fn status(&self) -> Done {
        let status = block_on(self.client.status())?;
        let outcome = self.show(&status, output::status)?;
        let exit = if status.degraded() {
            Exit::Degraded
        } else {
            Exit::Ok
        };
        Ok(Outcome { exit, ..outcome })
    }

    pub(super) fn stop(&self) -> Done {
        block_on(self.client.stop())?;
        self.show(&serde_json::json!({ "stopped": true }), |_| {
            "stopped: nothing is left behind\n".to_owned()
        })
    }

    pub(super) fn service(&self, command: ServiceCommand) -> Done {
        let client = &self.client;
        match command {
            ServiceCommand::Add {
                name,
                vip,
                port,
                protocol,
                pool,
                mode,
                snat,
                hash,
                no_ping,
                change,
            } => {
                let new = NewService {
                    name,
                    vip,
                    port,
                    protocol: protocol.into(),
                    pool,
                    mode: mode.into(),
                    snat: snat.into_iter().collect(),
                    tunnel: Tunnel::default(),
                    mss_clamp: MssClamp::Off,
                    proxy_protocol: None,
                    scheduler: Scheduler::Maglev,
                    hash: hash.into(),
                    ping: !no_ping,
                    timeouts: Timeouts::default(),
                };
                let applied = block_on(client.add_service(&new, change.dry_run))?;
                self.show(&applied, output::applied)
            }
            ServiceCommand::List => {
                let services = block_on(client.services())?;
                self.show(&services, |services| output::services(services))
            }
            ServiceCommand::Show { name } => {
                self.show(&block_on(client.service(&name))?, output::service)
            }
            ServiceCommand::Remove { name, change } => {
                let applied = block_on(client.remove_service(&name, change.dry_run))?;
                self.show(&applied, output::applied)
            }
        }
    }

    pub(super) fn pool(&self, command: PoolCommand) -> Done {
        let client = &self.client;
        match command {
            PoolCommand::Add {
                name,
                monitors,
                on_down,
                change,
            } => {
                let new = NewPool {
                    name,
                    monitors,
                    on_down: on_down.into(),
                };
                let applied = block_on(client.add_pool(&new, change.dry_run))?;
                self.show(&applied, output::applied)
            }
            PoolCommand::List => {
                let config = block_on(client.config())?.config;
                self.show(&config.pools, output::pools)
            }
            PoolCommand::Remove { name, change } => {
                let applied = block_on(client.remove_pool(&name, change.dry_run))?;
                self.show(&applied, output::applied)
            }
        }
    }

    pub(super) fn backend(&self, command: BackendCommand) -> Done {
        let client = &self.client;
        match command {
            BackendCommand::Add {
                pool,
                address,
                name,
                weight,
                admin,
                change,
            } => {
                let new = NewBackend {
                    name,
                    address,
                    weight: Weight(weight),
                    admin: admin.into(),
                };
                let applied = block_on(client.add_backend(&pool, &new, change.dry_run))?;
                self.show(&applied, output::applied)
            }
            BackendCommand::List { pool, service } => {
                let filter = BackendFilter {
                    pool,
                    service,
                    name: None,
                };
                let backends = block_on(client.backends(&filter))?;
                self.show(&backends, |backends| output::backends(backends))
            }
            BackendCommand::Show(BackendArg { pool, name }) => {
                self.show(&block_on(client.backend(&pool, &name))?, output::backend)
            }
            BackendCommand::Weight {
                backend,
                weight,
                change,
            } => self.patch(&backend, BackendPatch::Weight(Weight(weight)), change),
            BackendCommand::Drain(BackendChange { backend, change }) => {
                self.patch(&backend, BackendPatch::Admin(AdminState::Draining), change)
            }
            BackendCommand::Enable(BackendChange { backend, change }) => {
                self.patch(&backend, BackendPatch::Admin(AdminState::Enabled), change)
            }
            BackendCommand::Maintenance(BackendChange { backend, change }) => {
                let state = BackendPatch::Admin(AdminState::Maintenance);
                self.patch(&backend, state, change)
            }
            BackendCommand::Remove(BackendChange { backend, change }) => {
                let BackendArg { pool, name } = &backend;
                let applied = block_on(client.remove_backend(pool, name, change.dry_run))?;
                self.show(&applied, output::applied)
            }
        }
    }

    fn patch(&self, backend: &BackendArg, patch: BackendPatch, change: Change) -> Done {
        let BackendArg { pool, name } = backend;
        let call = self
            .client
            .change_backend(pool, name, patch, change.dry_run);
        self.show(&block_on(call)?, output::applied)
    }

    pub(super) fn flow(&self, command: FlowCommand) -> Done {
        match command {
            FlowCommand::List { filter, limit } => {
                let page = block_on(self.client.flows(&flow_filter(filter, limit)))?;
                self.show(&page, output::flows)
            }
            FlowCommand::Count { filter } => {
                let filter = flow_filter(filter, 0);
                if filter.is_empty() {
                    let count = block_on(self.client.flow_count())?;
                    return self.show(&count, output::flow_count);
                }
                let total = block_on(self.client.flows(&filter))?.matched;
                let count = serde_json::json!({ "total": total });
                self.show(&count, |_| format!("{total}\n"))
            }
        }
    }

    pub(super) fn config(&self, local: &impl Local, command: ConfigCommand) -> Done {
        match command {
            ConfigCommand::Check { file } => {
                let checked = local.check(&file)?;
                self.show(&checked, |checked| output::checked(&file, checked))
            }
            ConfigCommand::Show => self.show(&block_on(self.client.config())?, output::config),
            ConfigCommand::Diff => self.show(&block_on(self.client.config_diff())?, output::diff),
            ConfigCommand::Apply {
                file,
                change,
                reset_edits,
            } => {
                let source = file.as_deref().map(read).transpose()?;
                let request = ConfigApply {
                    source,
                    reset_edits,
                };
                let applied = block_on(self.client.apply_config(&request, change.dry_run))?;
                self.show(&applied, output::applied)
            }
        }
    }
}

fn flow_filter(args: FlowArgs, limit: u32) -> FlowFilter {
    FlowFilter {
        protocol: args.protocol.map(Into::into),
        client: args.client,
        service: args.service,
        backend: args.backend,
        limit,
    }
}

/// Reads a configuration to send. The agent gets an absolute path, so that what it reports makes
/// sense whatever directory it runs in.
fn read(file: &Path) -> Result<ConfigSource, ApiError> {
    let text = fs::read_to_string(file).map_err(|error| {
        ApiError::new(
            ErrorCode::InvalidConfig,
            format!("cannot read the configuration {}: {error}", file.display()),
        )
    })?;
    let path = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    Ok(ConfigSource { text, path })
}
