//! The command line, binary `adc`.
//!
//! `args` says what can be typed, `commands` does it, `output` shows the result as a table or as
//! JSON. All verbs but a few talk to a running agent through [`crate::api::client`]; what needs
//! this node itself comes in through [`Local`]. `docs/cli.md` is the reference.

mod announce_args;
mod args;
mod bfd_args;
mod commands;
mod decap_args;
mod exit;
mod ha_args;
mod jitter_args;
mod keeper_args;
mod local;
mod output;
mod packet_args;
mod pcapng_blocks;
mod recording;
#[cfg(test)]
mod tests;

pub use self::{
    args::Cli,
    exit::Exit,
    local::{DecapCount, DecapOptions, Local, RunOptions},
};

use std::{
    ffi::OsString,
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;

use self::{args::Format, commands::Failure};

/// Runs the program's own command line and says how to exit.
pub fn main(local: &impl Local) -> ExitCode {
    run(
        local,
        std::env::args_os(),
        &mut io::stdout(),
        &mut io::stderr(),
    )
    .into()
}

/// Runs the command line `words` (the first is the program's name).
///
/// Results go to `out`; errors go to `err`, as one JSON object if JSON was asked for.
pub fn run(
    local: &impl Local,
    words: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    out: &mut impl Write,
    err: &mut impl Write,
) -> Exit {
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => {
            let text = error.render();
            // Help and version are what was asked for; everything else is a usage error.
            return if error.use_stderr() {
                print(err, &text.to_string(), Exit::Usage)
            } else {
                print(out, &text.to_string(), Exit::Ok)
            };
        }
    };
    let format = cli.global.output;
    match commands::run(local, cli) {
        Ok(outcome) => print(out, &outcome.text, outcome.exit),
        Err(failure) => {
            let exit = failure.exit();
            print(err, &error_text(&failure, format), exit)
        }
    }
}

fn error_text(failure: &Failure, format: Format) -> String {
    match format {
        Format::Table => failure.to_string(),
        Format::Json => output::json(&failure.to_api()).unwrap_or_else(|_| format!("{failure}\n")),
    }
}

/// Writes `text`; a reader that went away (`adc flow list | head`) is no failure of ours.
fn print(to: &mut impl Write, text: &str, exit: Exit) -> Exit {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Exit::Failed,
        Ok(()) | Err(_) => exit,
    }
}
