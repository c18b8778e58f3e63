//! `adc capture` on a live node: what it records, how it ends, and that nobody notices.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use adc_tests::{
    agent::Agent,
    drive::{HeldConnections, get_in},
    net::run,
    process::Process,
    require,
    scene::{ECHO, Scene, WWW},
    topology::Topology,
    wait::eventually,
};
use nix::sys::signal::Signal;

/// Captures end at once; a loaded machine takes its time.
const SOON: Duration = Duration::from_secs(30);

/// Names and ids of the programs on the adc node's interfaces.
fn programs(scene: &Scene) -> Vec<u64> {
    let interfaces = scene.topology.interfaces.iter();
    interfaces
        .map(|link| link.details()["xdp"]["prog"]["id"].as_u64().unwrap())
        .collect()
}

fn start(scene: &Scene, label: &str, words: &[&str]) -> (Process, PathBuf) {
    let file = scene.topology.directory().join(format!("{label}.pcapng"));
    let mut command = Command::new(scene.agent.binary());
    command
        .arg("--socket")
        .arg(scene.agent.socket())
        .arg("capture")
        .args(words)
        .arg("-w")
        .arg(&file);
    let logs = scene.topology.directory();
    let process = Process::spawn(&scene.topology.adc, label, &mut command, logs);
    (process, file)
}

/// Starts a capture and waits until every interface has its program.
fn start_and_wait(scene: &Scene, label: &str, words: &[&str]) -> (Process, PathBuf) {
    let normal = programs(scene);
    let started = start(scene, label, words);
    eventually(SOON, "the program that captures is attached", || {
        programs(scene)
            .iter()
            .zip(&normal)
            .all(|(now, before)| now != before)
    });
    started
}

fn request(scene: &Scene) {
    let answer = get_in(&scene.topology.client, WWW, "/", Duration::from_secs(5));
    assert_eq!(answer.unwrap().status, 200);
}

/// One line per frame that tshark finds a comment on: interface, comment.
fn commented(file: &Path) -> Vec<String> {
    let file = file.to_str().unwrap();
    let words = "-r FILE -n -Y frame.comment -T fields -e frame.interface_name -e frame.comment";
    let words: Vec<&str> = words
        .split(' ')
        .map(|word| if word == "FILE" { file } else { word })
        .collect();
    run("tshark", &words).lines().map(str::to_owned).collect()
}

#[test]
fn tshark_reads_every_frame_with_its_verdict_reason_service_and_backend() {
    require!(namespaces, agent, "tshark");
    let scene = Scene::new(Topology::two_arm(2));
    let normal = programs(&scene);
    let words = ["service", "www", "--count", "40"];
    let (mut capture, file) = start_and_wait(&scene, "by-count", &words);
    eventually(SOON, "40 frames were captured", || {
        request(&scene);
        !capture.is_running()
    });
    assert!(capture.wait(SOON).success(), "{}", capture.log());
    assert!(capture.log().contains("40 frames"), "{}", capture.log());
    assert_eq!(programs(&scene), normal, "the normal program is back");
    let lines = commented(&file);
    assert_eq!(lines.len(), 40, "{lines:#?}");
    let has = |parts: &[&str]| {
        let line = |line: &&String| parts.iter().all(|part| line.contains(part));
        assert!(lines.iter().any(|l| line(&l)), "{parts:?}: {lines:#?}");
    };
    has(&[
        "eth0",
        "verdict=redirect",
        "reason=scheduled_new_flow",
        "service=www",
        "backend=web/web",
    ]);
    has(&["eth0", "reason=forwarded_to_backend"]);
    has(&["eth1", "reason=forwarded_to_client", "service=www"]);
    for line in &lines {
        assert!(line.contains("service=www"), "{line}");
    }
    let bad = run(
        "tshark",
        &["-r", file.to_str().unwrap(), "-Y", "_ws.malformed"],
    );
    assert_eq!(bad, "");
}

#[test]
fn rewritten_packets_are_recorded_as_they_left_too() {
    require!(namespaces, agent, "tshark");
    let scene = Scene::new(Topology::two_arm(1));
    let words = [
        "port", "80", "and", "proto", "tcp", "--after", "--count", "12",
    ];
    let (mut capture, file) = start_and_wait(&scene, "after", &words);
    eventually(SOON, "12 frames were captured", || {
        request(&scene);
        !capture.is_running()
    });
    let lines = commented(&file);
    let left = lines.iter().filter(|line| line.contains("stage=left"));
    let left: Vec<_> = left.collect();
    assert!(
        left.iter().any(|line| line.starts_with("eth1")),
        "{lines:#?}"
    );
    let to_backend = "tcp.dstport == 8080";
    let file = file.to_str().unwrap();
    let sent = run("tshark", &["-r", file, "-n", "-Y", to_backend]);
    assert!(!sent.is_empty(), "no frame as it left for a backend");
    let good = run(
        "tshark",
        &[
            "-r",
            file,
            "-n",
            "-o",
            "tcp.check_checksum:TRUE",
            "-Y",
            "tcp.checksum.status == \"Bad\"",
        ],
    );
    assert_eq!(good, "", "checksums of rewritten frames");
}

#[test]
fn dropped_packets_can_be_asked_for_by_reason() {
    require!(namespaces, agent, "tshark");
    let mut scene = Scene::new(Topology::two_arm(1));
    scene.kill_http(0);
    scene.agent.wait_for_available("web", 0);
    let words = ["reason", "no_backend", "--count", "1"];
    let (mut capture, file) = start_and_wait(&scene, "drops", &words);
    let refused = get_in(&scene.topology.client, WWW, "/", Duration::from_secs(2));
    assert!(refused.is_err());
    assert!(capture.wait(SOON).success(), "{}", capture.log());
    let lines = commented(&file);
    let expected = "eth0\tverdict=drop reason=no_backend service=www backend=-";
    assert_eq!(lines, [expected]);
}

#[test]
fn a_capture_ends_by_time_by_ctrl_c_and_with_its_client() {
    require!(namespaces, agent, "tshark");
    let scene = Scene::new(Topology::two_arm(1));
    let normal = programs(&scene);
    let back = |how: &str| {
        let what = format!("the normal program is back after {how}");
        eventually(SOON, &what, || programs(&scene) == normal);
    };
    let (mut by_time, file) = start(&scene, "by-time", &["--duration", "1s"]);
    assert!(by_time.wait(SOON).success(), "{}", by_time.log());
    assert!(
        by_time.log().contains("its time was up"),
        "{}",
        by_time.log()
    );
    commented(&file);
    back("its time");

    let (mut by_hand, file) = start_and_wait(&scene, "by-hand", &[]);
    request(&scene);
    by_hand.signal(Signal::SIGINT);
    assert!(by_hand.wait(SOON).success(), "{}", by_hand.log());
    assert!(by_hand.log().contains("interrupted"), "{}", by_hand.log());
    commented(&file);
    back("Ctrl-C");

    let (mut killed, _file) = start_and_wait(&scene, "killed", &[]);
    killed.kill9();
    back("the client's death");
}

#[test]
fn one_capture_runs_at_a_time_and_the_second_is_told() {
    require!(namespaces, agent);
    let scene = Scene::new(Topology::two_arm(1));
    let (mut first, _file) = start_and_wait(&scene, "first", &[]);
    let second = scene.agent.cli(&["capture", "-w", "/dev/null"]);
    assert_eq!(second.code, 4, "{second:?}");
    let unknown = scene
        .agent
        .cli(&["capture", "service", "nobody", "-w", "/dev/null"]);
    assert_eq!(unknown.code, 4, "{unknown:?}");
    first.signal(Signal::SIGTERM);
    assert!(first.wait(SOON).success(), "{}", first.log());
    eventually(SOON, "a service that does not exist is named", || {
        let unknown = scene
            .agent
            .cli(&["capture", "service", "nobody", "-w", "/dev/null"]);
        unknown.code == 1 && unknown.stderr.contains("nobody")
    });
}

#[test]
fn nobody_notices_captures_begin_and_end() {
    require!(namespaces, agent);
    let scene = Scene::new(Topology::two_arm(3));
    let normal = programs(&scene);
    let held = HeldConnections::open(&scene.topology.client, ECHO, 50);
    let load = scene.load();
    load.wait_for(100);
    for round in 0..5 {
        let label = format!("round-{round}");
        // More than the load makes: it ends when it is told to.
        let words = ["--after", "--count", "10000000"];
        let (mut capture, _file) = start_and_wait(&scene, &label, &words);
        load.wait_for(100);
        capture.signal(Signal::SIGINT);
        assert!(capture.wait(SOON).success(), "{}", capture.log());
        eventually(SOON, "the normal program is back", || {
            programs(&scene) == normal
        });
        load.wait_for(50);
    }
    load.stop().assert_none_failed();
    held.assert_all_alive();
}

#[test]
fn an_agent_that_adopts_puts_the_normal_program_back() {
    require!(namespaces, agent);
    let mut scene = Scene::new(Topology::two_arm(2));
    let held = HeldConnections::open(&scene.topology.client, ECHO, 20);
    let (mut orphaned, _file) = start_and_wait(&scene, "orphaned", &["--duration", "10m"]);
    let capturing = programs(&scene);
    scene.agent.kill9();
    orphaned.wait(SOON);
    assert_eq!(programs(&scene), capturing, "forwarding goes on with it");
    held.assert_all_alive();
    scene.agent.restart();
    eventually(SOON, "the captures' program is gone", || {
        let now = programs(&scene);
        !is_loaded(&capturing) && now.iter().zip(&capturing).all(|(a, b)| a != b)
    });
    held.assert_all_alive();
    // And the next one can be captured with.
    let (mut again, _file) = start_and_wait(&scene, "again", &["--duration", "1s"]);
    assert!(again.wait(SOON).success(), "{}", again.log());
}

/// Whether the kernel still has a program with one of these ids.
fn is_loaded(ids: &[u64]) -> bool {
    let loaded = aya::programs::loaded_programs();
    loaded
        .filter_map(Result::ok)
        .any(|program| ids.contains(&u64::from(program.id())))
}

#[test]
fn an_agent_that_stops_ends_the_capture_and_leaves_nothing() {
    require!(namespaces, agent);
    let mut scene = Scene::new(Topology::two_arm(1));
    let (mut capture, _file) = start_and_wait(&scene, "stopped", &["--duration", "10m"]);
    let agent: &mut Agent = &mut scene.agent;
    assert_eq!(agent.stop().code(), Some(0));
    assert!(capture.wait(SOON).success(), "{}", capture.log());
    assert!(
        capture.log().contains("the agent stops"),
        "{}",
        capture.log()
    );
    for interface in &scene.topology.interfaces {
        assert!(!interface.has_xdp_program(), "{}", interface.name);
    }
}

#[test]
fn standard_output_is_the_file_and_nothing_else() {
    require!(namespaces, agent, "tshark");
    let scene = Scene::new(Topology::two_arm(1));
    let command = format!(
        "{} --socket {} capture --duration 1s -w - | tshark -r - -T fields -e frame.number",
        scene.agent.binary().display(),
        scene.agent.socket().display()
    );
    run("sh", &["-c", &command]);
}
