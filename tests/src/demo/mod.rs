//! The demonstration: what a newcomer sees of adc in the first minute.

mod stage;
mod story;
mod tally;
mod teller;
mod web_server;

use std::{panic::AssertUnwindSafe, process::ExitCode};

use crate::{
    agent, interrupt,
    net::{leftovers, remove},
    require, serve as servers,
    wait::Cancelled,
};

use tally::Outcome;
use teller::Teller;

/// What the user asked for.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Leave everything up at the end.
    pub keep: bool,
    /// One JSON object as the last line of standard output.
    pub json: bool,
}

/// Exit code after Ctrl-C, as of a shell.
const INTERRUPTED: u8 = 130;

/// Runs the demonstration from nothing to nothing.
pub fn run(options: Options) -> ExitCode {
    if let Err(reason) = requirements() {
        eprintln!("adc-demo {reason}");
        return finish(options, &Outcome::default());
    }
    interrupt::watch();
    interrupt::silence_cancellation();
    let teller = Teller::new(options.json);
    match std::panic::catch_unwind(AssertUnwindSafe(|| story::tell(&teller, options.keep))) {
        Ok(outcome) => finish(options, &outcome),
        Err(panic) if panic.is::<Cancelled>() => {
            eprintln!("\ninterrupted; everything has been torn down");
            ExitCode::from(INTERRUPTED)
        }
        // The panic hook has said why, and unwinding has torn everything down.
        Err(_reported) => finish(options, &Outcome::default()),
    }
}

/// Removes what an earlier `--keep` left up.
pub fn tear_down_kept() -> ExitCode {
    if let Err(reason) = require::root() {
        eprintln!("adc-demo {reason}");
        return ExitCode::FAILURE;
    }
    let kept: Vec<_> = leftovers().into_iter().filter(|left| left.demo).collect();
    remove(&kept);
    println!("removed {} network namespaces of kept demos", kept.len());
    ExitCode::SUCCESS
}

/// Our own web server, as a process.
pub fn serve(name: &str, port: u16) -> ExitCode {
    match servers::serve_http(name, port) {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("cannot listen on port {port}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn requirements() -> Result<(), String> {
    require::root().map_err(|reason| format!("{reason}: run it with sudo"))?;
    require::namespaces()?;
    agent::binary().map(drop)
}

fn finish(options: Options, outcome: &Outcome) -> ExitCode {
    if options.json {
        println!("{}", outcome.json());
    }
    if outcome.ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
