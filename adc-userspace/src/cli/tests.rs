//! The command line from the words typed to text, JSON and exit code, against a fake agent.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{CommandFactory, Parser};
use nix::unistd::Uid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{Cli, Exit, Finding, FindingSeverity, Local, RunOptions};
use crate::{
    api::{
        proto::{ApiError, ConfigChecked, ErrorCode, Problem},
        server::{Access, Limits, Server},
        socket_path,
        testing::FakeControl,
    },
    model::AttachMode,
};

/// A node without an agent in it.
struct FakeNode;

impl Local for FakeNode {
    fn run(&self, options: RunOptions) -> anyhow::Result<()> {
        assert_eq!(options.mode, Some(AttachMode::Skb));
        let conflict = ApiError::new(ErrorCode::Conflict, "another adc agent runs on this node");
        Err(anyhow::Error::new(conflict))
    }

    fn check(&self, path: &Path) -> Result<ConfigChecked, ApiError> {
        if path.ends_with("good.toml") {
            return Ok(ConfigChecked {
                services: 1,
                pools: 1,
                backends: 3,
                monitors: 1,
            });
        }
        let problem = Problem {
            file: Some(path.to_owned()),
            key: Some("service.www.port".into()),
            problem: "must not be 0".into(),
            ..Problem::default()
        };
        Err(ApiError::invalid_config("1 error", vec![problem]))
    }

    fn examine(&self, interfaces: &[String], _pin_path: &Path) -> Vec<Finding> {
        let finding = |name: &String| Finding {
            severity: FindingSeverity::Warning,
            subject: name.clone(),
            what: "transmit checksums are offloaded".into(),
            remedy: Some(format!("ethtool -K {name} tx off")),
        };
        interfaces.iter().map(finding).collect()
    }
}

struct Ran {
    exit: Exit,
    out: String,
    err: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("no JSON: {}", self.out))
    }
}

fn run(socket: &Path, words: &str) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let socket = socket.display().to_string();
    let words = ["adc", "--socket", &socket]
        .into_iter()
        .chain(words.split_whitespace());
    let exit = super::run(&FakeNode, words, &mut out, &mut err);
    Ran {
        exit,
        out: String::from_utf8(out).unwrap(),
        err: String::from_utf8(err).unwrap(),
    }
}

/// A server on threads of its own; the command line brings its own runtime.
struct Agent {
    control: Arc<FakeControl>,
    directory: TempDir,
    _runtime: Runtime,
}

impl Agent {
    fn start(down: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let runtime = Runtime::new().unwrap();
        let control = Arc::new(FakeControl {
            down,
            ..FakeControl::default()
        });
        let entered = runtime.enter();
        let server = Server::bind(&socket_path(directory.path())).unwrap().with(
            Access::of_users(&[Uid::effective().as_raw()]),
            Limits::CONTROL,
        );
        drop(entered);
        runtime.spawn(server.serve(Arc::clone(&control), std::future::pending()));
        Self {
            control,
            directory,
            _runtime: runtime,
        }
    }

    fn run(&self, words: &str) -> Ran {
        run(&socket_path(self.directory.path()), words)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

fn nowhere() -> PathBuf {
    "/nonexistent/control.sock".into()
}

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
        ("backend add web 10.0.0.5", "10.0.0.5"),
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
fn status_is_0_when_all_is_well_and_7_with_the_reason_first_when_not() {
    let ran = Agent::start(false).run("status");
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert!(ran.out.starts_with("lb-a: all is well\n"), "{}", ran.out);
    for shown in [
        "version 0.1.0",
        "eth0 (native)",
        "192.0.2.1",
        "1/1",
        "generation 7",
    ] {
        assert!(ran.out.contains(shown), "{shown}: {}", ran.out);
    }
    let agent = Agent::start(true);
    let ran = agent.run("status");
    assert_eq!(ran.exit.code(), 7);
    let mut lines = ran.out.lines();
    assert_eq!(lines.next(), Some("lb-a: degraded, 1 critical, 1 other"));
    assert!(lines.next().unwrap().contains("service www"), "{}", ran.out);
    let ran = agent.run("status -o json");
    assert_eq!(ran.exit.code(), 7);
    assert_eq!(ran.json()["warnings"][0]["severity"], "critical");
}

#[test]
fn tables_show_whole_addresses_and_reasons() {
    let agent = Agent::start(false);
    for line in ["backend list", "service show www", "backend show web web1"] {
        let ran = agent.run(line);
        assert_eq!(ran.exit, Exit::Ok, "{line}: {}", ran.err);
        assert!(
            ran.out.contains("[2001:db8::11]:8080"),
            "{line}: {}",
            ran.out
        );
    }
    let ran = agent.run("flow list --limit 1");
    assert!(ran.out.contains("192.0.2.7:40000"), "{}", ran.out);
    assert!(ran.out.contains("1 of 2 flows"), "{}", ran.out);
    let ran = agent.run("config show");
    assert!(
        ran.out
            .contains("#   set admin state of pool web backend web1 to draining"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("[node]"), "{}", ran.out);
    assert!(agent.run("pool list").out.contains("http"));
    assert!(agent.run("config diff").out.contains("is what runs"));
}

#[test]
fn drops_show_what_was_dropped_and_all_shows_every_reason() {
    let agent = Agent::start(false);
    let few = agent.run("drops").out;
    assert!(
        few.contains("no_backend") && !few.contains("not_ip"),
        "{few}"
    );
    let all = agent.run("drops --all").out;
    assert_eq!(all.lines().count(), adc_common::abi::Reason::COUNT + 1);
    let rows = agent.run("drops -o json").json();
    assert_eq!(
        rows.as_array().map(Vec::len),
        Some(adc_common::abi::Reason::COUNT)
    );
}

#[test]
fn counts_have_a_total_with_and_without_a_filter() {
    let agent = Agent::start(false);
    assert_eq!(agent.run("flow count -o json").json()["total"], 3);
    let filtered = agent.run("flow count --client 192.0.2.8 -o json").json();
    assert_eq!(filtered, json!({"total": 1}));
}

#[test]
fn changes_reach_the_agent_and_show_the_plan() {
    let agent = Agent::start(false);
    let lines = [
        (
            "service add dns --vip 192.0.2.1 --port 53 --protocol udp --pool dns",
            "add service dns",
        ),
        ("service remove www", "remove service www"),
        ("pool add dns", "add pool dns"),
        ("pool remove dns", "remove pool dns"),
        (
            "backend add web 10.0.0.5:80 --weight 7",
            "add pool web backend 10.0.0.5:80",
        ),
        (
            "backend weight web web1 50",
            "set weight of pool web backend web1 to 50",
        ),
        (
            "backend drain web web1",
            "set admin state of pool web backend web1 to draining",
        ),
        (
            "backend enable web web1",
            "set admin state of pool web backend web1 to enabled",
        ),
        (
            "backend maintenance web web1",
            "set admin state of pool web backend web1 to maintenance",
        ),
        ("backend remove web web1", "remove pool web backend web1"),
    ];
    for (line, edit) in lines {
        for dry in [false, true] {
            let ran = agent.run(&if dry {
                format!("{line} --dry-run")
            } else {
                line.into()
            });
            assert_eq!(ran.exit, Exit::Ok, "{line}: {}", ran.err);
            assert!(ran.out.contains("ring www: rebuild"), "{}", ran.out);
            assert_eq!(ran.out.starts_with("dry run"), dry, "{}", ran.out);
            let (done, was_dry) = agent.control.edits.lock().unwrap().pop().unwrap();
            assert_eq!((done.to_string().as_str(), was_dry), (edit, dry));
        }
    }
    assert!(agent.control.edits.lock().unwrap().is_empty());
}

#[test]
fn refused_changes_have_the_exit_code_of_their_kind() {
    let agent = Agent::start(false);
    let ran = agent.run("service remove taken");
    assert_eq!((ran.exit.code(), ran.out.as_str()), (4, ""));
    assert!(ran.err.contains("service taken exists"), "{}", ran.err);
    assert_eq!(agent.run("service show nothing").exit.code(), 1);
    assert_eq!(agent.run("backend show web nothing").exit.code(), 1);
}

#[test]
fn apply_sends_the_file_or_asks_for_the_agents_own() {
    let agent = Agent::start(false);
    let path = agent.file("adc.toml", "[node]\n");
    let words = format!("config apply {} --reset-edits", path.display());
    assert_eq!(agent.run(&words).exit, Exit::Ok);
    assert_eq!(agent.run("config apply --dry-run").exit, Exit::Ok);
    let applied = agent.control.applied.lock().unwrap();
    let (first, dry) = &applied[0];
    let source = first.source.as_ref().unwrap();
    assert_eq!((source.text.as_str(), &source.path), ("[node]\n", &path));
    assert!(first.reset_edits && !dry);
    let (second, dry) = &applied[1];
    assert!(second.source.is_none() && !second.reset_edits && *dry);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let ran = Agent::start(false).run("config apply /nonexistent/adc.toml");
    assert_eq!(ran.exit, Exit::InvalidConfig);
    assert!(ran.err.contains("/nonexistent/adc.toml"), "{}", ran.err);
}

#[test]
fn check_needs_no_agent_and_shows_every_problem() {
    let ran = run(&nowhere(), "config check good.toml");
    assert_eq!(ran.exit, Exit::Ok);
    assert!(
        ran.out.contains("good.toml is valid: 1 services"),
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
fn a_second_agent_is_a_conflict() {
    let ran = run(&nowhere(), "run --mode skb");
    assert_eq!(ran.exit.code(), 4, "{}", ran.err);
    assert!(ran.err.contains("another adc agent"), "{}", ran.err);
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
