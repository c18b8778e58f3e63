//! What an interface's driver can do for XDP, as it says itself through the `netdev` family of generic netlink.

use std::io;

use rtnetlink::{
    packet_core::{DefaultNla, Emitable, NlasIterator},
    sys::protocols::NETLINK_GENERIC,
};

use super::netlink;

/// The family that lists families (`GENL_ID_CTRL`, linux/genetlink.h).
const CONTROL: u16 = 16;
const CONTROL_GET_FAMILY: u8 = 3;
const CONTROL_FAMILY_ID: u16 = 1;
const CONTROL_FAMILY_NAME: u16 = 2;

/// linux/netdev.h, kernel 6.3 and later.
const NETDEV_GET: u8 = 1;
const NETDEV_IFINDEX: u16 = 1;
const NETDEV_XDP_FEATURES: u16 = 3;
const BASIC: u64 = 1;
const REDIRECT: u64 = 1 << 1;
const REDIRECT_TARGET: u64 = 1 << 2;

/// `struct genlmsghdr` without attributes.
const GENERIC_HEADER: usize = 4;

/// What a driver can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum XdpFeatures {
    /// The kernel does not say (before 6.3, or no such family).
    Unknown,
    /// The driver's own words.
    Known {
        /// Runs programs, with the verdicts pass, drop, abort and tx.
        basic: bool,
        /// Carries out redirects from this interface.
        redirect: bool,
        /// Sends what is redirected to this interface, as it is configured now.
        target: bool,
    },
}

/// What the interface's driver says.
pub(super) fn of(ifindex: u32) -> XdpFeatures {
    let flags = family("netdev").and_then(|family| flags(family, ifindex));
    match flags {
        Ok(Some(flags)) => XdpFeatures::Known {
            basic: flags & BASIC != 0,
            redirect: flags & REDIRECT != 0,
            target: flags & REDIRECT_TARGET != 0,
        },
        Ok(None) | Err(_) => XdpFeatures::Unknown,
    }
}

/// The number that a family of that name was given.
fn family(name: &str) -> io::Result<u16> {
    let name = [name.as_bytes(), &[0]].concat();
    let question = message(CONTROL_GET_FAMILY, CONTROL_FAMILY_NAME, name);
    let answers = netlink::ask(NETLINK_GENERIC, CONTROL, false, &question)?;
    attribute(&answers, CONTROL_FAMILY_ID)
        .and_then(|value| value.as_slice().try_into().ok())
        .map(u16::from_ne_bytes)
        .ok_or_else(|| io::Error::other("the kernel's answer names no family"))
}

fn flags(family: u16, ifindex: u32) -> io::Result<Option<u64>> {
    let question = message(NETDEV_GET, NETDEV_IFINDEX, ifindex.to_ne_bytes().to_vec());
    let answers = netlink::ask(NETLINK_GENERIC, family, false, &question)?;
    let value = attribute(&answers, NETDEV_XDP_FEATURES);
    Ok(value
        .and_then(|value| value.as_slice().try_into().ok())
        .map(u64::from_ne_bytes))
}

/// A generic netlink message with one attribute; version 1 in both families.
fn message(command: u8, kind: u16, value: Vec<u8>) -> Vec<u8> {
    let attribute = DefaultNla::new(kind, value);
    let mut message = vec![command, 1, 0, 0];
    let mut encoded = vec![0; attribute.buffer_len()];
    attribute.emit(&mut encoded);
    message.extend(encoded);
    message
}

fn attribute(answers: &[Vec<u8>], kind: u16) -> Option<Vec<u8>> {
    let attributes = answers.first()?.get(GENERIC_HEADER..)?;
    NlasIterator::new(attributes)
        .filter_map(Result::ok)
        .find(|found| found.kind() == kind)
        .map(|found| found.value().to_vec())
}
