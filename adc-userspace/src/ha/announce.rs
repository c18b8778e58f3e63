//! Bursts of gratuitous ARP and unsolicited neighbour advertisements.

use std::{collections::BTreeMap, io, net::IpAddr};

use adc_common::abi::Mac;

use crate::neighbours::{Device, FrameSender, announcement, is_router};

/// An address and the device that it is announced by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Announced {
    pub(super) address: IpAddr,
    pub(super) ifindex: u32,
    pub(super) mac: Mac,
    /// Whether the device forwards IPv6.
    pub(super) router: bool,
}

impl Announced {
    /// An address on the device of that name; `None` = the device has no MAC. What is at a virtual MAC is announced by the interface
    /// below, which sends whether the device is up yet or not.
    pub(super) fn on(name: &str, device: &Device, address: IpAddr) -> Option<Self> {
        let lower = device.virtual_mac.map(|device| device.lower);
        Some(Self {
            router: is_router(name),
            address,
            ifindex: lower.unwrap_or(device.index),
            mac: device.mac?,
        })
    }
}

/// Sends bursts; the socket is kept, because closing one takes tens of milliseconds.
#[derive(Default)]
pub(super) struct Bursts {
    sender: Option<FrameSender>,
}

impl Bursts {
    /// Sends one frame.
    pub(super) fn send_frame(&mut self, ifindex: u32, frame: &[u8]) -> io::Result<()> {
        let sender = match self.sender.take() {
            Some(sender) => sender,
            None => FrameSender::open()?,
        };
        let sent = sender.send(ifindex, frame);
        self.sender = Some(sender);
        sent
    }

    /// Announces every address `count` times: all of them once, then all of them again.
    ///
    /// # Errors
    /// The first failure of each interface, by its index; the others are announced nonetheless.
    pub(super) fn send(
        &mut self,
        addresses: &[Announced],
        count: u8,
    ) -> Result<(), BTreeMap<u32, io::Error>> {
        let mut failed = BTreeMap::new();
        if addresses.is_empty() || count == 0 {
            return Ok(());
        }
        let sender = match self.sender.take().map_or_else(FrameSender::open, Ok) {
            Ok(sender) => sender,
            Err(error) => return Err([(0, error)].into()),
        };
        let frame = |one: &Announced| (one.ifindex, announcement(one.mac, one.address, one.router));
        let frames: Vec<_> = addresses.iter().map(frame).collect();
        for _ in 0..count {
            for (ifindex, frame) in &frames {
                if let Err(error) = sender.send(*ifindex, frame) {
                    failed.entry(*ifindex).or_insert(error);
                }
            }
        }
        self.sender = Some(sender);
        if failed.is_empty() {
            Ok(())
        } else {
            Err(failed)
        }
    }
}
