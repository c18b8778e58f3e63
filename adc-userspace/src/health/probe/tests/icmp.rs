//! Echo probes, on loopback and in namespaces.

use std::{net::SocketAddr, process::Command, time::Duration};

use nix::sched::{CloneFlags, unshare};
use socket2::{Domain, Protocol, Socket, Type};

use crate::model::MonitorKind;

use super::{
    super::icmp::{Access, exchange, new_echo, open},
    Finding, PATIENT, failed, monitor, passed, run,
};

fn loopback() -> [SocketAddr; 2] {
    // The port means nothing to ICMP and must not disturb it.
    ["127.0.0.1:80".parse().unwrap(), "[::1]:80".parse().unwrap()]
}

/// Whether this process may open an ICMP socket of one kind or the other.
fn may_ping() -> bool {
    let open = |kind| Socket::new(Domain::IPV4, kind, Some(Protocol::ICMPV4)).is_ok();
    open(Type::DGRAM) || open(Type::RAW)
}

#[tokio::test]
async fn loopback_answers_over_both_families() {
    for address in loopback() {
        let finding = run(&monitor(MonitorKind::Icmp), address).await;
        if may_ping() {
            assert_eq!(finding, passed("icmp: echo reply"), "{address}");
        } else {
            // Without privilege nothing is known about the backend, and the text says what is missing.
            assert!(matches!(finding, Finding::NotRun(_)), "{finding:?}");
            assert!(finding.detail().contains("CAP_NET_RAW"), "{finding:?}");
        }
    }
}

#[tokio::test]
async fn many_probes_at_once_each_find_their_own_reply() {
    if !may_ping() {
        println!("skipped: needs CAP_NET_RAW");
        return;
    }
    let monitor = monitor(MonitorKind::Icmp);
    let probes = (0..200).map(|index| run(&monitor, loopback()[index % 2]));
    for finding in futures_util::future::join_all(probes).await {
        assert_eq!(finding, passed("icmp: echo reply"));
    }
}

#[tokio::test]
async fn other_peoples_pings_do_not_fill_the_receive_buffer() {
    if !may_ping() {
        println!("skipped: needs CAP_NET_RAW");
        return;
    }
    for address in loopback() {
        let echo = new_echo(address.ip());
        let (socket, access) = open(address, &echo).unwrap();
        // The default buffer (net.core.rmem_default, 212 992 bytes) holds fewer than 300 such packets.
        for _ in 0..400 {
            run(&monitor(MonitorKind::Icmp), address).await;
        }
        let answer = tokio::time::timeout(PATIENT, exchange(&socket, &echo, access)).await;
        assert!(matches!(answer, Ok(Ok(()))), "{address}: {answer:?}");
    }
}

/// Runs `test` on a thread with a network namespace of its own; `false` if that is not allowed here.
fn in_own_namespace(test: impl AsyncFnOnce() + Send + 'static) -> bool {
    let thread = std::thread::spawn(move || {
        if unshare(CloneFlags::CLONE_NEWNET).is_err() {
            println!("skipped: needs CAP_SYS_ADMIN for a network namespace");
            return false;
        }
        let loopback_up = Command::new("ip")
            .args(["link", "set", "lo", "up"])
            .status();
        assert!(loopback_up.unwrap().success());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(test());
        true
    });
    thread.join().unwrap()
}

#[test]
fn no_privilege_is_needed_where_the_group_may_ping() {
    in_own_namespace(async || {
        let range = "/proc/sys/net/ipv4/ping_group_range";
        std::fs::write(range, "0 2147483647").unwrap();
        for address in loopback() {
            let (_socket, access) = open(address, &new_echo(address.ip())).unwrap();
            assert_eq!(access, Access::Unprivileged);
            let finding = run(&monitor(MonitorKind::Icmp), address).await;
            assert_eq!(finding, passed("icmp: echo reply"), "{address}");
        }
    });
}

#[test]
fn a_backend_that_ignores_echo_times_out() {
    in_own_namespace(async || {
        std::fs::write("/proc/sys/net/ipv4/icmp_echo_ignore_all", "1").unwrap();
        let mut monitor = monitor(MonitorKind::Icmp);
        monitor.timeout = Duration::from_millis(50);
        let finding = run(&monitor, loopback()[0]).await;
        assert_eq!(finding, failed("timeout after 50ms in icmp echo"));
    });
}

#[test]
fn a_network_without_route_fails_at_once() {
    in_own_namespace(async || {
        let nowhere = "198.51.100.1:0".parse().unwrap();
        let finding = run(&monitor(MonitorKind::Icmp), nowhere).await;
        assert_eq!(finding, failed("icmp echo: network is unreachable"));
    });
}
