//! `cargo xtask test`: every layer of the test pyramid (docs/TESTING.md), one after another, with a
//! summary. Asks nothing. A layer that can not run is never silent, and fails the run in CI.

mod layer;
mod report;

use std::{env, process::ExitCode, time::Instant};

use anyhow::Result;

pub(crate) use report::{Counts, count_tests};

use crate::{process::step, workspace::Workspace};
use layer::{Context, Layer};
use report::{Outcome, Report};

/// Options of `test`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only these layers (repeatable), and what they are built from
    #[arg(long, value_name = "LAYER")]
    only: Vec<Layer>,
    /// A layer that can not run fails the run; the default where CI=true
    #[arg(long)]
    strict: bool,
    /// Print the layers and stop
    #[arg(long)]
    list: bool,
}

/// Runs the command.
pub(crate) fn command(args: &Args) -> Result<ExitCode> {
    if args.list {
        for layer in Layer::ALL {
            println!("{:12} {}", layer.name(), layer.describe());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let strict = args.strict || env::var("CI").is_ok_and(|ci| ci == "true");
    let layers = chosen(&args.only);
    let mut context = Context::new(Workspace::find()?, strict);
    let mut report = Report::default();
    for layer in layers {
        step(format_args!("{layer}: {}", layer.describe()));
        let start = Instant::now();
        let outcome = layer.run(&mut context);
        let elapsed = start.elapsed();
        match &outcome {
            Outcome::Ran(counts) if counts.failed == 0 => {
                step(format_args!(
                    "{layer}: ok in {:.1} s",
                    elapsed.as_secs_f64()
                ));
            }
            Outcome::Ran(_) => {
                step(format_args!(
                    "{layer}: FAILED in {:.1} s",
                    elapsed.as_secs_f64()
                ));
            }
            Outcome::Skipped(reason) => println!("SKIPPED {layer}: {reason}"),
        }
        report.add(layer, outcome, elapsed);
    }
    print!("{report}");
    Ok(if report.is_failure(strict) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// The layers to run, in their order: all, or those named with what they need.
fn chosen(only: &[Layer]) -> Vec<Layer> {
    let wanted = |layer: &Layer| {
        only.is_empty() || only.iter().any(|o| o == layer || o.needs().contains(layer))
    };
    Layer::ALL.into_iter().filter(wanted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_choice_means_every_layer() {
        assert_eq!(chosen(&[]), Layer::ALL);
    }

    #[test]
    fn a_chosen_layer_brings_what_it_is_built_from_first() {
        assert_eq!(
            chosen(&[Layer::Prog]),
            [Layer::Setup, Layer::BuildEbpf, Layer::Prog]
        );
        assert_eq!(chosen(&[Layer::Tidy]), [Layer::Tidy]);
    }
}
