//! Frames of one interface, with the time at which the kernel had them.

use std::{
    io::{self, IoSliceMut},
    os::fd::AsRawFd,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use nix::{
    cmsg_space,
    sys::{
        socket::{
            ControlMessageOwned, MsgFlags, recvmsg, setsockopt,
            sockopt::{RcvBufForce, ReceiveTimestampns},
        },
        time::TimeSpec,
    },
};
use socket2::{Domain, SockAddr, SockAddrStorage, SockFilter, Socket, Type};

use crate::net::Link;

/// Room for everything that comes while our thread is not run.
const RECEIVE_BUFFER: usize = 16 << 20;
/// How long a receive waits.
const PATIENCE: Duration = Duration::from_millis(50);

/// A point in time: nanoseconds since 1970, by the clock that the kernel stamps frames with (CLOCK_REALTIME).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(pub u64);

impl Stamp {
    /// Now.
    ///
    /// # Panics
    /// Before 1970.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let nanoseconds = since.map(|since| u64::try_from(since.as_nanos()));
        match nanoseconds {
            Ok(Ok(nanoseconds)) => Self(nanoseconds),
            Ok(Err(_)) | Err(_) => panic!("this machine's clock is far off"),
        }
    }

    /// Time since `earlier`; zero if that is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A packet socket on one interface.
#[derive(Debug)]
pub struct PacketSocket {
    socket: Socket,
}

impl PacketSocket {
    /// Sees the frames of `link` that `filter` (classic BPF) lets through, and can send there.
    ///
    /// # Panics
    /// If the kernel refuses.
    #[track_caller]
    pub fn open(link: &Link, filter: &[SockFilter]) -> Self {
        let index = link.details()["ifindex"].as_i64();
        let index = index.and_then(|index| i32::try_from(index).ok());
        let index = index.unwrap_or_else(|| panic!("{} has no index", link.name));
        let opened = link.namespace.enter(|| open(index, filter));
        let socket = opened.unwrap_or_else(|error| {
            panic!("cannot open a packet socket on {}: {error}", link.name)
        });
        Self { socket }
    }

    /// Sends a frame as it is.
    ///
    /// # Errors
    /// Of the socket: the interface is down, for example.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        self.socket.send(frame).map(|_length| ())
    }

    /// The next frame and when the kernel had it; `None` if none comes for a while.
    pub fn receive<'b>(&self, buffer: &'b mut [u8]) -> Option<(Stamp, &'b [u8])> {
        let mut control = cmsg_space!(TimeSpec);
        let (stamp, length) = {
            let mut slices = [IoSliceMut::new(buffer)];
            let descriptor = self.socket.as_raw_fd();
            let flags = MsgFlags::empty();
            let message = recvmsg::<()>(descriptor, &mut slices, Some(&mut control), flags).ok()?;
            (stamp(message.cmsgs().ok()?)?, message.bytes)
        };
        Some((stamp, &buffer[..length]))
    }
}

fn stamp(messages: impl Iterator<Item = ControlMessageOwned>) -> Option<Stamp> {
    for message in messages {
        if let ControlMessageOwned::ScmTimestampns(time) = message {
            let seconds = u64::try_from(time.tv_sec()).ok()?;
            let nanoseconds = u64::try_from(time.tv_nsec()).ok()?;
            return Some(Stamp(seconds * 1_000_000_000 + nanoseconds));
        }
    }
    None
}

fn open(index: i32, filter: &[SockFilter]) -> io::Result<Socket> {
    // No protocol: nothing comes before the filter is in place and the interface chosen.
    let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
    socket.attach_filter(filter)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    setsockopt(&socket, RcvBufForce, &RECEIVE_BUFFER)?;
    setsockopt(&socket, ReceiveTimestampns, &true)?;
    socket.bind(&address(index)?)?;
    Ok(socket)
}

fn address(index: i32) -> io::Result<SockAddr> {
    let family = u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?;
    let protocol = u16::try_from(libc::ETH_P_ALL).map_err(io::Error::other)?;
    let length =
        libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).map_err(io::Error::other)?;
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: the storage is zeroed and larger than a `sockaddr_ll`, for which all zeroes are a valid value.
    let address = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    address.sll_family = family;
    address.sll_protocol = protocol.to_be();
    address.sll_ifindex = index;
    // SAFETY: the storage holds a `sockaddr_ll` with its family set, of the length given.
    Ok(unsafe { SockAddr::new(storage, length) })
}
