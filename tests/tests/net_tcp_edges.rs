//! TCP off the straight path, with real endpoints: forged RSTs, ports used again, crashed clients.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::fd::AsRawFd as _,
    time::Duration,
};

use adc_tests::{
    drive::get_from_port,
    packets::{Envelope, MacAddress, Segment},
    require,
    scene::{ECHO, Scene, WWW, WWW6},
    topology::Topology,
    wait::eventually,
};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// A SYN is sent again after 1 s, and then after 3 s: who connects within this time needed one repetition at most.
const ONE_REPETITION: Duration = Duration::from_millis(2800);
/// Offset of the IP header in a frame without tags.
const IP: usize = 14;

/// A connection to the echo service from a port of the client.
fn connect(scene: &Scene, port: u16, patience: Duration) -> std::io::Result<TcpStream> {
    scene.topology.client.enter(|| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from(([0, 0, 0, 0], port)).into())?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        socket.connect_timeout(&ECHO.into(), patience)?;
        Ok(socket.into())
    })
}

fn echoes(stream: &mut TcpStream) -> bool {
    let mut answer = [0; 5];
    stream.write_all(b"hello").is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && &answer == b"hello"
}

/// Phases of the flows of a client's port.
fn phases(scene: &Scene, client: SocketAddr) -> Vec<String> {
    let list = scene.agent.json(&["flow", "list"]);
    let flows = list["flows"].as_array().expect("a list of flows").iter();
    flows
        .filter(|flow| flow["client"] == client.to_string())
        .map(|flow| flow["phase"].as_str().expect("a phase").to_owned())
        .collect()
}

#[test]
fn a_forged_rst_does_not_end_an_idle_connection() {
    require!(namespaces, agent);
    let scene = Scene::new(Topology::two_arm(1));
    let mut stream = connect(&scene, 41_000, Duration::from_secs(5)).unwrap();
    assert!(echoes(&mut stream));
    let client = stream.local_addr().unwrap();
    forge(&scene, client, &Segment::tcp("R", 0x1234_5678, 0));
    let is = |phase: &str| phases(&scene, client) == [phase];
    eventually(
        Duration::from_secs(2),
        "adc believes the RST at first",
        || is("reset"),
    );
    // The timeout of that phase is 10 s.
    eventually(Duration::from_secs(10), "the backend was asked", || {
        is("established")
    });
    assert!(echoes(&mut stream));
}

/// Sends a segment to the echo service in the client's name.
fn forge(scene: &Scene, client: SocketAddr, segment: &Segment) {
    let nobody = MacAddress([0; 6]);
    let envelope = Envelope {
        to_mac: nobody,
        from_mac: nobody,
        tags: Vec::new(),
        from: client,
        to: ECHO,
    };
    let frame = envelope.frame(segment);
    scene.topology.client.enter(|| {
        // 255 is IPPROTO_RAW: the IP header comes with the data (raw(7)).
        let raw = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255))).unwrap();
        raw.send_to(&frame[IP..], &ECHO.into()).unwrap();
    });
}

#[test]
fn a_port_is_used_again_at_once_after_a_fin() {
    require!(namespaces, agent);
    let scene = Scene::new(Topology::two_arm(2));
    for vip in [WWW, WWW6] {
        for _ in 0..5 {
            let answer = get_from_port(&scene.topology.client, 41_001, vip, ONE_REPETITION);
            assert!(answer.unwrap().body.starts_with("web"));
        }
    }
}

#[test]
fn a_port_is_used_again_at_once_after_a_rst() {
    require!(namespaces, agent);
    let scene = Scene::new(Topology::two_arm(1));
    for _ in 0..5 {
        let mut stream = connect(&scene, 41_002, ONE_REPETITION).unwrap();
        assert!(echoes(&mut stream));
        // Closing sends a RST then.
        SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
}

/// RFC 5961 §4.2: the backend challenges the SYN, the client's RST ends the old connection, and the SYN sent again opens
/// the new one.
#[test]
fn a_client_that_crashed_connects_again_from_the_same_port() {
    require!(namespaces, agent);
    let scene = Scene::new(Topology::two_arm(1));
    for _ in 0..3 {
        let mut stream = connect(&scene, 41_003, ONE_REPETITION).unwrap();
        assert!(echoes(&mut stream));
        crash(&stream);
    }
    assert!(echoes(
        &mut connect(&scene, 41_003, ONE_REPETITION).unwrap()
    ));
}

/// Makes the connection end without a word when it is closed, as if its machine had lost its power.
fn crash(stream: &TcpStream) {
    let on: libc::c_int = 1;
    // SAFETY: the option value is an integer of the size given.
    let result = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_REPAIR,
            (&raw const on).cast(),
            libc::socklen_t::try_from(size_of_val(&on)).unwrap(),
        )
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}
