//! The steps of the demonstration, in order.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{
    drive::{Load, LoadReport, Window},
    net::Namespace,
    topology::BackendHost,
};

use super::{
    stage::{POOLS, SERVER_PORT, Stage},
    tally::{Outcome, Phase, Phases, table},
    teller::Teller,
    web_server::nginx_is_installed,
};

const WORKERS: usize = 8;
/// Between two requests of a worker: about a thousand requests a second in all, which leaves a
/// small machine time for everything else.
const PAUSE: Duration = Duration::from_millis(5);
/// Requests of each part of the story.
const PART: u64 = 2_000;

const KILLED: usize = 2;
const DRAINED: usize = 3;

/// Plays the whole story and says what the clients saw.
pub(super) fn tell(teller: &Teller, keep: bool) -> Outcome {
    let mut stage = set(teller);
    let load = Load::start(&stage.topology.client, &Stage::vips(), WORKERS, PAUSE);
    teller.step(format!(
        "{WORKERS} clients request http://{}/ and http://{}/ without a break, each time over a new connection",
        Stage::vips()[0], Stage::vips()[1]
    ));
    let mut phases = Phases::default();
    let part = || load.wait_for(PART);
    phases.record("all three up", &["web1", "web2", "web3"], part);
    // No expectation: web2 may still answer what it accepted just before.
    let window = phases.record("web2 killed, not yet detected", &[], || {
        kill(teller, &mut stage)
    });
    phases.record("web2 dead", &["web1", "web3"], part);
    drain(teller, &stage);
    phases.record("web2 dead, web3 drained", &["web1"], part);
    add(teller, &mut stage);
    phases.record("web2 dead, web3 drained, web4 new", &["web1", "web4"], part);

    let report = load.stop();
    let outcome = conclude(teller, &stage, &phases.0, &report, window);
    if keep {
        stage.keep();
        print_commands(teller, &stage);
    } else {
        drop(stage);
        teller.step("Everything is torn down: no namespace, process, pin or file is left");
    }
    outcome
}

fn set(teller: &Teller) -> Stage {
    teller.step("Making a network of namespaces on this machine:");
    teller.print(PICTURE);
    if nginx_is_installed() {
        teller.step("Starting nginx on web1, web2 and web3");
    } else {
        teller.step("NOTE: nginx is not installed, so web1, web2 and web3 run a small web server of our own");
    }
    let (topology, servers) = Stage::network(3);
    let directory = topology.directory().to_owned();
    teller.step(format!(
        "Starting the agent: adc run -c {}",
        directory.join("adc.toml").display()
    ));
    let stage = Stage::open(topology, servers);
    let taken = stage.wait_for_available(3);
    teller.step(format!(
        "The program is attached, and HTTP health checks found 3 of 3 servers up (after {taken:.1?}); the node itself forwards nothing, XDP does"
    ));
    stage
}

fn kill(teller: &Teller, stage: &mut Stage) -> Window {
    let bound = Stage::detection_window();
    let from = Instant::now();
    stage.kill_server(KILLED);
    teller.step(format!(
        "Killed the web server on web{KILLED} (kill -9); the health check may take {bound:.2?} to see it"
    ));
    let taken = stage.wait_for_available(2);
    teller.step(format!(
        "adc saw it after {taken:.2?} and took web{KILLED} out: new connections go to web1 and web3"
    ));
    Window {
        from,
        to: from + bound,
    }
}

fn drain(teller: &Teller, stage: &Stage) {
    let name = &stage.host(DRAINED).name;
    for pool in POOLS {
        stage.agent.ok(&["backend", "drain", pool, name]);
    }
    stage.wait_for_available(1);
    teller.step(format!(
        "Drained {name} (adc backend drain {} {name}): its connections may end, new ones go elsewhere",
        POOLS[0]
    ));
}

fn add(teller: &Teller, stage: &mut Stage) {
    let host = stage.add_server();
    for (pool, address) in POOLS.into_iter().zip(addresses(&host)) {
        let address = address.to_string();
        let arguments = ["backend", "add", pool, &address, "--name", &host.name];
        stage.agent.ok(&arguments);
    }
    let taken = stage.wait_for_available(2);
    teller.step(format!(
        "Added {} (adc backend add {} {}): up and taking connections after {taken:.2?}",
        host.name,
        POOLS[0],
        host.v4(SERVER_PORT)
    ));
}

fn conclude(
    teller: &Teller,
    stage: &Stage,
    phases: &[Phase],
    report: &LoadReport,
    window: Window,
) -> Outcome {
    let hosts = &stage.topology.backends;
    let mut outcome = Outcome::new(report, window, hosts, SERVER_PORT);
    teller.print("");
    teller.step("Who answered how many requests:");
    teller.print(&table(phases, report, hosts));
    let inside = outcome.failed - outcome.failed_outside_detection;
    teller.print("");
    teller.step(format!(
        "{} requests, {} failed: {inside} while web{KILLED}'s death was being detected, {} at any other time",
        outcome.requests, outcome.failed, outcome.failed_outside_detection
    ));
    for request in report.failed_outside(&[window]).iter().take(10) {
        let since_kill = request.started.saturating_duration_since(window.from);
        let why = request.failure().unwrap_or("?");
        teller.detail(format!(
            "{} failed, {since_kill:.2?} after the kill: {why}",
            request.target
        ));
    }
    let surprises = surprises(phases, report);
    for surprise in &surprises {
        teller.detail(format!("NOT AS IT SHOULD BE: {surprise}"));
    }
    outcome.ok &= surprises.is_empty();
    teller.step(if outcome.ok {
        "As it should be: only the health check's own delay was felt"
    } else {
        "Not as it should be; see above"
    });
    outcome
}

/// What the parts should have shown beyond the absence of failures, and did not.
fn surprises(phases: &[Phase], report: &LoadReport) -> Vec<String> {
    let checked = phases.iter().filter(|phase| !phase.expected.is_empty());
    checked
        .filter_map(|phase| {
            let answers = phase.answers(report);
            let names: Vec<&str> = answers.keys().map(String::as_str).collect();
            let (title, expected) = (phase.title, phase.expected);
            (names != expected).then(|| format!("{title}: {names:?} answered, not {expected:?}"))
        })
        .collect()
}

fn addresses(host: &BackendHost) -> [SocketAddr; 2] {
    [host.v4(SERVER_PORT), host.v6(SERVER_PORT)]
}

fn print_commands(teller: &Teller, stage: &Stage) {
    let adc = format!(
        "{} --socket {}",
        stage.agent.binary().display(),
        stage.agent.socket().display()
    );
    let inside = |namespace: &Namespace| format!("ip netns exec {}", namespace.name());
    let client = inside(&stage.topology.client);
    let [vip4, vip6] = Stage::vips();
    let this = std::env::current_exe().map_or("adc-demo".into(), |path| path.display().to_string());
    teller.step("Everything is left up. Commands to try, as root:");
    for command in [
        format!(
            "{client} curl http://{vip4}/          # again and again: another server each time"
        ),
        format!("{client} curl http://{vip6}/"),
        format!("{adc} status"),
        format!("{adc} backend list"),
        format!("{adc} backend enable {} web{DRAINED}", POOLS[0]),
        format!("{adc} flow list"),
        format!("{adc} drops"),
        format!("{adc} config diff"),
        format!("{this} --down                         # tears everything down"),
    ] {
        teller.print(&format!("    {command}"));
    }
}

const PICTURE: &str = "
      client 10.1.0.10 ---- eth0  adc  eth1 ---- web1 10.2.0.11
             fd00:1::10      XDP program    +--- web2 10.2.0.12
                            VIP 10.1.0.100  +--- web3 10.2.0.13
                            VIP fd00:1::100      (and fd00:2::11 ...)
";
