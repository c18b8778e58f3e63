//! The binary `adc`: the command line, and what it starts on this node.

use std::{path::Path, process::ExitCode};

use adc_userspace::{
    agent,
    api::proto::{ApiError, ConfigChecked},
    cli::{self, DecapCount, DecapOptions, Local, RunOptions},
    decap,
    doctor::{self, Finding},
    ha::{
        heartbeat::jitter::{self, Report},
        keeper::{self, KeeperOptions},
    },
    model::Profile,
    telemetry,
};
use anyhow::Context as _;

struct ThisNode;

impl Local for ThisNode {
    fn run(&self, options: RunOptions) -> anyhow::Result<()> {
        telemetry::init_logging(options.log_format)?;
        agent::run(&options)
    }

    fn keeper(&self, options: &KeeperOptions) -> anyhow::Result<()> {
        telemetry::init_logging(options.log_format)?;
        keeper::run(options)
    }

    fn decap(&self, options: &DecapOptions) -> anyhow::Result<Vec<DecapCount>> {
        decap::run(options)
    }

    fn jitter_test(&self, profile: Profile, seconds: u32) -> anyhow::Result<Report> {
        jitter::test(profile, seconds).with_context(|| {
            format!(
                "measuring with the thread of profile {}; profile ultra needs root, or CAP_SYS_NICE and CAP_IPC_LOCK",
                profile.name()
            )
        })
    }

    fn check(&self, path: &Path) -> Result<ConfigChecked, ApiError> {
        agent::check(path).map(|config| (&config).into())
    }

    fn examine(&self, interfaces: &[String], pin_path: &Path) -> Vec<Finding> {
        doctor::examine(interfaces, pin_path)
    }
}

fn main() -> ExitCode {
    cli::main(&ThisNode)
}
