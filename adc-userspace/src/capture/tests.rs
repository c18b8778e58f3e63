//! Records, the filter and the file, read back by the library that also reads other people's files.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use adc_common::abi::{
    BackendId, CaptureBits, CaptureRecord, CaptureVerdict, InterfaceId, Mac, Port, Protocol,
    Reason, ServiceId, ServiceKey,
};
use pcap_file::pcapng::{Block, PcapNgReader, blocks::enhanced_packet::EnhancedPacketOption};

use super::*;
use crate::{
    api::proto::{CaptureFilter, CaptureRequest, TcpFlags},
    explain::{Envelope, Transport, frame},
};

const CLIENT: &str = "192.0.2.1:40000";
const VIP: &str = "10.1.0.100:80";
const BACKEND: &str = "10.2.0.11:8080";

fn syn(from: &str, to: &str) -> Vec<u8> {
    let envelope = Envelope {
        source_mac: Mac([2, 0, 0, 0, 0, 1]),
        destination_mac: Mac([2, 0, 0, 0, 0, 2]),
        vlans: Vec::new(),
        source: from.parse().unwrap(),
        destination: to.parse().unwrap(),
        hop_limit: 64,
        transport: Transport::Tcp {
            flags: TcpFlags::SYN,
            sequence: 1,
            acknowledgement: 0,
        },
    };
    frame(&envelope).unwrap()
}

fn labels() -> Labels {
    let vip: SocketAddr = VIP.parse().unwrap();
    let key = ServiceKey::new(vip.ip().into(), Port::new(80), Protocol::TCP);
    let backend = BackendLabel {
        service: ServiceId(1),
        pool: Some("web".parse().unwrap()),
        name: Some("web1".parse().unwrap()),
    };
    Labels {
        services: [(ServiceId(1), "www".parse().unwrap())].into(),
        index: [(key, ServiceId(1))].into(),
        vips: [vip.ip()].into(),
        backends: [(BackendId(7), backend)].into(),
        interfaces: vec![
            (10, InterfaceId(1), "eth0".into()),
            (11, InterfaceId(2), "eth1".into()),
        ],
    }
}

fn scheduled() -> CaptureRecord {
    CaptureRecord {
        time: 5,
        ifindex: 10,
        reason: Reason::ScheduledNewFlow.index(),
        backend: BackendId(7),
        egress: InterfaceId(2),
        verdict: CaptureVerdict::REDIRECT,
        ..CaptureRecord::default()
    }
}

fn dropped() -> CaptureRecord {
    CaptureRecord {
        time: 6,
        ifindex: 10,
        reason: Reason::NoBackend.index(),
        verdict: CaptureVerdict::DROP,
        ..CaptureRecord::default()
    }
}

fn wants(filter: &str, record: &CaptureRecord, frame: &[u8]) -> bool {
    let labels = labels();
    let mut choice = Choice::new(filter.parse().unwrap());
    choice.wants(&labels.sight(record, frame), &labels.vips)
}

#[test]
fn a_record_is_told_in_words_that_can_be_searched_for() {
    let labels = labels();
    let frame = syn(CLIENT, VIP);
    assert_eq!(
        labels.sight(&scheduled(), &frame).comment(),
        "verdict=redirect reason=scheduled_new_flow service=www backend=web/web1"
    );
    assert_eq!(
        labels.sight(&dropped(), &frame).comment(),
        "verdict=drop reason=no_backend service=www backend=-"
    );
    let left = CaptureRecord {
        shows: CaptureBits::LEFT,
        ..scheduled()
    };
    let told = labels.sight(&left, &frame).comment();
    assert!(told.starts_with("stage=left verdict=redirect"), "{told}");
    assert_eq!(labels.place(&scheduled()), Some((0, false)));
    assert_eq!(labels.place(&left), Some((1, true)));
}

#[test]
fn a_packet_for_a_range_of_ports_is_told_with_the_service_that_the_walk_would_find() {
    let mut labels = labels();
    let vip = VIP.parse::<SocketAddr>().unwrap().ip();
    let range = |first, last| {
        let (first, last) = (Port::new(first), Port::new(last));
        ServiceKey::range(vip.into(), first, last, Protocol::TCP)
    };
    for (id, key) in [(2, range(5000, 5100)), (3, range(0, u16::MAX))] {
        labels.index.insert(key, ServiceId(id));
        let name = format!("range{id}").parse().unwrap();
        labels.services.insert(ServiceId(id), name);
    }
    for (port, service) in [
        (80, "www"),
        (5000, "range2"),
        (5100, "range2"),
        (5101, "range3"),
    ] {
        let frame = syn(CLIENT, &format!("{vip}:{port}"));
        let told = labels.sight(&dropped(), &frame).comment();
        assert!(
            told.contains(&format!("service={service} ")),
            "{port}: {told}"
        );
    }
}

#[test]
fn every_term_matches_what_it_says_and_nothing_else() {
    let frame = syn(CLIENT, VIP);
    for (filter, scheduled_too, dropped_too) in [
        ("", true, true),
        ("host 192.0.2.1", true, true),
        ("host 192.0.2.2", false, false),
        ("net 192.0.2.0/24 and port 80", true, true),
        ("port 81", false, false),
        ("proto udp", false, false),
        ("proto tcp and vip", true, true),
        ("service www", true, true),
        ("service api", false, false),
        ("backend web1", true, false),
        ("reason no_backend", false, true),
        ("class forwarded", true, false),
        ("class dropped and port 80", false, true),
    ] {
        assert_eq!(
            wants(filter, &scheduled(), &frame),
            scheduled_too,
            "{filter}"
        );
        assert_eq!(wants(filter, &dropped(), &frame), dropped_too, "{filter}");
    }
}

#[test]
fn what_left_is_wanted_if_what_came_was() {
    let labels = labels();
    let (came, left) = (syn(CLIENT, VIP), syn(CLIENT, BACKEND));
    let leaving = CaptureRecord {
        shows: CaptureBits::LEFT,
        ..scheduled()
    };
    let vips = BTreeSet::new();
    let mut choice = Choice::new("port 80".parse().unwrap());
    assert!(!choice.wants(&labels.sight(&leaving, &left), &vips));
    assert!(choice.wants(&labels.sight(&scheduled(), &came), &vips));
    // To port 8080 now.
    assert!(choice.wants(&labels.sight(&leaving, &left), &vips));
    let other = CaptureRecord { time: 9, ..leaving };
    assert!(!choice.wants(&labels.sight(&other, &left), &vips));
}

#[test]
fn the_program_is_asked_for_the_first_of_each_kind() {
    let filter: CaptureFilter = "port 80 and host 192.0.2.1 and port 81 and proto udp"
        .parse()
        .unwrap();
    let setup = setup(&CaptureRequest {
        filter,
        count: 1,
        seconds: 1,
        max_bytes: 1,
        snaplen: u32::MAX,
        after: true,
    });
    assert_eq!((setup.port, setup.protocol), (Port::new(80), Protocol::UDP));
    assert_eq!(setup.snaplen, adc_common::abi::MAX_SNAPLEN);
    let all = CaptureBits::HOST.with(CaptureBits::PORT);
    let all = all.with(CaptureBits::PROTOCOL).with(CaptureBits::LEFT);
    assert_eq!(setup.wants, all);
}

#[test]
fn a_file_holds_frames_times_interfaces_and_comments() {
    let mut file = CaptureFile::begin(["eth0", "eth1"], 4095, "lb-a").unwrap();
    let bytes = syn(CLIENT, VIP);
    let time = Duration::from_nanos(1_763_719_200_123_456_789);
    file.frame((1, true), time, 1500, &bytes, "verdict=drop".into())
        .unwrap();
    file.end(time, 3, "ended".into()).unwrap();
    let written = file.take();
    assert_eq!(file.waiting(), 0);
    let mut reader = PcapNgReader::new(written.as_slice()).unwrap();
    let mut frames = 0;
    while let Some(block) = reader.next_block() {
        if let Block::EnhancedPacket(packet) = block.unwrap() {
            assert_eq!(packet.data, bytes);
            assert_eq!(packet.original_len, 1500);
            assert_eq!(packet.timestamp, time);
            assert_eq!(packet.interface_id, 1);
            let commented = packet.options.iter().any(
                |option| matches!(option, EnhancedPacketOption::Comment(text) if text == "verdict=drop"),
            );
            assert!(commented, "{:?}", packet.options);
            frames += 1;
        }
    }
    assert_eq!(frames, 1);
}
