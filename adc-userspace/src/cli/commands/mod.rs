//! Doing what was typed.

mod agent;
mod capture;
mod explain;
mod ha;
mod jitter;

use std::{fmt, future::Future, path::Path};

use clap::CommandFactory;
use serde::Serialize;

use self::agent::Agent;
use super::{
    DecapOptions, Exit, Local, RunOptions,
    announce_args::AnnounceCommand,
    args::{Cli, Command, Format, RunArgs},
    bfd_args::BfdCommand,
    decap_args::DecapArgs,
    keeper_args::KeeperArgs,
    output,
};
use crate::{
    api::{
        client::Client,
        proto::{ApiError, ErrorCode, sentence},
        server::SocketError,
    },
    config::ConfigErrors,
    doctor::Severity,
    ha::keeper::KeeperOptions,
};

/// What a command printed and how it ends.
pub(super) struct Outcome {
    pub(super) text: String,
    pub(super) exit: Exit,
}

/// Why a command failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The agent, the client or a check said no.
    Api(ApiError),
    /// The agent itself ended with an error.
    Run(anyhow::Error),
}

impl Failure {
    pub(super) fn exit(&self) -> Exit {
        self.to_api().code.into()
    }

    /// As one error, for JSON and for the exit code.
    pub(super) fn to_api(&self) -> ApiError {
        match self {
            Self::Api(error) => error.clone(),
            Self::Run(error) => cause(error),
        }
    }
}

/// Finds the error that decides the exit code under whatever context was added to it.
fn cause(error: &anyhow::Error) -> ApiError {
    if let Some(found) = error.downcast_ref::<ApiError>() {
        return found.clone();
    }
    if let Some(errors) = error.downcast_ref::<ConfigErrors>() {
        return errors.into();
    }
    let code = match error.downcast_ref::<SocketError>() {
        Some(SocketError::AlreadyRunning(_)) => ErrorCode::Conflict,
        Some(SocketError::NotASocket(_) | SocketError::Io { .. }) | None => ErrorCode::Internal,
    };
    ApiError::new(code, sentence(error.as_ref()))
}

/// For people: the problems a line each, and last, next to the prompt, what it comes to.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.to_api();
        for problem in &error.problems {
            writeln!(f, "{problem}")?;
        }
        writeln!(f, "adc: {}", error.what)
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

type Done = Result<Outcome, Failure>;

/// Runs one command.
pub(super) fn run(local: &impl Local, cli: Cli) -> Done {
    let format = cli.global.output;
    let agent = Agent {
        client: Client::new(&cli.global.socket),
        format,
    };
    match cli.command {
        Command::Run(args) => run_agent(local, &args),
        Command::Stop => agent.stop(),
        Command::Keeper(args) => run_keeper(local, args),
        Command::Status => agent.status(),
        Command::Service(command) => agent.service(command),
        Command::Pool(command) => agent.pool(command),
        Command::Backend(command) => agent.backend(command),
        Command::Flow(command) => agent.flow(command),
        Command::Drops { all } => {
            let rows = block_on(agent.client.drops())?;
            agent.show(&rows, |rows| output::drops(rows, all))
        }
        Command::Capture(args) => capture::run(&agent, &args),
        Command::Explain(args) => explain::run(&agent, args),
        Command::Announce(AnnounceCommand::Status) => {
            let views = block_on(agent.client.announcements())?;
            agent.show(&views, |views| output::announcements(views))
        }
        Command::Bfd(BfdCommand::Status) => {
            let view = block_on(agent.client.bfd())?;
            agent.show(&view, output::bfd)
        }
        Command::Ha(command) => ha::run(local, &agent, command, format),
        Command::Config(command) => agent.config(local, command),
        Command::Doctor {
            interfaces,
            pin_path,
        } => doctor(local, &interfaces, &pin_path, format),
        Command::Decap(args) => decap(local, args, format),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "adc", &mut script);
            Ok(succeeded(String::from_utf8_lossy(&script).into_owned()))
        }
        Command::Version => {
            let version = env!("CARGO_PKG_VERSION");
            let facts = serde_json::json!({ "version": version });
            show(format, &facts, |_| format!("adc {version}\n"))
        }
    }
}

fn succeeded(text: String) -> Outcome {
    Outcome {
        text,
        exit: Exit::Ok,
    }
}

fn show<T: Serialize>(format: Format, value: &T, table: impl FnOnce(&T) -> String) -> Done {
    Ok(succeeded(match format {
        Format::Table => table(value),
        Format::Json => output::json(value)?,
    }))
}

/// Runs a client call to its end.
fn block_on<T>(call: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            ApiError::new(
                ErrorCode::Internal,
                format!("cannot start a runtime to talk to the agent: {error}"),
            )
        })?
        .block_on(call)
}

fn run_agent(local: &impl Local, args: &RunArgs) -> Done {
    let options = RunOptions {
        config: args.config.clone(),
        mode: args.mode.map(Into::into),
        log_format: args.log_format.into(),
    };
    local.run(options).map_err(Failure::Run)?;
    Ok(succeeded(String::new()))
}

fn run_keeper(local: &impl Local, args: KeeperArgs) -> Done {
    let options = KeeperOptions {
        run_dir: args.run_dir,
        log_format: args.log_format.into(),
        handover: args.handover,
    };
    local.keeper(&options).map_err(Failure::Run)?;
    Ok(succeeded(String::new()))
}

fn decap(local: &impl Local, args: DecapArgs, format: Format) -> Done {
    let options = DecapOptions {
        interface: args.interface,
        mode: args.mode.into(),
        vips: args
            .vips
            .into_iter()
            .map(|vip| vip.to_canonical())
            .collect(),
        port: args.port,
    };
    let counts = local.decap(&options).map_err(Failure::Run)?;
    show(format, &counts, |counts| output::decap(counts))
}

fn doctor(local: &impl Local, interfaces: &[String], pin_path: &Path, format: Format) -> Done {
    let findings = local.examine(interfaces, pin_path);
    let outcome = show(format, &findings, |findings| output::findings(findings))?;
    let well = findings.iter().all(|f| f.severity == Severity::Ok);
    let exit = if well { Exit::Ok } else { Exit::Degraded };
    Ok(Outcome { exit, ..outcome })
}
