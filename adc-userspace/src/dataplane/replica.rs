//! The main flow tables as replication uses them: news of flows out, flows of the other node in.
//!
//! Handles of its own, by the pins, so that nothing here waits for whoever holds the [`super::Dataplane`].

use std::{
    marker::PhantomData,
    os::fd::{AsFd as _, BorrowedFd},
};

use adc_common::abi::{Addr4, Addr6, FlowEntry, FlowKey, FlowNews};
use aya::maps::{HashMap, Map, MapData, MapError, PerCpuArray, RingBuf};
use bytemuck::Pod;

use super::{
    batch,
    error::DataplaneError,
    mapped::{Mapped, fd_of, is_missing},
    pins::PinDirectory,
};

/// `BPF_NOEXIST` and `BPF_EXIST`, include/uapi/linux/bpf.h.
const NOEXIST: u64 = 1;
const EXIST: u64 = 2;

/// The main flow table of one address family.
pub struct MainTable<A> {
    map: Map,
    name: &'static str,
    addresses: PhantomData<A>,
}

type Entries<'m, A> = HashMap<&'m mut MapData, Mapped<FlowKey<A>>, Mapped<FlowEntry<A>>>;

/// What became of an entry that was to be inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is there.
    Yes,
    /// The key is taken.
    Exists,
    /// The table is full.
    Full,
}

/// News of flows, as the packet walk tells them.
pub struct FlowFeed {
    ring: RingBuf<MapData>,
    counters: PerCpuArray<MapData, Mapped<adc_common::abi::TableCounters>>,
}

/// One piece of news.
#[derive(Clone, Copy, Debug)]
pub enum News {
    /// Of an IPv4 flow.
    V4(FlowNews<Addr4>),
    /// Of an IPv6 flow, or of one between the families.
    V6(FlowNews<Addr6>),
}

fn pinned(pins: &PinDirectory, name: &'static str) -> Result<Map, DataplaneError> {
    let opened = MapData::from_pin(pins.map(name)).and_then(Map::from_map_data);
    opened.map_err(|error| DataplaneError::map("opening", name, error))
}

impl FlowFeed {
    /// Opens the ring.
    ///
    /// # Errors
    /// There is no such pin, or the kernel refuses.
    pub fn open(pins: &PinDirectory) -> Result<Self, DataplaneError> {
        let fail = |name| move |error: MapError| DataplaneError::map("opening", name, error);
        let ring = pinned(pins, "FLOW_NEWS")?
            .try_into()
            .map_err(fail("FLOW_NEWS"))?;
        let counters = pinned(pins, "TABLE_COUNTERS")?
            .try_into()
            .map_err(fail("TABLE_COUNTERS"))?;
        Ok(Self { ring, counters })
    }

    /// The oldest news that was not taken yet.
    pub fn take(&mut self) -> Option<News> {
        loop {
            let record = self.ring.next()?;
            if let Ok(news) = bytemuck::try_pod_read_unaligned(&record) {
                return Some(News::V4(news));
            }
            // The program makes records of these two lengths only.
            if let Ok(news) = bytemuck::try_pod_read_unaligned(&record) {
                return Some(News::V6(news));
            }
        }
    }

    /// How much news did not fit into the ring, ever.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn untold(&self) -> Result<u64, DataplaneError> {
        let values = self.counters.get(&0, 0);
        let values =
            values.map_err(|error| DataplaneError::map("reading", "TABLE_COUNTERS", error))?;
        Ok(values.iter().map(|Mapped(cpu)| cpu.untold).sum())
    }

    /// Readable when there is news.
    pub fn poll_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}

impl MainTable<Addr4> {
    /// Opens `FLOWS4`.
    ///
    /// # Errors
    /// There is no such pin, or the kernel refuses.
    pub fn v4(pins: &PinDirectory) -> Result<Self, DataplaneError> {
        Self::open(pins, "FLOWS4")
    }
}

impl MainTable<Addr6> {
    /// Opens `FLOWS6`.
    ///
    /// # Errors
    /// There is no such pin, or the kernel refuses.
    pub fn v6(pins: &PinDirectory) -> Result<Self, DataplaneError> {
        Self::open(pins, "FLOWS6")
    }
}

impl<A: 'static> MainTable<A>
where
    FlowKey<A>: Pod,
    FlowEntry<A>: Pod,
{
    fn open(pins: &PinDirectory, name: &'static str) -> Result<Self, DataplaneError> {
        Ok(Self {
            map: pinned(pins, name)?,
            name,
            addresses: PhantomData,
        })
    }

    fn entries(&mut self) -> Result<Entries<'_, A>, DataplaneError> {
        let opened = HashMap::try_from(&mut self.map);
        opened.map_err(|error| DataplaneError::map("opening", self.name, error))
    }

    /// An entry.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn get(&self, key: &FlowKey<A>) -> Result<Option<FlowEntry<A>>, DataplaneError> {
        let map =
            HashMap::<&MapData, Mapped<FlowKey<A>>, Mapped<FlowEntry<A>>>::try_from(&self.map)
                .map_err(|error| DataplaneError::map("opening", self.name, error))?;
        match map.get(&Mapped(*key), 0) {
            Ok(Mapped(entry)) => Ok(Some(entry)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(DataplaneError::map("reading", self.name, error)),
        }
    }

    /// Inserts an entry unless its key is taken.
    ///
    /// # Errors
    /// The kernel refuses for another reason than that there is no room.
    pub fn insert(
        &mut self,
        key: &FlowKey<A>,
        entry: &FlowEntry<A>,
    ) -> Result<Inserted, DataplaneError> {
        let done = self
            .entries()?
            .insert(Mapped(*key), Mapped(*entry), NOEXIST);
        match done {
            Ok(()) => Ok(Inserted::Yes),
            Err(error) => match errno(&error) {
                Some(libc::EEXIST) => Ok(Inserted::Exists),
                Some(libc::E2BIG) => Ok(Inserted::Full),
                _ => Err(DataplaneError::map("inserting", self.name, error)),
            },
        }
    }

    /// Overwrites an entry; false if it is gone.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn update(
        &mut self,
        key: &FlowKey<A>,
        entry: &FlowEntry<A>,
    ) -> Result<bool, DataplaneError> {
        match self.entries()?.insert(Mapped(*key), Mapped(*entry), EXIST) {
            Ok(()) => Ok(true),
            Err(error) if errno(&error) == Some(libc::ENOENT) => Ok(false),
            Err(error) => Err(DataplaneError::map("updating", self.name, error)),
        }
    }

    /// Removes an entry; one that is gone already is as good.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn remove(&mut self, key: &FlowKey<A>) -> Result<(), DataplaneError> {
        match self.entries()?.remove(&Mapped(*key)) {
            Ok(()) => Ok(()),
            Err(error) if is_missing(&error) => Ok(()),
            Err(error) => Err(DataplaneError::map("removing", self.name, error)),
        }
    }

    /// Visits every entry.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn walk(
        &self,
        visit: impl FnMut(&FlowKey<A>, &FlowEntry<A>),
    ) -> Result<(), DataplaneError> {
        batch::for_each(fd_of(&self.map, self.name)?, visit)
            .map_err(|error| DataplaneError::map("walking", self.name, error))
    }
}

fn errno(error: &MapError) -> Option<i32> {
    let MapError::SyscallError(error) = error else {
        return None;
    };
    error.io_error.raw_os_error()
}
