//! What works, or fails well, without an agent.

use clap::{CommandFactory, Parser};

use super::*;
use crate::{api::proto::ErrorCode, cli::Cli};

#[test]
fn the_grammar_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_verb_parses() {
    let lines = [
        "run -c adc.toml --mode skb --log-format json",
        "run",
        "status",
        "service add www --vip 192.0.2.1 --port 80 --protocol udp --pool web --hash source --dry-run",
        "service list",
        "service show www",
        "service remove www",
        "pool add web --monitor http --monitor tcp",
        "pool list",
        "pool remove web",
        "backend add web [2001:db8::5]:80 --name web4 --weight 0 --admin draining",
        "backend list --pool web --service www",
        "backend show web [2001:db8::5]:80",
        "backend weight web web1 1000",
        "backend drain web web1",
        "backend enable web web1 --dry-run",
        "backend maintenance web web1",
        "backend remove web web1",
        "flow list --protocol tcp --client 192.0.2.0/24 --service www --backend web1 --limit 5",
        "flow count --client 2001:db8::1",
        "drops --all",
        "config check adc.toml",
        "config diff",
        "config apply adc.toml --dry-run --reset-edits",
        "config apply",
        "config show",
        "doctor --interface eth0 -i eth1",
        "ha jitter-test",
        "ha jitter-test --seconds 3600 --profile fast",
        "decap --interface eth0",
        "decap -i eth0 --mode skb --vip 192.0.2.1 --vip 2001:db8::1 --port 7000",
        "completions zsh",
        "version",
    ];
    for line in lines {
        for global in ["", " -o json", " --output table --socket /tmp/s"] {
            let words = format!("adc {line}{global}");
            let parsed = Cli::try_parse_from(words.split_whitespace());
            assert!(parsed.is_ok(), "{words}: {}", parsed.unwrap_err());
        }
    }
}

#[test]
fn what_makes_no_sense_is_a_usage_error_that_names_the_value() {
    let lines = [
        ("service add www --vip here --port 80 --pool web", "here"),
        ("service add www --vip 192.0.2.1 --port 0 --pool web", "'0'"),
        (
            "service add -www- --vip 192.0.2.1 --port 80 --pool web",
            "-w",
        ),
        ("backend add web 10.0.0.5:0", "10.0.0.5"),
        ("backend weight web web1 1001", "1001"),
        ("flow list --client everybody", "everybody"),
        ("backend drain web", "<NAME>"),
        ("statis", "status"),
        ("status -o yaml", "yaml"),
    ];
    for (line, named) in lines {
        let ran = run(&nowhere(), line);
        assert_eq!(ran.exit, Exit::Usage, "{line}");
        assert!(ran.err.contains(named), "{line}: {}", ran.err);
        assert!(ran.out.is_empty());
    }
}

#[test]
fn help_lists_the_exit_codes_and_is_no_error() {
    let ran = run(&nowhere(), "--help");
    assert_eq!(ran.exit, Exit::Ok);
    for code in ["0  ok", "3  invalid", "6  agent unreachable", "7  degraded"] {
        assert!(ran.out.contains(code), "{code}: {}", ran.out);
    }
}

#[test]
fn without_an_agent_the_error_names_the_socket_and_the_next_step() {
    let ran = run(&nowhere(), "status");
    assert_eq!(ran.exit, Exit::Unreachable);
    assert_eq!(ran.exit.code(), 6);
    for said in ["/nonexistent/control.sock", "no such socket", "`adc run`"] {
        assert!(ran.err.contains(said), "{said}: {}", ran.err);
    }
    let ran = run(&nowhere(), "status -o json");
    let error: Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!(error["code"], "unreachable");
    assert!(ran.out.is_empty());
}

#[test]
fn a_dead_agents_socket_is_unreachable_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = socket_path(directory.path());
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let ran = run(&path, "drops");
    assert_eq!(ran.exit, Exit::Unreachable);
    assert!(ran.err.contains("connection refused"), "{}", ran.err);
}

#[test]
fn check_needs_no_agent_and_shows_every_problem() {
    let ran = run(&nowhere(), "config check good.toml");
    assert_eq!(ran.exit, Exit::Ok);
    assert!(
        ran.out.contains("good.toml is valid (services: 1,"),
        "{}",
        ran.out
    );
    let ran = run(&nowhere(), "config check bad.toml");
    assert_eq!(ran.exit.code(), 3);
    assert!(
        ran.err
            .contains("bad.toml: service.www.port: must not be 0"),
        "{}",
        ran.err
    );
}

#[test]
fn doctor_exits_with_7_if_there_is_something_to_mend() {
    let ran = run(&nowhere(), "doctor -i eth0");
    assert_eq!(ran.exit, Exit::Degraded);
    assert!(ran.out.contains("ethtool -K eth0 tx off"), "{}", ran.out);
    assert_eq!(run(&nowhere(), "doctor").exit, Exit::Ok);
}

#[test]
fn a_second_agent_is_a_conflict_and_a_bad_file_an_invalid_configuration() {
    let ran = run(&nowhere(), "run --mode skb -c second.toml");
    assert_eq!(ran.exit.code(), 4, "{}", ran.err);
    assert!(ran.err.contains("another adc agent"), "{}", ran.err);
    let ran = run(&nowhere(), "run --mode skb -c bad.toml");
    assert_eq!(ran.exit.code(), 3, "{}", ran.err);
    assert!(ran.err.contains("bad.toml:1: nonsense"), "{}", ran.err);
    let last = ran.err.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("adc: the configuration bad.toml is not valid"),
        "{last}"
    );
}

#[test]
fn completions_are_printed_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = run(&nowhere(), &format!("completions {shell}"));
        assert_eq!(ran.exit, Exit::Ok);
        assert!(ran.out.contains("maintenance"), "{shell}");
    }
}

#[test]
fn the_version_is_the_packages() {
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(run(&nowhere(), "version").out, format!("adc {version}\n"));
    assert_eq!(
        run(&nowhere(), "version -o json").json(),
        json!({"version": version})
    );
}

#[test]
fn the_reference_names_every_verb_and_every_error_code() {
    let reference = include_str!("../../../../docs/cli.md");
    for command in Cli::command().get_subcommands() {
        let name = command.get_name();
        assert!(reference.contains(&format!("`adc {name}")), "adc {name}");
        for verb in command.get_subcommands().map(clap::Command::get_name) {
            let verb = format!("`adc {name} {verb}");
            let alone = verb.replace(&format!("adc {name} "), "");
            assert!(
                reference.contains(&verb) || reference.contains(&alone),
                "{verb}"
            );
        }
    }
    let codes = [
        ErrorCode::InvalidRequest,
        ErrorCode::NotPermitted,
        ErrorCode::NotFound,
        ErrorCode::MethodNotAllowed,
        ErrorCode::Timeout,
        ErrorCode::Conflict,
        ErrorCode::TooLarge,
        ErrorCode::InvalidConfig,
        ErrorCode::Internal,
        ErrorCode::Unavailable,
    ];
    for code in codes {
        let (status, exit) = (code.http_status(), Exit::from(code).code());
        let row = format!("| `{}` | {status} | {exit} |", code.name());
        assert!(reference.contains(&row), "{row}");
    }
}

#[test]
fn decap_says_what_was_done_or_why_not() {
    let done = run(
        &nowhere(),
        "decap -i eth0 --port 6081 --vip 192.0.2.1 --vip 2001:db8::1",
    );
    assert_eq!(done.exit, Exit::Ok);
    assert!(
        done.out.contains("decapsulated        2  Taken out."),
        "{}",
        done.out
    );
    let failed = run(&nowhere(), "decap -i eth9 --port 6081");
    assert_eq!(failed.exit, Exit::Failed);
    assert!(
        failed.err.contains("there is no such interface"),
        "{}",
        failed.err
    );
}

#[test]
fn a_machine_that_is_not_fit_for_a_profile_is_told_so_by_text_and_exit_code() {
    let fit = run(&nowhere(), "ha jitter-test --seconds 5");
    assert_eq!(fit.exit, Exit::Ok, "{}", fit.err);
    assert!(fit.out.contains("fit for profile ultra"), "{}", fit.out);
    let unfit = run(&nowhere(), "ha jitter-test --seconds 7");
    assert_eq!(unfit.exit, Exit::Degraded);
    assert!(unfit.out.contains("happened 100 times"), "{}", unfit.out);
    let json = run(&nowhere(), "ha jitter-test --seconds 7 -o json").json();
    assert_eq!(json["trips"], 100);
    let fast = run(&nowhere(), "ha jitter-test --seconds 7 --profile fast");
    assert_eq!(fast.exit, Exit::Ok, "{}", fast.out);
}
