//! Bad input and bad surroundings: one clear sentence, the right exit code, nothing broken.

use std::{
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    time::Duration,
};

use adc_tests::{
    agent::{Agent, Config},
    require,
    scene::Scene,
    topology::Topology,
};

/// Runs the agent until it gives up; returns its exit code and what it said.
fn refused(topology: &Topology, config: &Config) -> (Option<i32>, String) {
    let agent = Agent::prepare(topology, config);
    let mut process = agent.spawn_beside("refused");
    let status = process.wait(Duration::from_secs(15));
    (status.code(), process.log())
}

fn assert_says(said: &str, fragments: &[&str]) {
    for fragment in fragments {
        assert!(
            said.contains(fragment),
            "`{fragment}` is missing in:\n{said}"
        );
    }
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_missing_interface_is_named() {
    require!(namespaces, agent);
    let topology = Topology::two_arm(1);
    let mut config = Scene::config(&topology);
    config.interfaces = vec!["eth0".into(), "eth7".into()];
    let (code, said) = refused(&topology, &config);
    assert!(code.is_some_and(|code| code != 0), "{code:?}: {said}");
    assert_says(&said, &["eth7"]);
    assert!(!topology.interfaces[0].has_xdp_program(), "half attached");
}

#[test]
fn a_device_without_native_xdp_is_named_and_skb_is_not_used_silently() {
    require!(namespaces, agent);
    let topology = Topology::two_arm(1);
    // A bridge has no native XDP.
    topology.adc.ip(&["link", "add", "br9", "type", "bridge"]);
    topology.adc.ip(&["link", "set", "br9", "up"]);
    let mut config = Scene::config(&topology);
    config.interfaces = vec!["eth0".into(), "br9".into()];
    let (code, said) = refused(&topology, &config);
    assert!(code.is_some_and(|code| code != 0), "{code:?}: {said}");
    assert_says(&said, &["br9", "skb"]);
    for interface in &topology.interfaces {
        assert!(
            !interface.has_xdp_program(),
            "half attached: {}",
            interface.name
        );
    }
}

#[test]
fn an_interface_that_has_an_xdp_program_is_not_taken_over() {
    require!(namespaces, agent);
    let scene = Scene::new(Topology::two_arm(1));
    let load = scene.load();
    // Somebody else's program: that of an agent with directories of its own.
    let mut process = scene.spawn_rival();
    let status = process.wait(Duration::from_secs(15));
    assert!(!status.success(), "{}", process.log());
    assert_says(&process.log(), &["eth0", "already"]);
    load.wait_for(200);
    load.stop().assert_none_failed();
}

#[test]
fn a_bad_file_at_start_lists_every_error_and_exits_with_3() {
    require!(namespaces, agent);
    let topology = Topology::two_arm(1);
    let mut config = Scene::config(&topology);
    config.pool_mut("web").backends[0].weight = 5_000;
    config.pool_mut("web6").monitors = vec!["htpp".into()];
    config.extra = "\n[services.www]\nvip = \"10.1.0.100\"\n".into();
    let (code, said) = refused(&topology, &config);
    assert_eq!(code, Some(3), "{said}");
    assert_says(
        &said,
        &[
            "adc.toml",
            "pool.web.backends[0].weight",
            "5000",
            "pool.web6.monitors",
            "htpp",
            "services",
        ],
    );
    assert!(!topology.interfaces[0].has_xdp_program());
}

#[test]
fn garbage_on_the_control_socket_is_answered_or_dropped_and_the_agent_lives() {
    require!(namespaces, agent);
    let mut scene = Scene::new(Topology::two_arm(1));
    let load = scene.load();
    let huge = format!(
        "PUT /api/v1/config HTTP/1.1\r\nHost: adc\r\nContent-Length: {}\r\n\r\n",
        u64::MAX
    );
    let mut noise = vec![0; 4096];
    std::fs::File::open("/dev/urandom")
        .unwrap()
        .read_exact(&mut noise)
        .unwrap();
    let mut header = b"GET /api/v1/status HTTP/1.1\r\nX: ".to_vec();
    header.resize(1 << 20, b'a');
    let requests: [&[u8]; 7] = [
        b"",
        b"\r\n\r\n",
        &noise,
        b"GET /api/v1/stat",
        b"POST /api/v1/services HTTP/1.1\r\nHost: adc\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{\"name\": ",
        huge.as_bytes(),
        &header,
    ];
    for _round in 0..20 {
        for request in requests {
            let mut stream = UnixStream::connect(scene.agent.socket()).unwrap();
            stream
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            // The agent may hang up before it has read everything.
            stream.write_all(request).ok();
            stream.shutdown(Shutdown::Write).ok();
            stream.read_to_end(&mut Vec::new()).ok();
        }
    }
    // Half a request that is never finished holds up no one else.
    let _half: Vec<UnixStream> = (0..50)
        .map(|_| {
            let mut stream = UnixStream::connect(scene.agent.socket()).unwrap();
            stream.write_all(b"GET /api/v1/status HT").unwrap();
            stream
        })
        .collect();
    assert!(scene.agent.is_ready() && scene.agent.process().is_running());
    load.wait_for(100);
    load.stop().assert_none_failed();
}

#[test]
fn without_an_agent_the_cli_says_so_and_exits_with_6() {
    require!(namespaces, agent);
    let topology = Topology::two_arm(0);
    let agent = Agent::prepare(&topology, &Config::new(&topology));
    let output = agent.cli(&["status"]);
    assert_eq!(output.code, 6, "{output:?}");
    assert_says(&output.stderr, &["control.sock"]);
}
