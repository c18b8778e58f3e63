//! How much work the verifier has with the program. It grows silently, by leaps, and ends in a refusal on some
//! kernel; so the numbers are committed and growth is a decision.

use std::{
    fs,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use adc_common::abi::CaptureSetup;
use adc_tests::{
    announce,
    program::{Limits, Program, handover::Between},
    require,
};
use aya::programs::ProgramInfo;

/// Set to anything, the numbers of this kernel are written instead of compared.
const BLESS: &str = "ADC_BLESS";

/// The budget as of when this test was built: a guest has no working directory.
const BUDGET: &str = include_str!("../verifier-budget.txt");

/// Three quarters of what the verifier is willing to look at (`BPF_COMPLEXITY_LIMIT_INSNS`, Linux 5.2 and later).
const CEILING: u32 = 1_000_000 / 4 * 3;

#[derive(Clone, Copy, Debug)]
struct Size {
    /// Instructions the verifier looked at, every path counted.
    verified: u32,
    /// Bytes of the program after its rewriting.
    translated: u32,
}

const LIMITS: Limits = Limits {
    flows: 1024,
    half_open: 1024,
};

#[test]
fn program_stays_within_its_verifier_budget() {
    require!(object);
    check(&mut Program::load(LIMITS), "");
}

#[test]
fn program_that_checks_itself_stays_within_its_verifier_budget() {
    require!(object);
    check(&mut Program::load_checked(LIMITS), "-checked");
}

#[test]
fn program_that_tells_of_flows_stays_within_its_verifier_budget() {
    require!(object);
    check(&mut Program::load_telling(LIMITS), "-telling");
}

#[test]
fn program_that_captures_stays_within_its_verifier_budget() {
    require!(object, capture);
    let setup = CaptureSetup::default();
    let (mut program, _records) = Program::capturing(LIMITS, setup);
    check(&mut program, "-capture");
}

#[test]
fn program_between_two_others_stays_within_its_verifier_budget() {
    require!(object, handover);
    check_info(&Between::load().info(), "-handover");
}

#[test]
fn program_that_captures_and_tells_stays_within_its_verifier_budget() {
    require!(object, capture);
    let (mut program, _records) = Program::capturing_telling(LIMITS, CaptureSetup::default());
    check(&mut program, "-capture-telling");
}

/// Tests run side by side; blessing rewrites one file.
static BLESSING: Mutex<()> = Mutex::new(());

/// Compares a program with the line of this kernel and `kind`.
fn check(program: &mut Program, kind: &str) {
    check_info(&program.info(), kind);
}

fn check_info(info: &ProgramInfo, kind: &str) {
    let now = Size {
        verified: info
            .verified_instruction_count()
            .expect("Linux 5.16 or later"),
        translated: info.size_translated().expect("Linux 4.15 or later"),
    };
    let series = series() + kind;
    announce(format_args!(
        "Linux {series}: {now:?}, {} bytes of machine code",
        info.size_jitted()
    ));
    assert!(
        now.verified < CEILING,
        "{now:?} is over {CEILING} instructions"
    );
    if std::env::var_os(BLESS).is_some() {
        let _alone = BLESSING.lock().unwrap_or_else(PoisonError::into_inner);
        let text = fs::read_to_string(budget_file()).expect("verifier-budget.txt");
        fs::write(budget_file(), blessed(&text, &series, now)).expect("verifier-budget.txt");
        return;
    }
    let Some(budget) = budget(BUDGET, &series) else {
        announce(format_args!(
            "Linux {series} has no budget in verifier-budget.txt"
        ));
        return;
    };
    let within = |now: u32, budget: u32| u64::from(now) * 10 <= u64::from(budget) * 11;
    assert!(
        within(now.verified, budget.verified) && within(now.translated, budget.translated),
        "{now:?} is more than a tenth over {budget:?}; if it is worth it, run this test with {BLESS}=1"
    );
}

/// Of the running kernel: `6.1`.
fn series() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("kernel release");
    let mut numbers = release.trim().split(['.', '-']);
    let mut next = || numbers.next().expect("two numbers").to_owned();
    format!("{}.{}", next(), next())
}

fn budget_file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("verifier-budget.txt")
}

/// The line of a kernel: series, instructions verified, bytes translated.
fn budget(text: &str, series: &str) -> Option<Size> {
    text.lines()
        .find_map(|line| match *line.split_whitespace().collect::<Vec<_>>() {
            [kernel, verified, translated] if kernel == series => Some(Size {
                verified: verified.parse().expect("a number"),
                translated: translated.parse().expect("a number"),
            }),
            _ => None,
        })
}

fn blessed(text: &str, series: &str, now: Size) -> String {
    let mut lines: Vec<String> = text
        .lines()
        .filter(|line| line.split_whitespace().next() != Some(series))
        .map(str::to_owned)
        .collect();
    lines.push(format!(
        "{series:12} {:>9} {:>11}",
        now.verified, now.translated
    ));
    lines.join("\n") + "\n"
}

#[test]
fn blessing_replaces_the_line_of_this_kernel_only() {
    let text = "# kernel verified translated\n6.1 1 2\n6.18 3 4\n";
    let now = Size {
        verified: 100,
        translated: 200,
    };
    let text = blessed(text, "6.1", now);
    assert_eq!(budget(&text, "6.1").map(|size| size.verified), Some(100));
    assert_eq!(budget(&text, "6.18").map(|size| size.translated), Some(4));
    assert!(budget(&text, "6.12").is_none());
    assert!(text.starts_with("# kernel"));
}
