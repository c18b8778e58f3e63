//! Echo requests to a VIP.

use adc_common::abi::{Reason, ServiceId, ServiceKey};

use crate::{
    packets::{icmp_echo, split},
    walk::{Case, FRONT, Family, World},
};

pub(super) fn cases() -> Vec<Case> {
    Family::BOTH.into_iter().map(switched).collect()
}

fn switched(family: Family) -> Case {
    let answering = World::one_arm();
    let talk = answering.tcp(family);
    let mut silent = answering.clone();
    let refusal = ServiceKey::ping_refusal(talk.vip.ip().into());
    silent.contents.index.insert(refusal, ServiceId(0));
    let echo = icmp_echo(&talk.client_link.incoming(talk.client, talk.vip));
    let pieces = split(&echo, 8, 9);
    let mut other = talk.vip;
    other.set_ip(match family {
        Family::V4 => "203.0.113.77".parse().expect("an address"),
        Family::V6 => "2001:db8:f::77".parse().expect("an address"),
    });
    let not_a_vip = icmp_echo(&talk.client_link.incoming(talk.client, other));
    let name = format!("{family:?}: pings to a VIP are the kernel's, unless the VIP is silent");
    Case::new(name, &answering.contents)
        .stays("a ping", FRONT, echo.clone(), Reason::OtherProtocol)
        .stays(
            "its first fragment",
            FRONT,
            pieces[0].clone(),
            Reason::OtherProtocol,
        )
        .stays(
            "its last fragment",
            FRONT,
            pieces[1].clone(),
            Reason::OtherProtocol,
        )
        .reload(&silent.contents)
        .stays("a ping", FRONT, echo, Reason::EchoRefused)
        .stays(
            "its first fragment",
            FRONT,
            pieces[0].clone(),
            Reason::EchoRefused,
        )
        .stays(
            "its last fragment",
            FRONT,
            pieces[1].clone(),
            Reason::EchoRefused,
        )
        .stays(
            "a ping to another address",
            FRONT,
            not_a_vip,
            Reason::OtherProtocol,
        )
        .leaves(0, 0)
}
