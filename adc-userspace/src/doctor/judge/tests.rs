//! Interfaces as they may be found, and what is said of them.

use std::{collections::BTreeSet, io};

use super::{super::Severity, *};

fn good() -> Interface {
    Interface {
        link: Link {
            index: 2,
            name: "eth0".into(),
            mac: Some(adc_common::abi::Mac([2, 0, 0, 0, 0, 1])),
            mtu: 1500,
            up: true,
            carrier: true,
            kind: LinkKind::Plain,
            controller: None,
            standby: false,
        },
        ports: "eth1, eth2".into(),
        lower: None,
        attached: None,
        ours: None,
        driver: Some("ice".into()),
        features: Some(BTreeSet::new()),
        channels: Some(Channels {
            receive: 4,
            most: 8,
            combined: true,
        }),
        queues: Some(8),
        xdp: known(true, true, true),
        peer: None,
        cpus: 4,
        page_size: 4096,
        bond: None,
        vlans: Vec::new(),
        alone: false,
    }
}

fn known(basic: bool, redirect: bool, target: bool) -> XdpFeatures {
    XdpFeatures::Known {
        basic,
        redirect,
        target,
    }
}

fn on(features: &[&str]) -> BTreeSet<String> {
    features.iter().map(|&name| name.to_owned()).collect()
}

fn with(change: impl FnOnce(&mut Interface)) -> Interface {
    let mut seen = good();
    change(&mut seen);
    seen
}

const VETH: LinkKind = LinkKind::Veth {
    peer: Some(3),
    elsewhere: false,
};

#[test]
fn a_good_interface_has_nothing_to_mend() {
    let findings = interface(&good());
    assert!(findings.len() >= 6);
    for finding in findings {
        assert_eq!(finding.severity, Severity::Ok, "{finding:?}");
        assert_eq!(finding.remedy, None, "{finding:?}");
    }
}

#[test]
fn every_fault_is_found_with_its_remedy() {
    let attached = Some(Attached {
        program: 41,
        mode: "native",
    });
    let few = Some(Channels {
        receive: 1,
        most: 8,
        combined: true,
    });
    let peer = |features: BTreeSet<String>| {
        Some(Peer::Here {
            name: "veth1".into(),
            features: Some(features),
            program: false,
        })
    };
    let cases: Vec<(Interface, Severity, &str, &str)> = vec![
        (
            with(|i| i.link.up = false),
            Severity::Warning,
            "down",
            "ip link set eth0 up",
        ),
        (
            with(|i| i.link.carrier = false),
            Severity::Warning,
            "no carrier",
            "cable",
        ),
        (
            with(|i| i.link.mtu = 9000),
            Severity::Error,
            "MTU 9000",
            "ip link set eth0 mtu 3498",
        ),
        (
            with(|i| i.link.mac = None),
            Severity::Error,
            "no Ethernet",
            "below it",
        ),
        (
            with(|i| i.link.kind = LinkKind::Loopback),
            Severity::Error,
            "loopback",
            "clients",
        ),
        (
            with(|i| i.link.kind = LinkKind::Bridge),
            Severity::Error,
            "bridge",
            "eth1, eth2",
        ),
        (
            with(|i| i.link.kind = LinkKind::Bond { active: None }),
            Severity::Error,
            "bond of eth1, eth2",
            "put its ports (eth1, eth2)",
        ),
        (
            with(|i| {
                i.lower = Some("eth9".into());
                i.link.kind = LinkKind::Vlan {
                    id: 10,
                    service_tag: false,
                    lower: Some(9),
                };
            }),
            Severity::Error,
            "VLAN 10 on eth9",
            "put eth9",
        ),
        (
            with(|i| (i.attached, i.ours) = (attached, Some(Ok(false)))),
            Severity::Error,
            "not adc's",
            "xdp off",
        ),
        (
            with(|i| {
                let denied = io::ErrorKind::PermissionDenied.into();
                (i.attached, i.ours) = (attached, Some(Err(denied)));
            }),
            Severity::Warning,
            "can not be seen",
            "root",
        ),
        (
            with(|i| i.xdp = known(false, false, false)),
            Severity::Error,
            "no native XDP",
            "attach = \"skb\"",
        ),
        (
            with(|i| i.xdp = known(true, false, true)),
            Severity::Warning,
            "can not redirect",
            "one-arm",
        ),
        (
            with(|i| i.features = Some(on(&["rx-lro", "rx-gro-hw"]))),
            Severity::Error,
            "lro, rx-gro-hw",
            "ethtool -K eth0 lro off rx-gro-hw off",
        ),
        (
            with(|i| i.channels = few),
            Severity::Warning,
            "1 of 8",
            "ethtool -L eth0 combined 4",
        ),
        (
            with(|i| {
                i.link.kind = VETH;
                i.peer = peer(on(&["tx-checksum-ip-generic"]));
            }),
            Severity::Warning,
            "unfinished checksums",
            "ethtool -K veth1 tx off",
        ),
        (
            with(|i| (i.link.kind, i.peer, i.alone) = (VETH, peer(on(&[])), true)),
            Severity::Warning,
            "stalls",
            "adc decap -i veth1",
        ),
        (
            with(|i| {
                let skb = Attached {
                    program: 41,
                    mode: "skb",
                };
                (i.attached, i.ours) = (Some(skb), Some(Ok(true)));
                i.features = Some(on(&["rx-gro"]));
            }),
            Severity::Warning,
            "too big for a tunnel",
            "gro off",
        ),
        (
            with(|i| {
                let (name, missing) = ("bond0".into(), vec!["eth1".into()]);
                i.bond = Some(Bond { name, missing });
            }),
            Severity::Warning,
            "other ports (eth1)",
            "vip_interface = \"bond0\"",
        ),
        (
            with(|i| {
                i.vlans = vec!["eth0.7".into()];
                i.features = Some(on(&["rx-vlan-hw-parse"]));
            }),
            Severity::Warning,
            "does not see them (eth0.7)",
            "ethtool -K eth0 rxvlan off",
        ),
        (
            with(|i| {
                i.vlans = vec!["eth0.7".into()];
                (i.link.kind, i.peer) = (VETH, peer(on(&["tx-vlan-hw-insert"])));
            }),
            Severity::Warning,
            "leaves VLAN tags out",
            "ethtool -K veth1 txvlan off",
        ),
        (
            with(|i| (i.link.kind, i.peer) = (VETH, Some(Peer::Elsewhere))),
            Severity::Warning,
            "can not be looked at",
            "tx off",
        ),
        (
            with(|i| {
                (i.link.kind, i.peer) = (VETH, peer(on(&[])));
                i.xdp = known(true, true, false);
            }),
            Severity::Warning,
            "drops packets sent by XDP",
            "ethtool -K veth1 gro on",
        ),
        (
            with(|i| (i.link.kind, i.peer, i.xdp) = (VETH, peer(on(&[])), XdpFeatures::Unknown)),
            Severity::Warning,
            "not told",
            "gro on",
        ),
    ];
    for (seen, severity, what, remedy) in cases {
        let findings = interface(&seen);
        let faults: Vec<&Finding> = findings
            .iter()
            .filter(|finding| finding.severity != Severity::Ok)
            .collect();
        let [fault] = faults.as_slice() else {
            panic!("{what}: one fault expected: {faults:?}");
        };
        assert_eq!(fault.severity, severity, "{fault:?}");
        assert!(fault.what.contains(what), "{what}: {fault:?}");
        let told = fault.remedy.as_deref().expect("a remedy");
        assert!(told.contains(remedy), "{remedy}: {fault:?}");
    }
}

#[test]
fn adcs_own_program_is_no_fault() {
    let seen = with(|i| {
        let attached = Attached {
            program: 41,
            mode: "native",
        };
        (i.attached, i.ours) = (Some(attached), Some(Ok(true)));
    });
    assert_eq!(program(&seen).severity, Severity::Ok);
}

#[test]
fn a_bond_with_adc_on_all_ports_and_vlans_whose_tags_are_seen_are_no_fault() {
    let bond = Bond {
        name: "bond0".into(),
        missing: Vec::new(),
    };
    let seen = with(|i| (i.bond, i.vlans) = (Some(bond), vec!["bond0.7".into()]));
    for finding in interface(&seen) {
        assert_eq!(finding.severity, Severity::Ok, "{finding:?}");
    }
}

#[test]
fn what_an_old_kernel_does_not_tell_is_no_fault() {
    let seen = with(|i| {
        i.xdp = XdpFeatures::Unknown;
        (i.features, i.channels, i.queues, i.driver) = (None, None, None, None);
    });
    for finding in interface(&seen) {
        assert_eq!(finding.severity, Severity::Ok, "{finding:?}");
    }
}

#[test]
fn larger_pages_hold_larger_packets() {
    let seen = with(|i| (i.link.mtu, i.page_size) = (9000, 16384));
    assert_eq!(mtu(&seen).severity, Severity::Ok);
    let exact = with(|i| i.link.mtu = 3498);
    assert_eq!(mtu(&exact).severity, Severity::Ok);
    let over = with(|i| i.link.mtu = 3499);
    assert_eq!(mtu(&over).severity, Severity::Error);
}

#[test]
fn a_peer_with_a_program_is_woken_and_several_interfaces_need_no_waking() {
    let peer = |program| {
        Some(Peer::Here {
            name: "veth1".into(),
            features: Some(on(&[])),
            program,
        })
    };
    for (alone, program) in [(true, true), (false, false)] {
        let seen = with(|i| (i.link.kind, i.peer, i.alone) = (VETH, peer(program), alone));
        for finding in interface(&seen) {
            assert_eq!(finding.severity, Severity::Ok, "{finding:?}");
        }
    }
}
