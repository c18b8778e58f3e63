//! The sockets of all groups, opened and closed as interfaces come and go.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
};

use tokio::{sync::mpsc, task::AbortHandle};

use super::{
    socket::{Packet, VrrpSocket},
    strangers::Strangers,
    vrrp::Family,
};
use crate::neighbours::Devices;

/// Messages that wait for the thread; more wait in the kernel, and what does not fit there is lost.
const ARRIVALS: usize = 256;

/// One interface and family.
type Key = (String, Family);

/// A message, and the interface it came by.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) interface: String,
    pub(super) packet: Packet,
}

struct Open {
    socket: VrrpSocket,
    reader: AbortHandle,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// All sockets.
pub(super) struct Ports {
    open: BTreeMap<Key, Open>,
    arrivals: mpsc::Sender<Arrived>,
    /// Adverts for none of our groups.
    pub(super) strangers: Strangers,
}

impl Ports {
    /// None yet; messages will come out of the channel.
    pub(super) fn new() -> (Self, mpsc::Receiver<Arrived>) {
        let (sender, arrivals) = mpsc::channel(ARRIVALS);
        let ports = Self {
            open: BTreeMap::new(),
            arrivals: sender,
            strangers: Strangers::default(),
        };
        (ports, arrivals)
    }

    /// Opens what is wanted and closes what is not, a device that was made anew included. Says what could not be
    /// opened, and why.
    pub(super) fn open(
        &mut self,
        wanted: &BTreeSet<Key>,
        devices: &Devices,
    ) -> BTreeMap<Key, String> {
        self.open.retain(|key, open| {
            let device = devices.get(&key.0);
            wanted.contains(key) && device.is_some_and(|d| d.index == open.socket.ifindex())
        });
        let mut refused = BTreeMap::new();
        for key in wanted {
            let (interface, family) = key;
            let Some(device) = devices.get(interface) else {
                continue;
            };
            if self.open.contains_key(key) {
                continue;
            }
            match VrrpSocket::open(*family, interface, device.index) {
                Ok(socket) => {
                    let reader = self.read(interface.clone(), socket.clone());
                    self.strangers.watch(interface);
                    self.open.insert(key.clone(), Open { socket, reader });
                }
                Err(error) => {
                    let what = format!("opening a VRRP socket on {interface}: {error}");
                    refused.insert(key.clone(), what);
                }
            }
        }
        refused
    }

    fn read(&self, interface: String, socket: VrrpSocket) -> AbortHandle {
        let arrivals = self.arrivals.clone();
        let reader = tokio::spawn(async move {
            loop {
                match socket.receive().await {
                    Ok(packet) => {
                        let interface = interface.clone();
                        if arrivals.send(Arrived { interface, packet }).await.is_err() {
                            return;
                        }
                    }
                    // ENETDOWN and the like; the socket works again when the interface does.
                    Err(error) => tracing::debug!(interface, "receiving adverts: {error}"),
                }
            }
        });
        reader.abort_handle()
    }

    /// Where adverts go if nobody in particular is to get them.
    pub(super) fn multicast(family: Family) -> IpAddr {
        VrrpSocket::multicast(family)
    }

    /// Sends a message.
    pub(super) fn send(
        &self,
        interface: &str,
        from: IpAddr,
        to: IpAddr,
        message: &[u8],
    ) -> io::Result<()> {
        let key = (interface.to_owned(), Family::of(to));
        match self.open.get(&key) {
            Some(open) => open.socket.send(from, to, message),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}
