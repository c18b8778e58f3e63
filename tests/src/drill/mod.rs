//! The drill: faults happen to a pair of adc nodes, and what clients see of them is measured.

mod bed;
mod clock;
mod cut;
mod gate;
mod injection;
pub mod instruments;
mod mixed;
mod node;
mod outsider;
mod plan;
mod report;
mod trial;

pub use plan::{Fault, Mode, Profile};

use std::{panic::AssertUnwindSafe, process::ExitCode, time::Instant};

use clap::ValueEnum;

use crate::{agent, interrupt, require, wait::Cancelled};
use bed::{Bed, Setting};
use mixed::Mixed;
use plan::name;
use report::{Row, Table};
use trial::Observed;

/// What the user asked for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only these; empty = all.
    pub only: Vec<Fault>,
    /// Only this mode.
    pub mode: Option<Mode>,
    /// Which profile; by default the heartbeat's `fast`, and VRRP where the other node is keepalived.
    pub profile: Option<Profile>,
    /// With flow replication.
    pub sync: bool,
    /// How often each fault happens.
    pub runs: usize,
    /// TCP connections that are held.
    pub connections: usize,
    /// How the table is printed.
    pub output: Output,
}

/// How the table is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// One JSON object.
    Json,
    /// For the documentation.
    Markdown,
}

/// Runs of one fault that may fail before the others are not tried any more.
const MOST_TROUBLES: usize = 2;
/// Exit code after Ctrl-C, as of a shell.
const INTERRUPTED: u8 = 130;

/// Runs all drills and prints the table; fails if a promise was not kept.
pub fn run(options: &Options) -> ExitCode {
    if let Err(reason) = requirements() {
        eprintln!("adc-drill {reason}");
        return ExitCode::FAILURE;
    }
    interrupt::watch();
    interrupt::silence_cancellation();
    let mut table = Table::default();
    for mode in Mode::value_variants() {
        let faults = faults(options, *mode);
        if faults.is_empty() {
            continue;
        }
        let begun = std::panic::catch_unwind(AssertUnwindSafe(|| {
            drill(options, *mode, &faults, &mut table);
        }));
        if let Err(panic) = begun {
            if panic.is::<Cancelled>() {
                eprintln!("\ninterrupted; everything has been torn down");
                return ExitCode::from(INTERRUPTED);
            }
            // The panic hook has said why.
            eprintln!("adc-drill: the pair could not be set up");
            return ExitCode::FAILURE;
        }
    }
    match options.output {
        Output::Text => println!("{}", table.text()),
        Output::Json => println!("{}", table.json()),
        Output::Markdown => println!("{}", table.markdown()),
    }
    if table.rows.iter().all(Row::is_kept) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// All faults happen with `nat`; with `full-nat` only those where flows matter, unless it was asked for.
fn faults(options: &Options, mode: Mode) -> Vec<Fault> {
    if options.mode.is_some_and(|only| only != mode) {
        return Vec::new();
    }
    let wanted = |fault: &Fault| {
        let named = options.only.is_empty() || options.only.contains(fault);
        named && (mode == Mode::Nat || options.mode.is_some() || fault.matters_to_flows())
    };
    let all = Fault::value_variants().iter().copied();
    all.filter(wanted).collect()
}

/// Drills one pair after the other.
fn drill(options: &Options, mode: Mode, faults: &[Fault], table: &mut Table) {
    let mut up = Up::Nothing;
    for fault in faults {
        let profile = options.profile.unwrap_or(fault.usual_profile());
        let what = (*fault, profile, mode);
        if let Some(reason) = idle(*fault, profile, mode) {
            eprintln!("{}: skipped: {reason}", name(*fault));
            table.rows.push(Row::skipped(what, &reason));
            continue;
        }
        let (began, mut observed, mut troubles) = (Instant::now(), Vec::new(), Vec::new());
        for number in 1..=options.runs {
            let trial = || up.run(options, what);
            match std::panic::catch_unwind(AssertUnwindSafe(trial)) {
                Ok(one) => {
                    progress(what, number, options.runs, &one);
                    observed.push(one);
                }
                Err(panic) if panic.is::<Cancelled>() => std::panic::resume_unwind(panic),
                Err(panic) => {
                    troubles.push(format!("run {number} did not end: {}", message(&*panic)));
                    // What it left is nothing to go on with.
                    if let Up::Pair(left) = std::mem::replace(&mut up, Up::Nothing) {
                        left.tell();
                    }
                    if troubles.len() == MOST_TROUBLES {
                        break;
                    }
                }
            }
        }
        eprintln!("{}: {:.1} s", name(*fault), began.elapsed().as_secs_f64());
        let sync = options.sync && fault.peering().is_none();
        let row = Row::new(what, sync, options.connections, &observed, troubles);
        table.rows.push(row);
    }
}

/// The pair that is up.
enum Up {
    Nothing,
    Pair(Box<Bed>),
    Mixed(Fault, Box<Mixed>),
}

impl Up {
    /// One trial, with the pair that it needs.
    fn run(
        &mut self,
        options: &Options,
        (fault, profile, mode): (Fault, Profile, Mode),
    ) -> Observed {
        let own_clock = fault == Fault::ClockJump;
        let serves = match self {
            Self::Nothing => false,
            Self::Pair(bed) => {
                let same = (bed.clock.is_some(), bed.witness.is_some());
                fault.peering().is_none() && same == (own_clock, fault.has_witness())
            }
            Self::Mixed(of, _) => *of == fault,
        };
        if !serves {
            // The old one must be gone before the new one waits for its turn on this machine.
            *self = Self::Nothing;
            *self = match fault.peering() {
                Some(peering) => Self::Mixed(fault, Box::new(Mixed::start(peering))),
                None => Self::Pair(Box::new(Bed::start(Setting {
                    profile,
                    mode,
                    sync: options.sync,
                    own_clock,
                    witness: fault.has_witness(),
                }))),
            };
        }
        match self {
            Self::Pair(bed) => trial::run(bed, fault, options.connections),
            Self::Mixed(_, mixed) => mixed.run(),
            Self::Nothing => unreachable!("a pair was started"),
        }
    }
}

/// Why a fault can not happen here.
fn idle(fault: Fault, profile: Profile, mode: Mode) -> Option<String> {
    let of_profile = fault.is_idle(profile, mode).map(ToOwned::to_owned);
    let of_machine = || {
        if fault == Fault::ClockJump {
            return clock::library().err();
        }
        require::program(fault.program()?).err()
    };
    of_profile.or_else(of_machine)
}

fn progress(
    (fault, profile, mode): (Fault, Profile, Mode),
    number: usize,
    of: usize,
    one: &Observed,
) {
    let takeover = one
        .takeover
        .map_or("none".to_owned(), |after| format!("{after:.1?}"));
    eprintln!(
        "{} {} {} {number}/{of}: takeover {takeover}, {} of {} packets lost, {} connections survived, iperf3 {}, both active {:.1?}",
        name(fault),
        name(profile),
        name(mode),
        one.lost(),
        one.stream.sent,
        one.survived,
        if one.bulk { "goes on" } else { "stopped" },
        one.both_active,
    );
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.and_then(|text| text.lines().next())
        .unwrap_or("see above")
        .to_owned()
}

fn requirements() -> Result<(), String> {
    require::root().map_err(|reason| format!("{reason}: run it with sudo"))?;
    require::namespaces()?;
    for program in ["iperf3", "ss"] {
        require::program(program)?;
    }
    agent::binary().map(drop)
}
